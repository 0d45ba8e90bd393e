"""Segments of lines that lie within a bounded domain, as far as possible within one linear piece.

Inside of a linear piece the quotient of any two points of a line is the same, so a segment need not have the point in
its middle, and may go through another point of the same piece: at the edge of the domain there is no room for it, so
the point is moved towards the origin, of which the domain has a neighbourhood, by more and more.
"""

from __future__ import annotations

import numpy as np

from sdpcert.attained.domain import Domain
from sdpcert.attained.maps import SearchedMap

Array = np.ndarray
#: How far a point is moved towards the origin, relative to its distance.
INWARD = np.concatenate([[0.0], 2.0 ** -np.arange(1.0, 45.0, 3.0)])
#: How far a segment reaches towards the nearest kinks on its line.
INSIDE = 0.9
#: Lengths of other segments, relative to what the domain has room for.
SHORTER = 2.0 ** -np.array([1.0, 2.0, 4.0, 6.0, 8.0, 11.0, 14.0, 18.0, 24.0, 30.0])


def segments(searched: SearchedMap, domain: Domain, point: Array, direction: Array, size: float) -> Array:
    """Ends of segments to try (rows): the first half of the rows are the one ends, the second half the others.

    `size` is a typical length, for domains that are much larger.
    """
    points = point * (1 - INWARD[:, None])
    directions = np.broadcast_to(direction, points.shape)
    least, most = domain.chords(points, directions)
    below, above = _to_kinks(searched, points, directions)
    below, above = np.maximum(least, below), np.minimum(most, above)
    middle, half = 0.5 * below + 0.5 * above, 0.5 * above - 0.5 * below
    starts, ends = [middle - INSIDE * half], [middle + INSIDE * half]
    least, most = np.maximum(least, -size), np.minimum(most, size)
    for part in (1.0, *SHORTER):
        starts.append(part * least)
        ends.append(part * most)
    rows = np.tile(points, (1 + 1 + len(SHORTER), 1))
    first, last = np.concatenate(starts), np.concatenate(ends)
    usable = np.isfinite(first) & np.isfinite(last) & (first < last)
    rows, first, last = rows[usable], first[usable, None], last[usable, None]
    return np.concatenate([rows + last * direction, rows + first * direction])


def _to_kinks(searched: SearchedMap, points: Array, directions: Array) -> tuple[Array, Array]:
    """The nearest t below and above zero (one for each row) where a kink at zero is met on the way."""
    count = len(points)
    below, above = np.full(count, -np.inf), np.full(count, np.inf)

    def at_neurons(group: int, rows: Array) -> Array:
        neurons = searched.groups[group]
        values, tangents = rows[:count], rows[count:]
        if neurons.kink_at_zero:
            with np.errstate(all="ignore"):
                met = (-values / tangents).reshape(count, -1)
            met = np.where(np.isfinite(met), met, np.inf)
            np.minimum(above, np.min(np.where(met > 0, met, np.inf), axis=1, initial=np.inf), out=above)
            np.maximum(below, np.max(np.where(met < 0, met, -np.inf), axis=1, initial=-np.inf), out=below)
        return np.concatenate([neurons(values), tangents * neurons.derivative(values)])

    searched.sweep(np.concatenate([points, directions]), count, at_neurons)
    return below, above

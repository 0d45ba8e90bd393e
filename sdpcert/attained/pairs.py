"""From a point and the direction in which it stretches to two inputs whose quotient shows it.

Inside one linear piece the quotient of any two inputs along the direction is the norm of the Jacobian there, and the
farther apart they are the less their rounding matters: the first pair reaches nearly to the nearest kink on both sides.
Wider and closer pairs are tried too, for smooth activations and for pieces that are very thin.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.spectra import eigenpairs
from sdpcert.attained.derivatives import stretch
from sdpcert.attained.domain import Domain
from sdpcert.attained.maps import SearchedMap, norms, unit
from sdpcert.attained.segments import segments

Array = np.ndarray
#: How far a pair reaches towards the nearest kink.
INSIDE = 0.9
#: Outputs up to which the leading singular vector is computed from the Jacobian itself.
MOST_ROWS = 64
#: A guess of how much of the outputs is rounding, relative; pairs are ranked with it, never bounded.
ROUNDING = 2.0**-48


def leading_direction(searched: SearchedMap, point: Array, direction: Array) -> Array:
    """The leading right singular vector of the Jacobian at a point; from `direction` where there are many outputs."""
    if searched.outputs > MOST_ROWS:
        return stretch(searched, point[None], direction[None], 30)[0][0]
    slopes = searched.slopes(point[None])
    jacobian = searched.back(np.eye(searched.outputs), lambda group, rows: rows * slopes[group])
    largest = np.max(np.abs(jacobian), initial=0.0)
    if not 0 < largest < np.inf:
        return direction
    scaled = jacobian / largest
    spectrum = eigenpairs(scaled @ scaled.T)
    found = direction if spectrum is None else unit(spectrum[1][:, -1:].T @ scaled)[0]
    return found if np.any(found) else direction


@dataclass(frozen=True, eq=False)
class Pair:
    """Two rows and the quotient that they seem to have."""

    quotient: float
    x: Array
    x_prime: Array


def pairs(searched: SearchedMap, domain: Domain, point: Array, direction: Array, size: float, count: int) -> list[Pair]:
    """At most `count` pairs of rows around a point, the most promising first."""
    reach = max(float(norms(point[None])[0]), size)
    if domain.bounded:
        ends = domain.project(segments(searched, domain, point, direction, reach))
    else:
        lengths = _lengths(_to_kink(searched, point, direction), reach) if searched.groups else np.array([reach])
        ends = point + np.concatenate([lengths, -lengths])[:, None] * direction
        ends = domain.project(ends)
    if not len(ends):
        return []
    values = searched.values(ends)
    above, below = np.split(ends, 2)
    there, back = np.split(values, 2)
    apart = norms(above - below)
    with np.errstate(all="ignore"):
        noise = ROUNDING * (norms(there) + norms(back))
        quotients = (norms(there - back) - noise) / apart
        # to nine digits, so that of equal ones the widest is first
        ranks = np.where(np.isfinite(quotients) & (quotients > 0), np.round(np.log(quotients), 9), -np.inf)
    order = np.lexsort((-apart, -ranks))[: None if domain.bounded else count]
    return [Pair(float(quotients[k]), above[k], below[k]) for k in order if ranks[k] > -np.inf]


def _lengths(to_kink: float, size: float) -> Array:
    """Half the distances of the pairs to try."""
    if not 0 < to_kink < np.inf:
        return size * 2.0 ** -np.arange(0.0, 30.0, 2.0)
    return np.concatenate(
        [to_kink * np.array([INSIDE, INSIDE / 4, 4.0, 64.0]), size * 2.0 ** -np.arange(0.0, 30.0, 5.0)]
    )


def _to_kink(searched: SearchedMap, point: Array, direction: Array) -> float:
    """How far one may go both ways along a direction, relative to its length, before a kink at zero is met."""
    nearest = np.inf

    def at_neurons(group: int, rows: Array) -> Array:
        nonlocal nearest
        neurons = searched.groups[group]
        value, tangent = rows[0].ravel(), rows[1].ravel()
        if neurons.kink_at_zero:
            moving = (tangent != 0) & (value != 0)
            nearest = min(nearest, float(np.min(np.abs(value[moving] / tangent[moving]), initial=np.inf)))
        return np.concatenate([neurons(rows[:1]), rows[1:] * neurons.derivative(rows[:1])])

    searched.sweep(np.stack([point, direction]), 1, at_neurons)
    return nearest

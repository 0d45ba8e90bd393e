"""What the search computes with a map: norms of Jacobians, and how they grow.

The Jacobian of a piecewise linear network is constant on every linear piece, so its norm has no useful gradient. A
slope is therefore averaged over an interval around the preactivation: `(phi(z + w) - phi(z - w)) / 2w`, which has a
derivative of its own wherever the interval reaches a kink. With w going to zero the averages become the slopes.
"""

from __future__ import annotations

from math import sqrt

import numpy as np

from sdpcert.attained.maps import SearchedMap, norms, unit

Array = np.ndarray
#: A width below which an averaged slope would be a quotient of roundings, relative to the preactivation.
LEAST_WIDTH = 1e-6


def stretch(searched: SearchedMap, points: Array, directions: Array, iterations: int) -> tuple[Array, Array]:
    """Power iteration on J'J at every point; returns the directions and the norms |J v| that they reach.

    A norm that is not finite counts as zero.
    """
    slopes = searched.slopes(points)

    def damp(group: int, rows: Array) -> Array:
        return rows * slopes[group]

    image = searched.sweep(directions, 0, damp)
    for _ in range(iterations):
        directions = unit(searched.back(unit(image), damp), directions)
        image = searched.sweep(directions, 0, damp)
    reached = norms(image)
    return directions, np.where(np.isfinite(reached), reached, 0.0)


def averaged_gradients(
    searched: SearchedMap, points: Array, directions: Array, widths: Array, spreads: list[Array] | None = None
) -> Array:
    """Gradients of |J v| with averaged slopes, by the point for every row, and then by the direction v for every row.

    `widths` (rows, 1) are half the length of the intervals, relative to the root mean square of a group's
    preactivations, or to the `spreads` of its neurons. One sweep and one sweep back over twice the rows: points and
    directions go through together.
    """
    count = len(points)
    saved: list[tuple[Array, Array]] = []
    at_least = np.maximum(widths, LEAST_WIDTH)

    def forward(group: int, rows: Array) -> Array:
        neurons = searched.groups[group]
        values, tangents = rows[:count], rows[count:]
        if spreads is None:
            flat = values.reshape(count, -1)
            typical = norms(flat)[:, None] / sqrt(flat.shape[1])
            half = (at_least * np.where(typical > 0, typical, 1.0)).reshape(-1, *[1] * (rows.ndim - 1))
        else:
            half = at_least.reshape(-1, *[1] * (rows.ndim - 1)) * spreads[group]
        slopes, growth = neurons.averaged(values, half)
        growth *= tangents
        saved.append((slopes, growth))
        through = np.empty_like(rows)
        through[:count] = neurons(values)
        np.multiply(slopes, tangents, out=through[count:])
        return through

    def backward(group: int, rows: Array) -> Array:
        slopes, growth = saved[group]
        through_values, through_tangents = rows[:count], rows[count:]
        result = np.empty_like(rows)
        np.multiply(through_values, slopes, out=result[:count])
        result[:count] += through_tangents * growth
        np.multiply(through_tangents, slopes, out=result[count:])
        return result

    image = unit(searched.sweep(np.concatenate([points, directions]), count, forward)[count:])
    return searched.back(np.concatenate([np.zeros_like(image), image]), backward)


def typical_size(searched: SearchedMap) -> float:
    """A typical distance from the origin at which neurons change: the median of |z(0)| over a typical |dz/dx|."""
    count = 16
    directions = np.random.default_rng(0).standard_normal((count, searched.inputs))
    found = [np.zeros(0)]

    def at_neurons(group: int, rows: Array) -> Array:
        neurons, start, tangents = searched.groups[group], rows[:1], rows[1:]
        moved = np.sqrt(np.mean(np.square(tangents), axis=0)).ravel()
        ratio = np.abs(start).ravel()[moved > 0] / moved[moved > 0]
        found.append(ratio[np.isfinite(ratio) & (ratio > 0)])
        return np.concatenate([neurons(start), tangents * neurons.derivative(start)])

    searched.sweep(np.concatenate([np.zeros((1, searched.inputs)), directions]), 1, at_neurons)
    ratios = np.concatenate(found)
    return float(np.median(ratios)) * np.sqrt(searched.inputs) if len(ratios) else 1.0

"""Preactivations at given inputs in floating point, with rigorous bounds of their errors; needs NumPy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from .network_floating import FloatingNetwork, Weights
from .reading import Rejected
from .rounding import SLACK, U, gamma

Array = np.ndarray

#: More than a product loses to underflow, if no factor is above `LARGEST`.
UNDERFLOW, LARGEST = 1e-200, 1e100


def margins(network: FloatingNetwork, points: Array | Sequence[float]) -> tuple[Array, Array]:
    """Ends of intervals that contain the preactivations of the last group at each point.

    `points` has shape (points, inputs), or (inputs,) for a single one, the ends (points, neurons) or (neurons,); they
    are infinite where nothing is known, or numbers are too large. Raises `Rejected` if the network has no groups.
    """
    if not network.groups:
        raise Rejected("a network without groups has no preactivations")
    points = np.asarray(points, dtype=float)
    found = {0: (points, np.zeros_like(points))}
    with np.errstate(all="ignore"):  # what overflows has no ends
        for g in range(1, network.groups):
            found[g] = network.curves[g - 1].around(*_preactivations(network, g, found))
        center, radius = _preactivations(network, network.groups, found)
        low, high = np.nextafter(center - radius, -np.inf), np.nextafter(center + radius, np.inf)
        known = np.isfinite(low) & np.isfinite(high)
    return np.where(known, low, -np.inf), np.where(known, high, np.inf)


def _preactivations(network: FloatingNetwork, group: int, found: dict[int, tuple[Array, Array]]) -> tuple[Array, Array]:
    """Preactivations of a group with bounds of their errors, from activations with bounds of theirs."""
    center, radius = network.bias[group - 1], network.bias_radius[group - 1]
    blocks = network.blocks[group]
    for weights in blocks:
        values, errors = found[weights.source]
        product = values @ weights.matrix.T
        radius = radius + _lost(weights, values, errors, len(blocks))
        center = center + product
    shape = (*found[0][0].shape[:-1], len(network.bias[group - 1]))
    center, radius = (np.broadcast_to(x, shape) for x in (center, radius))
    return center, (radius + gamma(len(blocks) + 1) * np.abs(network.bias[group - 1])) * SLACK


def _lost(weights: Weights, values: Array, errors: Array, blocks: int) -> Array:
    """Bounds of the errors that a block leaves in each preactivation."""
    relative = gamma(values.shape[-1] + blocks + 2) + (2 * U if weights.rounded else 0.0)
    unsure = relative * np.abs(values) + errors * (1 + relative)
    lost = unsure @ np.abs(weights.matrix).T + UNDERFLOW
    if weights.radius:
        lost = lost + weights.radius * (np.abs(values) + errors).sum(axis=-1, keepdims=True)
    within = max(float(np.abs(values).max(initial=0.0)), float(np.abs(weights.matrix).max(initial=0.0))) <= LARGEST
    return lost * SLACK if within else np.full_like(lost, np.inf)

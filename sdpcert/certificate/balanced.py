"""Multipliers of neurons that read nothing known, cut to what they are needed for."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from sdpcert.certificate.scaled_matrix import ScaledMatrix
from sdpcert.condition.block_matrix import BlockMatrix

Array = np.ndarray
#: How much larger than what it has to balance the diagonal of a neuron that reads zero is made.
ROOM = 2.0**27
#: A row whose weights are no larger than this many radii reads nothing that is known.
UNKNOWN = 2.0**10


def balanced(matrix: ScaledMatrix, rho: float, multipliers: list[Array]) -> list[Array]:
    """The point with smaller multipliers of neurons that read nothing known: a row of zeros, or below its radii.

    Such a multiplier meets almost nothing but the neuron itself, so a solver lets it grow without bound (or up to the
    inverse square of a weight of 1e-40), and the error bound grows with it, by the radius. Its diagonal entry only has
    to balance the few other entries of its row: it is cut to `ROOM` times that. What this costs the rest is about 1 /
    ROOM, what the radius costs about sqrt(ROOM) radius, and their sum is least near radius^(-2/3).
    """
    zeros = _zeros(matrix)
    zero = np.concatenate([np.zeros(matrix.inputs, bool), *zeros])
    if not np.any(zero):
        return multipliers
    known = {
        (to, s): replace(block, weights=np.where(zeros[to - 1][:, None], 0.0, block.weights))
        if to < matrix.output_row
        else block
        for (to, s), block in matrix.blocks.items()
    }
    splits = np.cumsum([matrix.inputs, *(len(t) for t in multipliers)])[:-1]
    given = np.concatenate([np.full(matrix.inputs, rho), *multipliers])
    values = given.copy()
    for _ in range(2):  # the second time for neurons of this kind that meet each other
        point = np.split(values, splits)[1:]
        approximate = matrix.approximate(rho, tuple(point), np.ones(matrix.order), known)
        rest = np.abs(approximate.diagonal() - 2 * values)
        values = np.where(zero, np.minimum(given, ROOM * (rest + _met(approximate))), given)
    return np.split(values, splits)[1:]


def _zeros(matrix: ScaledMatrix) -> list[Array]:
    """Which neurons of each group read nothing that is known: zero, or weights that the radii drown."""
    found = []
    for to, (alpha, _) in enumerate(matrix.slopes, start=1):
        row = [block for (t, _), block in matrix.blocks.items() if t == to]
        read = np.zeros(len(alpha), bool)
        for block in row:
            read |= np.any(block.size > UNKNOWN * block.radius, axis=1)
        found.append(~read & any(block.radius > 0 for block in row))
    return found


def _met(matrix: BlockMatrix) -> Array:
    """For each row the sum over the others of its squared entry, divided by the other's diagonal entry."""
    diagonal, slices = matrix.diagonal(), matrix.elimination.slices
    with np.errstate(divide="ignore", over="ignore"):
        weights = np.where(diagonal > 0, 1 / diagonal, 0.0)
    found = np.zeros(len(diagonal))
    with np.errstate(invalid="ignore", over="ignore"):
        for (i, j), entry in matrix.entries.items():
            squares = np.square(entry)
            if i == j:
                np.fill_diagonal(squares, 0.0)
            else:
                found[slices[j]] += squares.T @ weights[slices[i]]
            found[slices[i]] += squares @ weights[slices[j]]
    return found

"""The rows of a condition on a piece, decided neurons substituted, with a bound of every entry's error; needs NumPy.

For two points of a piece the difference of a decided neuron is its slope times that of its preactivation. A backward
pass from the output replaces them; what is left are rows of differences of the outputs and of the preactivations of
the other neurons ("active"), in terms of differences of the inputs that move and of active neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .rounding import SLACK, U, gamma
from .state_floating import State

Array = np.ndarray

#: Errors of nonzero coefficients are at least this: no product of theirs with a weight underflows to zero.
LEAST_ERROR = 1e-200
#: Relative errors of rows above this may make a difference to a bound.
DOUBTFUL = 1e-11


@dataclass(frozen=True, eq=False)
class Reduced:
    """Rows of outputs, then of active neurons from the last group to the first; columns of inputs, then likewise.

    `matrix` is (outputs + active, moving + active), every entry within `errors` of the true one. `alpha` and `beta` are
    the slopes of the active neurons, and `active[g - 1]` says for each neuron of group g whether it is one.
    """

    outputs: int
    moving: int
    matrix: Array
    errors: Array
    alpha: Array
    beta: Array
    active: tuple[Array, ...]

    @property
    def is_doubtful(self) -> bool:
        """Whether the errors of some row are not small beside it."""
        size, error = (np.sqrt((entries * entries).sum(axis=1)) for entries in (self.matrix, self.errors))
        return bool(np.any(~(error <= DOUBTFUL * size)))


def reduce(state: State) -> Reduced:
    """The rows on a piece."""
    network = state.network
    slopes = [neurons.slopes for neurons in state.neurons]
    active = [alpha != beta for alpha, beta in slopes]
    counts = [int(np.sum(mask)) for mask in active]
    #: Rows of the outputs and of the groups above each source.
    above = [network.outputs + sum(counts[source:]) for source in range(network.groups + 1)]
    #: Relative errors of a weight that stands alone: its own rounding, and those of what is added to it.
    once = gamma(network.groups + 4)
    columns: list[tuple[Array, Array]] = []
    found: list[tuple[Array, Array] | None] = [None] * (network.groups + 1)

    def place(source: int) -> tuple[Array, Array]:
        pair = found[source]
        if pair is None:
            shape = (above[source], network.sizes[source])
            pair = found[source] = np.zeros(shape), np.zeros(shape)
        return pair

    for weights in network.blocks[network.groups + 1]:
        values, errors = place(weights.source)
        values[: network.outputs] += weights.matrix
        errors[: network.outputs] += weights.radius + once * np.abs(weights.matrix)
    for h in range(network.groups, 0, -1):
        values, errors = place(h)
        found[h] = None
        mask, slope = active[h - 1], slopes[h - 1][0]
        columns.append((values[:, mask], errors[:, mask]))
        kept = np.flatnonzero(~mask & (slope != 0) & np.any((values != 0) | (errors != 0), axis=0))
        own = np.flatnonzero(mask)
        first, last = above[h], above[h - 1]
        factor = slope[kept]
        exact = np.abs(factor) == 1
        coefficients = values[:, kept] * factor
        present = (values[:, kept] != 0) | (errors[:, kept] != 0)
        unsure = errors[:, kept] * np.abs(factor) + np.where(exact, 0.0, U) * np.abs(coefficients)
        size = np.abs(coefficients)
        for weights in network.blocks[h]:
            target, error = place(weights.source)
            if len(kept) and first:
                matrix = weights.matrix[kept]
                lost = unsure + gamma(len(kept) + network.groups + 4) * (size + unsure)
                lost = np.where(present, np.maximum(lost, LEAST_ERROR), 0.0)
                target[:first] += coefficients @ matrix
                error[:first] += (lost @ np.abs(matrix)) * SLACK
                if weights.radius:
                    error[:first] += weights.radius * SLACK * (size + unsure).sum(axis=1, keepdims=True)
            target[first:last] += weights.matrix[own]
            error[first:last] += weights.radius + once * np.abs(weights.matrix[own])
    moves = state.moving
    values, errors = place(0)
    # Inputs come first, then the active neurons of the last group, down to those of the first.
    parts = [(values[:, moves], errors[:, moves]), *columns]
    matrix, bounds = (np.zeros((above[0], int(np.sum(moves)) + sum(counts))) for _ in range(2))
    position = 0
    for part, error in parts:
        beyond = position + part.shape[1]
        matrix[: len(part), position:beyond], bounds[: len(part), position:beyond] = part, error * SLACK
        position = beyond
    down = range(network.groups - 1, -1, -1)
    alpha, beta = (np.concatenate([np.zeros(0), *(slopes[g][k][active[g]] for g in down)]) for k in (0, 1))
    return Reduced(
        network.outputs,
        int(np.sum(moves)),
        matrix,
        bounds,
        alpha,
        beta,
        tuple(active),
    )

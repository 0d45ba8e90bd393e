"""The least rho of given multipliers, by the blocks of the network.

M is positive semidefinite from that rho on at which the Schur complement of the neurons' block, a matrix of the order
of the input, becomes so.
"""

from __future__ import annotations

import numpy as np

from sdpcert.arithmetic.blas import product
from sdpcert.arithmetic.spectra import largest_eigenvalue
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.elimination import Elimination
from sdpcert.condition.factor import Factor
from sdpcert.condition.matrix import Condition

Array = np.ndarray


def least_rho(condition: Condition, multipliers: Array) -> float:
    """The least rho for which M(rho, multipliers) is positive semidefinite, infinite if there is none."""
    matrix = condition.matrix(np.concatenate([[0.0], multipliers]))
    if not all(np.all(np.isfinite(entry)) for entry in (matrix.own, *matrix.entries.values())):
        return float("inf")
    hidden, border, corner = _divided(condition, matrix)
    scale = hidden.diagonal()
    if np.any(scale <= 0):
        return float("inf")
    scale = scale**-0.5
    factor = Factor.of(hidden.scaled(scale))
    if factor is None:
        return float("inf")
    half = factor.forward(scale[:, None] * border)
    return max(largest_eigenvalue(product(half.T, half) - corner), 0.0)


def _divided(condition: Condition, matrix: BlockMatrix) -> tuple[BlockMatrix, Array, Array]:
    """The block of the neurons, their columns of the input, and the block of the input."""
    inputs, slices = condition.inputs, condition.slices
    if len(matrix.elimination.slices) == 1:  # small networks: fewer calls
        dense, one = matrix.dense(), Elimination.of([slice(0, condition.neurons)], [])
        own = matrix.arrays.zeros(condition.neurons)
        hidden = BlockMatrix(matrix.arrays, one, own, {(0, 0): dense[inputs:, inputs:]})
        return hidden, dense[inputs:, :inputs], dense[:inputs, :inputs]
    border, corner = np.zeros((condition.neurons, inputs)), np.diag(matrix.own[:inputs])
    members: list[list[int]] = [[] for _ in matrix.elimination.slices]
    for source, block in enumerate(matrix.elimination.place):
        members[block].append(source)
    pairs = set()
    for i, j in matrix.entries:
        pairs |= {(max(a, b), min(a, b)) for a in members[i] for b in members[j]}
    neurons = [slice(own.start - inputs, own.stop - inputs) for own in slices]
    among = [(a - 1, b - 1) for a, b in pairs if b > 0]
    hidden = BlockMatrix.zeros(matrix.arrays, Elimination.of(neurons[1:], among))
    hidden.own[:] = matrix.own[inputs:]
    for a, b in sorted(pairs):
        part = matrix.part(slices, a, b)
        if part is None:
            continue
        if b > 0:
            hidden.add(neurons[1:], a - 1, b - 1, part)
        elif a > 0:
            border[neurons[a]] = part
        else:
            corner = corner + part
    return hidden, border, corner

"""What checking a proof in integers costs, estimated from the blocks of its factor."""

from __future__ import annotations

from sdpcert.certificate.scaled_matrix import ScaledMatrix
from sdpcert.condition.elimination import Elimination
from sdpcert.network.stacked import StackedForm

#: Multiplications of integers that the checker does in a second, and entries of factors and weights that it handles;
#: measured on a core of 2020.
RATE, ENTRIES = 3e7, 3e5


def seconds_in_integers(form: StackedForm, matrix: ScaledMatrix) -> float:
    """About how long a checker takes to follow an integer factor of the matrix that is the condition of a form."""
    readers = sum(len(block.weights) for (_, source), block in form.blocks.items() if source == 0)
    work, entries = _of_factor(matrix.elimination)
    if matrix.inputs < form.inputs:
        work += form.inputs * readers**2 / 2 + readers**3 / 6
        entries += readers**2
    entries += sum(float(block.weights.size) for block in form.blocks.values())
    return (work + _of_squares(matrix)) / RATE + entries / ENTRIES


def _of_factor(elimination: Elimination) -> tuple[float, float]:
    """Multiplications of `L L'` and entries of L, each row stored from its first block to the diagonal."""
    sizes, bounds = elimination.sizes, [0]
    for size in sizes:
        bounds.append(bounds[-1] + size)
    first = list(range(len(sizes)))
    for j, later in enumerate(elimination.later):
        for i in later:
            first[i] = min(first[i], j)
    work = entries = 0.0
    for i, own in enumerate(sizes):
        for j in range(first[i], i + 1):
            begin = bounds[max(first[i], first[j])]
            shared = max(bounds[j] - begin, 0) + sizes[j] / (3 if i == j else 2)
            count = own * (own / 2 if i == j else sizes[j])
            work, entries = work + count * shared, entries + count
    return work, entries


def _of_squares(matrix: ScaledMatrix) -> float:
    """Multiplications of the terms `k_i k_i'` of M."""
    total = 0.0
    for to, row in matrix.rows(matrix.blocks):
        if matrix.is_squared(to):
            width = sum(block.weights.shape[1] for block in row.values())
            total += len(next(iter(row.values())).weights) * width**2 / 2
    return total

"""Diagonal dominance of matrices that are known with bounds of their errors."""

from __future__ import annotations

import numpy as np

from sdpcert.arithmetic.exact import Total, add_product
from sdpcert.certificate.block_total import BlockTotal
from sdpcert.condition.factor import Factor

Array = np.ndarray


def missing_dominance(matrix: BlockTotal, allowances: Array, factor: Factor) -> float:
    """By how much the worst row of `matrix - L L'` fails to be dominant (at most 0: it is).

    The factor has the elimination of the matrix; `allowances` are sums of what the entries of each row may change more.
    """
    slices = matrix.elimination.slices
    order = matrix.elimination.order
    own, others = np.zeros(order), np.zeros(order)
    rows = rows_of(factor)
    for j, later in enumerate(matrix.elimination.later):
        for i in (j, *later):
            value, error = _rest(matrix.entries.get((i, j)), rows[i], rows[j])
            size = np.abs(value) + error
            if i == j:
                own[slices[j]] = value.diagonal()
                np.fill_diagonal(size, error.diagonal())
            else:
                others[slices[j]] += size.sum(axis=0)
            others[slices[i]] += size.sum(axis=1)
    return _missing(own, others, allowances)


def rows_of(factor: Factor) -> list[dict[int, Array]]:
    """The blocks of L by rows: for each the columns where it has some, ascending."""
    rows: list[dict[int, Array]] = [{} for _ in factor.diagonal]
    for j, (lower, below) in enumerate(zip(factor.diagonal, factor.below, strict=True)):
        rows[j][j] = lower
        for i, block in below.items():
            rows[i][j] = block
    return rows


def _rest(total: Total | None, left: dict[int, Array], right: dict[int, Array]) -> tuple[Array, Array]:
    """One block of `matrix - L L'` and a bound of its error, from two rows of blocks of L."""
    shape = tuple(len(next(iter(row.values()))) for row in (left, right))
    total = Total(np.zeros(shape)) if total is None else total.copy()
    shared = sorted(left.keys() & right.keys())
    if shared:
        side = _joined([left[k] for k in shared])
        add_product(total, side, side if left is right else _joined([right[k] for k in shared]), sign=-1.0)
    return total.value()


def _joined(blocks: list[Array]) -> Array:
    return np.ascontiguousarray(blocks[0]) if len(blocks) == 1 else np.hstack(blocks)


def dominance(value: Array, error: Array, allowances: Array) -> float:
    """By how much the worst row fails to be dominant, with the sum `allowances` of what its entries may change more."""
    own = value.diagonal()
    return _missing(own, np.abs(value).sum(axis=1) - np.abs(own) + error.sum(axis=1), allowances)


def _missing(own: Array, others: Array, allowances: Array) -> float:
    """Diagonal entries against the sums of all others and of the bounds of errors, computed in any order."""
    others = others * (1 + len(own) * 2.0**-51) + allowances
    return float(np.max(others - own, initial=-np.inf))

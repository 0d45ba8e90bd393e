"""Diagonal dominance of matrices that are known with bounds of their errors."""

from __future__ import annotations

import numpy as np

from sdpcert.arithmetic.exact import Total, add_product

Array = np.ndarray


def missing_dominance(matrix: Total, allowances: Array, factor: Array) -> float:
    """By how much the worst row of `matrix - factor factor'` fails to be dominant (at most 0: it is)."""
    total = Total(matrix.high)
    total.low, total.error = matrix.low.copy(), matrix.error.copy()
    add_product(total, factor, factor, sign=-1.0)
    return dominance(*total.value(), allowances)


def dominance(value: Array, error: Array, allowances: Array) -> float:
    """By how much the worst row fails to be dominant, with the sum `allowances` of what its entries may change more."""
    size = np.abs(value)
    own = value.diagonal()
    rows = size.sum(axis=1) - np.abs(own) + error.sum(axis=1)
    rows = rows * (1 + len(rows) * 2.0**-51) + allowances
    return float(np.max(rows - own, initial=-np.inf))

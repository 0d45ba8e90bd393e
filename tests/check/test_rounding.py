"""Products whose errors are bounded."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check.rounding import U, pairwise_product


@settings(deadline=None, max_examples=50)
@given(st.integers(0, 2**32), st.integers(0, 70), st.integers(0, 8))
def test_products_added_in_pairs(seed: int, columns: int, digits: int) -> None:
    """Sums that cancel, and numbers of all sizes."""
    rng = np.random.default_rng(seed)
    matrix, vector = (
        rng.standard_normal(shape) * 10.0 ** rng.integers(-digits, digits + 1, shape)
        for shape in ((3, columns), columns)
    )
    if columns > 1:
        matrix[:, -1] = -(matrix[:, :-1] @ vector[:-1]) / vector[-1]
    values, errors = pairwise_product(matrix, vector)
    for row, value, error in zip(matrix, values, errors, strict=True):
        exact = sum((Fraction(a) * Fraction(b) for a, b in zip(row.tolist(), vector.tolist())), Fraction(0))
        assert abs(Fraction(float(value)) - exact) <= Fraction(float(error))
        assert error <= 1e-300 + 9 * U * float(np.abs(row) @ np.abs(vector))

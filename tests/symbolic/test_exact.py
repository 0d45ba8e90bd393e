"""Exact elimination agrees with a determinant test, and its witnesses are witnesses."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.symbolic.exact import Root2, form, indefinite, inverse, rational, root_above, unit

entries = st.fractions(min_value=-3, max_value=3, max_denominator=4)


def principal_minors_are_nonnegative(matrix):
    flint = pytest.importorskip("flint")
    for size in range(1, len(matrix) + 1):
        for rows in itertools.combinations(range(len(matrix)), size):
            part = flint.fmpq_mat(
                size, size, [flint.fmpq(x.numerator, x.denominator) for x in matrix[np.ix_(rows, rows)].flat]
            )
            if part.det() < 0:
                return False
    return True


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 4).flatmap(lambda n: st.tuples(st.lists(entries, min_size=n * n, max_size=n * n), st.booleans())))
def test_indefinite_agrees_with_principal_minors(drawn):
    values, gram = drawn
    n = int(len(values) ** 0.5)
    A = rational(np.array(values, dtype=object).reshape(n, n))
    # Low-rank Gram matrices sit on the boundary.
    matrix = A[:, : max(1, n - 1)] @ A[:, : max(1, n - 1)].T if gram else A + A.T
    witness = indefinite(matrix)
    assert (witness is None) == principal_minors_are_nonnegative(matrix)
    if witness is not None:
        assert form(matrix, witness) < 0


def test_indefinite_refuses_what_is_not_symmetric():
    with pytest.raises(ValueError, match="not symmetric"):
        indefinite(rational([[1, 2], [3, 4]]))


@settings(max_examples=80, deadline=None)
@given(*[entries] * 4)
def test_numbers_with_the_root_of_two(a, b, c, d):
    x, y = Root2(a, b), Root2(c, d)
    for made, value in (
        (x + y, float(x) + float(y)),
        (x - y, float(x) - float(y)),
        (x * y, float(x) * float(y)),
        (3 - x, 3 - float(x)),
    ):
        assert float(made) == pytest.approx(value, abs=1e-12)
    if y != 0:
        assert x / y * y == x
    if abs(float(x) - float(y)) > 1e-9:
        assert (x < y) == (float(x) < float(y))
    assert (x == y) == (a == c and b == d)
    assert Root2(0, 1) ** 2 == 2


def test_inverse():
    A = rational([[0, 1], [2, 3]])
    assert np.all(inverse(A) @ A == unit(2))
    with pytest.raises(ZeroDivisionError):
        inverse(rational([[1, 1], [1, 1]]))


@given(st.fractions(min_value=0, max_value=1000, max_denominator=50))
def test_root_above(value):
    root = root_above(value)
    assert root > 0
    assert root**2 >= value
    assert root_above(root**2) == root

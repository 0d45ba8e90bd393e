"""Proofs that integer matrices are positive semidefinite, and square factors that stand for wide ones."""

from __future__ import annotations

from collections import defaultdict
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check.definite import Sought, prove_semidefinite, square_factor
from sdpcert.check.integers import Rows
from sdpcert.check.reading import Rejected
from sdpcert.check.symmetric import Gram, SymmetricMatrix

Array = np.ndarray
Integers = list[list[int]]


def rows_of(matrix: Integers) -> Rows:
    return [defaultdict(int, enumerate(row[: i + 1])) for i, row in enumerate(matrix)]


def drawn(rng: np.random.Generator, rows: int, columns: int, spread: int = 0) -> Integers:
    """A matrix whose rows and columns have very different sizes."""
    left, right = (rng.integers(0, spread + 1, n).tolist() for n in (rows, columns))
    numbers = rng.integers(-(2**40), 2**40, (rows, columns)).tolist()
    return [[x << a + b for x, b in zip(row, right, strict=True)] for row, a in zip(numbers, left, strict=True)]


def gram_of(matrix: Integers) -> Integers:
    return [[sum(a * b for a, b in zip(x, y, strict=True)) for y in matrix] for x in matrix]


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), size=st.integers(1, 12), spread=st.integers(0, 200))
def test_definite_matrices_of_all_scales_are_proved_and_others_are_not(seed: int, size: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    definite = gram_of(drawn(rng, size, 3 * size, 0))
    scale = rng.integers(0, spread + 1, size).tolist()
    shifted = [[x << a + b for x, b in zip(row, scale, strict=True)] for row, a in zip(definite, scale, strict=True)]
    prove_semidefinite(SymmetricMatrix(rows_of(shifted), int(rng.integers(0, 300))), "M")
    unit = np.array([[float(x) for x in row] for row in definite])
    vector = np.linalg.solve(unit / np.abs(unit).max(), rng.normal(size=size))
    exact = [Fraction(float(x)) for x in vector]
    form = sum(a * b * x for a, row in zip(exact, definite, strict=True) for b, x in zip(exact, row, strict=True))
    square = sum(x * x for x in exact)
    # less of the identity than v'Mv / v'v is something that v shows to be indefinite
    less = int(form / square) + 1
    for i in range(size):
        shifted[i][i] -= less << 2 * scale[i]
    with pytest.raises(Rejected, match="M is not proved positive semidefinite"):
        prove_semidefinite(SymmetricMatrix(rows_of(shifted), 0), "M")


@pytest.mark.parametrize("number", [1 << 5000, -(1 << 5000)])
def test_entries_beyond_float64_are_not_semidefinite(number: int) -> None:
    with pytest.raises(Rejected, match="M is not proved positive semidefinite"):
        prove_semidefinite(SymmetricMatrix(rows_of([[1, number], [number, 1]]), 0), "M")


@pytest.mark.parametrize("size", [0, 1, 4])
def test_zero_is_semidefinite(size: int) -> None:
    prove_semidefinite(SymmetricMatrix(rows_of([[0] * size for _ in range(size)]), 7), "M")


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**32 - 1),
    rank=st.integers(1, 6),
    more=st.integers(0, 30),
    spread=st.sampled_from([0, 30, 200]),
)
def test_rows_that_depend_on_each_other_have_a_square_factor(seed: int, rank: int, more: int, spread: int) -> None:
    rng = np.random.default_rng(seed)
    base = drawn(rng, rank, 40, 0)
    mixing = [[int(i == j) for j in range(rank)] for i in range(rank)] + rng.integers(-9, 10, (more, rank)).tolist()
    scales = rng.integers(0, spread + 1, rank + more).tolist()
    rows = [
        [sum(c * b[k] for c, b in zip(own, base, strict=True)) << scale for k in range(40)]
        for own, scale in zip(mixing, scales, strict=True)
    ]
    if more:
        rows[-1] = [0] * 40
    gram, bits = Gram(rows, 50), 50
    factor = square_factor(gram)
    m = len(rows)
    numbers = [[Fraction(x) * (1 << bits) for x in factor[i * m : (i + 1) * m]] for i in range(m)]
    for row, own in zip(numbers, rows, strict=True):  # on the diagonal R R' is above G G', and hardly
        square = sum(x * x for x in own)
        assert square <= sum(x * x for x in row) <= square + Fraction(square, 10**9)


def test_what_is_taken_off_is_never_too_little_to_be_seen() -> None:
    """A row may lack less than an ulp of what has been taken off it before."""
    for sign in (-1, 1):
        sought = Sought(rows_of([[4, 1], [1, 4]]), 0, sign)
        sought.take_off([1, 0], 30)
        before = list(sought.shifts)
        sought.take_off([1, 0], 120)
        assert sought.shifts[0] > before[0] and sought.shifts[1] == before[1]
        assert 1.0 + sought.shifts[0] > 1.0 + before[0]

"""Filters of merged convolutions: float64 or doubled, they contain the exact ones."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network.doubled_filters import DoubledCombination
from sdpcert.network.filters import Combination, Filters

Exact = dict[tuple[int, int], list[list[Fraction]]]


def exact_of(filters: Filters) -> Exact:
    return {cell: [[Fraction(float(x)) for x in row] for row in matrix] for cell, matrix in filters.items()}


def added(result: Exact, cell: tuple[int, int], term: list[list[Fraction]]) -> None:
    if cell in result:
        term = [[a + b for a, b in zip(u, v, strict=True)] for u, v in zip(result[cell], term, strict=True)]
    result[cell] = term


def after(left: Filters, right: Exact) -> Exact:
    result: Exact = {}
    for (a, b), first in exact_of(left).items():
        for (c, d), second in right.items():
            columns = list(zip(*second, strict=True))
            term = [
                [sum((x * y for x, y in zip(row, column, strict=True)), Fraction(0)) for column in columns]
                for row in first
            ]
            added(result, (a + c, b + d), term)
    return result


def random_filters(rng: np.random.Generator, spread: int, picks: bool) -> Filters:
    filters: Filters = {}
    for cell in ((0, 0), (0, 1), (1, -1)):
        if rng.random() < 0.7 or not filters:
            matrix = rng.standard_normal((2, 2)) * 2.0 ** rng.integers(-spread, spread + 1, (2, 2))
            filters[cell] = np.array([[0.0, 0.5], [1.0, 0.0]]) if picks else matrix
    return filters


@given(seed=st.integers(0, 2**32 - 1), spread=st.sampled_from([0, 20, 250]), layers=st.integers(1, 5))
@settings(max_examples=60)
def test_merged_filters_contain_the_exact_ones(seed: int, spread: int, layers: int) -> None:
    rng = np.random.default_rng(seed)
    start = {(0, 0): np.eye(2)}
    doubled, rounded, exact = DoubledCombination.of(start), Combination(start), exact_of(start)
    for _ in range(layers):
        filters = random_filters(rng, spread, bool(rng.random() < 0.3))
        other = random_filters(rng, spread, False)
        sign = float(rng.choice([-1.0, 1.0]))
        doubled = doubled.after(filters).plus(DoubledCombination.of(other), sign)
        rounded = rounded.after(filters).plus(Combination(other), sign)
        exact = after(filters, exact)
        for cell, matrix in exact_of({c: sign * m for c, m in other.items()}).items():
            added(exact, cell, matrix)
    torus = (2, 3)
    wrapped: Exact = {}
    for (a, b), matrix in exact.items():
        added(wrapped, (a % 2, b % 3), matrix)
    for made in (doubled.wrapped(torus), rounded.wrapped(torus)):
        assert np.isfinite(made.error)
        for cell, matrix in wrapped.items():
            stored = made.filters.get(cell, np.zeros((2, 2)))
            distances = [abs(Fraction(float(stored[i, j])) - matrix[i][j]) for i in range(2) for j in range(2)]
            assert max(distances) <= Fraction(made.error)
    if not spread:
        largest = max(float(np.max(np.abs(m))) for m in doubled.wrapped(torus).filters.values())
        assert doubled.wrapped(torus).error <= 2.0**-52 * largest


@pytest.mark.parametrize("kind", [Combination, DoubledCombination.of])
def test_moving_and_unmerged_filters_stay_exact(kind) -> None:
    rng = np.random.default_rng(1)
    filters = {(0, 0): rng.standard_normal((2, 2)), (0, 1): rng.standard_normal((2, 2))}
    made = kind({(0, 0): np.eye(2)}).after(filters)
    moved = made.after({(1, 0): np.array([[0.0, 1.0], [0.5, 0.0]])}).placed(3, 1)
    assert made.error == 0 and moved.error == 0
    np.testing.assert_array_equal(made.filters[0, 1], filters[0, 1])
    np.testing.assert_array_equal(moved.filters[1, 0][1:], np.array([[0.0, 1.0], [0.5, 0.0]]) @ filters[0, 0])
    assert kind({(0, 0): np.eye(2)}).is_identity and not made.is_identity

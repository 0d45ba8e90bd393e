"""Linear programmes, nearest points and cells in exact arithmetic, beside what floating point says of them."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from math import comb

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog, nnls

from tests.oracles import cells
from tests.oracles.nearest import nearest_point
from tests.oracles.simplex import positive_point

small = st.integers(-5, 5)


@st.composite
def programmes(draw: st.DrawFn, least: int) -> tuple[list[int], list[list[int]]]:
    """An objective and rows in one to four variables; the constants of the rows are at least `least`."""
    count = draw(st.integers(1, 4))
    row = st.lists(small, min_size=count, max_size=count)
    rows = draw(st.lists(st.tuples(row, st.integers(least, 6)), max_size=9))
    objective = draw(st.tuples(row, st.integers(-9, 0)))
    return [*objective[0], objective[1]], [[*coefficients, constant] for coefficients, constant in rows]


def at(row: list[int], point: list[Fraction]) -> Fraction:
    return sum((a * x for a, x in zip(row, point)), Fraction(row[-1]))


@given(programme=programmes(least=0))
def test_a_positive_point_is_one_and_none_is_true(programme: tuple[list[int], list[list[int]]]) -> None:
    objective, rows = programme
    found = positive_point(objective, rows)
    if found is not None:
        assert at(objective, found) > 0
        assert all(at(row, found) >= 0 for row in rows)
        return
    matrix = np.array(rows, dtype=float).reshape(-1, len(objective))
    best = linprog(
        -np.array(objective[:-1], dtype=float), -matrix[:, :-1], matrix[:, -1], bounds=(None, None), method="highs"
    )
    assert best.status == 0 and -best.fun + objective[-1] <= 1e-7


@given(programme=programmes(least=0), center=st.lists(st.fractions(-4, 4, max_denominator=8), min_size=4, max_size=4))
def test_the_nearest_point_satisfies_its_conditions(
    programme: tuple[list[int], list[list[int]]], center: list[Fraction]
) -> None:
    """It satisfies the rows, and the step to it is a combination of the rows that it meets, with weights >= 0."""
    objective, rows = programme
    center = center[: len(objective) - 1]
    found = nearest_point(center, rows)
    assert found is not None  # zero satisfies all rows
    assert all(at(row, found) >= 0 for row in rows)
    step = np.array([float(a - b) for a, b in zip(found, center)])
    active = np.array([row[:-1] for row in rows if at(row, found) == 0], dtype=float).reshape(-1, len(center))
    assert nnls(active.T, step)[1] < 1e-9 if len(active) else not np.any(step)


def test_no_nearest_point_of_an_empty_polyhedron() -> None:
    assert nearest_point([Fraction(0)], [[1, -1], [-1, -1]]) is None
    assert nearest_point([Fraction(0)] * 2, [[0, 0, -1]]) is None


@given(programme=programmes(least=-6), sphere=st.booleans(), boxed=st.booleans())
def test_cells_are_cut_into_two(programme: tuple[list[int], list[list[int]]], sphere: bool, boxed: bool) -> None:
    """The point is inside of all rows, and a cell has interior exactly if one of its two parts has."""
    objective, rows = programme
    count = len(objective) - 1
    cell: cells.Cell | None = cells.box([Fraction(-2)] * count, [Fraction(3)] * count) if boxed else cells.whole(count)
    if sphere:
        cell = cells.within(cell, [Fraction(1, 3)] * count, Fraction(2))
    for row in rows:
        negated = [-a for a in row]
        parts = [cell.cut(row), cell.cut(negated)]
        if not any(row):
            assert parts == [cell, cell]
            continue
        assert any(part is not None for part in parts)
        for part, sign in zip(parts, (1, -1)):
            if part is None:
                continue
            assert all(part.value(r) > 0 for r in part.rows)
            assert part.sphere is None or part.sphere.contains(part.fractions)
            assert sign * at(row, list(part.fractions)) > 0
        cell = next(part for part in parts if part is not None)


@pytest.mark.parametrize(("count", "planes"), [(1, 5), (2, 6), (3, 6), (4, 6), (4, 3)])
@pytest.mark.parametrize("central", [False, True])
def test_planes_in_general_position_make_the_cells_of_the_formula(count: int, planes: int, central: bool) -> None:
    """Zaslavsky: sum of binomials (m, k) up to n; through one point, twice that of m - 1 and n - 1."""
    random = np.random.default_rng([count, planes])
    rows = [[int(a) for a in random.integers(-(10**6), 10**6, count + 1)] for _ in range(planes)]
    if central:
        rows = [[*row[:-1], 0] for row in rows]
    found = 0
    for signs in product((1, -1), repeat=planes):
        cell: cells.Cell | None = cells.whole(count)
        for sign, row in zip(signs, rows):
            cell = cell and cell.cut([sign * a for a in row])
        found += cell is not None
    wanted = sum(comb(planes, k) for k in range(count + 1))
    if central:
        wanted = 2 * sum(comb(planes - 1, k) for k in range(count))
    assert found == wanted

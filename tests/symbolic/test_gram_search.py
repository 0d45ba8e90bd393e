"""Gram matrices with rational entries: exact solutions of linear equations that are positive semidefinite."""

from fractions import Fraction

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.proof_search.gram import Gram
from sdpcert.symbolic.proof_search.linear import null_space, reduced

small = st.integers(-3, 3)


def entries(size):
    return [(0, k, l) for k in range(size) for l in range(k, size)]


def value(row, matrix):
    return sum((c * matrix[k][l] for (_, k, l), c in row.items()), Fraction(0))


def total(squares, size):
    made = np.array([[Fraction(0)] * size] * size, dtype=object)
    for weight, vector in squares:
        assert weight > 0
        made = made + weight * np.outer(vector, vector)
    return made


@settings(max_examples=40, deadline=None)
@given(st.data())
def test_a_solution_satisfies_the_equations_exactly(data):
    size = data.draw(st.integers(1, 4))
    rank = data.draw(st.integers(1, size))
    factor = np.array(data.draw(st.lists(st.lists(small, min_size=size, max_size=size), min_size=rank, max_size=rank)))
    hidden = factor.T @ factor
    equations = []
    for _ in range(data.draw(st.integers(1, 6))):
        row = {place: Fraction(data.draw(small)) for place in entries(size)}
        equations.append(({p: c for p, c in row.items() if c}, value(row, hidden.astype(int).tolist())))
    found = Gram((size,), tuple(equations)).solve(Effort(20))
    # Solutions without interior may have kernels that are not rational: no answer is allowed, a wrong one is not.
    if found is not None:
        matrix = total(found[0], size)
        assert all(value(row, matrix) == right for row, right in equations)


def test_a_definite_solution_is_found():
    equations = (
        ({(0, 0, 0): Fraction(1), (0, 1, 1): Fraction(1)}, Fraction(2)),
        ({(0, 0, 1): Fraction(1)}, Fraction(1, 3)),
    )
    found = Gram((2,), equations).solve(Effort(20))
    assert found is not None
    matrix = total(found[0], 2)
    assert matrix[0, 0] + matrix[1, 1] == 2
    assert matrix[0, 1] == Fraction(1, 3)


def test_a_solution_of_low_rank_is_found_by_dividing_out_kernels():
    # Q_00 = 1, Q_01 = 2, Q_11 = 4 has rank one; Q_02 = 3 forces a second row onto it.
    one, two, four = Fraction(1), Fraction(2), Fraction(4)
    equations = (
        ({(0, 0, 0): one}, one),
        ({(0, 0, 1): one}, two),
        ({(0, 1, 1): one}, four),
        ({(0, 0, 2): one}, Fraction(3)),
        ({(0, 1, 2): one, (0, 2, 2): one}, Fraction(16)),
    )
    found = Gram((3,), equations).solve(Effort(20))
    assert found is not None
    assert total(found[0], 3)[1, 2] == 6


def test_equations_without_a_solution_have_none():
    one = Fraction(1)
    indefinite = (({(0, 0, 0): one}, one), ({(0, 1, 1): one}, one), ({(0, 0, 1): one}, Fraction(2)))
    assert Gram((2,), indefinite).solve(Effort(20)) is None
    assert Gram((1,), (({(0, 0, 0): one}, one), ({(0, 0, 0): one}, Fraction(2)))).solve(Effort(20)) is None
    assert Gram((1,), (({}, one),)).solve(Effort(20)) is None


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(small, min_size=5, max_size=5), min_size=1, max_size=5))
def test_the_null_space_is_the_null_space(rows):
    sparse = [{k: Fraction(c) for k, c in enumerate(row)} for row in rows]
    basis = null_space(sparse, range(5))
    for vector in basis:
        assert all(sum(c * vector.get(k, 0) for k, c in row.items()) == 0 for row in sparse)
    assert len(basis) == 5 - np.linalg.matrix_rank(np.array(rows))
    for pivot, row in reduced(sparse, range(5)).items():
        assert row[pivot] == 1

"""Expressions, block matrices and rewriting agree with the same operations on exact matrices."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.symbolic import (
    AlgebraError,
    Claim,
    Instance,
    block,
    diagonal,
    equal,
    identity,
    inverse,
    matrix,
    number,
    orthonormal,
    scalar,
    skew,
    sqrt2,
    symmetric,
    symmetric_block,
    vector,
    zero,
)
from sdpcert.symbolic.rewriting import Equality, Rules

A, B = matrix("A", "n", "n"), matrix("B", "n", "n")
D, E = diagonal("D", "n"), diagonal("E", "n")
S, K = symmetric("S", "n", positive=True), skew("K", "n")
a = scalar("a", positive=True)
LEAVES = [A, B, A.T, D, D**-1, E, S, S**-1, K, identity("n"), zero("n"), a * A, sqrt2 * D, D**2]


def pairs(depth):
    """An expression and the function that computes it from an instance."""
    leaf = st.sampled_from(LEAVES).map(lambda e: (e, lambda i: i.value(e)))
    if depth == 0:
        return leaf
    inner = pairs(depth - 1)
    return st.one_of(
        leaf,
        st.tuples(inner, inner).map(lambda p: (p[0][0] + p[1][0], lambda i: p[0][1](i) + p[1][1](i))),
        st.tuples(inner, inner).map(lambda p: (p[0][0] - p[1][0], lambda i: p[0][1](i) - p[1][1](i))),
        st.tuples(inner, inner).map(lambda p: (p[0][0] @ p[1][0], lambda i: p[0][1](i) @ p[1][1](i))),
        inner.map(lambda p: (p[0].T, lambda i: p[1](i).T)),
        inner.map(lambda p: (p[0] * Fraction(-3, 2), lambda i: p[1](i) * Fraction(-3, 2))),
    )


@settings(max_examples=60, deadline=None)
@given(pairs(3), st.integers(1, 3), st.integers(0, 99))
def test_operations_agree_with_matrices(pair, n, seed):
    expression, compute = pair
    instance = Instance({"n": n}, np.random.default_rng(seed))
    assert np.all(Instance.value(instance, expression) == compute(instance))


def test_diagonal_matrices_commute_and_have_powers():
    assert D @ E == E @ D
    assert D @ A @ E != E @ A @ D
    assert (D ** Fraction(1, 2)) @ (D ** Fraction(1, 2)) == D
    assert 2 * D ** Fraction(1, 2) == (4 * D) ** Fraction(1, 2)
    assert sqrt2 * sqrt2 == number(2)
    assert K.T == -K
    assert S.T == S
    assert identity("n") == S @ S**-1


def test_numbers_made_of_vectors_equal_their_transposes():
    x, y = vector("x", "n"), vector("y", "n")
    assert x.T @ A @ y == y.T @ A.T @ x
    assert x.T @ K @ x == zero(1)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: A + matrix("C", "n", "m"),
        lambda: matrix("C", "n", "m") @ A,
        lambda: A + 1,
        lambda: A * B,
        lambda: A**-1,
        lambda: (2 * D) ** Fraction(1, 2),
        lambda: scalar("s") ** Fraction(1, 2),
        lambda: inverse("R", matrix("C", "n", "m")),
        lambda: A @ 2.5,
        lambda: A + 0.5,
        lambda: block([[A, 0], [0, 0]]),
        lambda: block([[A, matrix("C", "m", "n")]]),
        lambda: A[1, 2],
    ],
)
def test_what_makes_no_sense_is_refused(wrong):
    with pytest.raises((AlgebraError, TypeError)):
        wrong()


def test_blocks():
    X = matrix("X", "n", "m")
    M = symmetric_block([[A @ A.T, X], [identity("m")]])
    V = block([[1, 0], [X.T, 1]])
    instance = Instance({"n": 2, "m": 3})
    value = instance.value(M)
    assert np.all(value == value.T)
    assert np.all(instance.value(V.T @ M @ V) == instance.value(V).T @ value @ instance.value(V))
    assert M.T == M


def test_rewriting_finds_what_follows_from_inverses():
    Z = A - A.T + B.T @ B
    R = inverse("R", identity("n") + Z)
    rules = Claim("", equal(R @ Z - Z @ R)).rules()
    assert not rules.normal(R @ Z - Z @ R)
    assert not rules.normal(R + R.T - 2 * R.T @ R - 2 * R.T @ B.T @ B @ R)
    assert rules.normal(R - R.T)
    Q = orthonormal("Q", "n", "m")
    rules = Claim("", equal(Q.T @ Q)).rules()
    assert rules.normal(A @ Q @ Q.T @ Q) == A @ Q
    # Columns are orthonormal, rows need not be, unless there are as many.
    assert rules.normal(Q @ Q.T - identity("n"))
    square = orthonormal("Q", "n", "n")
    assert not Claim("", equal(square)).rules().normal(square @ square.T - identity("n"))


def test_rewriting_that_would_not_end_is_refused():
    rules = Rules([])
    ((_, word),) = (A @ B).terms
    rules.rules = {word: Equality(A @ B - A @ B @ A @ B, (0, 0, 0))}
    rules.replacements = {word: A @ B @ A @ B}
    with pytest.raises(AlgebraError, match="does not end"):
        rules.normal(A @ B)

"""Statements written with names say what they stand for; formulas are printed as a paper prints them."""

from fractions import Fraction

import pytest

from sdpcert.symbolic import (
    AlgebraError,
    block,
    diagonal,
    equal,
    identity,
    indices,
    inverse,
    largest,
    matrix,
    positive,
    rule,
    scalar,
    skew,
    symmetric,
    total,
)
from sdpcert.symbolic.notation import LATEX
from sdpcert.symbolic.printing import definition, latex, sandwich, visible
from sdpcert.symbolic.written import written

X, Y, A, one = matrix("X", "n", "n"), matrix("Y", "m", "n"), matrix("A", "n", "n"), identity("n")
W, T, G = matrix("W", "n", "m"), diagonal("T", "m"), symmetric("G", "m")


def test_a_product_of_sums_is_printed_under_its_name():
    stated = positive((one + X).T @ (one + X), one)
    shown = written(stated, positive(A.T @ A, one), {A: one + X})
    assert latex(shown) == r"A^{\top}\,A \succeq I"
    assert shown.matrix == stated.matrix


def test_a_name_may_use_earlier_ones():
    Z, N = matrix("Z", "n", "n"), matrix("N", "n", "n")
    stated = equal((one + X + X.T) @ (one + X + X.T), one)
    written(stated, equal(N @ N, one), {Z: X + X.T, N: one + Z})


def test_powers_and_blocks_are_replaced():
    R, B = inverse("R", one + X), matrix("B", "n", "n")
    D = diagonal("D", "n")
    half = Fraction(1, 2)
    stated = positive(block([[one, R @ D**half], [D**half @ R.T, D]]))
    written(stated, positive(block([[one, B], [B.T, D]])), {B: R @ D**half})


@pytest.mark.parametrize("value", [one - X, one + X.T, 2 * one + X])
def test_another_statement_is_refused(value):
    with pytest.raises(AlgebraError, match="is not"):
        written(positive((one + X).T @ (one + X), one), positive(A.T @ A, one), {A: value})


def test_another_kind_is_refused():
    with pytest.raises(AlgebraError, match="is not"):
        written(positive(A, one), equal(A, one), {})


def test_squares_that_are_symbols_have_one_exponent():
    assert latex(scalar("s", positive=True, latex="s^2") ** -1) == "s^{-2}"
    assert latex(scalar("s", positive=True, latex="s^2") ** Fraction(1, 2)) == "s"


def test_sandwiches():
    assert sandwich(1, T - W.T @ W, T ** Fraction(-1, 2)) == r"T^{-1/2}\,(T - W^{\top}\,W)\,T^{-1/2}"
    assert sandwich(1, G, W.T) == r"W\,G\,W^{\top}"
    assert sandwich(2, Y.T @ Y, None) == r"2\,Y^{\top}\,Y"
    assert sandwich(1, one, skew("S", "n")) == r"S^\top S"
    s = scalar("s")
    assert sandwich(1, identity(1), s) == "s^2"


def test_rules():
    i, j = indices("i j")
    gram = W.T @ W
    plain = rule("T", "m", i, total(abs(gram[i, j]), j)).symbol
    assert definition(plain, LATEX) == r"T_{ii} = \sum_{j} \lvert (W^{\top}\,W)_{ij}\rvert "
    halved = rule("T", "m", i, total(abs(gram[i, j]), j) / 2).symbol
    assert definition(halved, LATEX) == r"T_{ii} = \tfrac{1}{2}\,\sum_{j} \lvert (W^{\top}\,W)_{ij}\rvert "


def test_columns_of_block_matrices_are_as_wide_as_their_widest_block():
    assert visible(r"\alpha + \beta") == 3
    assert visible(r"\begin{pmatrix}abc & d \\ e & fg\end{pmatrix}") == 3 + 2 + 2 + 2


i, j = indices("i j")
q = diagonal("q", "m")
GRAM = (W.T @ W)[i, j]


@pytest.mark.parametrize(
    ("formula", "text", "in_latex"),
    [
        (abs(GRAM) * q[j] / q[i], "|(W' W)_ij| q_j / q_i", r"\frac{\lvert (W^{\top}\,W)_{ij}\rvert \,q_{j}}{q_{i}}"),
        (total(abs(GRAM), j, without=i), "sum_j!=i |(W' W)_ij|", r"\sum_{j\neq i} \lvert (W^{\top}\,W)_{ij}\rvert "),
        (largest(q[i], i) ** Fraction(1, 2) * 3, "3 sqrt(max_i q_i)", r"3\,\sqrt{\max_{i} q_{i}}"),
        (1 / (q[i] + q[j]), "1 / (q_i + q_j)", r"\frac{1}{q_{i} + q_{j}}"),
        (1 / (q[i] ** 2 * q[j]), "1 / (q_i^2 q_j)", r"\frac{1}{q_{i}^{2}\,q_{j}}"),
    ],
)
def test_formulas_of_entries_as_text_and_as_latex(formula, text, in_latex):
    assert (repr(formula), latex(formula)) == (text, in_latex)


def test_the_same_walk_writes_text_and_latex():
    a = scalar("a", positive=True)
    stated = positive(block([[a**2 * one, A.T], [A, one]]), 0)
    assert repr(stated) == "[a^2 I, A'; A, I] >= 0"
    assert latex(stated) == r"\begin{pmatrix}a^{2}\,I & A^{\top} \\ A & I\end{pmatrix} \succeq 0"
    assert (repr(equal(A, A.T)), latex(positive(a, 1))) == ("A = A'", r"a \ge 1")

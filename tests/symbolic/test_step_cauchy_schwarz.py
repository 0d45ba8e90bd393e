"""Cauchy-Schwarz between weighted row sums."""

from __future__ import annotations

from fractions import Fraction

import pytest

from sdpcert.errors import StepRejected
from sdpcert.symbolic import Claim, check, diagonal, indices, largest, matrix, positive, rule, symmetric, total
from sdpcert.symbolic.steps.cauchy_schwarz import CauchySchwarz
from sdpcert.symbolic.steps.step import Known

W, O, q = matrix("W", "n", "m"), symmetric("O", "m"), diagonal("q", "m")
i, j = indices("i j")
half = Fraction(1, 2)


def made(body, without=None, size="m", name="R"):
    return rule(name, size, i, total(body, j, without))


R, C = made(abs(O[i, j]) * q[j] / q[i]), made(abs(O[i, j]) * q[i] / q[j], name="C")
B = made(abs(O[i, j]), name="B")


def test_geometric_mean_of_row_sums():
    claim = Claim("mean", positive(R**half @ C**half, B))
    assert check(claim, [CauchySchwarz(R, C, B, O)]).proved


def test_off_the_diagonal_and_with_other_weights():
    first = made(abs(O[i, j]) * q[j] ** 2, i)
    second, mean = made(abs(O[i, j]), i, name="C"), made(abs(O[i, j]) * q[j], i, name="B")
    claim = Claim("mean", positive(first**half @ second**half, mean))
    assert check(claim, [CauchySchwarz(first, second, mean, O)]).proved


@pytest.mark.parametrize(
    ("r", "c", "b"),
    [
        (R, R, B),
        (R, C, made(abs(O[i, j]) * q[j])),
        (R, C, made(abs(O[i, j]) * 2)),
        (R, C, made(abs(O[i, j]) * abs(O[i, j]))),
        (R, C, made(q[j] * 1)),
        (R, C, made(abs(O[i, j]), i)),
        (made(abs(O[i, j]), i), made(abs(O[i, j]), i), B),
        (R, C, rule("B", "m", i, largest(abs(O[i, j]), j))),
        (R, C, rule("B", "m", i, abs(O[i, i]))),
        (R, C, diagonal("B", "m")),
        (R, C, made(abs((W.T @ W)[i, j]))),
    ],
)
def test_false_uses_are_rejected(r, c, b):
    with pytest.raises(StepRejected):
        CauchySchwarz(r, c, b, O).derive(Known(Claim("none", positive(q))))

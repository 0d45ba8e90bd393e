"""Traces of diagonally scaled matrices."""

from __future__ import annotations

import pytest

from sdpcert.errors import StepRejected
from sdpcert.symbolic import Claim, check, diagonal, equal, identity, indices, matrix, positive, trace_of, vector
from sdpcert.symbolic.steps.diagonal_trace import DiagonalTrace, diagonal_part, ones, trace_symbol
from sdpcert.symbolic.steps.step import Known

W, D = matrix("W", "n", "m"), diagonal("D", "m")
(i,) = indices("i")
G, one, e = W.T @ W, identity("m"), ones("e", "m")
Delta = diagonal_part("Delta", G, i)
t = trace_symbol("t", one - D @ G @ D)


def test_trace_of_a_scaled_matrix():
    claim = Claim("trace", equal(t, e.T @ e - e.T @ D**2 @ Delta @ e))
    assert check(claim, [DiagonalTrace(t, e, one, -D, D, Delta)]).proved


def test_trace_may_be_negative():
    claim = Claim("trace", equal(trace := trace_symbol("s", -1 * G), -1 * e.T @ Delta @ e))
    assert check(claim, [DiagonalTrace(trace, e, 0 * one, -one, one, Delta)]).proved


@pytest.mark.parametrize(
    "step",
    [
        DiagonalTrace(t, e, one, D, D, Delta),
        DiagonalTrace(t, e, one, -D, one, Delta),
        DiagonalTrace(t, vector("v", "m"), one, -D, D, Delta),
        DiagonalTrace(t, e, one, -D, D, diagonal("E", "m")),
        DiagonalTrace(t, e, one, -D, D, diagonal_part("Delta", D @ G @ D, i)),
        DiagonalTrace(D, e, one, -D, D, Delta),
        DiagonalTrace(trace_of("s", G), e, one, -D, D, Delta),
        DiagonalTrace(trace_of("s", G), e, 0 * one, one, one, Delta),
        DiagonalTrace(trace_symbol("s", G @ G), e, 0 * one, one, G, Delta),
    ],
)
def test_false_uses_are_rejected(step):
    with pytest.raises(StepRejected):
        step.derive(Known(Claim("none", positive(D))))

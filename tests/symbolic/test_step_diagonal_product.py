"""Products of diagonal matrices."""

from __future__ import annotations

import pytest

from sdpcert.errors import StepRejected
from sdpcert.symbolic import Claim, check, diagonal, matrix, positive, slopes
from sdpcert.symbolic.steps.diagonal_product import DiagonalProduct
from sdpcert.symbolic.steps.step import Known

D, E, S = diagonal("D", "n"), diagonal("E", "n", positive=False), slopes("S", "n")


def test_product_of_known_factors():
    claim = Claim("product", positive(D @ S), [positive(S)])
    assert check(claim, [DiagonalProduct(D, S)]).proved


@pytest.mark.parametrize("factors", [(), (D, E), (E, E), (matrix("W", "n", "n"), D), (D, -D), (D, diagonal("F", "m"))])
def test_false_uses_are_rejected(factors):
    with pytest.raises(StepRejected):
        DiagonalProduct(*factors).derive(Known(Claim("none", positive(D))))


def test_symmetric_factors_are_no_diagonal_ones():
    W = matrix("W", "n", "m")
    with pytest.raises(StepRejected):
        DiagonalProduct(D, W @ W.T).derive(Known(Claim("none", positive(D))))

"""Products of diagonal matrices with nonnegative entries."""

from __future__ import annotations

from functools import reduce
from operator import matmul

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.expression import Expression
from sdpcert.symbolic.printing import latex
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step


class DiagonalProduct(Step):
    """`A_1 A_2 ... >= 0` for diagonal matrices that are known to be positive semidefinite."""

    def __init__(self, *factors: Expression) -> None:
        self.factors = factors

    def derive(self, known: Known) -> Statement:
        """The product; raises `StepRejected` if a factor is not diagonal or not known to be nonnegative."""
        if not self.factors:
            raise StepRejected("a product needs factors")
        product: Expression | None = None
        for factor in self.factors:
            if factor.rows != factor.columns or any(s.kind not in ("diagonal", "scalar") for s in factor.symbols()):
                raise StepRejected(f"{factor} is not made of diagonal matrices")
            if not known.is_positive(factor):
                raise StepRejected(f"{factor} is not known to be positive semidefinite")
            try:
                product = factor if product is None else product @ factor
            except AlgebraError as error:
                raise StepRejected(str(error)) from None
        assert product is not None
        return positive(product)

    def record(self, record: Record) -> int:
        """The axiom."""
        step = {"by": "diagonal-product", "facts": [record.fact(factor) for factor in self.factors]}
        return record.take(positive(reduce(matmul, self.factors)), step)

    def explanation(self) -> str:
        """The factors."""
        shown = ", ".join(f"${latex(factor)}$" for factor in self.factors)
        return f"because {shown} are diagonal with nonnegative entries"

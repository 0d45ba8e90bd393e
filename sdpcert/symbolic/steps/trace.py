"""The trace of a positive semidefinite matrix times the identity is at least the matrix."""

from __future__ import annotations

from typing import Any

from sdpcert.errors import StepRejected
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.expression import Expression, identity, letter
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step
from sdpcert.symbolic.symbols import Symbol


class Trace(Step):
    """`trace(S) I >= S` for S >= 0: the sum of the eigenvalues is at least each.

    `trace` is a scalar made by `trace_of(name, S)`.
    """

    def __init__(self, trace: Expression, S: Expression) -> None:
        self.trace, self.S = trace, S

    def derive(self, known: Known) -> Statement:
        """The bound; raises `StepRejected` if S is not known to be positive or the scalar is not its trace."""
        if self.trace.symbol.formula != ("trace", self.S):
            raise StepRejected(f"{self.trace} is not declared as the trace of {self.S}")
        if not known.is_positive(self.S):
            raise StepRejected(f"{self.S} is not known to be positive semidefinite")
        return positive(self.trace * identity(self.S.rows), self.S)

    def record(self, record: Record) -> int:
        """The axiom."""
        step = {"by": "trace", "symbol": record.name(self.trace.symbol), "fact": record.fact(self.S)}
        return record.take(positive(self.trace * identity(self.S.rows), self.S), step)

    def explanation(self) -> str:
        """The reason."""
        return "because the sum of the eigenvalues of a positive semidefinite matrix is at least its largest"


def trace_of(name: str, S: Expression, latex: str | None = None) -> Any:
    """The trace of a square matrix as a positive scalar (one if it is zero)."""

    def definition(instance: Any) -> Any:
        value = instance.value(S)
        total = sum((value[k, k] for k in range(len(value))), start=instance.array([0])[0])
        return instance.diagonal([total if total != 0 else total + 1])

    return letter(Symbol(name, 1, 1, "scalar", positive=True, definition=definition, latex=latex, formula=("trace", S)))

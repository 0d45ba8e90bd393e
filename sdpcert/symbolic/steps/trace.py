"""The trace of a positive semidefinite matrix times the identity is at least the matrix."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

from sdpcert.errors import StepRejected
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.entries import Absolute, Element, Entry, Largest, Total
from sdpcert.symbolic.expression import Expression, identity, letter
from sdpcert.symbolic.steps.formula_parts import scaled_parts
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step
from sdpcert.symbolic.symbols import Symbol


class Trace(Step):
    """`trace(S) I >= S` for S >= 0: the sum of the eigenvalues is at least each.

    `trace` is a scalar made by `trace_of(name, S)`, or a diagonal matrix or a scalar made by a rule that sums the
    diagonal entries of S, perhaps times a number of at least 1 and with nonnegative parts added.
    """

    def __init__(self, trace: Expression, S: Expression) -> None:
        self.trace, self.S = trace, S

    def derive(self, known: Known) -> Statement:
        """The bound; raises `StepRejected` if S is not known to be positive or the scalar is not its trace."""
        formula = self.trace.symbol.formula
        if formula != ("trace", self.S) and not (isinstance(formula, tuple) and self._sums_diagonal(formula[1], known)):
            raise StepRejected(f"{self.trace} is not declared as the trace of {self.S}")
        if not known.is_positive(self.S):
            raise StepRejected(f"{self.S} is not known to be positive semidefinite")
        return positive(self.trace * identity(self.S.rows) if self.trace.is_scalar else self.trace, self.S)

    def _sums_diagonal(self, formula: Any, known: Known) -> bool:
        """Whether a rule's formula, which is every entry of the diagonal, is at least the trace."""
        if not isinstance(formula, Entry):
            return False
        counted = Fraction(0)
        for scale, part in scaled_parts(formula):
            if scale < 0 or not (part.is_nonnegative or self._is_trace(part, known)):
                raise StepRejected(f"{part} may make the sum smaller than the trace")
            counted += scale if self._is_trace(part, known) else 0
        return counted >= 1

    def _is_trace(self, part: Entry, known: Known) -> bool:
        """Whether a part is the sum of all S_jj, or of their magnitudes."""
        if not isinstance(part, Total) or isinstance(part, Largest) or part.without is not None:
            return False
        entry = part.body.body if isinstance(part.body, Absolute) else part.body
        return (
            isinstance(entry, Element)
            and entry.row is entry.column is part.index
            and entry.expression.shape == self.S.shape
            and known.is_zero(entry.expression - self.S)
        )

    def record(self, record: Record) -> int:
        """The axiom."""
        step = {"by": "trace", "symbol": record.name(self.trace.symbol), "fact": record.fact(self.S)}
        target = self.trace * identity(self.S.rows) if self.trace.is_scalar else self.trace
        return record.take(positive(target, self.S), step)

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

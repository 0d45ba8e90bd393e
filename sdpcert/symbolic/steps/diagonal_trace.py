"""Traces of diagonally scaled matrices: tr(A + L G R) = 1'(A + L R diag(G))1 for diagonal A, L and R."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.claim import Statement, equal
from sdpcert.symbolic.entries import Element, Index
from sdpcert.symbolic.expression import Expression, letter
from sdpcert.symbolic.meaning import Writer
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step
from sdpcert.symbolic.symbols import Dimension, Symbol


class DiagonalTrace(Step):
    """`t = 1'(A + L R Delta)1` for `t = tr(A + L G R)` with diagonal A, L, R and Delta the diagonal of G.

    `t`, `Delta` and the ones are made by `trace_symbol`, `diagonal_part` and `ones`.
    """

    def __init__(
        self, t: Expression, ones: Expression, A: Expression, L: Expression, R: Expression, Delta: Expression
    ) -> None:
        self.t, self.ones, self.A, self.L, self.R, self.Delta = t, ones, A, L, R, Delta

    def derive(self, known: Known) -> Statement:
        """The equality; raises `StepRejected` if a symbol or the matrix under the trace is another."""
        formula, definition = self.t.symbol.formula, self.ones.symbol.definition
        if not (isinstance(formula, tuple) and formula[0] == "trace") or self.t.symbol.positive:
            # `trace_of` makes positive numbers, which are 1 where the trace is 0.
            raise StepRejected(f"{self.t} is not declared as a trace of any sign")
        if not isinstance(definition, Ones):
            raise StepRejected(f"{self.ones} is not declared as the vector of ones")
        G = self._of_diagonal()
        for factor in (self.A, self.L, self.R):
            if any(s.kind not in ("diagonal", "scalar") for s in factor.symbols()):
                raise StepRejected(f"{factor} is not made of diagonal matrices")
        try:
            if not known.is_zero(formula[1] - self.A - self.L @ G @ self.R):
                raise StepRejected(f"{self.t} is the trace of another matrix: {formula[1]}")
            return equal(self.t, self.ones.T @ (self.A + self.L @ self.R @ self.Delta) @ self.ones)
        except AlgebraError as error:
            raise StepRejected(str(error)) from None

    def record(self, record: Record) -> int:
        """The axiom."""
        names = {"trace": self.t, "ones": self.ones, "diagonal": self.Delta}
        step = {"by": "diagonal-trace"} | {key: record.name(made.symbol) for key, made in names.items()}
        step |= {key: record.text(made) for key, made in (("A", self.A), ("L", self.L), ("R", self.R))}
        shown = equal(self.t, self.ones.T @ (self.A + self.L @ self.R @ self.Delta) @ self.ones)
        return record.take(shown, step)

    def _of_diagonal(self) -> Expression:
        """The matrix whose diagonal Delta is."""
        formula = self.Delta.symbol.formula
        if isinstance(formula, tuple) and isinstance(formula[1], Element):
            index, entry = formula
            if self.Delta.symbol.kind == "diagonal" and entry.row is entry.column is index:
                return entry.expression
        raise StepRejected(f"{self.Delta} is not declared as the diagonal of a matrix")

    def explanation(self) -> str:
        """The reason."""
        return "because the trace is the sum of the diagonal, and diagonal factors scale the diagonal entry by entry"


@dataclass(frozen=True)
class Ones:
    """The definition of the vector of ones."""

    size: Dimension

    def meaning(self, writer: Writer) -> dict[str, Any]:
        """Ones."""
        return {"ones": []}

    def __call__(self, instance: Any) -> Any:
        """Ones."""
        return instance.array([[1]] * instance.size(self.size))


def ones(name: str, size: Dimension, latex: str | None = r"\mathbf{1}") -> Expression:
    """The vector of ones."""
    return letter(Symbol(name, size, 1, definition=Ones(size), latex=latex))


def trace_symbol(name: str, S: Expression, latex: str | None = None) -> Expression:
    """The trace of a square matrix as a number of any sign."""

    def definition(instance: Any) -> Any:
        value = instance.value(S)
        return instance.diagonal([sum((value[k, k] for k in range(len(value))), start=instance.array([0])[0])])

    return letter(Symbol(name, 1, 1, "scalar", definition=definition, latex=latex, formula=("trace", S)))


@dataclass(frozen=True)
class DiagonalOf:
    """The definition of the diagonal of a matrix; with `positive` other matrices are passed over."""

    matrix: Expression
    positive: bool

    def meaning(self, writer: Writer) -> dict[str, Any]:
        """The matrix."""
        return {"diagonal": {"matrix": writer.text(self.matrix), "size": writer.size(self.matrix.rows)}}

    def __call__(self, instance: Any) -> Any:
        """The diagonal."""
        value = instance.value(self.matrix)
        entries = [value[k, k] for k in range(len(value))]
        if self.positive and any(entry <= 0 for entry in entries):
            raise ZeroDivisionError("an entry of the diagonal is not positive")
        return instance.diagonal(entries)


def diagonal_part(
    name: str, G: Expression, index: Index, positive: bool = False, latex: str | None = None
) -> Expression:
    """The diagonal of a square matrix; with `positive` the claim is about matrices where all its entries are."""

    formula, definition = (index, Element(G, index, index)), DiagonalOf(G, positive)
    return letter(
        Symbol(name, G.rows, G.rows, "diagonal", positive, definition=definition, latex=latex, formula=formula)
    )

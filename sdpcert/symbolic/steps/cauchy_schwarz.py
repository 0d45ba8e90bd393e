"""Cauchy-Schwarz for the weighted row sums of a matrix: the root of a product of two such sums is at least a third."""

from __future__ import annotations

from fractions import Fraction

from sdpcert.errors import StepRejected
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.entries import Absolute, Element, Entry, Index, Largest, Product, Total
from sdpcert.symbolic.expression import Expression
from sdpcert.symbolic.printing import latex
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step
from sdpcert.symbolic.symbols import Symbol

#: Exponents of the entries of diagonal matrices at the row's index and at the running one.
Weights = dict[tuple[Symbol, bool], Fraction]


class CauchySchwarz(Step):
    """`R^(1/2) C^(1/2) >= B` for `R_i = sum_j |G_ij| r_ij`, `C_i = sum_j |G_ij| c_ij`, `B_i = sum_j |G_ij| b_ij`.

    R, C and B are made by `rule`; the weights are powers of entries of positive diagonal matrices at i and j, and
    `b_ij^2 = r_ij c_ij`. Zero rows of G have the entry 1 in all three.
    """

    def __init__(self, R: Expression, C: Expression, B: Expression, G: Expression) -> None:
        self.R, self.C, self.B, self.G = R, C, B, G

    def derive(self, known: Known) -> Statement:
        """The inequality; raises `StepRejected` if a formula has another form or the weights do not fit."""
        (r, r_without), (c, c_without), (b, b_without) = (self._weights(x, known) for x in (self.R, self.C, self.B))
        if not r_without == c_without == b_without:
            raise StepRejected("one of the sums leaves out the row's own index, another does not")
        for key in r.keys() | c.keys() | b.keys():
            if 2 * b.get(key, Fraction(0)) != r.get(key, Fraction(0)) + c.get(key, Fraction(0)):
                raise StepRejected("the weights of the smaller sum are not the geometric means of the others'")
        half = Fraction(1, 2)
        return positive(self.R**half @ self.C**half, self.B)

    def _weights(self, made: Expression, known: Known) -> tuple[Weights, bool]:
        """The exponents of a rule's weights, and whether the row's own index is left out."""
        formula = made.symbol.formula
        if not (isinstance(formula, tuple) and isinstance(formula[0], Index) and isinstance(formula[1], Total)):
            raise StepRejected(f"{made} is not made by a rule that is one sum over a row")
        if made.rows != self.G.rows:
            raise StepRejected(f"{made} has not as many rows as {self.G}")
        i, total = formula
        if isinstance(total, Largest) or total.without not in (None, i):
            raise StepRejected(f"{made} is no sum over a row")
        j, weights, seen = total.index, {}, False
        for part, exponent in _factors(total.body):
            if isinstance(part, Absolute) and exponent == 1 and self._is_entry(part.body, i, j, known):
                if seen:
                    raise StepRejected("the entry of G occurs twice")
                seen = True
            elif isinstance(part, Element) and part.row is part.column and part.row in (i, j):
                symbol = part.expression.symbol
                if not (symbol.kind == "diagonal" and symbol.positive):
                    raise StepRejected(f"{symbol} is not a positive diagonal matrix")
                key = (symbol, part.row is j)
                weights[key] = weights.get(key, Fraction(0)) + exponent
            else:
                raise StepRejected(f"{part} is neither |G_ij| nor a power of an entry of a positive diagonal matrix")
        if not seen:
            raise StepRejected(f"the sum of {made} does not contain |G_ij|")
        return weights, total.without is i

    def _is_entry(self, entry: Entry, i: Index, j: Index, known: Known) -> bool:
        return (
            isinstance(entry, Element)
            and (entry.row, entry.column) == (i, j)
            and entry.expression.shape == self.G.shape
            and known.is_zero(entry.expression - self.G)
        )

    def record(self, record: Record) -> int:
        """The axiom."""
        names = {key: record.name(made.symbol) for key, made in (("R", self.R), ("C", self.C), ("B", self.B))}
        half = Fraction(1, 2)
        return record.take(positive(self.R**half @ self.C**half, self.B), {"by": "cauchy-schwarz", **names})

    def explanation(self) -> str:
        """The inequality."""
        return (
            rf"because with $G={latex(self.G)}$ and the weights $r_{{ij}}$, $c_{{ij}}$ of $|G_{{ij}}|$ in "
            rf"${latex(self.R)}$ and ${latex(self.C)}$ every row has "
            r"$\sum_j|G_{ij}|\sqrt{r_{ij}c_{ij}}\le\bigl(\sum_j|G_{ij}|r_{ij}\bigr)^{1/2}"
            r"\bigl(\sum_j|G_{ij}|c_{ij}\bigr)^{1/2}$ (Cauchy--Schwarz)"
        )


def _factors(body: Entry) -> tuple[tuple[Entry, Fraction], ...]:
    return body.factors if isinstance(body, Product) else ((body, Fraction(1)),)

"""Weighted diagonal dominance (Gershgorin): a diagonal matrix of weighted row sums of |G| is at least G.

For symmetric G and weights with w_ij w_ji >= 1,

    x'(T - G)x >= sum_{i<j} |G_ij| (w_ij x_i^2 - 2 s_ij x_i x_j + w_ji x_j^2),   s_ij the sign of G_ij,

if T_ii >= G_ii + sum_{j != i} |G_ij| w_ij, and every bracket is a form with the determinant w_ij w_ji - 1 >= 0.
"""

from __future__ import annotations

from fractions import Fraction

from sdpcert.errors import StepRejected
from sdpcert.symbolic.blocks import as_block
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.entries import Absolute, Constant, Element, Entry, Index, Largest, Product, Sum, Total
from sdpcert.symbolic.expression import Expression, identity
from sdpcert.symbolic.meaning import row_parts
from sdpcert.symbolic.printing import latex
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step

#: Powers of the entries of diagonal matrices at one index: what a weight is made of.
Powers = dict[tuple[object, object], Fraction]


class Dominance(Step):
    """`T >= G` for a diagonal matrix or a scalar T made by `rule`, and symmetric G.

    Read from T's formula: sums over j of `|G_ij|` times powers of entries of positive diagonal matrices at i and at j,
    with `w_ij w_ji` a constant of at least 1; `|G_ii|` may stand apart; a maximum over i counts for every i.
    """

    def __init__(self, T: Expression, G: Expression) -> None:
        self.T, self.G = T, G

    def derive(self, known: Known) -> Statement:
        """`T >= G`; raises `StepRejected` if the formula has another form or its weights are too small."""
        if not known.is_zero(self.G - self.G.T):
            raise StepRejected(f"{self.G} is not known to be symmetric")
        formula = self.T.symbol.formula
        if not (isinstance(formula, tuple) and isinstance(formula[1], Entry)):
            raise StepRejected(f"{self.T} is not made by a rule")
        index, body = formula
        if self.T.is_scalar:
            if not isinstance(body, Largest):
                raise StepRejected(f"{self.T} is no maximum over the rows")
            index, body = body.index, body.body
        across, own, plain = Fraction(0), Fraction(0), Fraction(0)
        for part in body.parts if isinstance(body, Sum) else (body,):
            if isinstance(part, Total) and not isinstance(part, Largest):
                factor, weight = self._weight(part.body, index, part.index, known)
                if weight or factor < 0:
                    raise StepRejected("the weights of (i, j) and (j, i) have a product that is not a constant")
                across += factor
                if part.without is None:
                    own += factor
                elif part.without is not index:
                    raise StepRejected("a sum may leave out the row's own index only")
            else:
                magnitude, exact = self._own(part, index, known)
                own, plain = own + magnitude, plain + exact
        # a |g| + b g >= g for every g: a + b >= 1 for g > 0, b - a <= 1 for g < 0.
        if across < 1 or own + plain < 1 or plain - own > 1:
            raise StepRejected(f"the row is counted {across} times, its own entry {own + plain} times: once is needed")
        target = self.T * identity(self.G.rows) if self.T.is_scalar else self.T
        return positive(target, self.G)

    def record(self, record: Record) -> int:
        """The axiom, about the matrix that the rule sums."""
        parts = row_parts(self.T.symbol)
        summed = next((p.matrix for p in parts or () if p.absolute and p.entry == "ij"), None)
        if summed is None:
            raise StepRejected(f"the rule of {self.T} has no form in a proof object")
        target = self.T * identity(self.G.rows) if self.T.is_scalar else self.T
        step = {"by": "dominance", "symbol": record.name(self.T.symbol)}
        known = record.take(positive(target - summed), step)
        return known if summed == self.G else record.sum(as_block(target - self.G), [(1, target - summed, None)])

    def _weight(self, body: Entry, i: Index, j: Index, known: Known) -> tuple[Fraction, bool]:
        """The constant in front of |G_ij|, and whether the product of a weight with its mirror is not 1."""
        factor, powers, seen = Fraction(1), {}, False
        for part, exponent in body.factors if isinstance(body, Product) else ((body, Fraction(1)),):
            if isinstance(part, Constant):
                factor *= _constant(part, exponent)
            elif isinstance(part, Absolute) and exponent == 1 and self._is_magnitude(part.body, i, j, known):
                if seen:
                    raise StepRejected("the entry of G occurs twice")
                seen = True
            elif isinstance(part, Element) and _is_positive_diagonal(part):
                key = (part.expression, part.row)
                powers[key] = powers.get(key, Fraction(0)) + exponent
            else:
                raise StepRejected(f"{part} is neither |G_ij| nor a power of an entry of a positive diagonal matrix")
        if not seen:
            raise StepRejected(f"{body} does not contain |G_ij|")
        mirrored = dict(powers)
        for (expression, at), exponent in powers.items():
            other = j if at is i else i
            mirrored[expression, other] = mirrored.get((expression, other), Fraction(0)) + exponent
        return factor, any(mirrored.values())

    def _own(self, part: Entry, i: Index, known: Known) -> tuple[Fraction, Fraction]:
        """How often a part counts |G_ii| and how often G_ii, both at least 0; nothing else may be in it."""
        factor, magnitude, plain = Fraction(1), False, False
        for inner, exponent in part.factors if isinstance(part, Product) else ((part, Fraction(1)),):
            if isinstance(inner, Constant):
                factor *= _constant(inner, exponent)
                continue
            if magnitude or plain or exponent != 1:
                raise StepRejected(f"the row's own entry of G may have no factor but a number, not {inner}")
            if isinstance(inner, Absolute):
                magnitude = self._is_magnitude(inner.body, i, i, known)
            else:
                plain = self._is_entry(inner, i, i, known)
            if not (magnitude or plain):
                raise StepRejected(f"{inner} is not the row's own entry of G")
        if factor < 0:
            raise StepRejected(f"{part} may be negative")
        return factor * magnitude, factor * plain

    def _is_entry(self, entry: Entry, i: Index, j: Index, known: Known) -> bool:
        return (
            isinstance(entry, Element)
            and {entry.row, entry.column} == {i, j}
            and entry.expression.shape == self.G.shape
            and known.is_zero(entry.expression - self.G)
        )

    def _is_magnitude(self, entry: Entry, i: Index, j: Index, known: Known) -> bool:
        """Whether the entry is G_ij or -G_ij."""
        if isinstance(entry, Element):
            return self._is_entry(entry, i, j, known) or self._is_entry(
                Element(-entry.expression, entry.row, entry.column), i, j, known
            )
        return False

    def explanation(self) -> str:
        """The argument."""
        return (
            f"by weighted diagonal dominance: with $G={latex(self.G)}$, where $|G_{{ij}}|$ has the weight $w_{{ij}}$ "
            f"in row "
            "$i$ of the rule and $w_{ij}w_{ji}=1$, the quadratic forms of the two sides differ by at least"
            r"\formula{\sum_{i<j}|G_{ij}|\bigl(\sqrt{w_{ij}}\,x_i\mp\sqrt{w_{ji}}\,x_j\bigr)^2\ge0}"
        )


def _constant(part: Constant, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise StepRejected(f"the constant {part} to the power {exponent} is not rational: write its value")
    return part.value ** int(exponent)


def _is_positive_diagonal(element: Element) -> bool:
    symbols = element.expression.symbols()
    return (
        element.row is not None
        and element.row is element.column
        and len(element.expression.terms) == 1
        and all(s.kind == "diagonal" and s.positive for s in symbols)
    )

"""Weighted diagonal dominance (Gershgorin): a diagonal matrix of weighted row sums of |G| is at least G.

For symmetric G and weights with w_ij w_ji >= 1,

    x'(T - G)x >= sum_{i<j} |G_ij| (w_ij x_i^2 - 2 s_ij x_i x_j + w_ji x_j^2),   s_ij the sign of G_ij,

if T_ii >= G_ii + sum_{j != i} |G_ij| w_ij, and every bracket is a form with the determinant w_ij w_ji - 1 >= 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sdpcert.errors import StepRejected
from sdpcert.symbolic.blocks import as_block
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.entries import Absolute, Constant, Element, Entry, Index, Largest, Product, Total
from sdpcert.symbolic.expression import Expression, identity
from sdpcert.symbolic.meaning import row_parts
from sdpcert.symbolic.printing import latex
from sdpcert.symbolic.steps.formula_parts import constant_power, scaled_parts
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step

#: Powers of the entries of diagonal matrices at one index: what a weight is made of.
Powers = dict[tuple[object, object], Fraction]


class Dominance(Step):
    """`T >= G` for a diagonal matrix or a scalar T made by `rule`, and symmetric G.

    Read from T's formula: sums over j of `|G_ij|` times powers of entries of positive diagonal matrices at i and at j,
    with `w_ij w_ji` a constant of at least 1; `|G_ii|` may stand apart; a maximum over i counts for every i.
    Numbers of at least 1 may stand before the sums, and what is evidently nonnegative may be added.
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
        index, parts = self._rows(*formula)
        across, own, plain = Fraction(0), Fraction(0), Fraction(0)
        for scale, part in parts:
            if scale < 0:
                raise StepRejected(f"{part} may make the row smaller")
            if isinstance(part, Total) and not isinstance(part, Largest):
                factor = scale * self._weight(part, index, known)
                across += factor
                own += factor if part.without is None else 0
            else:
                magnitude, exact = self._own(part, index, known)
                own, plain = own + scale * magnitude, plain + scale * exact
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

    def _rows(self, index: Any, body: Entry) -> tuple[Index, list[tuple[Fraction, Entry]]]:
        """The index of a row, and parts that add up to at most T there."""
        parts = list(scaled_parts(body))
        if not self.T.is_scalar:
            return index, parts
        # A number is at least the maximum in it, and that is at least every row; the other parts only add to it.
        maxima = [(scale, part) for scale, part in parts if isinstance(part, Largest)]
        if len(maxima) != 1 or maxima[0][1].without is not None or not _add_up(parts):
            raise StepRejected(f"{self.T} is no maximum over the rows")
        scale, maximum = maxima[0]
        return maximum.index, list(scaled_parts(maximum.body, scale))

    def _weight(self, total: Total, i: Index, known: Known) -> Fraction:
        """How often a sum counts the |G_ij| of a row; not at all if it is another sum of nonnegative numbers."""
        j, factor, powers, seen = total.index, Fraction(1), {}, False
        if j is i:
            raise StepRejected(f"the index {j.name} of a sum is the row's own")
        body = total.body
        for part, exponent in body.factors if isinstance(body, Product) else ((body, Fraction(1)),):
            if isinstance(part, Constant):
                factor *= constant_power(part, exponent)
            elif isinstance(part, Absolute) and exponent == 1 and self._is_magnitude(part.body, i, j, known):
                if seen:
                    raise StepRejected("the entry of G occurs twice")
                seen = True
            elif isinstance(part, Element) and _is_positive_diagonal(part):
                key = (part.expression, part.row)
                powers[key] = powers.get(key, Fraction(0)) + exponent
            else:
                return _nothing(total)
        if not seen:
            return _nothing(total)
        if total.without not in (None, i):
            raise StepRejected("a sum may leave out the row's own index only")
        mirrored = dict(powers)
        for (expression, at), exponent in powers.items():
            other = j if at is i else i
            mirrored[expression, other] = mirrored.get((expression, other), Fraction(0)) + exponent
        if any(mirrored.values()) or factor < 0:
            raise StepRejected("the weights of (i, j) and (j, i) have a product that is not a constant")
        return factor

    def _own(self, part: Entry, i: Index, known: Known) -> tuple[int, int]:
        """Whether a part is |G_ii|, or G_ii; other parts that are nonnegative only make the row larger."""
        if isinstance(part, Absolute) and self._is_magnitude(part.body, i, i, known):
            return 1, 0
        if self._is_entry(part, i, i, known):
            return 0, 1
        return int(_nothing(part)), 0

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


def _nothing(part: Entry) -> Fraction:
    """Zero, for a part that is nonnegative and may be left out; others are no part of a row."""
    if not part.is_nonnegative:
        raise StepRejected(f"{part} is neither |G_ij| times powers of positive diagonal entries, nor nonnegative")
    return Fraction(0)


def _add_up(parts: Sequence[tuple[Fraction, Entry]]) -> bool:
    return all(scale >= 0 and part.is_nonnegative for scale, part in parts)


def _is_positive_diagonal(element: Element) -> bool:
    symbols = element.expression.symbols()
    return (
        element.row is not None
        and element.row is element.column
        and len(element.expression.terms) == 1
        and all(s.kind == "diagonal" and s.positive for s in symbols)
    )

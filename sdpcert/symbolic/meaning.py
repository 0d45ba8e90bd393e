"""What a symbol's definition says in a proof object: rows of magnitudes, traces, diagonals, ones, convolutions.

A definition that has no such form says nothing there: the theorem is then about every matrix of the symbol's kind.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from sdpcert.symbolic.entries import Absolute, Constant, Element, Entry, Index, Largest, Product, Sum, Total
from sdpcert.symbolic.expression import Expression, identity
from sdpcert.symbolic.symbols import Dimension, Symbol


class Writer(Protocol):
    """What writes expressions and dimensions of a proof object."""

    def text(self, expression: Expression) -> str:
        """A sum of terms."""
        ...

    def size(self, dimension: Dimension) -> str | int:
        """A dimension's name."""
        ...

    def name(self, symbol: Symbol) -> str:
        """A symbol's name."""
        ...


def meaning_of(symbol: Symbol, writer: Writer) -> dict[str, Any] | None:
    """The meaning of a symbol, None if its definition has no form in a proof object."""
    written = getattr(symbol.definition, "meaning", None)
    if written is not None:
        return written(writer)
    if not isinstance(symbol.formula, tuple):
        return None
    index, formula = symbol.formula
    if index == "trace":
        return {"trace": {"matrix": writer.text(formula), "size": writer.size(formula.rows)}}
    if isinstance(formula, Entry):
        traced = _traced(formula) if symbol.kind == "scalar" else None
        if traced is not None:
            return {"trace": {"matrix": writer.text(traced), "size": writer.size(traced.rows)}}
        parts = row_parts(symbol)
        return None if parts is None else {"rule": [part.written(writer) for part in parts]}
    return None


@dataclass(frozen=True)
class RowPart:
    """`scale` times an entry of a matrix, or its magnitude, times powers of entries of positive diagonal matrices.

    `entry` is "ii", or "ij" or "jj", which are summed over j, without j = i if `without`.
    """

    scale: Fraction
    entry: str
    without: bool
    absolute: bool
    matrix: Expression
    weights: tuple[tuple[Symbol, Fraction, str], ...]

    def written(self, writer: Writer) -> dict[str, Any]:
        """The part in the format."""
        return {
            "scale": str(self.scale),
            "entry": self.entry,
            "without": self.without,
            "absolute": self.absolute,
            "matrix": writer.text(self.matrix),
            "size": writer.size(self.matrix.rows),
            "weights": [[writer.name(symbol), str(exponent), at] for symbol, exponent, at in self.weights],
        }


def row_parts(symbol: Symbol) -> list[RowPart] | None:
    """The parts that add up to the rows of a symbol made by `rule` or `scalar_rule`; None for other formulas."""
    index, body = symbol.formula
    scale, size = Fraction(1), symbol.rows
    if symbol.kind == "scalar":
        # A number in front of a maximum may stand in front of all that it is the largest of.
        ((scale, factors), *others) = _summands(body)
        largest, exponent = factors[0] if factors else (body, Fraction(1))
        if others or len(factors) != 1 or exponent != 1 or scale < 0 or not isinstance(largest, Largest):
            return None
        index, body, size = largest.index, largest.body, None
    try:
        return [_part(scale * share, factors, index, size) for share, factors in _summands(body)]
    except _OtherForm:
        return None


def _traced(formula: Entry) -> Expression | None:
    """The matrix whose diagonal entries a formula sums, if it is nothing else."""
    if isinstance(formula, Total) and not isinstance(formula, Largest) and isinstance(formula.body, Element):
        entry = formula.body
        if entry.row is entry.column is formula.index and entry.expression.rows == entry.expression.columns:
            return entry.expression
    return None


class _OtherForm(Exception):
    """The formula is no sum of weighted entries."""


Factors = list[tuple[Entry, Fraction]]


def _summands(entry: Entry) -> Iterator[tuple[Fraction, Factors]]:
    """An entry as a sum of products: constants, and factors with exponents."""
    if isinstance(entry, Sum):
        for part in entry.parts:
            yield from _summands(part)
        return
    scale, factors = Fraction(1), []
    for factor, exponent in entry.factors if isinstance(entry, Product) else ((entry, Fraction(1)),):
        if isinstance(factor, Constant) and exponent.denominator == 1:
            scale *= factor.value ** int(exponent)
        else:
            factors.append((factor, exponent))
    sums = [k for k, (factor, exponent) in enumerate(factors) if isinstance(factor, Sum) and exponent == 1]
    if not sums:
        yield scale, factors
        return
    inner = factors.pop(sums[0])[0]
    for share, others in _summands(inner):
        yield scale * share, factors + others


def _part(scale: Fraction, factors: Factors, i: Index, size: Dimension | None) -> RowPart:
    totals = [(f, e) for f, e in factors if isinstance(f, Total)]
    if not totals:
        added = None if size is None else _diagonal_entry(factors, i, size)
        return (
            _product(scale, factors, i, i, "ii", False)
            if added is None
            else RowPart(scale, "ii", False, True, added, ())
        )
    (total, exponent), *others = totals
    alone = not others and exponent == 1 and not isinstance(total, Largest)
    if not alone or total.without not in (None, i):
        raise _OtherForm
    outside = [(f, e) for f, e in factors if f is not total]
    ((share, inside), *more) = _summands(total.body)
    if more:
        raise _OtherForm
    return _product(scale * share, outside + inside, i, total.index, "", total.without is i)


def _diagonal_entry(factors: Factors, i: Index, size: Dimension) -> Expression | None:
    """The diagonal matrix of a product of positive numbers and entries at i; None for other factors."""
    made = identity(size)
    for factor, exponent in factors:
        if not isinstance(factor, Element) or len(factor.expression.terms) != 1:
            return None
        is_number = factor.row is None and factor.expression.is_scalar
        is_entry = factor.row is i and factor.column in (None, i) and _is_weight(factor.expression)
        if not all(s.positive for s in factor.expression.symbols()) or not (is_number or is_entry):
            return None
        power = factor.expression**exponent
        made = made * power if is_number else made @ power
    return made if made.is_sum_of_atoms else None


def _product(scale: Fraction, factors: Factors, i: Index, j: Index, entry: str, without: bool) -> RowPart:
    """One entry of a matrix, and weights that are entries of positive diagonal matrices."""
    found: list[tuple[Expression, bool, str]] = []
    weights: list[tuple[Symbol, Fraction, str]] = []
    for factor, exponent in factors:
        absolute = isinstance(factor, Absolute)
        element = factor.body if isinstance(factor, Absolute) else factor
        if not isinstance(element, Element) or element.row is None:
            raise _OtherForm
        column = element.row if element.column is None else element.column
        at = ["i" if index is i else "j" if index is j else "?" for index in (element.row, column)]
        if not absolute and at[0] == at[1] and at[0] != "?" and _is_weight(element.expression):
            ((_, word),) = element.expression.terms
            weights += [(x.symbol, x.exponent * exponent, at[0]) for x in word]
        elif exponent == 1:
            found.append((element.expression, absolute, "".join(at)))
        else:
            raise _OtherForm
    if len(found) != 1:
        raise _OtherForm
    expression, absolute, where = found[0]
    if expression.rows != expression.columns:
        raise _OtherForm
    if where == "ji":
        expression, where = expression.T, "ij"
    if where not in ({"ii"} if entry == "ii" else {"ij", "jj"}):
        raise _OtherForm
    return RowPart(scale, where, without, absolute, expression, tuple(weights))


def _is_weight(expression: Expression) -> bool:
    """Whether it is a product of powers of positive diagonal letters, with the coefficient one."""
    if len(expression.terms) != 1:
        return False
    (((monomial, word), coefficient),) = expression.terms.items()
    return coefficient == 1 and not monomial and all(x.symbol.kind == "diagonal" and x.symbol.positive for x in word)

"""Gradings: scalings of the symbols under which the target and all facts are homogeneous.

If W -> sW, nu -> s^2 nu leaves the shape of everything as it is, then of a sum of sandwiches for the target the part of
the right degree in s is one too: in a Gram matrix the rest may be left out. So only words of one degree are tried.
"""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.expression import Expression, Monomial
from sdpcert.symbolic.proof_search.linear import Row, null_space
from sdpcert.symbolic.rewriting import Rules
from sdpcert.symbolic.symbols import Word

#: A degree for every independent grading.
Degrees = tuple[Fraction, ...]


class Gradings:
    """Degrees of symbols, of the target's columns, and of the rows of every fact.

    The entry (i, k) of the target has the degree of column i plus that of column k, and likewise every fact.
    """

    def __init__(self, target: Block, facts: Sequence[Block], rules: Rules) -> None:
        equations: list[Row] = []
        for number, matrix in enumerate((target, *facts)):
            for i, row in enumerate(matrix.entries):
                for k, entry in enumerate(row):
                    for monomial, word in entry.terms:
                        equation = _powers(monomial, word)
                        for place in ((number, i), (number, k)):
                            equation[place] = equation.get(place, Fraction(0)) - 1
                        equations.append(equation)
        for word, replacement in rules.replacements.items():
            for monomial, other in replacement.terms:
                equation = _powers((), word)
                for key, exponent in _powers(monomial, other).items():
                    equation[key] = equation.get(key, Fraction(0)) - exponent
                equations.append(equation)
        for equality in rules.numbers.values():
            first, *others = [_powers(monomial, ()) for monomial, _ in equality.expression.terms]
            equations += [{key: first.get(key, Fraction(0)) - o.get(key, 0) for key in {*first, *o}} for o in others]
        keys = dict.fromkeys(key for equation in equations for key in equation)
        for number, matrix in enumerate((target, *facts)):
            keys.update(dict.fromkeys((number, i) for i in range(len(matrix.row_sizes))))
        self._basis = null_space(equations, list(keys))
        self.none: Degrees = (Fraction(0),) * len(self._basis)

    def degrees(self, monomial: Monomial, word: Word) -> Degrees:
        """The degrees of a term."""
        powers = _powers(monomial, word).items()
        return tuple(sum((e * v.get(key, 0) for key, e in powers), Fraction(0)) for v in self._basis)

    def column(self, k: int) -> Degrees:
        """Those of a column of the target."""
        return self._place(0, k)

    def row(self, fact: int, i: int) -> Degrees:
        """Those of a row of a fact."""
        return self._place(fact + 1, i)

    def of(self, expression: Expression) -> Degrees | None:
        """Those of an expression, None if its terms differ."""
        found = {self.degrees(monomial, word) for monomial, word in expression.terms}
        return found.pop() if len(found) == 1 else None

    def _place(self, number: int, i: int) -> Degrees:
        return tuple(Fraction(v.get((number, i), 0)) for v in self._basis)


def _powers(monomial: Monomial, word: Word) -> dict[Any, Fraction]:
    """How often every symbol occurs; roots of constants have no degree."""
    powers: dict[Any, Fraction] = {}
    for symbol, exponent in [*monomial, *((x.symbol, x.exponent) for x in word)]:
        if symbol.square is None:
            powers[symbol] = powers.get(symbol, Fraction(0)) + exponent
    return powers

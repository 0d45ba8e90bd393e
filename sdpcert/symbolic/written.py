"""A statement as readers want it: with names for parts of it, such as `A A' + B B' = I` for what A and B are.

Expressions are sums of words, so a product of sums is expanded as soon as it is made. Where that hides what is meant,
a derivation writes the statement once more with symbols for the parts; that both are the same is checked.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.claim import Statement
from sdpcert.symbolic.expression import Expression, letter, number
from sdpcert.symbolic.symbols import Symbol


@dataclass(frozen=True)
class Written:
    """`statement` with `names` for expressions, in the order in which they are printed; a name may use earlier ones."""

    statement: Statement
    names: Mapping[Symbol, Expression]


def written(statement: Statement, shown: Statement, names: Mapping[Expression, Expression]) -> Statement:
    """The statement, printed as `shown` with the names explained after it.

    Raises `AlgebraError` if `shown`, with every name replaced by its expression, is another statement.
    """
    symbols = {name.symbol: value for name, value in names.items()}
    full: dict[Symbol, Expression] = {}
    for symbol, value in symbols.items():
        full[symbol] = substituted(value, full)
    matrix = shown.matrix.map(lambda entry: substituted(entry, full))
    if matrix != statement.matrix or shown.kind != statement.kind:
        raise AlgebraError(f"{shown} is not {statement}: the difference is {matrix - statement.matrix}")
    return replace(statement, written=Written(shown, symbols))


def substituted(expression: Expression, values: Mapping[Symbol, Expression]) -> Expression:
    """The expression with symbols replaced; inverses are replaced by values that have powers only."""
    result = Expression(expression.rows, expression.columns, {})
    for (monomial, word), coefficient in expression.terms.items():
        scale = number(coefficient)
        for symbol, exponent in monomial:
            scale = scale * _power(symbol, exponent, values)
        product: Any = None
        for x in word:
            factor = _power(x.symbol, x.exponent, values)
            factor = factor.T if x.transposed else factor
            product = factor if product is None else product @ factor
        if product is None:
            product = Expression(expression.rows, expression.columns, {((), ()): Fraction(1)})
        result = result + product * scale
    return result


def _power(symbol: Symbol, exponent: Fraction, values: Mapping[Symbol, Expression]) -> Expression:
    base = values.get(symbol)
    if base is None:
        base = letter(symbol)
    return base if exponent == 1 else base**exponent

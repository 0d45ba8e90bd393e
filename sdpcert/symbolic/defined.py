"""Symbols defined by other symbols: inverses, norms, orthonormal columns, increments, diagonals by a formula."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.entries import Entry, Index, as_entry
from sdpcert.symbolic.expression import Expression, identity, letter
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.symbols import Dimension, Symbol


def inverse(name: str, expression: Expression, latex: str | None = None) -> Expression:
    """The inverse of a square expression as a symbol, a number for a scalar one; the equalities come along.

    An instance with a singular expression is drawn again. Declare it only of what is invertible, or the claim is
    about the invertible cases alone.
    """
    if expression.rows != expression.columns:
        raise AlgebraError(f"only square matrices have inverses, not {expression.rows} x {expression.columns}")
    size, one = expression.rows, identity(expression.rows)
    kind = "scalar" if expression.is_scalar else "symmetric" if expression == expression.T else "general"

    def definition(instance: Instance) -> Any:
        return instance.inverse(instance.value(expression))

    made = Symbol(name, size, size, kind, definition=definition, latex=latex, formula=("inverse", expression))
    result = letter(made)
    sides = 1 if expression.is_scalar else 2
    made = replace(made, facts=lambda: [(expression @ result, one), (result @ expression, one)][:sides])
    result = letter(made)
    return result


def squared_norm(name: str, W: Expression, latex: str | None = None) -> tuple[Expression, Statement]:
    """A number n >= |W|^2 and what is known of it: `n I - W'W >= 0`. In instances n is hardly larger than |W|^2."""

    def definition(instance: Instance) -> Any:
        bound = instance.norm_above(instance.value(W))
        return instance.diagonal([bound if bound != 0 else bound + 1])

    n = letter(Symbol(name, 1, 1, "scalar", True, definition=definition, latex=latex, formula=("norm", W)))
    return n, positive(n * identity(W.columns), W.T @ W, reason="definition of the norm")


def orthonormal(name: str, rows: Dimension, columns: Dimension, latex: str | None = None) -> Expression:
    """A matrix with orthonormal columns, W'W = I, and rows, WW' = I, if it is square.

    In instances `rows` has to be at least `columns`.
    """

    def definition(instance: Instance) -> Any:
        n, m = instance.size(rows), instance.size(columns)
        if m > n:
            raise ZeroDivisionError("more orthonormal columns than rows")
        return instance.orthogonal(name, n)[:, :m]

    made = Symbol(name, rows, columns, definition=definition, latex=latex)
    one = identity(columns)
    made = replace(made, facts=lambda: _orthonormal(letter(made), one, square=rows == columns))
    return letter(made)


def _orthonormal(W: Expression, one: Expression, square: bool) -> list[tuple[Any, Any]]:
    return [(W.T @ W, one), (W @ W.T, one)] if square else [(W.T @ W, one)]


def slopes(name: str, size: Dimension, low: Any = 0, high: Any = 1, latex: str | None = None) -> Expression:
    """A diagonal matrix D of slopes: `dz = D dv` for some D with entries in [low, high], free otherwise."""

    def definition(instance: Instance) -> Any:
        count = instance.size(size)
        chosen = instance.draw(f"{name} slopes", count, 1)
        lower, upper = instance.array([low])[0], instance.array([high])[0]
        shares = []
        for k in range(count):
            value = abs(chosen[k, 0])
            # Numbers of at least one are the upper slope, zero the lower; what is between is kept.
            share = min(value, instance.array([1])[0])
            shares.append(lower + (upper - lower) * share)
        return instance.diagonal(shares)

    return letter(Symbol(name, size, size, "diagonal", False, definition=definition, latex=latex))


def increments(
    name: str,
    source: Expression,
    activation: Callable[[Any], Any],
    latex: tuple[str | None, str | None] = (None, None),
) -> tuple[Expression, Expression]:
    """A pair (dv, dz): increments of an activation's inputs and outputs between two free inputs as long as `source`.

    `activation` maps a column of exact numbers to a column. `source` is only read for its number of rows.
    """
    size = source.rows

    def both(instance: Instance) -> tuple[Any, Any]:
        count = instance.size(size)
        return instance.draw(f"{name} first", count, 1), instance.draw(f"{name} second", count, 1)

    def inputs(instance: Instance) -> Any:
        first, second = both(instance)
        return first - second

    def outputs(instance: Instance) -> Any:
        first, second = both(instance)
        return np.asarray(activation(first)) - np.asarray(activation(second))

    dv = letter(Symbol(f"d{name}", size, 1, definition=inputs, latex=latex[0]))
    dz = letter(Symbol(f"d{name}_out", size, 1, definition=outputs, latex=latex[1]))
    return dv, dz


def rule(name: str, size: Dimension, index: Index, formula: Any, latex: str | None = None) -> Expression:
    """The positive diagonal matrix with the entries `formula` at `index`.

    If the formula is zero the entry is one: a zero column, whose rule is zero, may have any scale. If powers of
    one half occur, an instance rounds the entry up to the square of a rational number. Raises `AlgebraError` for a
    formula that may be negative, whose indices are not all bound (by the rule or by one sum each), or of another size.
    """
    formula = as_entry(formula)
    _check_nonnegative(name, formula)
    _check_bound(name, formula, {index})
    if index in formula.bound():
        raise AlgebraError(f"{name}: the index {index.name} of the rule is bound again by a sum in it: {formula}")
    if wrong := formula.counted(index) - {size}:
        found = " and ".join(sorted(map(str, wrong)))
        raise AlgebraError(f"{name} has {size} entries, but {index.name} counts {found} in its formula {formula}")

    def definition(instance: Instance) -> Any:
        count = instance.size(size)
        values = [formula.at(instance, {index: k}) for k in range(count)]
        return instance.diagonal([value if value != 0 else value + 1 for value in values])

    return letter(
        Symbol(name, size, size, "diagonal", True, definition=definition, latex=latex, formula=(index, formula))
    )


def scalar_rule(name: str, formula: Any, latex: str | None = None) -> Expression:
    """The positive number with the value `formula`, such as a maximum over rows (one if the formula is zero).

    Raises `AlgebraError` for a formula that may be negative or in which an index is not bound.
    """
    formula = as_entry(formula)
    _check_nonnegative(name, formula)
    _check_bound(name, formula, set())

    def definition(instance: Instance) -> Any:
        value = formula.at(instance, {})
        return instance.diagonal([value if value != 0 else value + 1])

    return letter(Symbol(name, 1, 1, "scalar", True, definition=definition, latex=latex, formula=(None, formula)))


def _check_nonnegative(name: str, formula: Entry) -> None:
    if not formula.is_nonnegative:
        raise AlgebraError(f"the formula of {name} may be negative: {formula}; write abs(...) where that is meant")


def _check_bound(name: str, formula: Entry, given: set[Index]) -> None:
    for index in given:
        if not isinstance(index, Index):
            raise AlgebraError(f"{name}: a rule is given at an index from indices('i j'), not at {index!r}")
    if loose := formula.free() - given:
        names = ", ".join(sorted(index.name for index in loose))
        raise AlgebraError(f"{name}: nothing binds {names} in {formula}: sum over it, or give the rule at it")

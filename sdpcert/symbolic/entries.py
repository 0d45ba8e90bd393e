"""Formulas for the entries of a diagonal matrix, such as `T_ii = sum_j |W'W|_ij q_j / q_i`.

i, j = indices("i j")
T = rule("T", "n", i, total(abs((W.T @ W)[i, j]) * q[j] / q[i], j))
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

from sdpcert.symbolic.expression import AlgebraError, Expression, letter
from sdpcert.symbolic.symbols import Dimension, Symbol

if TYPE_CHECKING:
    from sdpcert.symbolic.instances import Instance


@dataclass(frozen=True, eq=False)
class Index:
    """A running index."""

    name: str


def indices(names: str) -> tuple[Index, ...]:
    """Indices from names separated by spaces."""
    return tuple(Index(name) for name in names.split())


At = Mapping[Index, int]


class Entry(ABC):
    """A number made of entries of matrices; `+`, `-`, `*`, `/`, `**` and `abs` make further ones."""

    @abstractmethod
    def at(self, instance: Instance, position: At) -> Any:
        """The value in an instance where the indices have the values `position`."""

    @abstractmethod
    def symbols(self) -> set[Symbol]:
        """The symbols that occur."""

    def __add__(self, other: Any) -> Entry:
        return Sum(_parts(self) + _parts(_entry(other)))

    def __radd__(self, other: Any) -> Entry:
        return _entry(other) + self

    def __sub__(self, other: Any) -> Entry:
        return self + _entry(other) * -1

    def __mul__(self, other: Any) -> Entry:
        return Product(_factors(self) + _factors(_entry(other)))

    def __rmul__(self, other: Any) -> Entry:
        return _entry(other) * self

    def __truediv__(self, other: Any) -> Entry:
        return self * _entry(other) ** -1

    def __rtruediv__(self, other: Any) -> Entry:
        return _entry(other) * self**-1

    def __pow__(self, exponent: Any) -> Entry:
        return Product(tuple((f, e * Fraction(exponent)) for f, e in _factors(self)))

    def __abs__(self) -> Entry:
        return Absolute(self)

    def __repr__(self) -> str:
        from sdpcert.symbolic.printing import entry_text

        return entry_text(self)


@dataclass(frozen=True, repr=False)
class Constant(Entry):
    """A rational number."""

    value: Fraction

    def at(self, instance: Instance, position: At) -> Any:
        """The number."""
        return self.value if instance.exact else float(self.value)

    def symbols(self) -> set[Symbol]:
        """None."""
        return set()


@dataclass(frozen=True, repr=False)
class Element(Entry):
    """An entry of an expression; without indices the value of a scalar."""

    expression: Expression
    row: Index | None
    column: Index | None

    def at(self, instance: Instance, position: At) -> Any:
        """The entry of the expression's value."""
        value = instance.value(self.expression)
        row = 0 if self.row is None else position[self.row]
        column = 0 if self.column is None else position[self.column]
        return value[row, column]

    def symbols(self) -> set[Symbol]:
        """Those of the expression."""
        return self.expression.symbols()


@dataclass(frozen=True, repr=False)
class Absolute(Entry):
    """A magnitude."""

    body: Entry

    def at(self, instance: Instance, position: At) -> Any:
        """The magnitude of the body's value."""
        return abs(self.body.at(instance, position))

    def symbols(self) -> set[Symbol]:
        """Those of the body."""
        return self.body.symbols()


@dataclass(frozen=True, repr=False)
class Product(Entry):
    """A product of powers. Roots are rounded up to rationals in exact instances."""

    factors: tuple[tuple[Entry, Fraction], ...]

    def at(self, instance: Instance, position: At) -> Any:
        """The product of the factors' powers; raises ZeroDivisionError for a negative power of zero."""
        result: Any = Fraction(1) if instance.exact else 1.0
        under_root: Any = result
        for factor, exponent in self.factors:
            value = factor.at(instance, position)
            if exponent.denominator == 1:
                result = result * value ** int(exponent)
            elif exponent.denominator == 2:
                under_root = under_root * value**exponent.numerator
            else:
                raise AlgebraError(f"no power {exponent} of an entry; whole and half powers are available")
        return result if under_root == 1 else result * instance.exact_root(under_root)

    def symbols(self) -> set[Symbol]:
        """Those of the factors."""
        return set().union(*(f.symbols() for f, _ in self.factors))


@dataclass(frozen=True, repr=False)
class Sum(Entry):
    """A sum of entries."""

    parts: tuple[Entry, ...]

    def at(self, instance: Instance, position: At) -> Any:
        """The sum of the parts' values."""
        return sum(part.at(instance, position) for part in self.parts)

    def symbols(self) -> set[Symbol]:
        """Those of the parts."""
        return set().union(*(p.symbols() for p in self.parts))


@dataclass(frozen=True, repr=False)
class Total(Entry):
    """The sum of the body over all values of an index, without where it equals the index `without`."""

    body: Entry
    index: Index
    without: Index | None = None
    kind = "total"

    def at(self, instance: Instance, position: At) -> Any:
        """The sum; zero where nothing is left."""
        values = self._values(instance, position)
        return sum(values) if values else Fraction(0)

    def _values(self, instance: Instance, position: At) -> list[Any]:
        apart = None if self.without is None else position.get(self.without)
        left = [k for k in range(_range(self.body, self.index, instance)) if k != apart]
        return [self.body.at(instance, {**position, self.index: k}) for k in left]

    def symbols(self) -> set[Symbol]:
        """Those of the body."""
        return self.body.symbols()


class Largest(Total):
    """The maximum of the body over all values of an index."""

    kind = "largest"

    def at(self, instance: Instance, position: At) -> Any:
        """The maximum; zero where nothing is left."""
        return max(self._values(instance, position), default=Fraction(0))


def total(body: Entry, index: Index, without: Index | None = None) -> Entry:
    """`sum_index body`, without the term where the index equals `without`."""
    return Total(body, index, without)


def largest(body: Entry, index: Index) -> Entry:
    """`max_index body`."""
    return Largest(body, index)


def rule(name: str, size: Dimension, index: Index, formula: Entry, latex: str | None = None) -> Expression:
    """The positive diagonal matrix with the entries `formula` at `index`.

    Where the formula is zero the entry is one: a zero column, whose rule is zero, may have any scale. Where powers of
    one half occur, an instance rounds the entry up to the square of a rational number. Raises `AlgebraError` for a
    formula that may be negative.
    """
    _check_nonnegative(name, formula)

    def definition(instance: Instance) -> Any:
        count = instance.size(size)
        values = [formula.at(instance, {index: k}) for k in range(count)]
        return instance.diagonal([value if value != 0 else value + 1 for value in values])

    return letter(
        Symbol(name, size, size, "diagonal", True, definition=definition, latex=latex, formula=(index, formula))
    )


def scalar_rule(name: str, formula: Entry, latex: str | None = None) -> Expression:
    """The positive number with the value `formula`, such as a maximum over rows (one where the formula is zero).

    Raises `AlgebraError` for a formula that may be negative.
    """
    _check_nonnegative(name, formula)

    def definition(instance: Instance) -> Any:
        value = formula.at(instance, {})
        return instance.diagonal([value if value != 0 else value + 1])

    return letter(Symbol(name, 1, 1, "scalar", True, definition=definition, latex=latex, formula=(None, formula)))


def element(expression: Expression, position: Any) -> Entry:
    """`expression[i, j]`, or `expression[i]` for a diagonal matrix or a column."""
    if isinstance(position, Index):
        return Element(expression, position, None if expression.columns == 1 else position)
    if isinstance(position, tuple) and len(position) == 2 and all(isinstance(k, Index) for k in position):
        return Element(expression, *position)
    raise AlgebraError(f"entries are read as X[i, j] or D[i] with indices('i j'), not {position!r}")


def _range(body: Entry, index: Index, instance: Instance) -> int:
    """How far an index runs: the dimension that it counts where it occurs."""
    match body:
        case Element(expression, row, column):
            if row is index:
                return instance.size(expression.rows)
            return instance.size(expression.columns) if column is index else -1
        case Absolute(inner):
            return _range(inner, index, instance)
        case Product(factors):
            return max((_range(f, index, instance) for f, _ in factors), default=-1)
        case Sum(parts):
            return max((_range(p, index, instance) for p in parts), default=-1)
        case Total(inner):
            return _range(inner, index, instance)
    return -1


def _entry(value: Any) -> Entry:
    if isinstance(value, Entry):
        return value
    if isinstance(value, Expression) and value.shape == (1, 1):
        return Element(value, None, None)
    if isinstance(value, numbers.Rational):
        return Constant(Fraction(value))
    raise AlgebraError(f"{value!r} is no entry of a matrix; write X[i, j]")


def _factors(entry: Entry) -> tuple[tuple[Entry, Fraction], ...]:
    return entry.factors if isinstance(entry, Product) else ((entry, Fraction(1)),)


def _parts(entry: Entry) -> tuple[Entry, ...]:
    return entry.parts if isinstance(entry, Sum) else (entry,)


def _check_nonnegative(name: str, formula: Entry) -> None:
    if not is_nonnegative(formula):
        raise AlgebraError(f"the formula of {name} may be negative: {formula}; write abs(...) where that is meant")


def is_nonnegative(entry: Entry) -> bool:
    """Whether a formula is evidently nonnegative: made of magnitudes, even powers, and entries of what is positive."""
    from sdpcert.symbolic.steps.step import is_sum_of_atoms

    match entry:
        case Constant(value):
            return value >= 0
        case Absolute():
            return True
        case Element(expression, row, column):
            # Diagonal entries of positive semidefinite matrices, and positive scalars.
            return row is column and expression.rows == expression.columns and is_sum_of_atoms(expression)
        case Product(factors):
            return all(is_nonnegative(f) or (e.denominator == 1 and e % 2 == 0) for f, e in factors)
        case Sum(parts):
            return all(is_nonnegative(p) for p in parts)
        case Total(body):
            return is_nonnegative(body)
    return False

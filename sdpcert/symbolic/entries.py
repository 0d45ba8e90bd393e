"""Formulas of entries of matrices, such as `sum_j |W'W|_ij q_j / q_i`.

i, j = indices("i j")
T = rule("T", "n", i, total(abs((W.T @ W)[i, j]) * q[j] / q[i], j))
"""

from __future__ import annotations

import numbers
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.notation import TEXT, Notation
from sdpcert.symbolic.symbols import Dimension, Symbol


@dataclass(frozen=True, eq=False)
class Index:
    """A running index."""

    name: str


def indices(names: str) -> tuple[Index, ...]:
    """Indices from names separated by spaces."""
    return tuple(Index(name) for name in names.split())


At = Mapping[Index, int]


class Values(Protocol):
    """What a formula is evaluated with, which is an `Instance`."""

    exact: bool

    def value(self, expression: Any) -> Any:
        """The matrix that an expression is."""

    def size(self, dimension: Dimension) -> int:
        """The number that a dimension is."""
        ...

    def exact_root(self, value: Any) -> Any:
        """A square root, rounded up if it is not rational."""


class Matrix(ABC):
    """What has entries: `X[i, j]`, or `X[i]` for a diagonal matrix or a column."""

    __slots__ = ()
    rows: Dimension
    columns: Dimension

    @property
    @abstractmethod
    def is_compound(self) -> bool:
        """Whether an index needs the matrix in parentheses."""

    @property
    @abstractmethod
    def is_sum_of_atoms(self) -> bool:
        """Whether it is evidently positive semidefinite."""

    @abstractmethod
    def symbols(self) -> set[Symbol]:
        """The symbols that occur."""

    @abstractmethod
    def shown(self, notation: Notation) -> str:
        """The matrix as a formula."""

    def __getitem__(self, position: Any) -> Entry:
        if isinstance(position, Index):
            if self.columns != 1 and any(s.kind not in ("diagonal", "scalar") for s in self.symbols()):
                raise AlgebraError(f"{self} is not diagonal: write its entries with two indices, as in X[i, j]")
            return Element(self, position, None if self.columns == 1 else position)
        if isinstance(position, tuple) and len(position) == 2 and all(isinstance(k, Index) for k in position):
            return Element(self, *position)
        raise AlgebraError(f"entries are read as X[i, j] or D[i] with indices('i j'), not {position!r}")


class Entry(ABC):
    """A number made of entries of matrices; `+`, `-`, `*`, `/`, `**` and `abs` make further ones."""

    @property
    def inner(self) -> tuple[Entry, ...]:
        """The entries that it is made of."""
        return ()

    @abstractmethod
    def at(self, instance: Values, position: At) -> Any:
        """The value in an instance where the indices have the values `position`."""

    @abstractmethod
    def shown(self, notation: Notation) -> str:
        """The formula."""

    @property
    @abstractmethod
    def is_nonnegative(self) -> bool:
        """Whether it is evidently so: made of magnitudes, even powers, and entries of what is positive."""

    def symbols(self) -> set[Symbol]:
        """The symbols that occur."""
        return set().union(*(entry.symbols() for entry in self.inner))

    def expressions(self) -> Iterator[Any]:
        """The expressions whose entries are read, those under a root as roots."""
        for entry in self.inner:
            yield from entry.expressions()

    def range_of(self, index: Index, instance: Values) -> int:
        """How far an index runs: the dimension that it counts; -1 if it does not occur."""
        return max((entry.range_of(index, instance) for entry in self.inner), default=-1)

    def free(self) -> set[Index]:
        """The indices that no sum or maximum in it binds."""
        return set().union(*(entry.free() for entry in self.inner))

    def bound(self) -> set[Index]:
        """The indices of the sums and maxima in it."""
        return set().union(*(entry.bound() for entry in self.inner))

    def counted(self, index: Index) -> set[Dimension]:
        """The dimensions that an index counts."""
        return set().union(*(entry.counted(index) for entry in self.inner))

    def __add__(self, other: Any) -> Entry:
        return Sum(_parts(self) + _parts(as_entry(other)))

    def __radd__(self, other: Any) -> Entry:
        return as_entry(other) + self

    def __sub__(self, other: Any) -> Entry:
        return self + as_entry(other) * -1

    def __mul__(self, other: Any) -> Entry:
        return Product(_factors(self) + _factors(as_entry(other)))

    def __rmul__(self, other: Any) -> Entry:
        return as_entry(other) * self

    def __truediv__(self, other: Any) -> Entry:
        return self * as_entry(other) ** -1

    def __rtruediv__(self, other: Any) -> Entry:
        return as_entry(other) * self**-1

    def __pow__(self, exponent: Any) -> Entry:
        return Product(tuple((f, e * Fraction(exponent)) for f, e in _factors(self)))

    def __abs__(self) -> Entry:
        return Absolute(self)

    def __repr__(self) -> str:
        return self.shown(TEXT)


@dataclass(frozen=True, repr=False)
class Constant(Entry):
    """A rational number."""

    value: Fraction

    def at(self, instance: Values, position: At) -> Any:
        """The number."""
        return self.value if instance.exact else float(self.value)

    def shown(self, notation: Notation) -> str:
        """The number."""
        return notation.number(self.value)

    @property
    def is_nonnegative(self) -> bool:
        """Its sign."""
        return self.value >= 0


@dataclass(frozen=True, repr=False)
class Element(Entry):
    """An entry of an expression; without indices the value of a scalar."""

    expression: Any  # an `Expression`, which is made of this file's `Matrix`
    row: Index | None
    column: Index | None

    def at(self, instance: Values, position: At) -> Any:
        """The entry of the expression's value."""
        value = instance.value(self.expression)
        row = 0 if self.row is None else position[self.row]
        column = 0 if self.column is None else position[self.column]
        return value[row, column]

    def shown(self, notation: Notation) -> str:
        """The expression with its indices: one for columns and diagonal matrices, two for others."""
        expression, row, column = self.expression, self.row, self.column
        one = column is None or (row is column and all(s.kind == "diagonal" for s in expression.symbols()))
        at = "" if row is None else row.name if one or column is None else row.name + column.name
        return notation.indexed(expression.shown(notation), expression.is_compound, at)

    @property
    def is_nonnegative(self) -> bool:
        """Diagonal entries of what is evidently positive semidefinite, and positive scalars."""
        expression = self.expression
        return self.row is self.column and expression.rows == expression.columns and expression.is_sum_of_atoms

    def symbols(self) -> set[Symbol]:
        """Those of the expression."""
        return self.expression.symbols()

    def expressions(self) -> Iterator[Any]:
        """Its own."""
        yield self.expression

    def free(self) -> set[Index]:
        """Those of the row and of the column."""
        return {index for index in (self.row, self.column) if index is not None}

    def counted(self, index: Index) -> set[Dimension]:
        """The rows or the columns of the expression, or both."""
        sides = ((self.row, self.expression.rows), (self.column, self.expression.columns))
        return {size for at, size in sides if at is index}

    def range_of(self, index: Index, instance: Values) -> int:
        """The rows or the columns of the expression."""
        if self.row is index:
            return instance.size(self.expression.rows)
        return instance.size(self.expression.columns) if self.column is index else -1


@dataclass(frozen=True, repr=False)
class Absolute(Entry):
    """A magnitude."""

    body: Entry

    @property
    def is_nonnegative(self) -> bool:
        """Always."""
        return True

    @property
    def inner(self) -> tuple[Entry, ...]:
        """The body."""
        return (self.body,)

    def at(self, instance: Values, position: At) -> Any:
        """The magnitude of the body's value."""
        return abs(self.body.at(instance, position))

    def shown(self, notation: Notation) -> str:
        """The body between bars."""
        return notation.magnitude(self.body.shown(notation))


@dataclass(frozen=True, repr=False)
class Product(Entry):
    """A product of powers. Roots are rounded up to rationals in exact instances."""

    factors: tuple[tuple[Entry, Fraction], ...]

    @property
    def inner(self) -> tuple[Entry, ...]:
        """The factors without exponents."""
        return tuple(factor for factor, _ in self.factors)

    def at(self, instance: Values, position: At) -> Any:
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

    def shown(self, notation: Notation) -> str:
        """A number and a fraction of powers."""
        scale, others = Fraction(1), []
        for factor, exponent in self.factors:
            if isinstance(factor, Constant) and exponent.denominator == 1:
                scale *= factor.value ** int(exponent)
            else:
                others.append((factor, exponent))
        below = [(factor, -exponent) for factor, exponent in others if exponent < 0]
        if len(below) == 1 and below[0][1] == 1:
            bottom = [below[0][0].shown(notation)]
        else:
            bottom = [_power(notation, factor, exponent) for factor, exponent in below]
        return notation.quotient(scale, [_power(notation, f, e) for f, e in others if e > 0], bottom)

    @property
    def is_nonnegative(self) -> bool:
        """Whether every factor is, or has an even exponent."""
        return all(f.is_nonnegative or (e.denominator == 1 and e % 2 == 0) for f, e in self.factors)

    def expressions(self) -> Iterator[Any]:
        """Those of the factors; under a half power, single terms of positive letters as their roots."""
        for factor, exponent in self.factors:
            for expression in factor.expressions():
                has_root = len(expression.terms) == 1 and all(s.positive for s in expression.symbols())
                yield expression ** Fraction(1, 2) if exponent.denominator == 2 and has_root else expression


@dataclass(frozen=True, repr=False)
class Sum(Entry):
    """A sum of entries."""

    parts: tuple[Entry, ...]

    @property
    def inner(self) -> tuple[Entry, ...]:
        """The parts."""
        return self.parts

    def at(self, instance: Values, position: At) -> Any:
        """The sum of the parts' values."""
        return sum(part.at(instance, position) for part in self.parts)

    def shown(self, notation: Notation) -> str:
        """The parts with plus signs."""
        return " + ".join(part.shown(notation) for part in self.parts)

    @property
    def is_nonnegative(self) -> bool:
        """Whether every part is."""
        return all(part.is_nonnegative for part in self.parts)


@dataclass(frozen=True, repr=False)
class Total(Entry):
    """The sum of the body over all values of an index, without the value that the index `without` has."""

    body: Entry
    index: Index
    without: Index | None = None
    sign = "sum"

    def __post_init__(self) -> None:
        if not isinstance(self.index, Index) or not isinstance(self.without, Index | None):
            raise AlgebraError(f"a {self.sign} runs over an index from indices('i j'), not {self.index!r}")
        shown = f"the {self.sign} over {self.index.name} of {self.body}"
        if self.index in self.body.bound():
            raise AlgebraError(f"{shown}: the index {self.index.name} is bound twice, by this {self.sign} and in it")
        if self.index not in self.body.free():
            raise AlgebraError(f"{shown}: the index {self.index.name} does not occur in it")
        if self.without is self.index:
            raise AlgebraError(f"{shown} leaves out every value: {self.index.name} is always {self.index.name}")
        if len(counted := self.body.counted(self.index)) > 1:
            raise AlgebraError(f"{shown}: {self.index.name} counts {' and '.join(sorted(map(str, counted)))}")

    def free(self) -> set[Index]:
        """Those of the body but for its own, and the one that is left out."""
        return (self.body.free() - {self.index}) | ({self.without} if self.without is not None else set())

    def bound(self) -> set[Index]:
        """Those of the body and its own."""
        return self.body.bound() | {self.index}

    @property
    def inner(self) -> tuple[Entry, ...]:
        """The body."""
        return (self.body,)

    def at(self, instance: Values, position: At) -> Any:
        """The sum; zero if nothing is left."""
        values = self._values(instance, position)
        return sum(values) if values else Fraction(0)

    def _values(self, instance: Values, position: At) -> list[Any]:
        apart = None if self.without is None else position.get(self.without)
        left = [k for k in range(self.body.range_of(self.index, instance)) if k != apart]
        return [self.body.at(instance, {**position, self.index: k}) for k in left]

    def shown(self, notation: Notation) -> str:
        """The sign with the index, and the body."""
        without = None if self.without is None else self.without.name
        return notation.over(self.sign, self.index.name, without, self.body.shown(notation))

    @property
    def is_nonnegative(self) -> bool:
        """Whether the body is."""
        return self.body.is_nonnegative


class Largest(Total):
    """The maximum of the body over all values of an index."""

    sign = "max"

    def at(self, instance: Values, position: At) -> Any:
        """The maximum; zero if nothing is left."""
        return max(self._values(instance, position), default=Fraction(0))


def total(body: Any, index: Index, without: Index | None = None) -> Entry:
    """`sum_index body`, without the term in which the index equals `without`.

    Raises `AlgebraError` for an index that is bound already, does not occur, or counts two dimensions.
    """
    return Total(as_entry(body), index, without)


def largest(body: Any, index: Index) -> Entry:
    """`max_index body`; raises `AlgebraError` as `total` does."""
    return Largest(as_entry(body), index)


def as_entry(value: Any) -> Entry:
    """An entry from an entry, a scalar expression or a rational number; raises `AlgebraError` for others."""
    if isinstance(value, Entry):
        return value
    if isinstance(value, Matrix) and (value.rows, value.columns) == (1, 1):
        return Element(value, None, None)
    if isinstance(value, numbers.Rational):
        return Constant(Fraction(value))
    raise AlgebraError(f"{value!r} is no entry of a matrix; write X[i, j]")


def _factors(entry: Entry) -> tuple[tuple[Entry, Fraction], ...]:
    return entry.factors if isinstance(entry, Product) else ((entry, Fraction(1)),)


def _parts(entry: Entry) -> tuple[Entry, ...]:
    return entry.parts if isinstance(entry, Sum) else (entry,)


def _power(notation: Notation, entry: Entry, exponent: Fraction) -> str:
    shown = entry.shown(notation)
    if exponent == Fraction(1, 2):
        return notation.root(shown)
    if isinstance(entry, Sum) or (isinstance(entry, Product) and exponent != 1):
        shown = notation.parenthesised(shown)
    return shown if exponent == 1 else f"{shown}^{notation.exponent(exponent)}"

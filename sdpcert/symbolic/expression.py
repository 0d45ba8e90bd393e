"""Noncommutative polynomials: sums of words in matrix symbols with rational coefficients and powers of scalars.

Nothing here simplifies by search: sums, products and transposes are carried out, and equal terms are collected.
"""

from __future__ import annotations

import itertools
import math
import numbers
from collections.abc import Callable, Mapping
from dataclasses import replace
from fractions import Fraction
from typing import Any

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.entries import Matrix
from sdpcert.symbolic.notation import LATEX, TEXT, Notation
from sdpcert.symbolic.symbols import (
    Definition,
    Dimension,
    Letter,
    Symbol,
    Word,
    canonical,
    transposed,
)

#: Powers of commuting scalars, ordered by name.
Monomial = tuple[tuple[Symbol, Fraction], ...]
Term = tuple[Monomial, Word]


class Expression(Matrix):
    """A matrix of `rows` by `columns` as a sum of terms; immutable.

    `+`, `-` and `@` are those of matrices, `*` multiplies by a number or a scalar expression, `.T` transposes, `**` is
    for scalars, diagonal and positive definite letters (rational exponents) and for squares of any square expression.
    Raises `AlgebraError` if shapes do not fit.
    """

    __array_priority__ = 100
    __slots__ = ("_hash", "columns", "rows", "terms")

    def __init__(self, rows: Dimension, columns: Dimension, terms: Mapping[Term, Fraction]) -> None:
        self.rows, self.columns = rows, columns
        self._hash: int | None = None
        self.terms = {term: c for term, c in _canonical_terms(rows, columns, terms).items() if c}
        for _, word in self.terms:
            if (word[0].rows, word[-1].columns) != (rows, columns) if word else rows != columns:
                raise AlgebraError(f"a term of a {rows} x {columns} expression has another shape")

    # Structure

    @property
    def shape(self) -> tuple[Dimension, Dimension]:
        """Names or numbers of the rows and columns."""
        return self.rows, self.columns

    @property
    def is_scalar(self) -> bool:
        """Whether the expression is made of commuting scalars alone."""
        return self.shape == (1, 1) and not any(word for _, word in self.terms)

    @property
    def symbol(self) -> Symbol:
        """The symbol of an expression that is one letter; raises `AlgebraError` for others."""
        if len(self.terms) == 1:
            ((monomial, word), coefficient) = next(iter(self.terms.items()))
            if coefficient == 1 and not monomial and len(word) == 1 and word[0] == Letter(word[0].symbol):
                return word[0].symbol
            if coefficient == 1 and not word and len(monomial) == 1 and monomial[0][1] == 1:
                return monomial[0][0]
        raise AlgebraError(f"{self} is not a single symbol")

    @property
    def is_sum_of_atoms(self) -> bool:
        """Whether every term is a nonnegative number times u'Su, S the identity or positive."""
        return all(c > 0 and monomial_is_nonnegative(m) and _is_atom(word) for (m, word), c in self.terms.items())

    def symbols(self) -> set[Symbol]:
        """The symbols that occur."""
        return {s for m, _ in self.terms for s, _ in m} | {letter.symbol for _, w in self.terms for letter in w}

    def __bool__(self) -> bool:
        return bool(self.terms)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.shape == other.shape and self.terms == other.terms

    def __hash__(self) -> int:
        if self._hash is None:  # immutable, and looked up again and again
            self._hash = hash((self.shape, frozenset(self.terms.items())))
        return self._hash

    # Arithmetic

    @property
    def T(self) -> Expression:
        """The transpose."""
        terms: dict[Term, Fraction] = {}
        for (monomial, word), coefficient in self.terms.items():
            sign, turned = transposed(word)
            terms[monomial, turned] = terms.get((monomial, turned), Fraction(0)) + sign * coefficient
        return Expression(self.columns, self.rows, terms)

    def __add__(self, other: Any) -> Expression:
        other = as_expression(other, self.shape)
        if self.shape != other.shape:
            raise AlgebraError(f"cannot add {_size(self)} and {_size(other)}: {self} and {other}")
        terms = dict(self.terms)
        for term, coefficient in other.terms.items():
            terms[term] = terms.get(term, Fraction(0)) + coefficient
        return Expression(self.rows, self.columns, terms)

    __radd__ = __add__

    def __neg__(self) -> Expression:
        return self * -1

    def __sub__(self, other: Any) -> Expression:
        return self + -as_expression(other, self.shape)

    def __rsub__(self, other: Any) -> Expression:
        return as_expression(other, self.shape) - self

    def __mul__(self, other: Any) -> Expression:
        if isinstance(other, numbers.Rational):
            return Expression(self.rows, self.columns, {t: c * Fraction(other) for t, c in self.terms.items()})
        if not isinstance(other, Expression):
            return NotImplemented
        scalar, matrix = (self, other) if self.is_scalar else (other, self)
        if not scalar.is_scalar:
            raise AlgebraError(f"* multiplies by scalars; for matrices write @: {self} * {other}")
        terms: dict[Term, Fraction] = {}
        for (first, _), a in scalar.terms.items():
            for (second, word), b in matrix.terms.items():
                term = (multiplied(first, second), word)
                terms[term] = terms.get(term, Fraction(0)) + a * b
        return Expression(matrix.rows, matrix.columns, terms)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Expression:
        if isinstance(other, numbers.Rational):
            return self * (1 / Fraction(other))
        if not isinstance(other, Expression):
            return NotImplemented
        return self * other**-1

    def __rtruediv__(self, other: Any) -> Expression:
        return self**-1 * other

    def __matmul__(self, other: Any) -> Expression:
        if not isinstance(other, Expression):
            return NotImplemented
        if self.columns != other.rows:
            raise AlgebraError(f"cannot multiply {_size(self)} by {_size(other)}: ({self}) @ ({other})")
        terms: dict[Term, Fraction] = {}
        for (first, left), a in self.terms.items():
            for (second, right), b in other.terms.items():
                term = (multiplied(first, second), canonical(left + right))
                terms[term] = terms.get(term, Fraction(0)) + a * b
        return Expression(self.rows, other.columns, terms)

    def __pow__(self, exponent: Any) -> Expression:
        exponent = Fraction(exponent)
        if len(self.terms) == 1:
            ((monomial, word), coefficient) = next(iter(self.terms.items()))
            root = _power(coefficient, exponent)
            # Negative and fractional powers exist for what is positive only.
            whole = exponent.denominator == 1 and exponent > 0
            positive = all(s.positive for s, _ in monomial) and all(letter.symbol.positive for letter in word)
            if root is not None and (whole or positive):
                scaled = tuple((s, e * exponent) for s, e in monomial)
                if not word:
                    return Expression(self.rows, self.columns, {(scaled, ()): root})
                if all(letter.symbol.kind == "diagonal" for letter in word) or (
                    len(word) == 1 and word[0].symbol.has_powers and exponent.denominator == 1
                ):
                    powers = tuple(Letter(x.symbol, False, x.exponent * exponent) for x in word)
                    return Expression(self.rows, self.columns, {(scaled, canonical(powers)): root})
        if exponent.denominator != 1 or exponent < 1:
            raise AlgebraError(f"no power {exponent} of {self}: declare an inverse with inverse(name, expression)")
        result = self
        for _ in range(int(exponent) - 1):
            result = result * self if self.is_scalar else result @ self
        return result

    # Printing

    @property
    def is_compound(self) -> bool:
        """Whether an index needs the expression in parentheses: it has several terms, or one of several letters."""
        return len(self.terms) > 1 or any(len(word) + len(monomial) > 1 for monomial, word in self.terms)

    def shown(self, notation: Notation) -> str:
        """The sum of words."""
        if not self.terms:
            return "0"
        result = ""
        for (monomial, word), coefficient in self.terms.items():
            size = abs(coefficient)
            factors = [notation.number(size)] if size != 1 else []
            factors += [notation.letter(Letter(symbol, False, exponent)) for symbol, exponent in monomial]
            for letter, run in itertools.groupby(word):
                count = len(list(run))
                if count > 1 and letter.transposed:
                    factors.append(f"({notation.letter(letter)})^{count}")
                else:
                    factors.append(
                        notation.letter(Letter(letter.symbol, False, Fraction(count)) if count > 1 else letter)
                    )
            if not word and self.shape != (1, 1):
                factors.append("I")
            sign = "-" if coefficient < 0 else "+"
            part = notation.space.join(factors) if factors else "1"
            result += f" {sign} {part}" if result else f"{'-' if coefficient < 0 else ''}{part}"
        return result

    def __repr__(self) -> str:
        return self.shown(TEXT)

    def _repr_latex_(self) -> str:
        return f"${self.shown(LATEX)}$"


def _canonical_terms(rows: Dimension, columns: Dimension, terms: Mapping[Term, Fraction]) -> dict[Term, Fraction]:
    """Terms with the powers of roots of constants reduced, and with one of x'Wy and y'W'x where both are one number."""
    result: dict[Term, Fraction] = {}
    for (monomial, word), given in terms.items():
        coefficient, kept = given, []
        for symbol, exponent in monomial:
            if symbol.square is not None:
                if exponent.denominator != 1:
                    raise AlgebraError(f"no power {exponent} of {symbol.name}: its square is a number")
                whole, odd = divmod(exponent, 2)
                coefficient *= Fraction(symbol.square) ** int(whole)
                exponent = Fraction(odd)
            if exponent:
                kept.append((symbol, exponent))
        if rows == columns == 1 and word:
            sign, turned = transposed(word)
            if _order(turned) < _order(word):
                word, coefficient = turned, sign * coefficient
            elif turned == word and sign < 0:
                continue
        term = (tuple(kept), word)
        result[term] = result.get(term, Fraction(0)) + coefficient
    return result


def multiplied(first: Monomial, second: Monomial) -> Monomial:
    """The product of two monomials of scalars."""
    powers = dict(first)
    for symbol, exponent in second:
        powers[symbol] = powers.get(symbol, Fraction(0)) + exponent
    return tuple(sorted(((s, e) for s, e in powers.items() if e), key=lambda p: (p[0].name, id(p[0]))))


def monomial_is_nonnegative(monomial: Monomial) -> bool:
    """Whether every factor is a power of a positive scalar, or an even power that exists for zero as well."""
    return all(s.positive or s.square is not None or (e.denominator == 1 and e % 2 == 0 and e > 0) for s, e in monomial)


def _is_atom(word: Word) -> bool:
    sign, turned = transposed(word)
    if turned != word or sign < 0:
        return False
    while len(word) > 1 and not all(letter.symbol.kind == "diagonal" for letter in word):
        sign, mirrored = word[-1].transpose()
        if sign < 0 or mirrored != word[0]:
            return False
        word = word[1:-1]
    if all(letter.symbol.kind == "diagonal" for letter in word):
        return all(
            x.symbol.positive or (x.exponent.denominator == 1 and x.exponent % 2 == 0 and x.exponent > 0) for x in word
        )
    # What is left is one letter that is not diagonal.
    return all(x.symbol.kind == "symmetric" and (x.symbol.positive or x.exponent % 2 == 0) for x in word)


def _order(word: Word) -> tuple[Any, ...]:
    return len(word), *(letter.key for letter in word)


def _power(value: Fraction, exponent: Fraction) -> Fraction | None:
    """The exact power, None if it is not rational."""
    if exponent.denominator == 1:
        return value**exponent.numerator if value or exponent > 0 else None
    if exponent.denominator != 2 or value < 0:
        return None
    top, bottom = math.isqrt(value.numerator), math.isqrt(value.denominator)
    if top**2 != value.numerator or bottom**2 != value.denominator:
        return None
    return Fraction(top, bottom) ** exponent.numerator if top or exponent > 0 else None


def _size(expression: Expression) -> str:
    return f"{expression.rows} x {expression.columns}"


def as_expression(value: Any, shape: tuple[Dimension, Dimension]) -> Expression:
    """A number as a multiple of the identity of that shape (zero has any shape); expressions as they are."""
    if isinstance(value, Expression):
        return value
    if isinstance(value, numbers.Rational):
        if value == 0:
            return zero(*shape)
        if shape == (1, 1):
            return number(value)
        raise AlgebraError(f"a number is no matrix of {shape[0]} x {shape[1]}: write {value} * identity({shape[0]!r})")
    raise AlgebraError(f"{value!r} is no expression; exact numbers are int and Fraction")


# Constructors


def letter(symbol: Symbol) -> Expression:
    """The expression of one symbol."""
    if symbol.kind == "scalar":
        return Expression(1, 1, {(((symbol, Fraction(1)),), ()): Fraction(1)})
    return Expression(symbol.rows, symbol.columns, {((), (Letter(symbol),)): Fraction(1)})


def matrix(
    name: str,
    rows: Dimension,
    columns: Dimension,
    latex: str | None = None,
    definition: Definition | None = None,
    equal_to: Callable[[Expression], list[tuple[Any, Any]]] | None = None,
) -> Expression:
    """A general matrix; `definition` computes it in an instance, `equal_to` gives equalities that it then satisfies."""
    made: Expression = letter(Symbol(name, rows, columns, definition=definition, latex=latex))
    if equal_to is None:
        return made
    made = letter(replace(made.symbol, facts=lambda: equal_to(made)))
    return made


def vector(name: str, rows: Dimension, latex: str | None = None, definition: Definition | None = None) -> Expression:
    """A column."""
    return letter(Symbol(name, rows, 1, definition=definition, latex=latex))


def symmetric(
    name: str, size: Dimension, positive: bool = False, latex: str | None = None, definition: Definition | None = None
) -> Expression:
    """A symmetric matrix; with `positive` positive definite, so that it has an inverse `S**-1`."""
    return letter(Symbol(name, size, size, "symmetric", positive, definition=definition, latex=latex))


def skew(name: str, size: Dimension, latex: str | None = None) -> Expression:
    """A matrix with `S.T == -S`."""
    return letter(Symbol(name, size, size, "skew", latex=latex))


def diagonal(
    name: str,
    size: Dimension,
    positive: bool = True,
    latex: str | None = None,
    definition: Definition | None = None,
    equal_to: Callable[[Expression], list[tuple[Any, Any]]] | None = None,
) -> Expression:
    """A diagonal matrix; with `positive` (the default) its entries are positive and it has rational powers.

    `equal_to` gives equalities that it satisfies, hypotheses of every claim that it occurs in.
    """
    made: Expression = letter(Symbol(name, size, size, "diagonal", positive, definition=definition, latex=latex))
    if equal_to is None:
        return made
    made = letter(replace(made.symbol, facts=lambda: equal_to(made)))
    return made


def scalar(
    name: str, positive: bool = False, latex: str | None = None, definition: Definition | None = None
) -> Expression:
    """A number that is not known."""
    return letter(Symbol(name, 1, 1, "scalar", positive, definition=definition, latex=latex))


#: The square root of two, exactly.
sqrt2 = letter(Symbol("sqrt2", 1, 1, "scalar", True, square=Fraction(2), latex=r"\sqrt2"))


def number(value: Any) -> Expression:
    """A rational number as a scalar expression."""
    return Expression(1, 1, {((), ()): Fraction(value)})


def identity(size: Dimension) -> Expression:
    """The identity matrix."""
    return Expression(size, size, {((), ()): Fraction(1)})


def zero(rows: Dimension, columns: Dimension | None = None) -> Expression:
    """The zero matrix, square where `columns` is left out."""
    return Expression(rows, rows if columns is None else columns, {})

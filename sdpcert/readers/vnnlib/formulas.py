"""Conditions of a file as alternatives: each a conjunction of bounds of inputs and constraints of outputs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from itertools import pairwise

from sdpcert.readers.vnnlib.expressions import Expression, number, shown
from sdpcert.readers.vnnlib.property import Constraint

#: A variable: "X" or "Y", and its number.
Variable = tuple[str, int]
#: Alternatives that a file may have once its conditions are multiplied out, and numbers in all of them.
MAX_ALTERNATIVES, MAX_NUMBERS = 20_000, 20_000_000
COMPARISONS = ("<=", ">=", "<", ">", "=")


@dataclass(frozen=True)
class Linear:
    """`sum of coefficients times variables + constant`."""

    coefficients: Mapping[Variable, Fraction]
    constant: Fraction

    def plus(self, other: Linear, factor: int = 1) -> Linear:
        """The sum with `factor` times another."""
        found = dict(self.coefficients)
        for variable, c in other.coefficients.items():
            found[variable] = found.get(variable, Fraction(0)) + factor * c
        return Linear({v: c for v, c in found.items() if c}, self.constant + factor * other.constant)

    def times(self, factor: Fraction) -> Linear:
        """The product with a number."""
        return Linear({v: factor * c for v, c in self.coefficients.items() if factor}, factor * self.constant)


@dataclass(frozen=True)
class End:
    """A bound of one input: the largest or least number that it may be, not itself if the bound is strict."""

    at: Fraction
    strict: bool

    def tighter_low(self, other: End) -> End:
        """The tighter one of two lower bounds."""
        return max(self, other, key=lambda end: (end.at, end.strict))

    def tighter_high(self, other: End) -> End:
        """The tighter one of two upper bounds."""
        return min(self, other, key=lambda end: (end.at, not end.strict))


@dataclass(frozen=True)
class Alternative:
    """Bounds of inputs by their number, and constraints of outputs, all of which have to hold."""

    low: Mapping[int, End]
    high: Mapping[int, End]
    constraints: tuple[Constraint, ...]

    @property
    def size(self) -> int:
        """How many numbers it has, about."""
        return 1 + len(self.low) + len(self.high) + sum(len(c.coefficients) for c in self.constraints)


#: True, always; and the start of every product of alternatives.
NOTHING = Alternative({}, {}, ())


class Formulas:
    """Reads the conditions of one file; `variable` says which variable a symbol is, None if it is none."""

    def __init__(self, variable: Callable[[str], Variable | None]) -> None:
        self.variable = variable

    def alternatives(self, expression: Expression) -> list[Alternative]:
        """The alternatives of a condition; none of them if it is never true. Raises ValueError for what is no such."""
        if isinstance(expression, str) or not expression or not isinstance(expression[0], str):
            raise ValueError(f"{shown(expression)} is no condition: and, or, <=, >= of sums are read")
        head, parts = expression[0], expression[1:]
        if head == "and":
            return both(self.alternatives(part) for part in parts)
        if head == "or":
            found: list[Alternative] = []
            for part in parts:
                found += self.alternatives(part)
                _check_size(len(found), 0)
            return found
        if head in COMPARISONS:
            if len(parts) < 2:
                raise ValueError(f"{shown(expression)} compares fewer than two terms")
            terms = [self.linear(part) for part in parts]
            return both(self._compared(head, left, right, expression) for left, right in pairwise(terms))
        raise ValueError(f"{head[:40]!r} is not supported in {shown(expression)}: and, or, <=, >=, <, > and = are")

    # ------------------------------------------------------------ terms

    def linear(self, expression: Expression) -> Linear:
        """A term as a linear function of variables; raises ValueError if it is none."""
        if isinstance(expression, str):
            return self._symbol(expression)
        if len(expression) < 2 or not isinstance(expression[0], str):
            raise ValueError(f"{shown(expression)} is no term: sums and products with a constant are read")
        head, terms = expression[0], [self.linear(part) for part in expression[1:]]
        if head == "+":
            return reduce(Linear.plus, terms)
        if head == "-":
            if len(terms) == 1:
                return terms[0].times(Fraction(-1))
            return reduce(lambda one, other: one.plus(other, -1), terms)
        if head == "*":
            return reduce(lambda one, other: _product(one, other, expression), terms)
        if head == "/":
            return reduce(lambda one, other: _quotient(one, other, expression), terms)
        raise ValueError(f"{head[:40]!r} is not supported in {shown(expression)}: +, -, * and / by a constant are")

    def _symbol(self, symbol: str) -> Linear:
        constant = number(symbol)
        if constant is not None:
            return Linear({}, constant)
        variable = self.variable(symbol)
        if variable is None:
            raise ValueError(f"{shown(symbol)} is neither a number nor a declared variable")
        return Linear({variable: Fraction(1)}, Fraction(0))

    # ------------------------------------------------------------ comparisons

    def _compared(self, how: str, left: Linear, right: Linear, whole: Expression) -> list[Alternative]:
        if how == "=":
            return both(self._compared(one, left, right, whole) for one in ("<=", ">="))
        if how in (">=", ">"):
            left, right, how = right, left, how.replace(">", "<")
        difference, strict = left.plus(right, -1), how == "<"
        bound = -difference.constant
        kinds = {kind for kind, _ in difference.coefficients}
        if not kinds:
            return [NOTHING] if (bound > 0 if strict else bound >= 0) else []
        if kinds == {"X", "Y"}:
            raise ValueError(f"{shown(whole)} compares inputs with outputs, which is not supported")
        if kinds == {"Y"}:
            coefficients = tuple(sorted((place, c) for (_, place), c in difference.coefficients.items()))
            return [Alternative({}, {}, (Constraint(coefficients, bound, strict),))]
        if len(difference.coefficients) > 1:
            raise ValueError(f"{shown(whole)} is about several inputs: only boxes of inputs are supported")
        (((_, place), c),) = difference.coefficients.items()
        end = End(bound / c, strict)
        return [Alternative({}, {place: end}, ()) if c > 0 else Alternative({place: end}, {}, ())]


def _product(one: Linear, other: Linear, whole: Expression) -> Linear:
    if one.coefficients and other.coefficients:
        raise ValueError(f"{shown(whole)} multiplies variables: only products with a constant are supported")
    return other.times(one.constant) if other.coefficients else one.times(other.constant)


def _quotient(one: Linear, other: Linear, whole: Expression) -> Linear:
    if other.coefficients or not other.constant:
        raise ValueError(f"{shown(whole)} divides by what is no constant, or by zero")
    return one.times(1 / other.constant)


def both(conditions: Iterable[list[Alternative]]) -> list[Alternative]:
    """The alternatives of a conjunction, multiplied out; raises ValueError if there are too many."""
    common, several = apart(conditions)
    if several is None:
        return []
    _check_size(len(several), sum(a.size for a in several) + common.size * len(several))
    return several if common is NOTHING else [together([common, one]) for one in several]


def apart(conditions: Iterable[list[Alternative]]) -> tuple[Alternative, list[Alternative] | None]:
    """What all alternatives of a conjunction have in common, and what each adds; None if it is never true."""
    alone: list[Alternative] = []
    several: list[list[Alternative]] = []
    impossible = False
    for found in conditions:
        impossible |= not found
        alone += found if len(found) == 1 else []
        several += [found] if len(found) > 1 else []
    product = [NOTHING]
    for found in several:
        numbers = sum(a.size for a in product) * len(found) + sum(a.size for a in found) * len(product)
        _check_size(len(product) * len(found), numbers)
        product = found if len(product) == 1 else [together([one, other]) for one in product for other in found]
    return together(alone) if alone else NOTHING, None if impossible else product


def together(alternatives: list[Alternative]) -> Alternative:
    """All of some alternatives at once."""
    if len(alternatives) == 1:
        return alternatives[0]
    low: dict[int, End] = {}
    high: dict[int, End] = {}
    constraints: list[Constraint] = []
    for alternative in alternatives:
        for place, end in alternative.low.items():
            low[place] = low[place].tighter_low(end) if place in low else end
        for place, end in alternative.high.items():
            high[place] = high[place].tighter_high(end) if place in high else end
        constraints += alternative.constraints
    return Alternative(low, high, tuple(constraints))


def _check_size(count: int, numbers: int) -> None:
    if count > MAX_ALTERNATIVES or numbers > MAX_NUMBERS:
        raise ValueError(
            f"its conditions have more than {MAX_ALTERNATIVES} alternatives, or {MAX_NUMBERS} numbers, multiplied out"
        )

"""Targets that are polynomials in one symmetric matrix whose spectrum is known to lie in an interval."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction

from sdpcert.symbolic.claim import Statement
from sdpcert.symbolic.expression import Expression, identity, zero
from sdpcert.symbolic.steps.polynomial import Polynomial
from sdpcert.symbolic.steps.sandwiches import Sandwiches
from sdpcert.symbolic.steps.step import Known, Step
from sdpcert.symbolic.symbols import Letter, Word

#: The highest power.
MOST_POWERS = 60


def polynomial_in_one_matrix(target: Statement, known: Known) -> list[Step] | None:
    """Steps for `p(S) >= 0` where p is nonnegative on an interval that S is known to lie in; None without."""
    matrix = known.normal(target.matrix)
    if len(matrix.row_sizes) != 1 or matrix.row_sizes != matrix.column_sizes:
        return None
    expression = matrix.entries[0][0]
    if any(monomial for monomial, _ in expression.terms):
        return None
    words = [word for _, word in expression.terms if word]
    if not words:
        return None
    for base in _bases(words):
        S = _word(base, expression)
        coefficients = _coefficients(expression, S, known)
        if coefficients is None or not known.is_zero(S - S.T):
            continue
        for low, high in _intervals(S, known):
            step = Polynomial(coefficients, S, low, high)
            made = step.derive(known)
            if known.is_zero(made.matrix - matrix):
                return [step, Sandwiches(target, made.matrix.entries[0][0])]
    return None


def _bases(words: list[Word]) -> list[Word]:
    """The words of which all may be powers: one letter, or the shortest word."""
    letters = {x.symbol for word in words for x in word}
    shortest = min(words, key=_letters)
    return [(Letter(next(iter(letters))),), shortest] if len(letters) == len(shortest) == 1 else [shortest]


def _coefficients(expression: Expression, S: Expression, known: Known) -> list[Fraction] | None:
    """Those of the powers of S, the constant first; None if there is something else."""
    rest, power, found = expression, identity(S.rows), []
    ((_, own),) = S.terms
    for _ in range(int(max(_letters(word) for _, word in expression.terms) / _letters(own)) + 1):
        if len(power.terms) != 1 or len(found) > MOST_POWERS:
            return None
        ((term, scale),) = power.terms.items()
        coefficient = rest.terms.get(term, Fraction(0)) / scale
        found.append(coefficient)
        rest = rest - power * coefficient
        power = known.normal(power @ S).entries[0][0]
    return None if rest else found


def _intervals(S: Expression, known: Known) -> Iterator[tuple[Fraction, Fraction | None]]:
    """Intervals that the spectrum is known to lie in, small ones first."""
    lows, highs = [], []
    for fact in known.facts:
        if fact.row_sizes != (S.rows,):
            continue
        for sign, ends in ((1, lows), (-1, highs)):
            scale = fact.entries[0][0].terms.get(next(iter(S.terms)), Fraction(0)) * sign
            if scale > 0:
                rest = known.normal(fact.entries[0][0] - S * (sign * scale)).entries[0][0]
                constant = rest.terms.get(((), ()), Fraction(0))
                if rest == identity(S.rows) * constant:
                    ends.append(-sign * constant / scale)
    if S.is_sum_of_atoms:
        lows.append(Fraction(0))
    if lows:
        yield max(lows), min(highs, default=None)


def _letters(word: Word) -> Fraction:
    return sum((abs(x.exponent) for x in word), Fraction(0))


def _word(word: Word, like: Expression) -> Expression:
    return zero(like.rows) + Expression(like.rows, like.columns, {((), word): Fraction(1)})

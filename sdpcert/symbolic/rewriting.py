"""Normal forms modulo equalities: each equality becomes a rule that replaces a word, and overlaps add further ones.

Every rule is a consequence of the given equalities, so a difference that rewrites to nothing is zero. The converse
holds only as far as the rules were completed, which is bounded: true equalities may go unseen, false ones do not pass.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, NamedTuple

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.expression import Expression, Monomial, multiplied
from sdpcert.symbolic.symbols import Dimension, Word, canonical, transposed

#: Bounds: rules, letters of a rule, steps of one reduction, letters of a word in it.
MOST_RULES = 120
LONGEST = 8
MOST_STEPS = 20_000
LONGEST_WORD = 60


@dataclass(frozen=True, eq=False)
class Equality:
    """`expression = 0`, and where that comes from: the `entry` (statement, row, column), or else the sum of `uses`."""

    expression: Expression
    entry: tuple[int, int, int] | None = None
    uses: tuple[Use, ...] = ()


class Use(NamedTuple):
    """`coefficient * monomial * left * E * right` for an equality E, transposed or not."""

    coefficient: Fraction
    monomial: Monomial
    left: Word
    equality: Equality
    transposed: bool
    right: Word

    def scaled(self, coefficient: Fraction, monomial: Monomial = ()) -> Use:
        """A multiple."""
        return self._replace(coefficient=self.coefficient * coefficient, monomial=multiplied(self.monomial, monomial))


class Rules:
    """Rewriting rules made of equalities; `normal` brings an expression or a block matrix to its normal form.

    `rules` has the equality `word - replacement = 0` for each word that is replaced, `numbers` that for each monomial
    of scalars, such as `a b - b + 1 = 0` for an inverse b of 1 - a.
    """

    def __init__(self, equalities: Iterable[Equality]) -> None:
        self.rules: dict[Word, Equality] = {}
        self.replacements: dict[Word, Expression] = {}
        pending: list[tuple[int, int, Expression, Sequence[Use]]] = []
        ages = itertools.count()

        def take_up(expression: Expression, *origin: Use, size: int | None = None) -> None:
            heapq.heappush(pending, (_size(expression) if size is None else size, next(ages), expression, origin))

        self.numbers: dict[Monomial, Equality] = {}
        for equality in equalities:
            if equality.expression.is_scalar:
                self.numbers.update(_oriented_numbers(equality))
            else:
                take_up(equality.expression, _use(equality))
        while pending and len(self.rules) < MOST_RULES:
            *_, expression, origin = heapq.heappop(pending)
            difference, uses = self.traced(expression)
            made = _oriented(difference)
            if made is None:
                continue
            word, factor = made
            # Rules that the new one shortens are taken up again.
            for old in [w for w in self.rules if _position(w, word) is not None]:
                del self.replacements[old]
                equality = self.rules.pop(old)
                take_up(equality.expression, _use(equality))
            ((scalars, _), scale) = next(iter(factor.terms.items()))
            traces = [*origin, *(use.scaled(Fraction(-1)) for use in uses)]
            rule = Equality(difference * factor, uses=tuple(use.scaled(scale, scalars) for use in traces))
            self.rules[word] = rule
            self.replacements[word] = _of(word, difference) - rule.expression
            # The transpose comes next, whatever its size: it is as simple as the rule itself.
            take_up(rule.expression.T, _use(rule)._replace(transposed=True), size=0)
            for old in list(self.rules):
                overlaps = self._overlaps(old, word)
                for other, *parents in overlaps if old == word else overlaps + self._overlaps(word, old):
                    take_up(other, *parents)

    @property
    def equalities(self) -> list[Equality]:
        """All rules, those of scalars first."""
        return [*self.numbers.values(), *self.rules.values()]

    def normal(self, value: Any) -> Any:
        """The normal form; raises `AlgebraError` if reductions do not end."""
        if isinstance(value, Block):
            return value.map(self.normal)
        return self.traced(value)[0] if self.rules or self.numbers else value

    def traced(self, value: Expression) -> tuple[Expression, list[Use]]:
        """The normal form, and the uses whose sum with it is the value; raises `AlgebraError` as `normal`."""
        done: dict[tuple[Monomial, Word], Fraction] = {}
        uses: list[Use] = []
        waiting = dict(value.terms)
        for _ in range(MOST_STEPS):
            if not waiting:
                return Expression(value.rows, value.columns, done), uses
            (monomial, word), coefficient = waiting.popitem()
            found = self._match(word)
            if found is None:
                number = next((n for n in self.numbers if _divides(n, monomial)), None)
                if number is None:
                    done[monomial, word] = done.get((monomial, word), Fraction(0)) + coefficient
                    continue
                rest = multiplied(monomial, _inverted(number))
                uses.append(Use(coefficient, rest, (), self.numbers[number], False, word))
                for (scalars, _), c in self.numbers[number].expression.terms.items():
                    if scalars != number:
                        _add(waiting, (multiplied(rest, scalars), word), -coefficient * c)
                continue
            position, rule = found
            if len(word) > LONGEST_WORD:
                break
            before, after = word[:position], word[position + len(rule) :]
            uses.append(Use(coefficient, monomial, before, self.rules[rule], False, after))
            for (scalars, middle), c in self.replacements[rule].terms.items():
                _add(waiting, (multiplied(monomial, scalars), canonical(before + middle + after)), coefficient * c)
        raise AlgebraError("rewriting does not end: orient the equalities so that they shorten")

    def _match(self, word: Word) -> tuple[int, Word] | None:
        for rule in self.rules:
            position = _position(word, rule)
            if position is not None:
                return position, rule
        return None

    def _overlaps(self, first: Word, second: Word) -> list[tuple[Any, ...]]:
        """Differences of the two ways to rewrite a word that ends with `second` and begins with `first`, with uses."""
        found = []
        for shared in range(1, min(len(first), len(second)) + 1):
            if first[-shared:] != second[:shared] or (shared == len(first) == len(second)):
                continue
            if len(first) + len(second) - shared > LONGEST:
                continue
            head, tail = first[:-shared], second[shared:]
            left = self.replacements[first] @ _word(tail, self.replacements[first].columns)
            right = _word(head, None, self.replacements[second].rows) @ self.replacements[second]
            by_first = _use(self.rules[first])._replace(coefficient=Fraction(-1), right=tail)
            found.append((left - right, by_first, _use(self.rules[second])._replace(left=head)))
        return found


def _add(terms: dict[tuple[Monomial, Word], Fraction], term: tuple[Monomial, Word], coefficient: Fraction) -> None:
    terms[term] = terms.get(term, Fraction(0)) + coefficient
    if not terms[term]:
        del terms[term]


def _oriented_numbers(equality: Equality) -> dict[Monomial, Equality]:
    """The equality between scalars by its monomial of the highest degree, with the coefficient one there.

    Nothing if it has powers that are not whole and positive, of which none is the highest.
    """
    terms = {monomial: c for (monomial, _), c in equality.expression.terms.items()}
    if any(e < 0 or e.denominator != 1 or s.square is not None for monomial in terms for s, e in monomial):
        return {}
    greatest = max(terms, key=_degree, default=())
    if not greatest:
        return {}
    scale = 1 / terms[greatest]
    return {greatest: Equality(equality.expression * scale, uses=(_use(equality).scaled(scale),))}


def _degree(monomial: Monomial) -> tuple[Any, ...]:
    """Monomials are compared by their degree, then by the names and powers of their scalars."""
    return sum(e for _, e in monomial), [(s.name, e) for s, e in monomial]


def _divides(part: Monomial, monomial: Monomial) -> bool:
    powers = dict(monomial)
    return all(powers.get(s, Fraction(0)) >= e for s, e in part)


def _inverted(monomial: Monomial) -> Monomial:
    return tuple((s, -e) for s, e in monomial)


def _use(equality: Equality) -> Use:
    """The equality itself."""
    return Use(Fraction(1), (), (), equality, False, ())


def _word(word: Word, rows: Dimension | None, columns: Dimension | None = None) -> Expression:
    """A word as an expression; an empty one is the identity of the dimension that is given."""
    if word:
        return Expression(word[0].rows, word[-1].columns, {((), word): Fraction(1)})
    size = rows if rows is not None else columns
    assert size is not None
    return Expression(size, size, {((), ()): Fraction(1)})


def _of(word: Word, like: Expression) -> Expression:
    return Expression(like.rows, like.columns, {((), word): Fraction(1)})


def _size(expression: Expression) -> int:
    return sum(1 + sum(max(1, math.ceil(abs(x.exponent))) for x in word) for _, word in expression.terms)


def _position(word: Word, part: Word) -> int | None:
    for k in range(len(word) - len(part) + 1):
        if word[k : k + len(part)] == part:
            return k
    return None


def _oriented(difference: Expression) -> tuple[Word, Expression] | None:
    """The greatest word that stands alone with one monomial, and the scalar that brings it to the coefficient one."""
    if not difference.terms:
        return None
    by_word: dict[Word, list[tuple[Monomial, Fraction]]] = {}
    for (monomial, word), coefficient in difference.terms.items():
        by_word.setdefault(word, []).append((monomial, coefficient))
    greatest = max(by_word, key=_weight)
    if not greatest:
        raise AlgebraError("an equality between scalars cannot be used as a rule; use it to define one of them")
    scalars = by_word[greatest]
    if len(scalars) > 1 or any(not s.positive and s.square is None for s, _ in scalars[0][0]):
        return None
    (monomial, coefficient) = scalars[0]
    return greatest, Expression(1, 1, {(monomial, ()): coefficient}) ** -1


def _weight(word: Word) -> tuple[Any, ...]:
    """Words are compared by length, then by the names of the letters; a word and its transpose count the same at first.

    So an equality and its transpose become rules that are transposes of each other.
    """
    own, turned = _keys(word), _keys(transposed(word)[1])
    return len(word), min(own, turned), own


def _keys(word: Word) -> tuple[Any, ...]:
    return tuple(letter.key for letter in word)

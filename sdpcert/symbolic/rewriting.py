"""Normal forms modulo equalities: each equality becomes a rule that replaces a word, and overlaps add further ones.

Every rule is a consequence of the given equalities, so a difference that rewrites to nothing is zero. The converse
holds only as far as the rules were completed, which is bounded: true equalities may go unseen, false ones do not pass.
"""

from __future__ import annotations

import heapq
import itertools
import math
from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.expression import Expression, Monomial, multiplied
from sdpcert.symbolic.symbols import Dimension, Word, canonical, transposed

#: Bounds: rules, letters of a rule, steps of one reduction, letters of a word in it.
MOST_RULES = 120
LONGEST = 8
MOST_STEPS = 20_000
LONGEST_WORD = 60


class Rules:
    """Rewriting rules made of equalities; `normal` brings an expression or a block matrix to its normal form."""

    def __init__(self, equalities: Iterable[tuple[Expression, Expression]]) -> None:
        self.rules: dict[Word, Expression] = {}
        pending: list[tuple[int, int, Expression]] = []
        ages = itertools.count()

        def take_up(expression: Expression) -> None:
            heapq.heappush(pending, (_size(expression), next(ages), expression))

        for left, right in equalities:
            take_up(left - right)
        while pending and len(self.rules) < MOST_RULES:
            difference = self.normal(heapq.heappop(pending)[2])
            made = _oriented(difference)
            if made is None:
                continue
            word, replacement = made
            # Rules that the new one shortens are taken up again.
            for old in [w for w in self.rules if _position(w, word) is not None]:
                take_up(_of(old, self.rules[old]) - self.rules.pop(old))
            self.rules[word] = replacement
            # The transpose comes next, whatever its size: it is as simple as the rule itself.
            heapq.heappush(pending, (0, next(ages), difference.T))
            for old in list(self.rules):
                overlaps = self._overlaps(old, word)
                for expression in overlaps if old == word else overlaps + self._overlaps(word, old):
                    take_up(expression)

    def normal(self, value: Any) -> Any:
        """The normal form; raises `AlgebraError` if reductions do not end."""
        if isinstance(value, Block):
            return value.map(self.normal)
        if not self.rules:
            return value
        done: dict[tuple[Monomial, Word], Fraction] = {}
        waiting = dict(value.terms)
        for _ in range(MOST_STEPS):
            if not waiting:
                return Expression(value.rows, value.columns, done)
            (monomial, word), coefficient = waiting.popitem()
            found = self._match(word)
            if found is None:
                done[monomial, word] = done.get((monomial, word), Fraction(0)) + coefficient
                continue
            position, rule = found
            if len(word) > LONGEST_WORD:
                break
            before, after = word[:position], word[position + len(rule) :]
            for (scalars, middle), c in self.rules[rule].terms.items():
                term = (multiplied(monomial, scalars), canonical(before + middle + after))
                waiting[term] = waiting.get(term, Fraction(0)) + coefficient * c
                if not waiting[term]:
                    del waiting[term]
        raise AlgebraError("rewriting does not end: orient the equalities so that they shorten")

    def _match(self, word: Word) -> tuple[int, Word] | None:
        for rule in self.rules:
            position = _position(word, rule)
            if position is not None:
                return position, rule
        return None

    def _overlaps(self, first: Word, second: Word) -> list[Expression]:
        """Differences of the two ways to rewrite a word that ends with `second` and begins with `first`."""
        found = []
        for shared in range(1, min(len(first), len(second)) + 1):
            if first[-shared:] != second[:shared] or (shared == len(first) == len(second)):
                continue
            if len(first) + len(second) - shared > LONGEST:
                continue
            head, tail = first[:-shared], second[shared:]
            left = self.rules[first] @ _word(tail, self.rules[first].columns)
            right = _word(head, None, self.rules[second].rows) @ self.rules[second]
            found.append(left - right)
        return found


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
    """The greatest word that stands alone with one monomial, and what it is equal to."""
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
    factor = Expression(1, 1, {(monomial, ()): coefficient}) ** -1
    rest = Expression(
        difference.rows, difference.columns, {(m, w): c for (m, w), c in difference.terms.items() if w != greatest}
    )
    return greatest, rest * factor * -1


def _weight(word: Word) -> tuple[Any, ...]:
    """Words are compared by length, then by the names of the letters; a word and its transpose count the same at first.

    So an equality and its transpose become rules that are transposes of each other.
    """
    own, turned = _keys(word), _keys(transposed(word)[1])
    return len(word), min(own, turned), own


def _keys(word: Word) -> tuple[Any, ...]:
    return tuple(letter.key for letter in word)

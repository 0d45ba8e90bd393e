"""Normal forms modulo equalities: each equality becomes a rule that replaces a word, and overlaps add further ones.

Every rule is a consequence of the given equalities, so a difference that rewrites to nothing is zero. The converse
holds only as far as the rules were completed, which is bounded: true equalities may go unseen, false ones do not pass.
"""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction
from typing import Any

from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.expression import AlgebraError, Expression, Monomial, multiplied
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
        pending = [left - right for left, right in equalities]
        while pending and len(self.rules) < MOST_RULES:
            pending.sort(key=_size, reverse=True)
            difference = self.normal(pending.pop())
            made = _oriented(difference)
            if made is None:
                continue
            word, replacement = made
            # Rules that the new one shortens are taken up again.
            for old in [w for w in self.rules if _position(w, word) is not None]:
                pending.append(_of(old, self.rules[old]) - self.rules.pop(old))
            self.rules[word] = replacement
            pending.append(difference.T)
            for old in list(self.rules):
                pending += self._overlaps(old, word)
                if old != word:
                    pending += self._overlaps(word, old)

    def normal(self, value: Any) -> Any:
        """The normal form; raises `AlgebraError` where reductions do not end."""
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
    return sum(1 + len(word) for _, word in expression.terms)


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
    """Words are compared by length, then transposes and later names are greater."""
    backward = transposed(word)[1]
    letters = tuple((letter.transposed, letter.key) for letter in word)
    return len(word), letters, tuple(letter.key for letter in backward)

"""Words that the outer factors V of sandwiches V'SV are made of, and the evident S between them.

The words of a column of the target are the ends of the target's own words there, a letter with powers also halved; with
more `reach` they are multiplied from the left by the letters of the problem.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator, Sequence
from fractions import Fraction

from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.expression import Expression, identity, letter
from sdpcert.symbolic.symbols import Dimension, Letter, Symbol, Word, canonical

#: Words of a column; diagonal letters of a size of which products are formed; letters of a word.
MOST_WORDS = 60
MOST_DIAGONALS = 3
LONGEST = 9


def words_of(target: Block, symbols: Iterable[Symbol], reach: int) -> list[list[Word]]:
    """The words for every column of the target, short ones first."""
    letters = _letters(symbols)
    found = []
    for k, size in enumerate(target.column_sizes):
        words: dict[Word, None] = {(): None}
        for row in target.entries:
            for _, word in row[k].terms:
                words.update(dict.fromkeys(_ends(word)))
        # A definite block C across which B stands is completed to a square with C^-1 B.
        for word in list(words):
            rows = word[0].rows if word else size
            for inverse in letters:
                if inverse.exponent == -1 and inverse.columns == rows:
                    words[canonical((inverse, *word))] = None
        for _ in range(reach):
            for word in list(words):
                rows = word[0].rows if word else size
                longer = [canonical((x, *word)) for x in letters if x.columns == rows]
                words.update((w, None) for w in longer if len(w) <= LONGEST)
        ordered = sorted(words, key=lambda w: (_length(w), [x.key for x in w]))
        found.append(ordered[:MOST_WORDS])
    return found


def atoms_of(target: Block, symbols: Iterable[Symbol], words: Sequence[Iterable[Word]]) -> list[Expression]:
    """What is evidently positive semidefinite: identities, definite letters, products of positive diagonal ones.

    Even powers are left to the words.
    """
    sizes: dict[Dimension, None] = dict.fromkeys(target.column_sizes)
    for word in itertools.chain.from_iterable(words):
        sizes.update((x.rows, None) for x in word)
    found = [identity(size) for size in sizes]
    by_size: dict[Dimension, list[Symbol]] = {}
    for symbol in sorted((s for s in symbols if s.positive), key=lambda s: s.name):
        if symbol.kind == "symmetric" and symbol.rows in sizes:
            found.append(letter(symbol))
        elif symbol.kind == "diagonal" and symbol.rows in sizes:
            by_size.setdefault(symbol.rows, []).append(symbol)
    for size, group in by_size.items():
        for count in range(1, min(len(group), MOST_DIAGONALS) + 1):
            for chosen in itertools.combinations(group, count):
                word = canonical(tuple(Letter(s) for s in chosen))
                found.append(Expression(size, size, {((), word): Fraction(1)}))
    return found


def _letters(symbols: Iterable[Symbol]) -> list[Letter]:
    """The letters of a problem with their transposes and inverses."""
    found = []
    for symbol in sorted((s for s in symbols if s.kind != "scalar"), key=lambda s: s.name):
        found.append(Letter(symbol))
        if not symbol.equals_transpose and symbol.kind != "skew":
            found.append(Letter(symbol, True))
        if symbol.positive and symbol.has_powers:
            found.append(Letter(symbol, False, Fraction(-1)))
    return found


def _ends(word: Word) -> Iterator[Word]:
    """What stands right of every place of a word, with half of a power at the place."""
    for place in range(len(word) + 1):
        yield word[place:]
        if place < len(word) and word[place].symbol.has_powers:
            half, rest = word[place].exponent / 2, word[place + 1 :]
            for exponent in {math.floor(half), math.ceil(half)} - {0}:
                yield canonical((Letter(word[place].symbol, False, Fraction(exponent)), *rest))


def degree(matrix: Block) -> Fraction:
    """The most letters of a word, inverses counted negatively; at least 0."""
    words = (word for row in matrix.entries for entry in row for _, word in entry.terms)
    return max((letters_of(word) for word in words), default=Fraction(0))


def letters_of(word: Word) -> Fraction:
    """The letters of a word, inverses counted negatively."""
    return sum((-x.exponent if _is_inverse(x.symbol) else x.exponent for x in word), Fraction(0))


def _is_inverse(symbol: Symbol) -> bool:
    return isinstance(symbol.formula, tuple) and symbol.formula[0] == "inverse"


def _length(word: Word) -> int:
    return sum(max(1, math.ceil(abs(x.exponent))) for x in word)

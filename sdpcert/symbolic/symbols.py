"""Symbols of the algebra: matrices, vectors and scalars of which only declared properties are known.

Every constructor returns an `Expression` of one letter. A symbol also says how instances of it are drawn, so that a
claim can be tried on exact numbers: a free symbol gets random rationals of its kind, a defined one (an inverse, a rule
for a diagonal, a bound) is computed from the others by its `definition`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

#: A dimension: a name, drawn anew for every instance, or a number.
Dimension = str | int
#: What computes a symbol's value, an array, from the `Instance` that asks for it.
Definition = Callable[[Any], Any]


@dataclass(frozen=True, eq=False)
class Symbol:
    """A letter of the algebra; two symbols are the same only if they are the same object.

    `kind` is general, symmetric, skew, diagonal or scalar. `positive` declares entries (diagonal, scalar) or the whole
    matrix (symmetric) positive, which makes powers available. `square` is the value of a scalar's square, for roots of
    rational constants. `definition` computes the symbol in an instance; `latex` is how it is printed. `facts` returns
    what the definition brings along: pairs of expressions that are equal.
    """

    name: str
    rows: Dimension
    columns: Dimension
    kind: str = "general"
    positive: bool = False
    square: Fraction | None = None
    definition: Definition | None = None
    latex: str | None = None
    facts: Callable[[], list[tuple[Any, Any]]] = field(default=list)
    #: The expression or entry formula that the definition computes, for printing and for steps that read it.
    formula: Any = None

    def __repr__(self) -> str:
        return self.name

    @property
    def is_sampled(self) -> bool:
        """Whether its definition only chooses instances: the symbol stands for everything of its kind.

        A formula says what a symbol is, and so does a definition with a `meaning` for proof objects; others, closures
        of an author's, are samplers, and a proof knows nothing of them.
        """
        return self.definition is not None and self.formula is None and not hasattr(self.definition, "meaning")

    @property
    def is_free(self) -> bool:
        """Whether nothing but its kind is known of it."""
        return self.definition is None and self.formula is None and self.square is None and not self.facts()

    @property
    def has_powers(self) -> bool:
        """Whether powers of the symbol are letters of their own."""
        return self.kind in ("diagonal", "scalar") or (self.kind == "symmetric" and self.positive)

    @property
    def equals_transpose(self) -> bool:
        """Whether the transpose is the symbol itself."""
        return self.kind in ("diagonal", "symmetric", "scalar")


@dataclass(frozen=True)
class Letter:
    """A symbol in a word: transposed, or raised to a power."""

    symbol: Symbol
    transposed: bool = False
    exponent: Fraction = Fraction(1)

    def __hash__(self) -> int:
        # The hash of a fraction takes a power modulo a prime, and letters are looked up all the time.
        return hash((id(self.symbol), self.transposed, self.exponent.numerator, self.exponent.denominator))

    @property
    def rows(self) -> Dimension:
        """The dimension on the left."""
        return self.symbol.columns if self.transposed else self.symbol.rows

    @property
    def columns(self) -> Dimension:
        """The dimension on the right."""
        return self.symbol.rows if self.transposed else self.symbol.columns

    @property
    def key(self) -> tuple[str, bool, Fraction]:
        """What words are ordered by."""
        return (self.symbol.name, self.transposed, self.exponent)

    def transpose(self) -> tuple[int, Letter]:
        """The sign and the letter of the transpose."""
        if self.symbol.equals_transpose:
            return 1, self
        if self.symbol.kind == "skew":
            return -1, self
        return 1, Letter(self.symbol, not self.transposed)


Word = tuple[Letter, ...]


def canonical(word: Word) -> Word:
    """The word with neighbouring powers merged and neighbouring diagonal letters, which commute, in order."""
    letters: list[Letter] = []
    for letter in word:
        letters.append(letter)
        while len(letters) > 1:
            before, last = letters[-2], letters[-1]
            if last.symbol is before.symbol and last.symbol.has_powers:
                exponent = before.exponent + last.exponent
                del letters[-2:]
                if exponent:
                    letters.append(Letter(last.symbol, False, exponent))
            break
        # A diagonal letter moves left past the diagonal letters that come after it in the alphabet.
        k = len(letters) - 1
        while k > 0 and _commute(letters[k - 1], letters[k]):
            before, last = letters[k - 1], letters[k]
            if before.symbol is last.symbol:
                exponent = before.exponent + last.exponent
                letters[k - 1 : k + 1] = [Letter(last.symbol, False, exponent)] if exponent else []
                break
            if before.symbol.name <= last.symbol.name:
                break
            letters[k - 1], letters[k] = last, before
            k -= 1
    result = tuple(letters)
    return result if result == word else canonical(result)


def _commute(a: Letter, b: Letter) -> bool:
    return a.symbol.kind == "diagonal" and b.symbol.kind == "diagonal"


def transposed(word: Word) -> tuple[int, Word]:
    """The sign and the word of the transpose."""
    sign, letters = 1, []
    for letter in reversed(word):
        s, t = letter.transpose()
        sign *= s
        letters.append(t)
    return sign, canonical(tuple(letters))

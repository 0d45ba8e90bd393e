"""Statements and claims: what is given, and what is to be shown, for all values of the symbols.

A statement is about one expression or block matrix: it is positive semidefinite, or it is zero.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.blocks import Block, as_block
from sdpcert.symbolic.entries import Entry
from sdpcert.symbolic.exact import indefinite, is_zero
from sdpcert.symbolic.expression import Expression, Term, letter
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.notation import TEXT, Notation
from sdpcert.symbolic.printing import latex_defect
from sdpcert.symbolic.rewriting import Equality, Rules
from sdpcert.symbolic.symbols import Symbol, Word


@dataclass(frozen=True)
class Statement:
    """`matrix >= 0` (kind "positive": symmetric and positive semidefinite) or `matrix = 0` (kind "zero").

    `left` and `right` are how the statement is printed, `reason` says where it comes from. `written` prints it with
    names for its parts (`sdpcert.symbolic.written`).
    """

    matrix: Block
    kind: str
    left: Any = None
    right: Any = None
    reason: str = ""
    written: Any = None

    def __post_init__(self) -> None:
        if self.left is not None:
            right = 0 if self.right is None else self.right
            if as_block(self.left).minus(right) != self.matrix:
                raise AlgebraError(f"a statement is printed as {self.left} and {right}, but it is about {self.matrix}")

    def holds(self, instance: Instance) -> bool:
        """Whether it is true in an exact instance."""
        value = instance.value(self.matrix)
        if self.kind == "zero":
            return is_zero(value)
        return bool(np.all(value == value.T)) and indefinite(value) is None

    def shown(self, notation: Notation) -> str:
        """Both sides; as `written` if the notation has names for parts."""
        if notation.named and self.written is not None:
            return self.written.statement.shown(notation)
        number = self.matrix.row_sizes == self.matrix.column_sizes == (1,)
        sign = "=" if self.kind == "zero" else notation.at_least(number)
        left = self.matrix if self.left is None else self.left
        right = 0 if self.right is None else self.right
        shown = notation.number(Fraction(right)) if isinstance(right, int | Fraction) else right.shown(notation)
        return f"{left.shown(notation)} {sign} {shown}"

    def equalities(self, number: int) -> list[Equality]:
        """The entries of a matrix that is zero, as the statement with that number."""
        entries = ((i, k, entry) for i, row in enumerate(self.matrix.entries) for k, entry in enumerate(row))
        return [Equality(e, (number, i, k)) for i, k, e in entries if e.terms]

    def __repr__(self) -> str:
        return self.shown(TEXT)


def positive(left: Any, right: Any = 0, reason: str = "") -> Statement:
    """`left >= right` in the Loewner order; both are expressions or block matrices, or `right` is 0."""
    return Statement(as_block(left).minus(right), "positive", left, right, reason)


def equal(left: Any, right: Any = 0, reason: str = "") -> Statement:
    """`left = right`."""
    stated = positive(left, right, reason)
    return replace(stated, kind="zero")


@dataclass(frozen=True)
class Claim:
    """`given` implies `show`, for all values and dimensions of the symbols.

    `text` says it in words (LaTeX allowed). `sizes` fixes dimensions of instances by name, with numbers or functions of
    the other sizes; others are drawn from 1 to 5.
    """

    name: str
    show: Statement
    given: Sequence[Statement] = ()
    text: str = ""
    sizes: dict[str, Any] = field(default_factory=dict)
    #: What is evaluated besides, such as a layer's maps; instances give rational roots for these too.
    also: Sequence[Expression] = ()

    def __post_init__(self) -> None:
        if not isinstance(self.show, Statement):
            raise AlgebraError(
                f"{self.name}: a claim shows a statement, positive(...) or equal(...), not {self.show!r}"
            )
        if isinstance(self.given, Statement) or not all(isinstance(s, Statement) for s in self.given):
            raise AlgebraError(f"{self.name}: what is given is a list of statements, [positive(...), equal(...)]")
        if (wrong := latex_defect(self.text)) is not None:
            raise AlgebraError(f"{self.name}: its text is no LaTeX: {wrong}")
        names: dict[str, Symbol] = {}
        for symbol in self.symbols():
            if names.setdefault(symbol.name, symbol) is not symbol:
                raise AlgebraError(f"{self.name}: two symbols are called {symbol.name}; give one another name")

    def symbols(self) -> set[Symbol]:
        """The symbols of the claim and those that their definitions name."""
        return set(self._symbols)

    @cached_property
    def _symbols(self) -> set[Symbol]:
        found = set(self.show.matrix.symbols())
        for statement in self.given:
            found |= statement.matrix.symbols()
        for expression in self.also:
            found |= expression.symbols()
        waiting = list(found)
        while waiting:
            new: set[Symbol] = set()
            symbol = waiting.pop()
            if isinstance(symbol.formula, tuple):
                new |= symbol.formula[1].symbols()
            elif isinstance(symbol.formula, Expression | Block):
                new |= symbol.formula.symbols()
            for left, right in symbol.facts():
                for side in (left, right):
                    if isinstance(side, Expression):
                        new |= side.symbols()
            waiting += new - found
            found |= new
        return found

    def dimensions(self) -> list[str]:
        """The named dimensions, in order."""
        names = {d for s in self.symbols() for d in (s.rows, s.columns) if isinstance(d, str)}
        for statement in [self.show, *self.given]:
            for size in (*statement.matrix.row_sizes, *statement.matrix.column_sizes):
                if isinstance(size, str):
                    names.add(size)
        return sorted(names)

    def hypotheses(self) -> list[Statement]:
        """What is given, and the equalities that the symbols bring along."""
        facts = [equal(*pair) for s in sorted(self.symbols(), key=lambda s: s.name) for pair in s.facts()]
        return [*self.given, *facts]

    def rules(self) -> Rules:
        """Rewriting rules from the hypotheses that are equalities; completed once, nothing changes them."""
        return self._rules

    @cached_property
    def _rules(self) -> Rules:
        return Rules(e for k, s in enumerate(self.hypotheses()) if s.kind == "zero" for e in s.equalities(k))

    def declared_wrongly(self, instance: Instance) -> str | None:
        """What an instance shows to be wrong with the declared properties of the symbols, None if they hold."""
        for symbol in self.symbols():
            value = instance.value(letter(symbol))
            for left, right in symbol.facts():
                if not equal(left, right).holds(instance):
                    return f"{symbol.name} does not satisfy {left} = {right}"
            if symbol.kind == "diagonal" and not is_zero(value - np.diag(np.diag(value))):
                return f"{symbol.name} is not diagonal"
            if symbol.kind == "symmetric" and not is_zero(value - value.T):
                return f"{symbol.name} is not symmetric"
            if symbol.kind == "skew" and not is_zero(value + value.T):
                return f"{symbol.name} is not skew"
            if symbol.positive and symbol.kind in ("diagonal", "scalar") and not all(v > 0 for v in np.diag(value)):
                return f"{symbol.name} is not positive"
            if symbol.positive and symbol.kind == "symmetric":
                try:
                    instance.inverse(value)
                except ZeroDivisionError:
                    return f"{symbol.name} is singular"
                if indefinite(value) is not None:
                    return f"{symbol.name} is not positive definite"
        return None

    def roots(self) -> set[Symbol]:
        """The symbols that occur with powers of one half: instances give them rational roots."""
        found: set[Symbol] = set()
        for statement in [self.show, *self.given]:
            for row in statement.matrix.entries:
                for entry in row:
                    found |= _halves(entry)
        for expression in self.also:
            found |= _halves(expression)
        for symbol in self.symbols():
            if isinstance(symbol.formula, tuple):
                if isinstance(symbol.formula[1], Entry):
                    for part in symbol.formula[1].expressions():
                        found |= _halves(part)
            elif isinstance(symbol.formula, Expression):
                found |= _halves(symbol.formula)
            for left, right in symbol.facts():
                found |= _halves(left) | (_halves(right) if isinstance(right, Expression) else set())
        return found

    def sampled(self) -> list[Symbol]:
        """The symbols of which instances are chosen by a sampler."""
        return sorted((s for s in self.symbols() if s.is_sampled), key=lambda s: s.name)

    def mutants(self, most: int | None = None, seed: int = 0) -> Iterator[tuple[str, Claim | None]]:
        """The claim with one thing wrong: a sign, a factor, a transpose; None if its shapes do not fit.

        There is one for every letter of the claim; `most` of them are drawn at random if there are more.
        """
        # An equality may cancel before anything is changed, so what is changed is the side that is printed.
        source = self.show.matrix if self.show.left is None else as_block(self.show.left)
        symmetric = self.show.kind == "positive"
        changes = [
            (i, k, term, change)
            for i, row in enumerate(source.entries)
            for k, entry in enumerate(row)
            if k >= i or not symmetric
            for term in entry.terms
            for change in _changes(term[1])
        ]
        if most is not None and len(changes) > most:
            kept = np.random.default_rng(seed).choice(len(changes), most, replace=False)
            changes = [changes[k] for k in sorted(kept)]
        for i, k, term, change in changes:
            label, difference = _changed(source.entries[i][k], term, change)
            if difference is None:
                yield label, None
                continue
            entries = [list(r) for r in self.show.matrix.entries]
            entries[i][k] = entries[i][k] + difference
            if i != k and symmetric:
                entries[k][i] = entries[i][k].T
            shown = replace(self.show, matrix=Block(entries), left=None, right=None, written=None)
            yield label, replace(self, show=shown)


def _changes(word: Word) -> list[Any]:
    """What can be changed in a term: its sign, its factor, and the positions of letters that can be transposed."""
    return ["sign", "factor", *(k for k, x in enumerate(word) if not x.symbol.equals_transpose)]


def _changed(entry: Expression, term: Term, change: Any) -> tuple[str, Expression | None]:
    """The name of a change of a term, and the difference that it makes; None if the shapes do not fit."""
    (monomial, word), coefficient = term, entry.terms[term]
    own = Expression(entry.rows, entry.columns, {term: coefficient})
    if change == "sign":
        return "sign", own * -2
    if change == "factor":
        return "factor", own
    sign, turned = word[change].transpose()
    if (turned.rows, turned.columns) != (word[change].rows, word[change].columns):
        return "transpose", None
    changed = (*word[:change], turned, *word[change + 1 :])
    new = Expression(entry.rows, entry.columns, {(monomial, changed): coefficient * sign})
    return "transpose", new - own


def _halves(entry: Expression) -> set[Symbol]:
    scalars = {s for m, _ in entry.terms for s, e in m if e.denominator == 2}
    return scalars | {x.symbol for _, w in entry.terms for x in w if x.exponent.denominator == 2}

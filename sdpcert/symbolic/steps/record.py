"""A proof object as it is written: the statements of a proof with everything that makes them follow.

Steps end in sums and equalities whose cofactors are traced through the rewriting, or in named axioms; the format is
that of docs/proof-format.md, and `sdpcert.check.proof_checker` reads it. What follows only by rewriting becomes an
equality of its own, once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from fractions import Fraction
from typing import Any

from sdpcert.errors import StepRejected
from sdpcert.symbolic.blocks import Block, as_block
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.expression import Expression, identity, number, zero
from sdpcert.symbolic.meaning import meaning_of
from sdpcert.symbolic.rewriting import Equality, Use
from sdpcert.symbolic.steps.known import Known, positive_multiple
from sdpcert.symbolic.symbols import Dimension, Letter, Symbol, Word

#: A nonnegative multiple of V'SV: the scalar, the number of a statement or an atom S, and V (None is the identity).
Piece = tuple[Expression, "int | Expression", "Block | None"]


class Record:
    """The proof object of a claim under way; `known` is what holds at this point of it.

    `statements` has the hypotheses and what the steps state, by number; `steps` are those of the object.
    """

    def __init__(self, claim: Claim) -> None:
        self.claim, self.known = claim, Known(claim)
        self.statements = claim.hypotheses()
        self.facts = [k for k, s in enumerate(claim.given) if s.kind == "positive"]
        self.steps: list[dict[str, Any]] = []
        self.cited: list[dict[str, Any]] = []
        self._names: dict[Symbol, str] = {}
        self._sizes: dict[str, str] = {}
        self._equalities: dict[Equality, tuple[int, int, int]] = {}
        for symbol in sorted(claim.symbols(), key=lambda s: s.name):
            self.name(symbol)

    # Statements

    def take(self, statement: Statement, step: dict[str, Any]) -> int:
        """Append a step that states something; its number."""
        self.steps.append(step)
        self.statements.append(statement)
        return len(self.statements) - 1

    def learn(self, statement: Statement, reference: int) -> None:
        """What a step of the proof derived is known from now on."""
        self.known.add(statement, reference)
        if statement.kind == "positive":
            self.facts.append(reference)

    def sum(self, target: Block, terms: Iterable[tuple[Any, Any, Any]]) -> int:
        """`target >= 0` as the sum of `coefficient * V'SV`, every S known or evident; the number of the statement."""
        left, written = target, []
        for coefficient, S, V in terms:
            outer = None if V is None else as_block(V)
            for scale, factors in self._coefficients(coefficient):
                for share, inner, selection in self._pieces(as_block(S)):
                    through = selection if outer is None else outer if selection is None else selection @ outer
                    written.append(self._term(scale * share, factors, inner, through))
                    left = left - self._value(scale * share, factors, inner, through)
        step = {"by": "sum", "states": self.stated("positive", target), "terms": written}
        return self.take(Statement(target, "positive"), step | self._rewrites(left))

    def equality(self, target: Block) -> int:
        """`target = 0` by rewriting; the number of the statement."""
        step = {"by": "equality", "states": self.stated("zero", target)}
        return self.take(Statement(target, "zero"), step | self._rewrites(target))

    def fact(self, matrix: Any) -> int:
        """The number of the statement that a matrix is positive semidefinite, written if there is none yet."""
        block = as_block(matrix)
        for k, statement in enumerate(self.statements):
            if statement.kind == "positive" and statement.matrix == block:
                return k
        return self.sum(block, [(1, block, None)])

    def zero(self, matrix: Any) -> int:
        """The number of the statement that a matrix is zero, written if there is none yet."""
        block = as_block(matrix)
        for k, statement in enumerate(self.statements):
            if statement.kind == "zero" and statement.matrix == block:
                return k
        return self.equality(block)

    # Sums

    def _coefficients(self, coefficient: Any) -> list[tuple[Expression, list[int]]]:
        """A nonnegative scalar as a sum of evident ones times known ones."""
        scalar = coefficient if isinstance(coefficient, Expression) else number(coefficient)
        if scalar.is_sum_of_atoms:
            return [(scalar, [])]
        for k in self._known_numbers():
            ratio = positive_multiple(as_block(scalar), self.statements[k].matrix)
            if ratio is not None:
                return [(ratio, [k])]
        return [(number(1), [self.fact(scalar)])]

    def _known_numbers(self) -> list[int]:
        one = [k for k, s in enumerate(self.statements) if s.kind == "positive" and s.matrix.row_sizes == (1,)]
        return [k for k in one if self.statements[k].matrix.entries[0][0].is_scalar]

    def _pieces(self, S: Block) -> list[Piece]:
        """Pieces whose sum S is, written as a statement of its own first if that takes rewriting."""
        for k, statement in enumerate(self.statements):
            if statement.kind == "positive" and (ratio := positive_multiple(S, statement.matrix)) is not None:
                return [(ratio, k, None)]
        if len(S.entries) == 1 and S.entries[0][0].is_sum_of_atoms:
            return list(_atoms(S.entries[0][0]))
        normal = self.known.normal(S)
        pieces, left = [], S
        for piece in self._normal_pieces(normal):
            pieces.append(self._term(piece[0], [], *piece[1:]))
            left = left - self._value(piece[0], [], *piece[1:])
        step = {"by": "sum", "states": self.stated("positive", S), "terms": pieces}
        return [(number(1), self.take(Statement(S, "positive"), step | self._rewrites(left)), None)]

    def _normal_pieces(self, S: Block) -> list[Piece]:
        """Pieces of a matrix in normal form: a multiple of a fact, or blocks on the diagonal that are, or are atoms."""
        found = self._multiple(S)
        if found is not None:
            return [found]
        pieces: list[Piece] = []
        for i, row in enumerate(S.entries):
            entry, sizes = row[i], S.column_sizes
            if not entry:
                continue
            own = list(_atoms(entry)) if entry.is_sum_of_atoms else [self._multiple(as_block(entry))]
            for piece in own:
                if piece is None:
                    raise StepRejected(f"{entry} is not known to be positive semidefinite")
                scale, inner, outer = piece
                V = identity(entry.rows) if outer is None else outer.entries[0][0]
                line = [V if k == i else zero(V.rows, size) for k, size in enumerate(sizes)]
                pieces.append((scale, inner, Block([line]) if len(sizes) > 1 else outer))
        return pieces

    def _multiple(self, S: Block) -> Piece | None:
        """The matrix as a multiple of a known fact in normal form, which becomes a statement if it is none yet."""
        for k, normal in zip(self.facts, self.known.facts, strict=True):
            ratio = positive_multiple(S, normal)
            if ratio is not None:
                return ratio, self._in_normal_form(k, normal), None
        return None

    def _in_normal_form(self, k: int, normal: Block) -> int:
        if self.statements[k].matrix == normal:
            return k
        for other, statement in enumerate(self.statements):
            if statement.kind == "positive" and statement.matrix == normal:
                return other
        term = self._term(number(1), [], k, None)
        step = {"by": "sum", "states": self.stated("positive", normal), "terms": [term]}
        rewrites = self._rewrites(normal - self.statements[k].matrix)
        return self.take(Statement(normal, "positive"), step | rewrites)

    def _term(
        self, scale: Expression, factors: Sequence[int], inner: int | Expression, V: Block | None
    ) -> dict[str, Any]:
        term: dict[str, Any] = {"scale": self.text(scale)}
        term |= {"fact": inner} if isinstance(inner, int) else {"atom": self.text(inner)}
        if V is not None:
            term["outer"] = {"rows": self.sizes(V.row_sizes), "entries": self.table(V)}
        return term | ({"factors": list(factors)} if factors else {})

    def _value(self, scale: Expression, factors: Sequence[int], inner: int | Expression, V: Block | None) -> Block:
        S = self.statements[inner].matrix if isinstance(inner, int) else as_block(inner)
        for k in factors:
            scale = scale * self.statements[k].matrix.entries[0][0]
        return (S if V is None else V.T @ S @ V) * scale

    # Rewriting

    def _rewrites(self, left: Block) -> dict[str, Any]:
        """What is left as uses of equalities; nothing if nothing is left. Raises `StepRejected` if it is not zero."""
        if not left:
            return {}
        lines = []
        for row in left.entries:
            line = []
            for entry in row:
                rest, uses = self.known.rules.traced(entry)
                if rest:
                    raise StepRejected(f"the proof object leaves {rest}")
                line.append(self._uses(uses))
            lines.append(line)
        return {"rewrites": lines}

    def _uses(self, uses: Sequence[Use]) -> str:
        """The uses as a sum in which entries of statements stand for the equalities."""
        together: dict[tuple[Any, ...], Fraction] = {}
        for coefficient, *key in uses:
            together[tuple(key)] = together.get(tuple(key), Fraction(0)) + coefficient
        parts = []
        for (monomial, left, equality, transposed, right), coefficient in together.items():
            if coefficient:
                entry = "E{}_{}_{}".format(*self._reference(equality)) + ("'" if transposed else "")
                factors = [*self._powers(monomial), *self._word(left), entry, *self._word(right)]
                parts.append((coefficient, factors))
        return _joined(parts)

    def _reference(self, equality: Equality) -> tuple[int, int, int]:
        """Number, row and column of an equality; what follows from others is written as a step first."""
        if equality not in self._equalities:
            if equality.entry is not None:
                self._equalities[equality] = equality.entry
            else:
                block = as_block(equality.expression)
                rewrites = {"rewrites": [[self._uses(equality.uses)]]}
                step = {"by": "equality", "states": self.stated("zero", block)} | rewrites
                self._equalities[equality] = (self.take(Statement(block, "zero"), step), 0, 0)
        return self._equalities[equality]

    # Text

    def stated(self, kind: str, matrix: Block) -> dict[str, Any]:
        """A statement of the format."""
        made = {kind: self.table(matrix), "rows": self.sizes(matrix.row_sizes)}
        return made if kind == "positive" else made | {"columns": self.sizes(matrix.column_sizes)}

    def table(self, matrix: Block) -> list[list[str]]:
        """The entries of a block matrix."""
        return [[self.text(entry) for entry in row] for row in matrix.entries]

    def text(self, expression: Expression) -> str:
        """A sum of terms."""
        parts = []
        for (monomial, word), coefficient in expression.terms.items():
            factors = [*self._powers(monomial), *self._word(word)]
            parts.append((coefficient, factors if word or expression.shape == (1, 1) else [*factors, "I"]))
        return _joined(parts)

    def _powers(self, monomial: Iterable[tuple[Symbol, Fraction]]) -> list[str]:
        return [_power(self.name(symbol), exponent) for symbol, exponent in monomial]

    def _word(self, word: Word) -> list[str]:
        return [_power(self.name(x.symbol) + ("'" if x.transposed else ""), x.exponent) for x in word]

    def sizes(self, dimensions: Sequence[Dimension]) -> list[str | int]:
        """Dimensions by the names that they have in the object."""
        return [self.size(d) for d in dimensions]

    def size(self, dimension: Dimension) -> str | int:
        """A dimension by the name that it has in the object."""
        if isinstance(dimension, int):
            return dimension
        return self._sizes.setdefault(
            dimension, _unused(re.sub(r"\W", "_", dimension, flags=re.ASCII), self._sizes.values())
        )

    def name(self, symbol: Symbol) -> str:
        """A symbol by the name that it has in the object: letters, digits and underscores."""
        if symbol not in self._names:
            plain = re.sub(r"\W", "_", symbol.name, flags=re.ASCII)
            plain = plain if re.match(r"(?!E\d|I$)[A-Za-z]", plain) else f"x{plain}"
            self._names[symbol] = _unused(plain, self._names.values())
        return self._names[symbol]

    def symbols(self) -> dict[str, str]:
        """The declarations of all symbols that were named."""
        return {name: self._declared(symbol) for symbol, name in self._names.items()}

    def meanings(self) -> dict[str, Any]:
        """What the definitions of the named symbols mean in a proof object."""
        found: dict[str, Any] = {}
        while missing := [s for s in self._names if self._names[s] not in found]:
            found |= {self._names[s]: meaning_of(s, self) for s in missing}
        return {name: meaning for name, meaning in found.items() if meaning is not None}

    def _declared(self, symbol: Symbol) -> str:
        if symbol.square is not None:
            return f"root of {symbol.square}"
        positive = "positive " if symbol.positive else ""
        if symbol.kind == "scalar":
            return f"{positive}scalar"
        return f"{positive}{symbol.kind} {self.size(symbol.rows)} x {self.size(symbol.columns)}"


def _atoms(expression: Expression) -> Iterable[Piece]:
    """The terms of a sum of atoms: u'Cu with C an identity, diagonal or definite."""
    for (monomial, word), coefficient in expression.terms.items():
        scale = Expression(1, 1, {(monomial, ()): coefficient})
        inner: list[Letter] = list(word)
        outer: list[Letter] = []
        while len(inner) > 1 and not all(x.symbol.kind == "diagonal" for x in inner):
            outer.insert(0, inner.pop())
            inner.pop(0)
        if len(inner) == 1 and inner[0].symbol.kind == "symmetric" and not inner[0].symbol.positive:
            raise StepRejected(f"{expression} is no sum of atoms")
        size = inner[0].rows if inner else outer[0].rows if outer else expression.rows
        centre = Expression(size, size, {((), tuple(inner)): Fraction(1)})
        u = (
            Block([[Expression(outer[0].rows, outer[-1].columns, {((), tuple(outer)): Fraction(1)})]])
            if outer
            else None
        )
        yield scale, centre, u


def _joined(parts: Sequence[tuple[Fraction, list[str]]]) -> str:
    shown = ""
    for coefficient, factors in parts:
        size = abs(coefficient)
        term = "*".join(([] if size == 1 and factors else [str(size)]) + factors)
        shown += f" {'-' if coefficient < 0 else '+'} {term}"
    return f"-{shown[3:]}" if shown.startswith(" -") else shown[3:] or "0"


def _power(name: str, exponent: Fraction) -> str:
    return name if exponent == 1 else f"{name}^{exponent}"


def _unused(name: str, taken: Iterable[str]) -> str:
    """The name, with a number if it is taken."""
    others, made, count = set(taken), name, 1
    while made in others:
        count, made = count + 1, f"{name}_{count + 1}"
    return made

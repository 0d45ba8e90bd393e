"""A proved claim used with expressions in place of its symbols."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sdpcert.check.proof_checker import fingerprint
from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.blocks import Block
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.expression import Expression, identity, letter, number
from sdpcert.symbolic.printing import latex
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step
from sdpcert.symbolic.symbols import Dimension, Symbol


class Cite(Step):
    """The conclusion of `claim` with its symbols replaced; what the claim takes as given has to be known here.

    `replaced` maps expressions of one symbol to expressions. Symbols that are left out stay. The cited claim is proved
    again by its `proof`, or by one that is found. Only free symbols can be replaced: those with a definition, a meaning
    or equalities of their own (rules, inverses, the vector of ones, convolutions) stand for themselves, and so does
    what they are made of. `label` is the claim's name in the document.
    """

    def __init__(
        self,
        claim: Claim,
        replaced: Mapping[Expression, Expression],
        label: str = "",
        proof: Sequence[Step] | None = None,
    ) -> None:
        self.claim, self.label, self.proof = claim, label or claim.name, proof
        self.replaced = {key.symbol: value for key, value in replaced.items()}

    def derive(self, known: Known) -> Statement:
        """The conclusion; raises `StepRejected` if a property or a hypothesis is not known of what is put in."""
        self._check_proof()
        fixed = self._fixed()
        for symbol, value in self.replaced.items():
            if symbol in fixed and value != letter(symbol):
                raise StepRejected(f"{self.label} is about {symbol.name} as it is defined; it cannot be replaced")
            self._check(symbol, value, known)
        try:
            for statement in self.claim.given:
                matrix = self._in(statement.matrix)
                held = known.is_zero(matrix) if statement.kind == "zero" else known.is_positive(matrix)
                if not held:
                    raise StepRejected(f"{self.label} needs what is not known here: {matrix} ({statement.kind})")
            shown = self._in(self.claim.show.matrix)
        except AlgebraError as error:
            raise StepRejected(str(error)) from None
        return replace(self.claim.show, matrix=shown, left=shown, right=0, reason="")

    def record(self, record: Record) -> int:
        """The citation, after the cited theorem."""
        from sdpcert.symbolic.proof_object import theorem

        theorems = theorem(self.claim, self._proof())
        own = Record(self.claim)
        sizes = {str(own.size(mine)): record.size(its) for mine, its in self._sizes().items() if isinstance(mine, str)}
        given = [replace(s, matrix=self._in(s.matrix)) for s in self.claim.hypotheses()]
        known = [record.fact(s.matrix) if s.kind == "positive" else record.zero(s.matrix) for s in given]
        replaced = {own.name(symbol): record.text(value) for symbol, value in self.replaced.items()}
        for symbol in self.claim.symbols() - self.replaced.keys():
            record.name(symbol)
        record.cited += [t for t in theorems if t not in record.cited]
        step = {"by": "cite", "theorem": fingerprint(theorems[-1]), "replaced": replaced, "sizes": sizes}
        shown = replace(self.claim.show, matrix=self._in(self.claim.show.matrix))
        return record.take(shown, step | {"hypotheses": known})

    def _check_proof(self) -> None:
        from sdpcert.symbolic.kernel import derive

        derive(self.claim, self._proof())

    def _proof(self) -> Sequence[Step]:
        from sdpcert.symbolic.strategies import search

        if self.proof is not None:
            return self.proof
        found = search(self.claim)
        if found is None:
            raise StepRejected(f"no proof of {self.label} was given or found")
        return found.proof

    def _fixed(self) -> set[Symbol]:
        """Symbols of which more is known than their kind, and those that they are made of."""
        fixed: set[Symbol] = set()
        for symbol in self.claim.symbols():
            facts = symbol.facts()
            # Of a norm only the hypothesis is used, which is checked for what is put in.
            if symbol.is_free or (isinstance(symbol.formula, tuple) and symbol.formula[0] == "norm"):
                continue
            fixed.add(symbol)
            formula = symbol.formula[1] if isinstance(symbol.formula, tuple) else symbol.formula
            if formula is not None:
                fixed |= formula.symbols()
            fixed |= {s for pair in facts for side in pair if isinstance(side, Expression) for s in side.symbols()}
        return fixed

    def _check(self, symbol: Symbol, value: Expression, known: Known) -> None:
        kind = symbol.kind
        if kind == "scalar" and not value.is_scalar:
            raise StepRejected(f"{symbol.name} stands for a number, {value} is none")
        if kind == "diagonal" and any(x.symbol.kind != "diagonal" for _, w in value.terms for x in w):
            raise StepRejected(f"{symbol.name} stands for a diagonal matrix, {value} is none")
        if kind == "symmetric" and not known.is_zero(value - value.T):
            raise StepRejected(f"{symbol.name} stands for a symmetric matrix, {value} is not known to be one")
        if kind == "skew" and not known.is_zero(value + value.T):
            raise StepRejected(f"{symbol.name} stands for a skew matrix, {value} is not known to be one")
        if symbol.positive and not (len(value.terms) == 1 and known.is_positive(value)):
            raise StepRejected(f"{symbol.name} is positive, {value} is not known to be")

    def _in(self, matrix: Block) -> Block:
        sizes = self._sizes()
        return matrix.map(lambda e: _substituted(e, self.replaced, sizes))

    def _sizes(self) -> dict[Dimension, Dimension]:
        """What each dimension of the claim is here."""
        sizes: dict[Dimension, Dimension] = {}
        for symbol, value in self.replaced.items():
            for mine, its in ((symbol.rows, value.rows), (symbol.columns, value.columns)):
                if sizes.setdefault(mine, its) != its:
                    raise AlgebraError(f"{self.label}: the dimension {mine} would be both {sizes[mine]} and {its}")
        for symbol in self.claim.symbols() - self.replaced.keys():
            for size in (symbol.rows, symbol.columns):
                if sizes.get(size, size) != size:
                    raise AlgebraError(
                        f"{self.label}: {symbol.name} has to be replaced too, its dimension {size} changes"
                    )
        return sizes

    def explanation(self) -> str:
        """The claim and what was put in."""
        shown = ", ".join(f"${latex(letter(s))} := {latex(v)}$" for s, v in self.replaced.items())
        return f"by {self.label}" + (f" with {shown}" if shown else "")


def _substituted(
    expression: Expression, replaced: Mapping[Symbol, Expression], sizes: Mapping[Dimension, Dimension]
) -> Expression:
    rows, columns = sizes.get(expression.rows, expression.rows), sizes.get(expression.columns, expression.columns)
    result = Expression(rows, columns, {})
    for (monomial, word), coefficient in expression.terms.items():
        product = identity(rows)
        for x in word:
            if x.symbol in replaced:
                factor = replaced[x.symbol]
                factor = factor.T if x.transposed else factor if x.exponent == 1 else factor**x.exponent
            else:
                factor = Expression(
                    sizes.get(x.rows, x.rows), sizes.get(x.columns, x.columns), {((), (x,)): number(1).terms[(), ()]}
                )
            product = product @ factor
        scalar = number(coefficient)
        for symbol, exponent in monomial:
            scalar = scalar * (replaced[symbol] if symbol in replaced else letter(symbol)) ** exponent
        result = result + product * scalar
    return result

"""What a step of a proof is: it reads what is known and derives one more statement, or is rejected."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

from sdpcert.symbolic.blocks import Block, as_block
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.expression import Expression, monomial_is_nonnegative, multiplied
from sdpcert.symbolic.rewriting import Rules


class Known:
    """The statements that hold at a point of a proof, with the rewriting rules of its claim."""

    def __init__(self, claim: Claim) -> None:
        self.claim, self.rules = claim, claim.rules()
        self.facts: list[Block] = [self.normal(s.matrix) for s in claim.given if s.kind == "positive"]

    def add(self, statement: Statement) -> None:
        """Take in a derived statement."""
        if statement.kind == "positive":
            self.facts.append(self.normal(statement.matrix))
        else:
            self.rules = _extended(self.rules, statement)
            self.facts = [self.normal(f) for f in self.facts]

    def normal(self, value: Any) -> Block:
        """The normal form as a block matrix."""
        return self.rules.normal(as_block(value))

    def is_zero(self, value: Any) -> bool:
        """Whether the normal form is zero."""
        return not self.normal(value)

    def is_positive(self, value: Any) -> bool:
        """Whether a matrix is block diagonal with sums of atoms or positive multiples of known facts."""
        matrix = self.normal(value)
        if any(_is_positive_multiple(matrix, fact) for fact in self.facts):
            return True
        if matrix.row_sizes != matrix.column_sizes:
            return False
        for i, row in enumerate(matrix.entries):
            for k, entry in enumerate(row):
                if i != k and entry:
                    return False
                if i == k and not entry.is_sum_of_atoms:
                    one = as_block(entry)
                    if not any(_is_positive_multiple(one, fact) for fact in self.facts):
                        return False
        return True

    def is_nonnegative(self, scalar: Expression) -> bool:
        """Whether a scalar expression is evidently nonnegative; products of known scalars count."""
        return scalar.is_scalar and self.is_positive(scalar)


def _extended(rules: Rules, statement: Statement) -> Rules:
    equalities = [(Expression(e.rows, e.columns, {((), w): Fraction(1)}), e) for w, e in rules.rules.items()]
    equalities += [(e, e * 0) for row in statement.matrix.entries for e in row if any(w for _, w in e.terms)]
    return Rules(equalities)


def _is_positive_multiple(matrix: Block, fact: Block) -> bool:
    if (matrix.row_sizes, matrix.column_sizes) != (fact.row_sizes, fact.column_sizes):
        return False
    first = next(((e, f) for r, s in zip(matrix.entries, fact.entries) for e, f in zip(r, s) if f), None)
    if first is None:
        return not matrix
    mine, given = first
    for (monomial, word), coefficient in mine.terms.items():
        for (other, its_word), its in given.terms.items():
            if its_word != word:
                continue
            ratio = multiplied(monomial, tuple((s, -e) for s, e in other))
            if coefficient / its > 0 and monomial_is_nonnegative(ratio):
                factor = Expression(1, 1, {(ratio, ()): coefficient / its})
                if not (matrix - fact * factor):
                    return True
        break
    return False


class Step(ABC):
    """One step; `derive` returns the statement that it adds, or raises `StepRejected`."""

    @abstractmethod
    def derive(self, known: Known) -> Statement:
        """The statement that follows."""

    @abstractmethod
    def explanation(self) -> str:
        """Why it follows, in LaTeX, to be printed after the statement."""

    def retargeted(self, target: Statement) -> Step | None:
        """The same step for another statement; None if the step does not say what it derives."""
        return None


Proof = Sequence[Step]

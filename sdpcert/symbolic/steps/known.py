"""What is known at a point of a proof: statements, and the rewriting rules of its equalities."""

from __future__ import annotations

from typing import Any

from sdpcert.symbolic.blocks import Block, as_block
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.expression import Expression, monomial_is_nonnegative, multiplied, number
from sdpcert.symbolic.rewriting import Rules


class Known:
    """The statements that hold at a point of a proof, with the rewriting rules of its claim."""

    def __init__(self, claim: Claim) -> None:
        self.claim, self.rules = claim, claim.rules()
        self.facts: list[Block] = [self.normal(s.matrix) for s in claim.given if s.kind == "positive"]

    def add(self, statement: Statement, number: int = 0) -> None:
        """Take in a derived statement; `number` is what a proof object calls it."""
        if statement.kind == "positive":
            self.facts.append(self.normal(statement.matrix))
        else:
            self.rules = Rules([*self.rules.equalities, *statement.equalities(number)])
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
        if any(positive_multiple(matrix, fact) is not None for fact in self.facts):
            return True
        if matrix.row_sizes != matrix.column_sizes:
            return False
        for i, row in enumerate(matrix.entries):
            for k, entry in enumerate(row):
                if i != k and entry:
                    return False
                if i == k and not entry.is_sum_of_atoms:
                    one = as_block(entry)
                    if not any(positive_multiple(one, fact) is not None for fact in self.facts):
                        return False
        return True

    def is_nonnegative(self, scalar: Expression) -> bool:
        """Whether a scalar expression is evidently nonnegative; products of known scalars count."""
        return scalar.is_scalar and self.is_positive(scalar)


def positive_multiple(matrix: Block, fact: Block) -> Expression | None:
    """The evidently nonnegative scalar that the fact times is the matrix; None if there is none."""
    if (matrix.row_sizes, matrix.column_sizes) != (fact.row_sizes, fact.column_sizes):
        return None
    first = next(((e, f) for r, s in zip(matrix.entries, fact.entries) for e, f in zip(r, s) if f), None)
    if first is None:
        return None if matrix else number(0)
    mine, given = first
    for (monomial, word), coefficient in mine.terms.items():
        for (other, its_word), its in given.terms.items():
            if its_word != word:
                continue
            ratio = multiplied(monomial, tuple((s, -e) for s, e in other))
            if coefficient / its > 0 and monomial_is_nonnegative(ratio):
                factor = Expression(1, 1, {(ratio, ()): coefficient / its})
                if not (matrix - fact * factor):
                    return factor
        break
    return None

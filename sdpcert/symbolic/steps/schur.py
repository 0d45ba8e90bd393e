"""Schur complements: a block matrix is positive semidefinite if a corner is and the complement of that is."""

from __future__ import annotations

from typing import Any

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.blocks import Block, as_block, block
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.expression import Expression, identity
from sdpcert.symbolic.printing import latex
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.sandwiches import Sandwiches, Term
from sdpcert.symbolic.steps.step import Step


class Schur(Step):
    """`[[A, B], [B', C]] >= 0` from `C >= 0`, `C R = I` and `A - B R B' >= 0`.

    `target` has two block rows; `inverse` is R, the inverse of the corner `corner` (0 or 1, the last by default). The
    complement has to be known or evidently positive semidefinite: derive it first.
    """

    def __init__(self, target: Any, inverse: Expression, corner: int = 1) -> None:
        self.target = target if isinstance(target, Statement) else positive(target)
        self.inverse, self.corner = inverse, corner

    def complement(self) -> Expression:
        """`A - B R B'`."""
        matrix, c = self.target.matrix, self.corner
        across = matrix.entries[1 - c][c]
        return matrix.entries[1 - c][1 - c] - across @ self.inverse @ across.T

    def derive(self, known: Known) -> Statement:
        """The target; raises `StepRejected` if the corner, its inverse or the complement are not known."""
        matrix, c = self.target.matrix, self.corner
        if len(matrix.row_sizes) != 2 or self.target.kind != "positive":
            raise StepRejected("a Schur complement needs a matrix of two by two blocks")
        try:
            corner, across = matrix.entries[c][c], matrix.entries[1 - c][c]
            if not known.is_zero(corner @ self.inverse - identity(corner.rows)):
                raise StepRejected(f"{self.inverse} is not known to be the inverse of {corner}")
            if not known.is_positive(corner):
                raise StepRejected(f"{corner} is not known to be positive semidefinite")
            complement = self.complement()
            if not known.is_positive(complement):
                raise StepRejected(
                    f"the complement {known.normal(complement)} is not known to be positive semidefinite"
                )
            # The congruence that this stands for, expanded.
            outer, inner = self._factors(across, complement, corner)
            rest = known.normal(matrix - outer.T @ inner @ outer)
        except AlgebraError as error:
            raise StepRejected(str(error)) from None
        if rest:
            raise StepRejected(f"the congruence leaves {rest}")
        return self.target

    def _factors(self, across: Expression, complement: Expression, corner: Expression) -> tuple[Block, Block]:
        eliminated = self.inverse.T @ across.T
        if self.corner == 1:
            return block([[1, 0], [eliminated, 1]]), block([[complement, 0], [0, corner]])
        return block([[1, eliminated], [0, 1]]), block([[corner, 0], [0, complement]])

    def expanded(self) -> Step:
        """The congruence."""
        corner = self.target.matrix.entries[self.corner][self.corner]
        across = self.target.matrix.entries[1 - self.corner][self.corner]
        outer, inner = self._factors(across, self.complement(), corner)
        return Sandwiches(self.target, Term(inner, outer))

    def retargeted(self, target: Statement) -> Step:
        """The same corner of another matrix."""
        return Schur(target, self.inverse, self.corner)

    def explanation(self) -> str:
        """The complement."""
        corner = as_block(self.target.matrix.entries[self.corner][self.corner])
        return (
            f"by the Schur complement\\formula{{{latex(self.complement())} \\succeq 0}}of the positive definite block "
            f"${latex(corner)}$"
        )

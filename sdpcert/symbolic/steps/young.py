"""Young's inequality for matrices: X'Y + Y'X <= X'SX + Y'S^-1 Y."""

from __future__ import annotations

from typing import Any

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.claim import Statement, positive
from sdpcert.symbolic.expression import Expression, identity
from sdpcert.symbolic.printing import sandwich
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.sandwiches import Sandwiches, Term
from sdpcert.symbolic.steps.step import Step


class Young(Step):
    """`X'SX + Y'RY >= X'Y + Y'X` for S >= 0 with the inverse R: the difference is (SX - Y)'R(SX - Y)."""

    def __init__(self, X: Expression, Y: Expression, S: Any = None, R: Any = None) -> None:
        self.X, self.Y = X, Y
        self.S = identity(X.rows) if S is None else S
        self.R = (identity(X.rows) if S is None else S**-1) if R is None else R

    def derive(self, known: Known) -> Statement:
        """The inequality; raises `StepRejected` if R is not known to be positive or to be the inverse of S."""
        X, Y, S, R = self.X, self.Y, self.S, self.R
        try:
            if not known.is_zero(S @ R - identity(S.rows)) or not known.is_positive(R):
                raise StepRejected(f"{R} is not known to be positive semidefinite and the inverse of {S}")
            left, right = X.T @ S @ X + Y.T @ R @ Y, X.T @ Y + Y.T @ X
            square = (S @ X - Y).T @ R @ (S @ X - Y)
            if not known.is_zero(left - right - square):
                raise StepRejected("the square does not expand to the difference")
        except AlgebraError as error:
            raise StepRejected(str(error)) from None
        return positive(left, right)

    def expanded(self) -> Step:
        """The square."""
        X, Y, S, R = self.X, self.Y, self.S, self.R
        return Sandwiches(positive(X.T @ S @ X + Y.T @ R @ Y, X.T @ Y + Y.T @ X), Term(R, S @ X - Y))

    def explanation(self) -> str:
        """The square."""
        return f"by Young's inequality: the difference is\\formula{{{sandwich(1, self.R, self.S @ self.X - self.Y)}}}"

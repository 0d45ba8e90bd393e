"""Cayley transforms: with Z + Z' = 2 Y'Y and R the inverse of I + Z, (I - Z)R over -2YR has orthonormal columns."""

from __future__ import annotations

from typing import Any

from sdpcert.errors import AlgebraError, StepRejected
from sdpcert.symbolic.claim import Statement, equal
from sdpcert.symbolic.expression import Expression, identity
from sdpcert.symbolic.steps.expansion import Identity
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.step import Step


class Cayley(Step):
    """`P'P + Q'Q = I` for P = (I - Z)R, Q = -2YR, where R(I + Z) = I and Z + Z' = 2Y'Y (Y None stands for zero).

    The difference is R'(4 Y'Y - 2 (Z + Z'))R, because (I - Z)'(I - Z) = (I + Z)'(I + Z) - 2 (Z + Z').
    """

    def __init__(self, Z: Expression, R: Expression, Y: Expression | None = None) -> None:
        self.Z, self.R, self.Y = Z, R, Y

    def derive(self, known: Known) -> Statement:
        """The equality; raises `StepRejected` if R is no inverse or the symmetric part of Z is not Y'Y."""
        Z, R, Y, one = self.Z, self.R, self.Y, identity(self.Z.rows)
        try:
            if not known.is_zero((one + Z) @ R - one):
                raise StepRejected(f"{R} is not known to be the inverse of I + {Z}")
            middle = -2 * (Z + Z.T) if Y is None else 4 * Y.T @ Y - 2 * (Z + Z.T)
            if not known.is_zero(middle):
                raise StepRejected(
                    f"the symmetric part of {Z} is not as it should be: what is left is {known.normal(middle)}"
                )
            P = (one - Z) @ R
            gram = P.T @ P if Y is None else P.T @ P + 4 * R.T @ Y.T @ Y @ R
            expanded = gram - R.T @ ((one + Z).T @ (one + Z)) @ R - R.T @ middle @ R
            if not _is_zero_freely(expanded):
                raise StepRejected("the identity does not expand to zero")
        except AlgebraError as error:
            raise StepRejected(str(error)) from None
        return equal(gram, one)

    def expanded(self) -> Step:
        """The equality, by rewriting."""
        Z, R, Y, one = self.Z, self.R, self.Y, identity(self.Z.rows)
        P = (one - Z) @ R
        return Identity(P.T @ P if Y is None else P.T @ P + 4 * R.T @ Y.T @ Y @ R, one)

    def explanation(self) -> str:
        """The identity."""
        return "because $(I-Z)^\\top(I-Z)=(I+Z)^\\top(I+Z)-2(Z+Z^\\top)$ and $Z+Z^\\top" + (
            "=0$" if self.Y is None else "=2Y^\\top Y$"
        )


def _is_zero_freely(expression: Any) -> bool:
    return not expression

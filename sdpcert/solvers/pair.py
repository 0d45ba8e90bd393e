"""What a run of the primal-dual method keeps of one inequality, M and its dual matrix X, and asks of it.

`block_pair.py` follows the blocks of the network, `whole_pair.py` has whole matrices of a small order.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from sdpcert.arithmetic.unseen import Unseen
from sdpcert.condition.inequality import Inequality
from sdpcert.solvers.schur import Schur

Matrix = Any


class Pair(Protocol):
    """M and X of one inequality, what is derived from them, and their directions.

    `inverse` is M^-1 and `dual` X, `dual_factor` the lower factor of X.
    """

    inequality: Inequality
    inverse: Matrix
    dual: Matrix
    dual_factor: Matrix

    def centre(self, share: float) -> None:
        """Begin with X = `share` times M^-1; raises `SolverError` if that is not positive definite in floating
        point.
        """
        ...

    def complementarity(self) -> Any:
        """<X, M>, a number where the arrays are."""
        ...

    def measure(self) -> tuple[Any, Schur]:
        """<X, M>, a number where the arrays are, and the share of the Schur complement."""
        ...

    def predict(self, affine_y: Matrix) -> Unseen[list[float]]:
        """The direction of X to complementarity zero, `-X - M^-1 dM X` made Hermitian; how far M and X can go."""
        ...

    def complementarity_after(self) -> Unseen[Callable[[float, float], float]]:
        """<X, M> after steps as a function of their lengths, primal and dual."""
        ...

    def second_order(self, affine_y: Matrix, centring: float) -> Matrix:
        """The right side of the corrector: `centring` times the <A_j, M^-1>, less what the predictor's product
        makes of them.
        """
        ...

    def correct(self, step_y: Matrix, centring: float) -> Unseen[list[float]]:
        """The direction of X to the central path, and how far M and X can go."""
        ...

    def try_primal(self, y: Matrix) -> Unseen[bool]:
        """Factor M(y); whether it is positive definite."""
        ...

    def move_primal(self) -> None:
        """Move M to the point that was tried last."""
        ...

    def try_dual(self, length: float) -> Unseen[bool]:
        """Factor `X + length step`; whether it is positive definite. The factor of before may be lost."""
        ...

    def move_dual(self, length: float) -> None:
        """Move X by the length that was tried last."""
        ...

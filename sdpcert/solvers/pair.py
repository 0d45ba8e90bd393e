"""What a run of the primal-dual method keeps of one inequality, M and its dual matrix X, and asks of it.

`block_pair.py` follows the blocks of the network, `whole_pair.py` has whole matrices of a small order.
"""

from __future__ import annotations

from typing import Any, Protocol

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

    def complementarity(self) -> float:
        """<X, M>."""
        ...

    def measure(self) -> tuple[float, Schur]:
        """<X, M> and the share of the Schur complement."""
        ...

    def predict(self, affine_y: Matrix) -> tuple[float, float]:
        """The direction of X to complementarity zero, `-X - M^-1 dM X` made Hermitian; how far M and X can go."""
        ...

    def complementarity_after(self, primal: float, dual: float) -> float:
        """<X, M> after steps of these lengths."""
        ...

    def second_order(self, affine_y: Matrix, centring: float) -> Matrix:
        """The right side of the corrector: `centring` times the <A_j, M^-1>, less what the predictor's product
        makes of them.
        """
        ...

    def correct(self, step_y: Matrix, centring: float) -> tuple[float, float]:
        """The direction of X to the central path, and how far M and X can go."""
        ...

    def try_primal(self, y: Matrix) -> bool:
        """Factor M(y); whether it is positive definite."""
        ...

    def move_primal(self) -> None:
        """Move M to the point that was tried last."""
        ...

    def try_dual(self, length: float) -> bool:
        """Factor `X + length step`; whether it is positive definite. The factor of before may be lost."""
        ...

    def move_dual(self, length: float) -> None:
        """Move X by the length that was tried last."""
        ...

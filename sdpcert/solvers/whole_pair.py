"""The matrices of one small inequality during a run, whole: a few calls of BLAS and LAPACK an iteration."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.arithmetic.spectra import least_eigenvalue
from sdpcert.arithmetic.unseen import HOLDS, Unseen
from sdpcert.condition.inequality import Inequality
from sdpcert.condition.whole import Joint, WholeInequality
from sdpcert.errors import SolverError
from sdpcert.solvers.schur import Schur
from sdpcert.solvers.step_length import length_to_least

Array = np.ndarray
#: Lengths of which the predictor takes the longest possible: it only chooses how far to centre, and a factor costs less
#: than an eigenvalue.
TRIED = (0.15, 0.4, 0.7, 0.9, 1.0)


class WholePair:
    """See `Pair`; matrices are NumPy's, and factors and their inverses lower triangular."""

    #: What the predictor leaves to the corrector, and what the Schur complement was made of.
    second: Array
    joint: Joint
    schur: Schur
    #: Inverses of the factors of M and X, and the steps.
    whiten: Array
    whiten_dual: Array
    matrix_step: Array
    step: Array

    def __init__(self, inequality: Inequality, matrix: Array, factor: Array, whole: WholeInequality) -> None:
        self.inequality, self.whole, self.matrix = inequality, whole, matrix
        self.dual: Any = None
        self.dual_factor: Any = None
        self._invert(factor)
        self.tried = matrix, factor

    @staticmethod
    def at(part: Inequality, y: Array) -> WholePair | None:
        """The pair of M(y) with no X yet, or None if M(y) is not positive definite."""
        whole = WholeInequality(part)
        matrix = whole.matrix(y)
        factor = blas.cholesky(matrix)
        return None if factor is None else WholePair(part, matrix, factor, whole)

    def _invert(self, factor: Array) -> None:
        self.whiten = blas.triangular_inverse(factor)
        self.inverse = blas.product(self.whiten.conj().T, self.whiten)

    def centre(self, share: float) -> None:
        self.dual = (0.5 * share) * (self.inverse + self.inverse.conj().T)
        self.step = np.zeros_like(self.dual)
        if not self.try_dual(0.0).seen(self.inequality.arrays):
            raise SolverError("the start is not centred in floating point")

    def complementarity(self) -> float:
        return _inner(self.matrix, self.dual)

    def measure(self) -> tuple[float, Schur]:
        self.whiten_dual = blas.triangular_inverse(self.dual_factor)
        self.joint = self.whole.joint(self.dual, self.inverse)
        self.schur = Schur(*self.whole.schur(self.joint))
        return self.complementarity(), self.schur

    # -- directions ----------------------------------------------------------------------------------------------------

    def predict(self, affine_y: Array) -> Unseen[list[float]]:
        self.matrix_step = self.whole.linear(affine_y)
        self._make_step(blas.product(self.matrix_step, self.dual), 0.0)
        return Unseen.known([_tried_length(self.matrix, self.matrix_step), _tried_length(self.dual, self.step)])

    def complementarity_after(self) -> Unseen[Callable[[float, float], float]]:
        now, along_dual = self.complementarity(), _inner(self.matrix, self.step)
        along_primal, along_both = _inner(self.matrix_step, self.dual), _inner(self.matrix_step, self.step)
        return Unseen.known(lambda primal, dual: now + dual * along_dual + primal * (along_primal + dual * along_both))

    def second_order(self, affine_y: Array, centring: float) -> Array:
        self.second = blas.product(self.matrix_step, self.step)
        return centring * self.schur.inverse - self.whole.adjoint_of_product(self.second, self.joint)

    def correct(self, step_y: Array, centring: float) -> Unseen[list[float]]:
        self.matrix_step = self.whole.linear(step_y)
        product = blas.product(self.matrix_step, self.dual)
        product += self.second
        self._make_step(product, centring)
        return Unseen.known([_length(self.whiten, self.matrix_step), _length(self.whiten_dual, self.step)])

    def _make_step(self, product: Array, centring: float) -> None:
        """`centring M^-1 - X` less the Hermitian part of `M^-1 product`."""
        solved = blas.product(self.inverse, product)
        step = solved + solved.conj().T
        step *= -0.5
        step -= self.dual
        if centring:
            step += centring * self.inverse
        self.step = step

    # -- moves ---------------------------------------------------------------------------------------------------------

    def try_primal(self, y: Array) -> Unseen[bool]:
        matrix = self.whole.matrix(y)
        factor = blas.cholesky(matrix)
        if factor is None:
            return Unseen.known(False)
        self.tried = matrix, factor
        return HOLDS

    def move_primal(self) -> None:
        self.matrix, factor = self.tried
        self._invert(factor)

    def try_dual(self, length: float) -> Unseen[bool]:
        self.dual_factor = blas.cholesky(self.dual + length * self.step)
        return Unseen.known(self.dual_factor is not None)

    def move_dual(self, length: float) -> None:
        self.dual += length * self.step


def _inner(left: Array, right: Array) -> float:
    return float(np.vdot(left, right).real)


def _tried_length(matrix: Array, step: Array) -> float:
    """How far a positive definite matrix can go along a step, roughly: what is possible is so for shorter lengths."""
    possible, impossible = -1, len(TRIED)
    while impossible - possible > 1:
        middle = (possible + impossible) // 2
        if blas.cholesky(matrix + TRIED[middle] * step) is None:
            impossible = middle
        else:
            possible = middle
    return TRIED[possible] if possible >= 0 else 0.0


def _length(whiten: Array, step: Array) -> float:
    """How far L L* can go along a step, from the inverse of L."""
    return length_to_least(least_eigenvalue(blas.congruence(whiten, step)))

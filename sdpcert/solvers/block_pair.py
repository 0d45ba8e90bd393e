"""The matrices of one inequality during a run: M in blocks, the dual matrix X and four more of its order.

These are the Cholesky factor of X, the inverse of M, the step of X and a product that the predictor leaves to the
corrector. With the Schur complement that makes six; everything else is made panel by panel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdpcert.arithmetic.unseen import Unseen, numbers_of
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.factor import Factor
from sdpcert.condition.inequality import Inequality
from sdpcert.errors import SolverError
from sdpcert.solvers.schur import Schur, adjoint_of_product, schur_complement
from sdpcert.solvers.step_length import length_to_boundary

Matrix = Any


@dataclass(eq=False)
class BlockPair:
    """See `Pair`; `dual_factor` is in the memory of `factored` where the library allows it."""

    inequality: Inequality
    matrix: BlockMatrix
    factor: Factor
    inverse: Matrix
    dual: Matrix = None
    factored: Matrix = None
    dual_factor: Matrix = None
    schur: Schur | None = None
    step: Matrix = None
    second: Matrix = None
    matrix_step: BlockMatrix | None = None
    tried: tuple[BlockMatrix, Factor] | None = None
    start: Matrix = field(init=False)  # of Lanczos
    whitening: tuple[Callable[[Matrix], Matrix], Callable[[Matrix], Matrix]] | None = field(default=None, init=False)

    def __post_init__(self) -> None:
        generator = np.random.default_rng(0)  # the same start every time: same seed, same result
        self.start = self.inequality.arrays.asarray(generator.standard_normal(self.inequality.order))

    @staticmethod
    def at(part: Inequality, y: Matrix) -> BlockPair | None:
        """The pair of M(y) with no X yet, or None if M(y) is not positive definite."""
        matrix = part.matrix(y)
        factor = Factor.of(matrix)
        return None if factor is None else BlockPair(part, matrix, factor, factor.inverse())

    def centre(self, share: float) -> None:
        arrays, order = self.inequality.arrays, self.inequality.order
        self.dual, self.inverse = self.inverse, None  # the same memory
        self.dual *= share
        self.factored, self.step, self.second = (arrays.zeros(order, order, like=self.dual) for _ in range(3))
        if not self.try_dual(0.0).seen(arrays):
            raise SolverError("the start is not centred in floating point")

    def complementarity(self) -> Any:
        return self.matrix.inner(self.dual)

    def measure(self) -> tuple[Any, Schur]:
        self.inverse = None  # its memory may serve for the new one
        self.inverse = self.factor.inverse()
        self.schur = schur_complement(self.inequality, self.dual, self.inverse)
        return self.complementarity(), self.schur

    # -- directions ----------------------------------------------------------------------------------------------------

    def predict(self, affine_y: Matrix) -> Unseen[list[float]]:
        self.matrix_step = self.inequality.linear(affine_y)

        def fill(columns: slice) -> None:
            self.step[:, columns] = self.factor.solve(linear_times(self.inequality, affine_y, self.dual[:, columns]))

        self._fill(fill)
        self._make_step(0.0)
        return self._lengths()

    def complementarity_after(self) -> Unseen[Callable[[float, float], float]]:
        assert self.matrix_step is not None
        values = [matrix.inner(other) for matrix in (self.matrix, self.matrix_step) for other in (self.dual, self.step)]

        def after(seen: list[float]) -> Callable[[float, float], float]:
            now, along_dual, along_primal, along_both = seen
            return lambda primal, dual: now + dual * along_dual + primal * (along_primal + dual * along_both)

        return numbers_of(values).then(after)

    def second_order(self, affine_y: Matrix, centring: float) -> Matrix:
        part = self.inequality
        assert self.schur is not None

        def fill(columns: slice) -> None:
            self.second[:, columns] = linear_times(part, affine_y, self.step[:, columns])

        self._fill(fill)
        return centring * self.schur.inverse - adjoint_of_product(part, self.second, self.inverse)

    def correct(self, step_y: Matrix, centring: float) -> Unseen[list[float]]:
        part = self.inequality
        self.matrix_step = part.linear(step_y)

        def fill(columns: slice) -> None:
            product = linear_times(part, step_y, self.dual[:, columns])
            product += self.second[:, columns]
            self.step[:, columns] = self.factor.solve(product)

        self._fill(fill)
        self._make_step(centring)
        return self._lengths()

    def _fill(self, fill: Any) -> None:
        arrays = self.inequality.arrays
        arrays.each(fill, arrays.panels(self.inequality.order))

    def _make_step(self, centring: float) -> None:
        """Replace the product P in `step` by `centring M^-1 - X` less the Hermitian part of P, tile by tile."""
        arrays, step = self.inequality.arrays, self.step
        cut = arrays.panels(self.inequality.order)

        def fill(tile: tuple[slice, slice]) -> None:
            values = step[tile[::-1]].conj().T + step[tile]
            values *= -0.5
            values -= self.dual[tile]
            if centring:
                values += centring * self.inverse[tile]
            step[tile] = values
            step[tile[::-1]] = values.conj().T

        arrays.each(fill, [(a, b) for k, a in enumerate(cut) for b in cut[k:]])

    def _lengths(self) -> Unseen[list[float]]:
        """How far M and X can go along their steps."""
        arrays, matrix, step = self.inequality.arrays, self.matrix, self.matrix_step
        assert step is not None
        if self.whitening is None:  # the corrector's is the predictor's
            self.whitening = arrays.whitening(self.dual_factor)
        whiten, whiten_adjoint = self.whitening

        def primal_image(vector: Matrix) -> tuple[Matrix, Matrix]:
            image = step.apply(vector)
            return arrays.apply_hermitian(self.inverse, image), image

        def dual_image(vector: Matrix) -> tuple[Matrix, Matrix]:
            image = whiten(arrays.apply_hermitian(self.step, whiten_adjoint(vector)))
            return image, image

        primal = length_to_boundary(primal_image, matrix.apply, self.start, arrays=arrays)
        dual = length_to_boundary(dual_image, lambda vector: vector, self.start, arrays=arrays)
        return Unseen.all_of([primal, dual])

    # -- moves ---------------------------------------------------------------------------------------------------------

    def try_primal(self, y: Matrix) -> Unseen[bool]:
        matrix = self.inequality.matrix(y)
        factor = Factor.attempted(matrix)
        if factor is None:
            return Unseen.known(False)
        self.tried = matrix, factor
        return factor.holds

    def move_primal(self) -> None:
        assert self.tried is not None
        self.matrix, self.factor = self.tried
        self.tried = None

    def try_dual(self, length: float) -> Unseen[bool]:
        arrays = self.inequality.arrays
        self.whitening = None

        def fill(rows: slice) -> None:
            upper = rows, slice(rows.start, self.inequality.order)
            self.factored[upper] = self.dual[upper]
            if length:
                self.factored[upper] += length * self.step[upper]

        self._fill(fill)
        attempt = arrays.factor_upper(self.factored)
        self.dual_factor, holds = (None, Unseen.known(False)) if attempt is None else attempt
        return holds

    def move_dual(self, length: float) -> None:
        def fill(rows: slice) -> None:
            self.dual[rows] += length * self.step[rows]

        self._fill(fill)


def linear_times(part: Inequality, y: Matrix, right: Matrix) -> Matrix:
    """`(M(y) + F*F) @ right`: two products with K, whatever the slopes are."""
    arrays, n0 = part.arrays, part.inputs
    weight = part.spread(y)[:, None]
    alpha, beta = part.alpha[:, None], part.beta[:, None]
    neurons, rows = right[n0:], part.times_k(right)
    mixed = weight * (alpha + beta)
    result = arrays.zeros(*right.shape, like=right)
    result[n0:] = 2 * weight * neurons
    result[n0:] -= mixed * rows
    for metric in part.metrics:
        value = y[metric.variables]
        if metric.share is not None:
            value = arrays.apply(metric.share.T, value)
        result[metric.coordinates] += metric.sign * value[:, None] * right[metric.coordinates]
    back = -mixed * neurons
    if not part.from_zero:
        back += 2 * weight * alpha * beta * rows
    for (to, source), block in part.blocks.items():
        arrays.add_product(result[part.slices[source]], block.conj().T, back[part.rows[to]])
    return result

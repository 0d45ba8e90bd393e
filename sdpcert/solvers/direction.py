"""The direction of one iteration: Newton's equations by their Schur complement, as a predictor and a corrector.

It is the direction of Helmberg, Rendl, Vanderbei and Wolkowicz, Kojima et al. and Monteiro, with Mehrotra's predictor
and corrector.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

import numpy as np

from sdpcert.arithmetic.arrays import Arrays
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.factor import Factor
from sdpcert.condition.inequality import Inequality, Products
from sdpcert.solvers.step_length import length_in_orthant, length_to_boundary

Matrix = Any
#: Fraction of the way to the boundary that a step goes.
STEP = 0.95


@dataclass(eq=False)
class Pair:
    """M and X of one inequality, what is derived from them, and their directions."""

    inequality: Inequality
    matrix: BlockMatrix
    factor: Factor
    dual: Matrix
    dual_factor: Matrix
    given: Products | None = None
    inverted: Products | None = None
    dual_inverse: Matrix = None
    second: Matrix = None
    matrix_step: BlockMatrix | None = None
    dual_step: Matrix = None

    def measure(self) -> tuple[float, Matrix, Matrix]:
        """<X, M>, the <A_j, X>, and the share of the Schur complement."""
        part = self.inequality
        self.given, self.inverted = part.products(self.dual), part.products(self.factor.inverse())
        return (
            self.matrix.inner(self.dual),
            part.adjoint(self.given),
            part.schur(self.given, self.inverted),
        )


@dataclass(eq=False)
class Iterate:
    """A point y, the slack of its multipliers with a sign of their own (numbered in `signed`), and the pairs."""

    y: Matrix
    slack: Matrix
    signed: np.ndarray
    pairs: list[Pair]


@dataclass(eq=False)
class Step:
    """Directions of y and of the slack, and how far the primal and the dual can go along theirs."""

    y: Matrix
    slack: Matrix
    primal: float
    dual: float


class Mapping(Protocol):
    """`map` to a list, in several threads if that pays."""

    def __call__(self, function: Callable[..., Any], *arguments: Iterable[Any]) -> list[Any]:
        """The function's value for each of the arguments."""
        ...


def search_direction(iterate: Iterate, schur: Matrix, mu: float, order: int, each: Mapping) -> Step | None:
    """The step from an iterate with the complementarity `mu`; None if the Schur complement is not positive definite.

    `order` is the sum of the orders of all matrices.
    """
    y, slack, signed, pairs = iterate.y, iterate.slack, iterate.signed, iterate.pairs
    arrays = pairs[0].inequality.arrays
    ratio = slack / y[signed]
    newton = _newton(arrays, schur, signed, ratio)
    if newton is None:
        return None
    objective = arrays.zeros(len(y))
    objective[0] = 1.0

    # Predictor: straight at the optimum.
    affine_y = newton(-objective)
    found = each(partial(_predict, affine_y), pairs)
    affine = _step(iterate, affine_y, -slack - ratio * affine_y[signed], found)
    moved = sum(each(partial(_complementarity_after, affine), pairs))
    moved += float(((slack + affine.dual * affine.slack) * (y[signed] + affine.primal * affine_y[signed])).sum())
    ahead = max(moved / (order + len(signed)) / mu, 0.0)
    centring = min(1.0, ahead ** (3 if min(affine.primal, affine.dual) > 0.3 else 1)) * mu

    # Corrector: towards the central path, with the second-order term of the predictor.
    right = total(each(partial(_second_order, centring), pairs)) - objective
    second_slack = (centring - affine.slack * affine_y[signed]) / y[signed]
    right[signed] += second_slack
    step_y = newton(right)
    step_slack = second_slack - slack - ratio * step_y[signed]
    return _step(iterate, step_y, step_slack, each(partial(_correct, step_y, centring), pairs))


def _newton(arrays: Arrays, schur: Matrix, signed: np.ndarray, ratio: Matrix) -> Callable[[Matrix], Matrix] | None:
    """The inverse of the Schur complement, factored with a unit diagonal."""
    if len(signed):
        schur.reshape(-1)[signed * (len(schur) + 1)] += ratio
    scale = schur.diagonal() ** -0.5
    factor = arrays.cholesky(schur * scale[:, None] * scale)
    return None if factor is None else lambda right: scale * arrays.solve(factor, scale * right)


def _step(iterate: Iterate, step_y: Matrix, step_slack: Matrix, found: Sequence[tuple[float, float]]) -> Step:
    """A step with the lengths that every pair and the slack allow."""
    primal, dual = min(r[0] for r in found), min(r[1] for r in found)
    if len(iterate.signed):
        primal = min(primal, length_in_orthant(iterate.y[iterate.signed], step_y[iterate.signed]))
        dual = min(dual, length_in_orthant(iterate.slack, step_slack))
    return Step(step_y, step_slack, min(1.0, STEP * primal), min(1.0, STEP * dual))


def _predict(affine_y: Matrix, pair: Pair) -> tuple[float, float]:
    part = pair.inequality
    pair.dual_inverse = part.arrays.triangular_inverse(pair.dual_factor)
    pair.matrix_step = part.linear(affine_y)
    pair.dual_step = -pair.dual - _hermitian(pair.factor.solve(pair.matrix_step.times(pair.dual)))
    return _lengths(pair)


def _complementarity_after(step: Step, pair: Pair) -> float:
    assert pair.matrix_step is not None
    matrix = pair.matrix.plus(pair.matrix_step, step.primal)
    return matrix.inner(pair.dual) + step.dual * matrix.inner(pair.dual_step)


def _second_order(centring: float, pair: Pair) -> Matrix:
    part = pair.inequality
    assert pair.inverted is not None
    assert pair.matrix_step is not None
    pair.second = pair.matrix_step.times(pair.dual_step)
    return centring * part.adjoint(pair.inverted) - part.adjoint_of_product(pair.second, pair.inverted)


def _correct(step_y: Matrix, centring: float, pair: Pair) -> tuple[float, float]:
    part = pair.inequality
    assert pair.inverted is not None
    pair.matrix_step = part.linear(step_y)
    product = pair.factor.solve(pair.matrix_step.times(pair.dual) + pair.second)
    pair.dual_step = centring * pair.inverted.matrix - pair.dual - _hermitian(product)
    return _lengths(pair)


def _lengths(pair: Pair) -> tuple[float, float]:
    """How far M and X can go along their steps."""
    arrays, whiten = pair.inequality.arrays, pair.dual_inverse
    adjoint = arrays.contiguous(whiten.conj().T)
    assert pair.inverted is not None
    assert pair.matrix_step is not None
    inverse, matrix_step = pair.inverted.matrix, pair.matrix_step

    def primal_image(vector: Matrix) -> tuple[Matrix, Matrix]:
        image = matrix_step.apply(vector)
        return arrays.apply(inverse, image), image

    def dual_image(vector: Matrix) -> tuple[Matrix, Matrix]:
        image = arrays.apply(whiten, arrays.apply(pair.dual_step, arrays.apply(adjoint, vector)))
        return image, image

    generator = np.random.default_rng(0)  # the same start every time: same seed, same result
    start = arrays.asarray(generator.standard_normal(pair.inequality.order))
    return (
        length_to_boundary(primal_image, pair.matrix.apply, start),
        length_to_boundary(dual_image, lambda vector: vector, start),
    )


def total(terms: Iterable[Matrix]) -> Matrix:
    """The sum of matrices, from the first to the last."""
    found = None
    for term in terms:
        found = term if found is None else found + term
    return found


def _hermitian(matrix: Matrix) -> Matrix:
    return 0.5 * (matrix + matrix.conj().T)

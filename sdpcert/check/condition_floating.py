"""The matrix of a condition on a piece proved positive definite in floating point; needs NumPy.

D M D is formed from the rows, D a diagonal matrix of powers of two that brings the diagonal near one. Every entry has
a bound of its error, and the row sums of the bounds are taken off the diagonal. Where more inputs than rows are left, a
triangular R with `R R' - G G'` positive semidefinite, G the rows in terms of the inputs, takes the place of G: as
in the input factor of a stacked form the condition for R implies that for G.
"""

from __future__ import annotations

import numpy as np

from .reading import Rejected
from .reduced_floating import Reduced
from .rounding import RANGE, SLACK, SMALLEST, gamma, is_definite, product, total

Array = np.ndarray

#: An entry of a product of scaled rows loses less than this to underflow.
UNDERFLOW, LARGEST = 1e-290, 1e30
#: How often a larger multiple of the errors is added before a factor is given up.
ATTEMPTS = 6


def prove_condition(reduced: Reduced, rho: float, exponent: int, multipliers: Array) -> None:
    """Prove M at (rho, multipliers) positive semidefinite; `multipliers` has those of the last group first.

    Raises Rejected if it is not proved.
    """
    matrix, errors, inputs = reduced.matrix, reduced.errors, reduced.moving
    reading = np.flatnonzero(np.any((matrix[:, :inputs] != 0) | (errors[:, :inputs] != 0), axis=1))
    if len(reading) < inputs:
        factor = input_factor(matrix[reading, :inputs], errors[reading, :inputs])
        replaced, unsure = np.zeros((len(matrix), len(reading))), np.zeros((len(matrix), len(reading)))
        replaced[reading] = factor
        matrix = np.hstack([replaced, matrix[:, inputs:]])
        errors = np.hstack([unsure, errors[:, inputs:]])
        inputs = len(reading)
    # Factors of -(e_i k_i' + k_i e_i') and of k_i k_i', one for each row; the first are zero for outputs.
    power = 4.0**-exponent
    if not SMALLEST <= power <= 1 / SMALLEST:
        raise Rejected(RANGE)
    none = np.zeros(reduced.outputs)
    linear = np.concatenate([none, product(multipliers, reduced.alpha + reduced.beta)])
    square = np.concatenate([none - power, 2 * product(multipliers, reduced.alpha, reduced.beta)])
    diagonal = np.concatenate([np.full(inputs, rho), 2 * multipliers])
    # A neuron without a multiplier that no row reads takes no part, nor does an input where rho is zero.
    counted = (linear != 0) | (square != 0)
    kept = (diagonal != 0) | np.any((matrix[counted] != 0) | (errors[counted] != 0), axis=0)
    order = np.flatnonzero(kept)
    own = np.full(len(matrix), -1)
    own[reduced.outputs :] = (np.cumsum(kept) - 1)[inputs:]
    rows = np.flatnonzero(counted)
    _prove(
        matrix[np.ix_(rows, order)], errors[np.ix_(rows, order)], linear[rows], square[rows], diagonal[order], own[rows]
    )


def _prove(matrix: Array, errors: Array, linear: Array, square: Array, diagonal: Array, own: Array) -> None:
    """Prove `diag(diagonal) - sum of linear (e k' + k e') + sum of square k k'` definite, k near the rows of `matrix`.

    `own` is the coordinate e of each row whose factor `linear` is not zero.
    """
    n = len(diagonal)
    approximate = diagonal + square @ (matrix * matrix)
    if not np.all(np.isfinite(approximate)) or np.any(approximate <= 0):
        raise Rejected("M is not proved positive definite: an entry of its diagonal is not positive")
    down = np.ldexp(1.0, -np.rint(np.log2(approximate) / 2).astype(int))
    scaled = matrix * down
    unsure = errors * down * SLACK + 1e-300 * ((matrix != 0) | (errors != 0))
    if not np.all(np.abs(scaled) <= LARGEST):
        raise Rejected(RANGE)
    mixed = np.flatnonzero(linear)
    weight = product(linear[mixed], down[own[mixed]])

    # Row sums of |A|' h |A| are products of matrices and vectors.
    squared = np.flatnonzero(square)
    factors, part, doubt, heavy = square[squared], scaled[squared], unsure[squared], np.abs(square[squared])
    result = part.T @ (factors[:, None] * part)
    size, all_unsure = total(part, np.ones(n)), total(doubt, np.ones(n))
    lost = total(part.T, heavy * (gamma(len(squared) + 12) * size + all_unsure))
    lost += total(doubt.T, heavy * (size + all_unsure))

    first = weight[:, None] * scaled[mixed]
    charge = np.abs(weight)[:, None] * (unsure[mixed] + gamma(12) * np.abs(scaled[mixed]))
    result[own[mixed]] -= first
    result[:, own[mixed]] -= first.T
    lost[own[mixed]] += total(charge, np.ones(n))
    lost += total(charge.T, np.ones(len(mixed)))
    scaled_diagonal = product(diagonal, down, down)
    result.reshape(-1)[:: n + 1] += scaled_diagonal
    lost += gamma(12) * np.abs(scaled_diagonal)
    lost += (n + len(matrix)) * UNDERFLOW * (1 + float(heavy.max(initial=0.0)))
    if not is_definite(result, lost * SLACK):
        raise Rejected("M is not proved positive definite")


def input_factor(rows: Array, errors: Array) -> Array:
    """A lower triangular R with `R R' - G G'` positive semidefinite for every G within `errors` of the rows.

    Raises Rejected if none is found.
    """
    count, inputs = rows.shape
    if not count:
        return np.zeros((0, 0))
    largest = np.sqrt((rows * rows).sum(axis=1) + (errors * errors).sum(axis=1))
    if not np.all(np.isfinite(largest)) or np.any((largest < 1e-100) | (largest > 1e100)):
        raise Rejected(RANGE)
    exponents = np.frexp(largest)[1]
    scaled, unsure = np.ldexp(rows, -exponents[:, None]), np.ldexp(errors, -exponents[:, None])
    gram = scaled @ scaled.T
    ones = np.ones(count)
    size, all_unsure = total(scaled.T, ones), total(unsure.T, ones)
    lost = total(scaled, gamma(inputs + 4) * size + all_unsure) + total(unsure, size + all_unsure)
    lost += count * UNDERFLOW
    for attempt in range(ATTEMPTS):
        raised = gram.copy()
        raised.reshape(-1)[:: count + 1] += lost * 4.0 ** (attempt + 1)
        try:
            factor = np.linalg.cholesky(raised)
        except np.linalg.LinAlgError:
            continue
        factor[np.abs(factor) < 1e-150] = 0.0  # so that no entry underflows below
        difference = factor @ factor.T - gram
        diagonal = difference.diagonal().copy()
        own = total(factor, gamma(count + 4) * total(factor.T, ones)) + count * UNDERFLOW
        sums = total(difference, ones) * (1 + gamma(8)) - np.abs(diagonal)
        if np.all(diagonal >= (sums + lost + own + gamma(8) * np.abs(diagonal)) * SLACK):
            return np.ldexp(factor, exponents[:, None])
    raise Rejected("no factor for the inputs is proved")

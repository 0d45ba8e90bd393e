"""Bounds of what float64 arithmetic loses to rounding, and positive definiteness proved in spite of it; needs NumPy.

A symmetric matrix is positive definite if the floating-point Cholesky factorization of it, minus the constant c of
S. M. Rump, "Verification of positive definiteness" (BIT 46, 2006), runs to completion: c bounds the backward error,
with g = (n + 3) u / (1 - (n + 3) u) instead of n + 1 because BLAS multiplies by reciprocals. Needs rounding to nearest
and subnormal numbers, which `require_rounding_to_nearest` tests.
"""

from __future__ import annotations

from fractions import Fraction
from math import nextafter

import numpy as np

from .reading import Rejected

Array = np.ndarray

U = 2.0**-53
TINY = 2.0**-1022
#: What the bounds themselves may have lost to rounding: they are computed with nonnegative numbers in few operations.
SLACK = 1 + 1e-6
#: Below this, a product may have lost more to underflow than the relative bounds of rounding say.
SMALLEST = 1e-280
#: More than a sum or a product of two numbers loses to underflow.
SUBNORMAL = 1e-322
RANGE = "numbers of the certificate span too many orders of magnitude for floating point"


def gamma(k: int) -> float:
    """Bound of the relative error of k roundings in any order (Higham, section 3.1)."""
    return k * U / (1 - k * U) * SLACK


def rounded(numbers: Array, steps: int) -> Array:
    """What sums of products with these numbers lose for every unit of their factors, if a product is in `steps`."""
    return gamma(steps) * np.abs(numbers) + SUBNORMAL * (numbers != 0)


def product(*factors: Array) -> Array:
    """The product of arrays, every rounding of which is relative; raises `Rejected` if one may underflow."""
    result = factors[0]
    for factor in factors[1:]:
        before, result = result, result * factor
        if np.any((before != 0) & (factor != 0) & (np.abs(result) < SMALLEST)):
            raise Rejected(RANGE)
    return result


def outward(number: Fraction, direction: float) -> float:
    """The float nearest to a number on its side towards `direction`, an infinity."""
    try:
        near = float(number)
    except OverflowError:
        return direction
    beyond = Fraction(near) < number if direction > 0 else Fraction(near) > number
    return nextafter(near, direction) if beyond else near


def total(matrix: Array, sizes: Array) -> Array:
    """Bounds of `|matrix| @ sizes` from above, for sizes >= 0: infinite ones too, which an entry zero does not count.

    `sizes` has one entry for each column, or for each entry of the matrix. What is not a number stays none.
    """
    finite = np.isfinite(sizes)
    if sizes.ndim == 1 and np.all(finite):
        return np.abs(matrix) @ sizes * SLACK + TINY
    if sizes.ndim == 1:
        result = np.abs(matrix[:, finite]) @ sizes[finite]
        result[np.any(matrix[:, ~finite] != 0, axis=1)] = np.inf
    else:
        result = np.where(matrix == 0, 0.0, np.abs(matrix) * sizes).sum(axis=1)
    return result * SLACK + TINY


def pairwise_product(matrix: Array, vector: Array) -> tuple[Array, Array]:
    """`matrix @ vector` and bounds of the errors, which grow with the logarithm of the number of columns only."""
    values, levels = matrix * vector, 0
    while values.shape[1] > 1:
        half, levels = values.shape[1] // 2, levels + 1
        sums, odd = values[:, :half] + values[:, half : 2 * half], values[:, 2 * half :]
        values = np.hstack([sums, odd]) if odd.shape[1] else sums
    return values.sum(axis=1), total(matrix, rounded(vector, levels + 1))


def is_definite(matrix: Array, errors: Array) -> bool:
    """Whether every symmetric matrix that differs from this one by row sums within `errors` is positive definite."""
    n = len(matrix)
    if n == 0:
        return True
    errors = np.resize(errors, n)  # twice the same in the real form
    diagonal = matrix.diagonal().copy()
    if not np.all(np.isfinite(matrix)) or np.any(diagonal <= errors):
        return False
    g = (n + 3) * U / (1 - (n + 3) * U) * SLACK
    trace = float(diagonal.sum()) * (1 + gamma(n + 1))
    c = g / (1 - g) * SLACK * trace + 4 * 5e-324 * n * (2 * (n + 1) + float(diagonal.max())) + TINY
    less = np.nextafter(diagonal - np.nextafter((c + errors) * SLACK, np.inf), -np.inf)
    shifted = matrix.copy()
    shifted.reshape(-1)[:: n + 1] = less
    try:
        factor = np.linalg.cholesky(shifted)
    except np.linalg.LinAlgError:
        return False
    own = factor.diagonal()
    return bool(np.all(np.isfinite(own)) and np.all(own > 0))


def rounds_to_nearest() -> bool:
    """Whether float64 arithmetic rounds to nearest, ties to even, and keeps subnormal numbers."""
    one, half = np.array([1.0]), np.array([U])
    subnormal = np.array([5e-324]) * np.array([1.0])
    nearest = (one + half)[0] == 1.0 and (one + 1.5 * half)[0] > 1.0 and (-one - half)[0] == -1.0
    return bool(nearest and subnormal[0] > 0 and (np.array([TINY]) / 2)[0] > 0)


def require_rounding_to_nearest() -> None:
    """Raise `Rejected` if the error bounds do not hold on this machine."""
    if not rounds_to_nearest():
        raise Rejected("this machine does not round to nearest, or flushes subnormal numbers to zero")

"""Upper bounds of norms in float64, rounding included."""

from __future__ import annotations

import math

import numpy as np

from sdpcert.arithmetic import error_bound

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: Products of numbers above which no power of the Gram matrix is formed, unless more are allowed.
MOST_PRODUCTS = 1e9
#: Room for the few roundings of one bound, each of 2^-53.
ROOM = 1 + 2.0**-50


def matrix_norm_up(
    matrix: Array, coefficient_error: float = 0.0, squarings: int = 6, most: float = MOST_PRODUCTS
) -> float:
    """An upper bound of the spectral norm: `|A|^2 = |A A'|`, repeated, and the Frobenius norm at last.

    The true entries may differ from those given by `coefficient_error`, relative to them. If the Gram matrix takes more
    than `most` products of numbers, the largest sums of rows and columns bound the norm instead.
    """
    size = error_bound.largest(np.abs(matrix))
    if not 0 < size < math.inf:
        return size
    exponent = math.frexp(size)[1]
    scaled = np.ldexp(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T, -exponent)
    rows, inner = scaled.shape
    frobenius = math.sqrt(float(np.square(scaled).sum()) * (1 + (matrix.size + 8) * UNIT_ROUNDOFF)) * ROOM
    bound = frobenius
    if squarings and float(rows) * rows * inner <= most:
        # Entries of the product are wrong by at most gamma sum |a||b|, in norm by gamma |A|_F^2; so is their underflow.
        rounding = 2 * (inner + 2) * UNIT_ROUNDOFF * frobenius**2 + matrix.size * 1e-300
        squared = matrix_norm_up(scaled @ scaled.T, 0.0, squarings - 1, most)
        bound = min(bound, math.sqrt(squared + rounding) * ROOM)
    elif squarings:
        absolute = np.abs(scaled)
        mixed = math.sqrt(float(absolute.sum(axis=0).max() * absolute.sum(axis=1).max()))
        bound = min(bound, mixed * error_bound.SLACK)
    if coefficient_error:
        bound = (bound + coefficient_error * frobenius) * ROOM
    with np.errstate(over="ignore"):
        return math.nextafter(float(np.ldexp(bound, exponent)), math.inf)


def difference_norms_up(rows: Array) -> Array:
    """Upper bounds of the norms of rows that are differences of float64 rows; 0 only if all entries are."""
    largest = np.abs(rows).max(1, keepdims=True, initial=0.0)
    unit = rows / np.where(largest > 0, largest, 1.0)
    return np.sqrt(np.square(unit).sum(1)) * largest[:, 0] * (1 + (rows.shape[1] + 8) * 2.0**-52)


def with_room(bound: float) -> float:
    """A computed bound of a norm with room for the roundings of computing it."""
    return error_bound.largest(float(bound) * error_bound.SLACK)


def row_norms_up(values: Array) -> Array:
    """Upper bounds of the Euclidean norms of the rows (first axis) of nonnegative numbers.

    They are scaled first, so that squares neither overflow nor underflow.
    """
    rows = values.reshape(len(values), -1)
    largest = np.max(rows, axis=1, initial=0.0)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        roots = np.sqrt(np.square(rows / safe[:, None]).sum(axis=1))
        return error_bound.bounds(largest * (roots * error_bound.SLACK))

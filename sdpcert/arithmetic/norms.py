"""Upper bounds of norms in float64, rounding included."""

from __future__ import annotations

import numpy as np

from sdpcert.arithmetic import error_bound

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: Products of numbers above which no power of the Gram matrix is formed.
MOST_PRODUCTS = 1e9


def matrix_norm_up(matrix: Array, coefficient_error: float = 0.0, squarings: int = 6) -> float:
    """An upper bound of the spectral norm: `|A|^2 = |A A'|`, repeated, and the Frobenius norm at last.

    The true entries may differ from those given by `coefficient_error`, relative to them.
    """
    largest = error_bound.largest(np.abs(matrix))
    if not 0 < largest < np.inf:
        return largest
    exponent = int(np.frexp(largest)[1])
    scaled = np.ldexp(matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T, -exponent)
    rows, inner = scaled.shape
    frobenius = float(np.sqrt(np.square(scaled).sum())) * error_bound.SLACK
    if squarings == 0:
        bound = frobenius
    elif float(rows) * rows * inner > MOST_PRODUCTS:
        absolute = np.abs(scaled)
        mixed = float(np.sqrt(absolute.sum(axis=0).max() * absolute.sum(axis=1).max()))
        bound = min(frobenius, mixed * error_bound.SLACK)
    else:
        # Entries of the product are wrong by at most gamma sum |a||b|, in norm by gamma |A|_F^2.
        rounding = 4 * (inner + 2) * UNIT_ROUNDOFF * frobenius**2
        squared = matrix_norm_up(scaled @ scaled.T, 0.0, squarings - 1)
        bound = min(frobenius, float(np.sqrt(squared + rounding)) * error_bound.SLACK)
    return float(np.ldexp(bound + coefficient_error * frobenius, exponent))


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

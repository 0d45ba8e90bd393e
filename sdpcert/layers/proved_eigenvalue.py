"""Upper bounds of largest eigenvalues that hold whatever rounding did."""

from __future__ import annotations

import math

import numpy as np

from sdpcert.arithmetic.spectra import largest_eigenvalue
from sdpcert.check.floating import is_definite

Array = np.ndarray
U = 2.0**-53
#: Room for the rounding of error bounds themselves.
SLACK = 1.001


def proved_weighted_norm(matrix: Array, weights: Array) -> float:
    """An upper bound of the largest eigenvalue of `matrix' diag(weights) matrix`, for weights >= 0 known up to 2^-53.

    `matrix` is (rows, columns), `weights` (rows,). The error of forming the smaller of the two Gram matrices is added.
    """
    used = weights > 0
    rooted = matrix[used] * np.sqrt(weights[used])[:, None]
    if not rooted.any():
        # Products that vanish count as all that underflow.
        return matrix.size * 1e-300 if np.any(matrix[used]) else 0.0
    left = rooted if rooted.shape[0] <= rooted.shape[1] else rooted.T
    gram = left @ left.T
    gram = np.tril(gram) + np.tril(gram, -1).T
    magnitude = np.abs(left)
    allowances = rounding_bound(left.shape[1] + 8) * (magnitude @ magnitude.sum(0)) + left.size * 1e-300 * (
        1 + magnitude.max()
    )
    return proved_largest_eigenvalue(gram, allowances)


def proved_largest_eigenvalue(matrix: Array, allowances: Array | float = 0.0) -> float:
    """A number that no eigenvalue of the symmetric matrix (n, n) exceeds, about n^2 2^-53 above the largest one.

    `allowances` (n,) or a number bound the sums of magnitudes in the rows of a symmetric matrix that may be added. c is
    accepted where floating-point Cholesky of `c I - matrix` passes with Rump's shift for its rounding (BIT 46, 2006);
    c starts at float64's eigenvalue and grows. Raises ValueError for matrices that are not symmetric or not finite.
    """
    matrix = np.asarray(matrix, dtype=float)
    if matrix.ndim != 2 or not np.array_equal(matrix, matrix.T) or not np.all(np.isfinite(matrix)):
        raise ValueError("an eigenvalue is proved of a symmetric matrix of finite numbers only")
    n, largest = len(matrix), float(np.abs(matrix).max(initial=0.0))
    allowances = np.broadcast_to(np.asarray(allowances, dtype=float), (n,))
    most = float(allowances.max(initial=0.0))
    if largest == 0:
        return most
    exponent = math.frexp(largest)[1]
    # Entries that vanish by scaling count as well.
    unit, known = np.ldexp(matrix, -exponent), np.ldexp(allowances, -exponent) * (1 + 2.0**-50) + n * 1e-300
    guess = largest_eigenvalue(unit)
    room = (n + 4) * U * (n * abs(guess) + float(np.abs(unit.diagonal()).sum()) + 1)
    for k in range(40):
        c = guess + float(known.max()) * (1 + 2.0**-50) + room * 2.0**k
        shifted = -unit
        shifted[np.diag_indices(n)] += c
        if is_definite(shifted, known + 2 * U * np.abs(shifted.diagonal())):
            return math.nextafter(math.ldexp(c, exponent), math.inf)
    return float(np.abs(matrix).sum(1).max()) * (1 + 2 * n * U) + most * (1 + 2.0**-50)


def rounding_bound(roundings: int) -> float:
    """Relative error of so many roundings in any order, with room."""
    return roundings * U / (1 - roundings * U) * SLACK

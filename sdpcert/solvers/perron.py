"""Positive vectors that a nonnegative matrix J stretches by hardly more than its norm, in every coordinate."""

from __future__ import annotations

import numpy as np

from sdpcert.arithmetic.blas import cholesky, solve
from sdpcert.arithmetic.spectra import largest_gram_eigenvalue

Array = np.ndarray
#: How far above the largest eigenvalue the shift of the resolvent may be, relative; the best is taken.
SHIFTS = (1e-14, 1e-13, 1e-12, 1e-11, 1e-10)
#: Steps of power iteration after that: they make small entries accurate and never raise the largest quotient.
STEPS = 4


def subinvariant(matrix: Array) -> Array:
    """A positive vector a with `J'J a <= rho a` in every coordinate, rho hardly above the largest eigenvalue of J'J.

    One connected block of J'J after the other: each has a positive Perron vector of its own. Columns of zeros get 1.
    """
    result = np.ones(matrix.shape[1])
    for rows, columns in _components(matrix > 0):
        result[columns] = _of_block(matrix[np.ix_(rows, columns)])
    return result


def _components(pattern: Array) -> list[tuple[Array, Array]]:
    """Rows and columns of the connected parts of a matrix, those without entries left out."""
    left, found = pattern.any(axis=0), []
    while np.any(left):
        columns = np.zeros(len(left), bool)
        columns[np.argmax(left)] = True
        while True:
            rows = pattern[:, columns].any(axis=1)
            more = pattern[rows].any(axis=0)
            if np.array_equal(more, columns):
                break
            columns = more
        found.append((np.flatnonzero(rows), np.flatnonzero(columns)))
        left &= ~columns
    return found


def _of_block(block: Array) -> Array:
    """The vector of a connected block: of the resolvents `(s I - J'J)^-1 1` the one with the least quotient.

    For s above the largest eigenvalue a = (s I - J'J)^-1 1 is positive, and `J'J a = s a - 1`.
    """
    ones, top = np.ones(block.shape[1]), largest_gram_eigenvalue(block)
    best, least = ones, np.inf
    for shift in SHIFTS:
        gram = block @ block.T
        factor = cholesky(top * (1 + shift) * np.eye(len(gram)) - gram)
        if factor is None:
            continue
        vector = ones + block.T @ solve(factor, block @ ones)
        for _ in range(STEPS + 1):
            vector = vector / np.max(vector)
            image = block.T @ (block @ vector)
            quotient = float(np.max(image / vector))
            if np.all(vector > 0) and quotient < least:
                best, least = vector, quotient
            vector = image
    return best

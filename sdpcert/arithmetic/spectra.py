"""Eigenvalues and norms in float64 that are infinite if they cannot be computed.

LAPACK's iterations raise, or give NaN, on entries that are not finite and now and then on finite ones. Whoever asks for
a point of a condition wants "no point" then, so that something else is tried.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

Array = np.ndarray


def largest_eigenvalue(matrix: Array) -> float:
    """The largest eigenvalue of a Hermitian matrix (its lower triangle), of an empty one 0; infinite if LAPACK gives
    none.
    """
    return _finite(lambda: np.linalg.eigvalsh(matrix)[-1]) if matrix.size else 0.0


def spectral_norm(matrix: Array) -> float:
    """The largest singular value of a matrix, of an empty one 0; infinite if LAPACK gives none."""
    return _finite(lambda: np.linalg.norm(matrix, 2)) if matrix.size else 0.0


def eigenpairs(matrix: Array) -> tuple[Array, Array] | None:
    """Eigenvalues, ascending, and eigenvectors (columns) of a Hermitian matrix, or None if LAPACK gives none."""
    try:
        values, vectors = np.linalg.eigh(matrix)
    except np.linalg.LinAlgError:
        return None
    return (values, vectors) if np.all(np.isfinite(values)) else None


def least_squares(matrix: Array, right: Array) -> Array | None:
    """The shortest x with the least `|matrix x - right|`, or None if LAPACK gives none."""
    try:
        return np.linalg.lstsq(matrix, right, rcond=None)[0]
    except np.linalg.LinAlgError:
        return None


def _finite(compute: Callable[[], np.floating]) -> float:
    try:
        value = float(compute())
    except np.linalg.LinAlgError:
        return float("inf")
    return value if np.isfinite(value) else float("inf")

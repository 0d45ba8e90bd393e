"""Eigenvalues and norms in float64 that are infinite if they cannot be computed.

LAPACK's iterations raise, or give NaN, on entries that are not finite and now and then on finite ones. Whoever asks for
a point of a condition wants "no point" then, so that something else is tried.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import Any

import numpy as np

from sdpcert.arithmetic import blas

Array = np.ndarray
_LAPACK: Any = importlib.import_module("scipy.linalg.lapack")
#: Norms and Gram matrices up to this order go to LAPACK; of larger ones Lanczos finds the largest eigenvalue.
DIRECT = 300
#: Vectors that Lanczos may take.
STEPS = 240
#: The error that Lanczos estimates at its end, relative.
ACCURACY = 2.0**-51


def largest_eigenvalue(matrix: Array) -> float:
    """The largest eigenvalue of a Hermitian matrix (its lower triangle), of an empty one 0; infinite if LAPACK gives
    none.
    """
    return _finite(lambda: np.linalg.eigvalsh(matrix)[-1]) if matrix.size else 0.0


def least_eigenvalue(matrix: Array) -> float:
    """The least eigenvalue of a Hermitian row-major matrix (either triangle may be read), of an empty one 0; minus
    infinity if LAPACK gives none.
    """
    if not matrix.size:
        return 0.0
    if not np.isfinite(matrix.sum()):
        return -np.inf
    find = _LAPACK.zheevr if np.iscomplexobj(matrix) else _LAPACK.dsyevr
    # Read by columns it is the conjugate, which has the same eigenvalues.
    values, _, count, _, info = find(matrix.T, compute_v=0, range="I", il=1, iu=1, lower=1)
    return float(values[0]) if info == 0 and count > 0 and np.isfinite(values[0]) else -np.inf


def spectral_norm(matrix: Array) -> float:
    """The largest singular value of a matrix, of an empty one 0; infinite if LAPACK gives none."""
    if not matrix.size:
        return 0.0
    if min(matrix.shape) > DIRECT:
        found = _lanczos(matrix)
        if found is not None:
            return found
    return _finite(lambda: np.linalg.norm(matrix, 2))


def largest_gram_eigenvalue(matrix: Array) -> float:
    """The square of the largest singular value, of an empty matrix 0; infinite if LAPACK gives none."""
    if not matrix.size:
        return 0.0
    if min(matrix.shape) > DIRECT:
        return spectral_norm(matrix) ** 2
    wide = matrix if len(matrix) <= matrix.shape[1] else matrix.conj().T
    return max(largest_eigenvalue(blas.product(wide, wide.conj().T)), 0.0)


def _lanczos(matrix: Array) -> float | None:
    """The largest singular value to a few units in the last place, or None where that is not sure.

    Lanczos on the smaller Gram matrix, from a fixed vector, every vector made orthogonal to all before it. A Ritz value
    with the residual r is within r of an eigenvalue, and within r^2 over the distance of the second one.
    """
    largest = float(np.max(np.abs(matrix)))
    if not 0 < largest < np.inf:
        return 0.0 if largest == 0 else None
    exponent = max(int(np.frexp(largest)[1]), -1000)
    unit = matrix * 2.0**-exponent
    unit = np.ascontiguousarray(unit if len(unit) <= unit.shape[1] else unit.conj().T)
    adjoint, size = unit.conj().T, len(unit)
    count = min(STEPS, size)
    basis = np.zeros((count, size), dtype=unit.dtype)
    vector = np.random.default_rng(0).standard_normal(size).astype(unit.dtype)
    vector /= np.linalg.norm(vector)
    alphas, betas = [], []
    for k in range(count):
        basis[k] = vector
        image = blas.apply(unit, blas.apply(adjoint, vector))
        alphas.append(float(np.real(np.vdot(vector, image))))
        for _ in range(2):
            image -= blas.apply(basis[: k + 1].T, blas.apply(basis[: k + 1].conj(), image))
        beta = float(np.linalg.norm(image))
        ends = beta <= ACCURACY * max(alphas)
        if k % 4 == 3 or ends:
            pairs = eigenpairs(np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1))
            if pairs is None:
                return None
            values, vectors = pairs
            top, residual = float(values[-1]), beta * abs(float(vectors[-1, -1]))
            distance = top - float(values[-2]) if k else 0.0
            error = min(residual, residual**2 / distance if distance > 0 else np.inf)
            if ends or error <= ACCURACY * top:
                return float(np.ldexp(np.sqrt(top), exponent))
        betas.append(beta)
        vector = image / beta
    return None


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

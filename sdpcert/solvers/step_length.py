"""How far a step may go before a multiplier, or an eigenvalue of a matrix, reaches zero."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from sdpcert.arithmetic.spectra import eigenpairs

Matrix = Any
#: The length of a step that nothing stops.
UNBOUNDED = 1e9
#: Lanczos ends once what is new of an image is this small beside the operator.
BREAKDOWN = 1e-10


def length_in_orthant(point: Matrix, direction: Matrix) -> float:
    decrease = -(direction / point)
    largest = float(decrease.max())
    return 1 / largest if largest > 0 else UNBOUNDED


def length_to_boundary(
    image: Callable[[Matrix], tuple[Matrix, Matrix]], gram: Callable[[Matrix], Matrix], start: Matrix, steps: int = 24
) -> float:
    """How far a positive definite matrix B can go along D: 1 / -(least eigenvalue of B^-1 D), by Lanczos.

    Lanczos runs in the inner product of a matrix G (B itself, or the identity for L^-1 D L^-*). `image` maps a vector
    to its image under the operator and G times that, `gram` to its product with G. Each vector is measured with G
    anew: if B^-1 D is nearly a multiple of the identity (orthogonal layers), what remains of an image is rounding,
    and a recurrence for G times it would drift away from it.
    """
    vector = start * _norm(start, gram) ** -1
    before, beta, largest = vector * 0, 0.0, 0.0
    alphas: list[float] = []
    betas: list[float] = []
    bound, count = 0.0, min(steps, len(start))
    for k in range(count):
        moved, dual_moved = image(vector)
        alpha = _dot(vector, dual_moved)
        moved = moved - alpha * vector - beta * before
        beta = _norm(moved, gram)
        alphas.append(alpha)
        largest = max(largest, abs(alpha), beta)
        last = k + 1 == count or beta <= BREAKDOWN * largest
        if k % 4 == 3 or last:
            tridiagonal = np.diag(alphas) + np.diag(betas, 1) + np.diag(betas, -1)
            pairs = eigenpairs(tridiagonal)
            if pairs is None:
                return 0.0
            values, vectors = pairs
            least = float(values[0])
            bound = least - abs(beta * float(vectors[-1, 0]))
            if last or (least < 0 and bound > 1.05 * least) or (least >= 0 and bound > -0.5):
                break
        betas.append(beta)
        before, vector = vector, moved * (1 / beta)
    return 1 / -bound if bound < 0 else UNBOUNDED


def _norm(vector: Matrix, gram: Callable[[Matrix], Matrix]) -> float:
    return max(_dot(vector, gram(vector)), 0.0) ** 0.5


def _dot(left: Matrix, right: Matrix) -> float:
    return float((left.conj() * right).sum().real)

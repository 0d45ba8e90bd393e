"""How far a step may go before a multiplier, or an eigenvalue of a matrix, reaches zero."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from typing import Any

import numpy as np

from sdpcert.arithmetic.arrays import Arrays, NumpyArrays
from sdpcert.arithmetic.spectra import eigenpairs
from sdpcert.arithmetic.unseen import Unseen

Matrix = Any
#: The length of a step that nothing stops.
UNBOUNDED = 1e9
#: Steps before which Lanczos is not believed: a start that has little of the least eigenvector hides it for some.
SURE = 7
#: Lanczos ends once what is new of an image is this small beside the operator.
BREAKDOWN = 1e-10
#: Added to what is divided by, so that a vector of zeros stays one.
NOTHING = 1e-300


def length_in_orthant(point: Matrix, direction: Matrix) -> float:
    """How far a positive vector can go along a direction."""
    return _length(float(_decrease(point, direction)))


def unseen_length_in_orthant(point: Matrix, direction: Matrix) -> Unseen[float]:
    """How far a positive vector can go along a direction, before its number was looked at."""
    return Unseen((_decrease(point, direction),), lambda seen: _length(float(seen[0])))


def _decrease(point: Matrix, direction: Matrix) -> Matrix:
    return (-(direction / point)).max()


def _length(largest: float) -> float:
    return 1 / largest if largest > 0 else UNBOUNDED


def length_to_least(least: float) -> float:
    """How far a positive definite matrix L L* can go along D, from the least eigenvalue of L^-1 D L^-*."""
    return 1 / -least if least < 0 else UNBOUNDED


def length_to_boundary(
    image: Callable[[Matrix], tuple[Matrix, Matrix]],
    gram: Callable[[Matrix], Matrix],
    start: Matrix,
    steps: int = 24,
    arrays: Arrays | None = None,
) -> Unseen[float]:
    """How far a positive definite matrix B can go along D: 1 / -(least eigenvalue of B^-1 D), by Lanczos.

    Lanczos runs in the inner product of a matrix G (B itself, or the identity for L^-1 D L^-*). `image` maps a vector
    to its image under the operator and G times that, `gram` to its product with G. Each vector is measured with G
    anew: if B^-1 D is nearly a multiple of the identity (orthogonal layers), what remains of an image is rounding,
    and a recurrence for G times it would drift away from it. Its numbers stay with the vectors until the library of
    `arrays` wants them looked at; if that is not before the last step, they are not looked at here.
    """
    arrays = arrays or NumpyArrays()
    count = min(steps, len(start))
    numbers = np.zeros((0, 2))
    recurrence = _recurrence(image, gram, start)
    if count <= arrays.unseen:
        found = [number for _ in range(count) for number in next(recurrence)]
        return Unseen(tuple(found), lambda seen: _length_from(_least_eigenvalue(seen.reshape(-1, 2), 0, count)))
    for first in range(0, count, arrays.unseen):
        found = [next(recurrence) for _ in range(first, min(first + arrays.unseen, count))]
        numbers = np.concatenate(
            [numbers, arrays.numbers([number for pair in found for number in pair]).reshape(-1, 2)]
        )
        bound = _least_eigenvalue(numbers, first, count)
        if bound is not None:
            return Unseen.known(_length_from(bound))
    return Unseen.known(0.0)


def _length_from(least: float | None) -> float:
    """The length from a bound on the least eigenvalue, 0 without one."""
    return 0.0 if least is None else length_to_least(least)


def _recurrence(
    image: Callable[[Matrix], tuple[Matrix, Matrix]], gram: Callable[[Matrix], Matrix], start: Matrix
) -> Iterator[tuple[Matrix, Matrix]]:
    """The entries on the diagonal and beside it of the tridiagonal matrix, step by step."""
    vector = start * (1 / _norm(start, gram))
    before, beta = vector * 0, 0.0
    while True:
        moved, dual_moved = image(vector)
        alpha = _dot(vector, dual_moved)
        moved = moved - alpha * vector - beta * before
        beta = _norm(moved, gram)
        yield alpha, beta
        before, vector = vector, moved * (1 / (beta + NOTHING))


def _least_eigenvalue(numbers: np.ndarray, first: int, count: int) -> float | None:
    """A lower bound on the least eigenvalue once it is good enough, judged after every fourth step from `first` on;
    None if it is not yet. What is no number gives 0 as the length, so minus infinity here.
    """
    alphas, betas = numbers[:, 0], numbers[:, 1]
    largest = np.maximum.accumulate(np.maximum(abs(alphas), betas))
    for k in range(first, len(numbers)):
        last = k + 1 == count or betas[k] <= BREAKDOWN * largest[k]
        if (k % 4 != 3 or k < SURE) and not last:
            continue
        beside = betas[:k]
        pairs = eigenpairs(np.diag(alphas[: k + 1]) + np.diag(beside, 1) + np.diag(beside, -1))
        if pairs is None:
            return -inf
        values, vectors = pairs
        least = float(values[0])
        bound = least - abs(float(betas[k]) * float(vectors[-1, 0]))
        if last or (least < 0 and bound > 1.05 * least) or (least >= 0 and bound > -0.5):
            return bound
    return None


def _norm(vector: Matrix, gram: Callable[[Matrix], Matrix]) -> Matrix:
    return _dot(vector, gram(vector)).clip(min=0) ** 0.5


def _dot(left: Matrix, right: Matrix) -> Matrix:
    return (left.conj() * right).sum().real

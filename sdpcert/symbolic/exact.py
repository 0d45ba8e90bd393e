"""Exact linear algebra on small matrices: rational numbers, and a + b sqrt(2) where a claim needs them.

Matrices are NumPy arrays of objects. `indefinite` decides positive semidefiniteness by exact symmetric elimination and
returns a vector v with v'Mv < 0 if there is one.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

Array = np.ndarray


class Root2:
    """The number a + b sqrt(2) with rational a, b."""

    __slots__ = ("a", "b")

    def __init__(self, a: Any, b: Any = 0) -> None:
        self.a, self.b = Fraction(a), Fraction(b)

    @staticmethod
    def _pair(value: Any) -> Root2:
        return value if isinstance(value, Root2) else Root2(value)

    def __add__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = self._pair(other)
        return _plain(self.a + other.a, self.b + other.b)

    __radd__ = __add__

    def __neg__(self) -> Any:
        return _plain(-self.a, -self.b)

    def __sub__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return self + -other

    def __rsub__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return -self + other

    def __mul__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = self._pair(other)
        return _plain(self.a * other.a + 2 * self.b * other.b, self.a * other.b + self.b * other.a)

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        other = self._pair(other)
        norm = other.a**2 - 2 * other.b**2
        return self * _plain(other.a / norm, -other.b / norm)

    def __rtruediv__(self, other: Any) -> Any:
        if isinstance(other, np.ndarray):
            return NotImplemented
        return Root2(other) / self

    def __pow__(self, exponent: int) -> Any:
        result: Any = Fraction(1)
        for _ in range(abs(exponent)):
            result = self * result
        return 1 / result if exponent < 0 else result

    def _sign(self) -> int:
        a, b = self.a, self.b
        if a >= 0 and b >= 0:
            return int(a > 0 or b > 0)
        if a <= 0 and b <= 0:
            return -1
        larger = a * a > 2 * b * b
        return 1 if (a > 0) == larger else -1

    def __lt__(self, other: Any) -> bool:
        return self._pair(self - other)._sign() < 0

    def __gt__(self, other: Any) -> bool:
        return self._pair(self - other)._sign() > 0

    def __le__(self, other: Any) -> bool:
        return not self > other

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, int | Fraction | Root2):
            return NotImplemented
        return self._pair(self - other)._sign() == 0

    def __hash__(self) -> int:
        return hash((self.a, self.b))

    def __abs__(self) -> Any:
        return -self if self < 0 else self

    def __float__(self) -> float:
        return float(self.a) + float(self.b) * 2**0.5

    def __repr__(self) -> str:
        return f"{self.a} {'-' if self.b < 0 else '+'} {abs(self.b)} sqrt(2)"


def _plain(a: Fraction, b: Fraction) -> Any:
    return Root2(a, b) if b else a


def rational(values: Any) -> Array:
    """An array of exact numbers; floats are taken at their exact value."""
    array = np.asarray(values, dtype=object)
    made = np.empty(array.shape, dtype=object)
    for index in np.ndindex(array.shape):
        value = array[index]
        made[index] = value if isinstance(value, Fraction | Root2) else Fraction(value)  # type: ignore[arg-type]
    return made


def unit(size: int) -> Array:
    """The identity."""
    return rational(np.eye(size, dtype=int).tolist()).reshape(size, size)


def inverse(matrix: Array) -> Array:
    """The exact inverse (or, for an array of floats, the numerical one); raises ZeroDivisionError if singular."""
    if matrix.dtype != object:
        try:
            return np.linalg.inv(matrix)
        except np.linalg.LinAlgError as error:
            raise ZeroDivisionError(str(error)) from None
    size = len(matrix)
    work = np.concatenate([matrix.copy(), unit(size)], axis=1)
    for k in range(size):
        pivot = next((i for i in range(k, size) if work[i, k] != 0), None)
        if pivot is None:
            raise ZeroDivisionError("the matrix is singular")
        work[[k, pivot]] = work[[pivot, k]]
        work[k] = work[k] / work[k, k]
        for i in range(size):
            if i != k and work[i, k] != 0:
                work[i] = work[i] - work[i, k] * work[k]
    return work[:, size:]


def indefinite(matrix: Array) -> Array | None:
    """A vector v with v'Mv < 0 for a symmetric exact matrix, None if M is positive semidefinite."""
    size = len(matrix)
    if any(matrix[i, k] != matrix[k, i] for i in range(size) for k in range(i)):
        raise ValueError("the matrix is not symmetric")
    work = matrix.copy()
    # The rows of `basis` are the vectors in whose coordinates `work` is the form.
    basis = unit(size)
    rest = list(range(size))
    while rest:
        for k in rest:
            if work[k, k] < 0:
                return basis[k]
        pivot = next((k for k in rest if work[k, k] > 0), None)
        if pivot is None:
            for i in rest:
                for k in rest:
                    if i < k and work[i, k] != 0:
                        return basis[i] - basis[k] if work[i, k] > 0 else basis[i] + basis[k]
            return None
        rest.remove(pivot)
        for i in rest:
            if work[i, pivot] != 0:
                factor = work[i, pivot] / work[pivot, pivot]
                basis[i] = basis[i] - factor * basis[pivot]
                for k in rest:
                    if k >= i:
                        work[i, k] = work[k, i] = work[i, k] - factor * work[pivot, k]
                work[i, pivot] = work[i, pivot] - work[i, pivot]
    return None


def form(matrix: Array, vector: Array) -> Any:
    """v'Mv."""
    return (vector @ matrix @ vector) if len(vector) else Fraction(0)


def is_zero(matrix: Array) -> bool:
    """Whether every entry is zero."""
    return all(value == 0 for value in matrix.flat)


def root_above(value: Any, denominator: int = 64) -> Fraction:
    """A rational number r > 0 with r^2 >= value, near the root; exact for squares of such numbers."""
    exact = Fraction(value) if not isinstance(value, Root2) else Fraction(float(value) * (1 + 1e-12))
    if exact <= 0:
        return Fraction(1, denominator)
    top, bottom = math.isqrt(exact.numerator), math.isqrt(exact.denominator)
    if top**2 == exact.numerator and bottom**2 == exact.denominator:
        return Fraction(top, bottom)
    scaled = exact * denominator**2
    return Fraction(math.isqrt(math.ceil(scaled) - 1) + 1, denominator)

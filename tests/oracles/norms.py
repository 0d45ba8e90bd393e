"""Spectral norms of exact matrices, compared with numbers in rational arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import isqrt

import numpy as np

Matrix = tuple[tuple[Fraction, ...], ...]


@dataclass(frozen=True)
class Jacobian:
    """A matrix of fractions."""

    entries: Matrix

    @cached_property
    def gram(self) -> list[list[Fraction]]:
        """J J' or J' J, the smaller one."""
        rows = self.entries
        if rows and len(rows[0]) < len(rows):
            rows = tuple(zip(*rows))
        return [[sum((a * b for a, b in zip(one, other)), Fraction(0)) for other in rows] for one in rows]

    @cached_property
    def rounded(self) -> float:
        """The norm in floating point; never for a proof by itself."""
        if not self.entries or not self.entries[0]:
            return 0.0
        return float(np.linalg.norm(np.array([[float(a) for a in row] for row in self.entries]), 2))

    def norm_is_at_most(self, bound: Fraction) -> bool:
        """Whether the norm is at most the bound: `bound^2 I - gram` is positive semidefinite."""
        return bound >= 0 and _semidefinite(self._shifted(bound), strictly=False)

    def norm_is_below(self, bound: Fraction) -> bool:
        """Whether the norm is less than the bound."""
        return bound > 0 and _semidefinite(self._shifted(bound), strictly=True)

    def _shifted(self, bound: Fraction) -> list[list[Fraction]]:
        return [[bound**2 * (i == j) - a for j, a in enumerate(row)] for i, row in enumerate(self.gram)]

    @cached_property
    def interval(self) -> tuple[Fraction, Fraction]:
        """Two numbers that have the norm between them, 2^-40 apart (relative), proved."""
        if not any(any(row) for row in self.gram):
            return Fraction(0), Fraction(0)
        middle, width = Fraction(self.rounded), Fraction(1, 2**44)
        while True:
            low, high = middle * (1 - width), middle * (1 + width)
            if self.norm_is_at_most(high) and not self.norm_is_below(low):
                return low, high
            width *= 2
            if width > Fraction(1, 2**20):
                raise ArithmeticError("the norm in floating point is far from the norm")


def _semidefinite(matrix: list[list[Fraction]], strictly: bool) -> bool:
    """Whether a symmetric matrix is positive semidefinite (or definite), by elimination."""
    rows = [list(row) for row in matrix]
    size = len(rows)
    for k in range(size):
        pivot = rows[k][k]
        if pivot < 0 or (strictly and pivot == 0):
            return False
        if pivot == 0:
            if any(rows[i][k] for i in range(k, size)):
                return False
            continue
        for i in range(k + 1, size):
            factor = rows[i][k] / pivot
            if factor:
                rows[i] = [a - factor * b for a, b in zip(rows[i], rows[k])]
    return True


def root(square: Fraction) -> tuple[Fraction, Fraction]:
    """Two numbers that have the square root of a fraction between them, about 2^-64 apart (relative)."""
    if square == 0:
        return Fraction(0), Fraction(0)
    shift = max(0, 64 - square.numerator.bit_length() // 2 + square.denominator.bit_length() // 2)
    whole = isqrt((square.numerator << (2 * shift)) // square.denominator)
    return Fraction(whole, 1 << shift), Fraction(whole + 1, 1 << shift)

"""Matrix products in float64 whose error is known: slices that BLAS multiplies without rounding.

A matrix is cut into slices of so few bits that every product of two slices, summed over the inner dimension, fits into
53 bits: then BLAS commits no rounding, in any order of summation and with or without fused multiply-add (Ozaki, Ogita,
Oishi, Rump 2012). Requires round-to-nearest; powers of two are applied with ldexp.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from sdpcert.arithmetic.blas import product

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
TINY = float(np.finfo(float).tiny)


@dataclass
class Total:
    """A sum of matrices as high + low, with an entrywise bound of what is missing.

    `add` keeps the rounding of `high` in `low`; the rounding of `low` itself is added to `error`.
    """

    high: Array
    low: Array = field(init=False)
    error: Array = field(init=False)

    def __post_init__(self) -> None:
        self.high = np.array(self.high, dtype=float)
        self.low = np.zeros_like(self.high)
        self.error = np.zeros_like(self.high)

    @staticmethod
    def of(high: Array, low: Array, error: Array) -> Total:
        """The sum of two matrices, known up to `error`; the arrays are its own from now on."""
        total = Total.__new__(Total)
        total.high, total.low, total.error = high, low, error
        return total

    @property
    def transposed(self) -> Total:
        """The transpose, in the same memory."""
        return Total.of(self.high.T, self.low.T, self.error.T)

    def copy(self) -> Total:
        """A total that may be added to without changing this one."""
        return Total.of(self.high.copy(), self.low.copy(), self.error.copy())

    def part(self, rows: slice, columns: slice) -> Total:
        """Some rows and columns, in the same memory."""
        return Total.of(self.high[rows, columns], self.low[rows, columns], self.error[rows, columns])

    def add_total(self, other: Total) -> None:
        """Add another total."""
        self.add(other.high)
        self.add(other.low, other.error)

    def add(self, term: Array, error: Array | float = 0.0) -> None:
        """Add a matrix whose entries are known up to `error`."""
        total, rounding = two_sum(self.high, term)
        self.low += rounding
        self.error += 2 * UNIT_ROUNDOFF * np.abs(self.low) + error
        self.high[...] = total

    def value(self) -> tuple[Array, Array]:
        """The sum rounded to float64, and a bound of its error."""
        value = self.high + self.low
        return value, self.error * (1 + 1e-10) + 2 * UNIT_ROUNDOFF * np.abs(value)


def two_sum(a: Array, b: Array) -> tuple[Array, Array]:
    """`a + b` as high + low, exact if nothing overflows (Knuth)."""
    high = a + b
    back = high - a
    return high, (a - (high - back)) + (b - back)


def two_product(a: Array, b: Array) -> tuple[Array, Array]:
    """`a * b` as high + low, exact barring underflow (Dekker, Veltkamp splitting; |a|, |b| below 2^990)."""
    high = a * b
    a1, a2 = _split(a)
    b1, b2 = _split(b)
    return high, ((a1 * b1 - high) + a1 * b2 + a2 * b1) + a2 * b2


def _split(a: Array) -> tuple[Array, Array]:
    c = 134217729.0 * a
    upper = c - (c - a)
    return upper, a - upper


def slices(matrix: Array, inner: int, count: int = 3) -> tuple[list[Array], Array]:
    """Cut the rows of a matrix into `count` slices (largest first) of (53 - log2(inner)) / 2 bits below the row's
    maximum.

    Returns the slices and the remainder, all exact: matrix = sum of slices + remainder.
    """
    bits = (53 - math.ceil(math.log2(max(inner, 2)))) // 2 - 1
    exponent = np.frexp(_largest(matrix)[:, None])[1]
    small, large = int(exponent.min(initial=0)), int(exponent.max(initial=0))
    ordinary = small - count * bits > -1000 and large < 900
    rest = np.array(matrix, dtype=float)  # large arrays are filled in place: fresh memory takes as long as sums do
    parts = []
    for k in range(1, count + 1):
        unit = exponent - k * bits
        if ordinary:  # the sum is rounded to a multiple of 2^unit, the difference is exact
            shifted = np.ldexp(1.5, unit + 52)
            part = rest + shifted
            part -= shifted
        else:
            part = np.ldexp(np.rint(np.ldexp(rest, -unit)), unit)
        rest -= part
        parts.append(part)
    return parts, rest


def _largest(matrix: Array) -> Array:
    """The largest magnitude of every row; what is no number stays that."""
    return np.maximum(matrix.max(axis=1, initial=0.0), -matrix.min(axis=1, initial=0.0))


def add_product(total: Total, left: Array, right: Array, sign: float = 1.0) -> None:
    """Add `sign * left @ right.T` to the total with an error far below that of a float64 product."""
    inner = left.shape[1]
    a, a_rest = slices(left, inner)
    b, b_rest = (a, a_rest) if right is left else slices(right, inner)
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
        if right is left and i > j:
            continue
        exact = product(a[i], b[j].T)
        total.add(sign * exact)
        if right is left and i < j:
            total.add(sign * exact.T)
    # What is left is of relative size 2^-60: its own rounding is added to the error.
    a_low = a[2] + a_rest
    b_low = a_low if right is left else b[2] + b_rest
    for x, y in ((a_low, b[1]), (a[1] + a_low, b_low), (a[0], b_rest), (a_rest, b[0])):
        magnitude = _largest(x)[:, None] * _largest(y) * inner
        if np.any(magnitude):
            total.add(sign * product(x, y.T), (inner + 4) * 2 * UNIT_ROUNDOFF * magnitude + inner * 4 * TINY)


def square_root_up(value: float, exponent: int) -> float:
    """The least float64 u with u^2 >= 4^exponent * value, compared in integers.

    Raises OverflowError if u is not a finite float64.
    """
    if value == 0:
        return 0.0
    numerator, denominator = value.as_integer_ratio()
    if exponent >= 0:
        numerator <<= 2 * exponent
    else:
        denominator <<= -2 * exponent

    def large_enough(u: float) -> bool:
        p, q = u.as_integer_ratio()
        return p * p * denominator >= numerator * q * q

    root = math.ldexp(math.sqrt(value), exponent)
    if not math.isfinite(root):
        raise OverflowError("the bound is above the largest float64")
    while large_enough(root) and root > 0:
        root = math.nextafter(root, 0.0)
    while not large_enough(root):
        root = math.nextafter(root, math.inf)
    return root

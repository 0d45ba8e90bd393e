"""Bounds of errors, entry by entry, whose tests fail closed.

Every comparison with NaN is false, so `error > 0` would take a bound that overflowed into NaN for no error at all. All
tests of bounds are here: only what equals zero counts as zero, and only what is finite counts as a bound.
"""

from __future__ import annotations

import numpy as np

from sdpcert.readers.errors import UnsupportedModel

Array = np.ndarray
#: Twice the unit roundoff: the slack covers the rounding of the bounds themselves.
EPS = 2.0**-52
#: Covers what a few operations lose to underflow, of the value and of the bound; 2^-1074 each at most.
TINY = 1e-300


def uncertain(error: Array | float) -> Array:
    """The entries whose bound is not zero; one that is no number is not zero."""
    return ~(np.asarray(error) == 0)


def is_exact(error: Array | float) -> bool:
    """Whether every entry's bound is zero."""
    return not np.any(uncertain(error))


def check_bound(error: Array | float) -> None:
    """Raise `UnsupportedModel` if an entry is no bound: negative, infinite or not a number."""
    if not np.all((np.asarray(error) >= 0) & (np.asarray(error) < np.inf)):
        raise UnsupportedModel("the bound of a constant's rounding error is not finite; store the constant's value")


def check_values(*values: Array) -> None:
    """Raise `UnsupportedModel` if an entry of a float array is infinite or not a number."""
    if any(v.dtype.kind == "f" and not np.all(np.isfinite(v)) for v in values):
        raise UnsupportedModel("a constant that is computed with is not finite, or the result is not; store its value")


def with_rounding(
    value: Array, inherited: Array | float, steps: float = 1.0, moving: Array | bool | None = None
) -> Array:
    """The bound for a value that was computed in `steps` roundings from operands that make it uncertain by `inherited`.

    A result may underflow where it is `moving`: not zero by its operands alone. Without it, those that are not zero are
    (a sum does not underflow).
    """
    where = value != 0 if moving is None else np.asarray(moving)
    return (inherited + (steps * EPS * np.abs(value) + TINY * where)) * (1 + 1e-12)


def rounded_product_is_exact(a: Array, b: Array, product: Array) -> bool:
    """Whether the float64 products of two arrays are without rounding, by the lengths of the factors' mantissas."""
    bits = np.add(_mantissa_bits(a), _mantissa_bits(b))
    fits = (bits <= 53) & np.isfinite(product) & (np.abs(product) >= np.finfo(float).tiny)
    return bool(np.all(fits | (np.multiply(a != 0, b != 0) == 0)))


def _mantissa_bits(values: Array) -> Array:
    """How many binary digits each number has from its first one to its last one."""
    whole = (np.frexp(np.abs(np.asarray(values, dtype=float)))[0] * 2.0**53).astype(np.int64)
    last = np.frexp((whole & -whole).astype(float))[1]
    return np.where(whole == 0, 0, 54 - last)

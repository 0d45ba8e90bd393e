"""Bounds of errors: zero if a value is exact, a positive number, or infinity if nothing is known.

A bound that overflowed on the way is often no number (`0 * inf`), and comparisons with that are false: `bound > 0`
would call it exact. So a bound is made, maximised and compared by the functions here alone; what is not a number is
infinite.
"""

from __future__ import annotations

import numpy as np

Array = np.ndarray
#: Room for the few roundings of computing a bound.
SLACK = 1 + 1e-9


def bounds(values: Array | float) -> Array:
    """The same bounds with infinity for what is not a number or negative."""
    array = np.asarray(values, dtype=float)
    return np.where(array >= 0, array, np.inf)


def largest(*values: Array | float) -> float:
    """The largest of all bounds, infinite if one of them is not a number or negative; 0 if there is none."""
    result = 0.0
    for value in values:
        array = np.asarray(value, dtype=float)
        if array.size and not float(array.min()) >= 0:  # the minimum of something that is not a number is not one
            return float("inf")
        result = max(result, float(array.max(initial=0.0)))
    return result


def is_exact(values: Array | float) -> bool:
    """Whether every bound is zero."""
    return not np.any(np.asarray(values) != 0)


def up(value: float) -> float:
    """The bound with room for what computing it lost; zero stays zero."""
    value = largest(value)
    return 0.0 if value == 0 else float(np.nextafter(value * SLACK, np.inf))


def power_of_two_up(value: float) -> float:
    """The least power of two that is not below a bound; zero and infinity stay as they are."""
    value = largest(value)
    if value in (0.0, float("inf")):
        return value
    mantissa, exponent = np.frexp(value)
    with np.errstate(over="ignore"):
        return float(np.ldexp(1.0, int(exponent) - (1 if mantissa == 0.5 else 0)))


def few_bits_up(values: Array | float, bits: int = 12) -> Array:
    """The least numbers of so many significant bits that are not below the bounds; zero and infinity stay.

    The last digits of a bound that was added up by a library of matrix products depend on that library.
    """
    mantissa, exponent = np.frexp(bounds(values))
    with np.errstate(over="ignore"):
        return np.ldexp(np.ceil(np.ldexp(mantissa, bits)), exponent - bits)

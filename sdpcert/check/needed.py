"""What a margin has to be above: zero in real arithmetic; in float32 what its evaluation may be wrong by.

All numbers are rational; square roots are rounded up, by less than one part in 2^120.
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from fractions import Fraction
from math import isqrt
from typing import Any

from .reading import members, real, values
from .region import Region, squared_distance

#: Fraction bits of a square root, at least, and significant ones.
ROOT_BITS = 128
ZERO = Fraction(0)


@dataclass(frozen=True)
class Errors:
    """The float32 evaluation of the outputs is off by a vector of norm at most `offset + slope |x - center|`.

    Without a center that is so for the center of every input of the file.
    """

    offset: float
    slope: float
    center: array[float] | None

    def needed(self, center: array[float], reach: Fraction) -> Fraction:
        """What a margin has to be above at every input within `reach` of a center: its two outputs are off by this."""
        distance = reach if self.center is None else root_up(squared_distance(self.center, center)) + reach
        return root_up(Fraction(2)) * (Fraction(self.offset) + Fraction(self.slope) * distance)


def read(value: Any, name: str, inputs: int) -> Errors:
    """Return the errors of evaluation that a file states."""
    offset, slope, center = members(value, name, "offset slope center")
    offset, slope = real(offset, f"{name}.offset", 0.0), real(slope, f"{name}.slope", 0.0)
    return Errors(offset, slope, None if center is None else values(center, f"{name}.center", "d", inputs))


def root_up(square: Fraction) -> Fraction:
    """The square root of a number >= 0, rounded up."""
    if square <= 0:
        return ZERO
    size = square.numerator.bit_length() - square.denominator.bit_length()
    bits = max(ROOT_BITS, ROOT_BITS - (size >> 1))
    whole = -(-(square.numerator << 2 * bits) // square.denominator)
    return Fraction(isqrt(whole - 1) + 1, 1 << bits)


def reach(center: array[float], region: Region) -> Fraction:
    """How far an input of a ball around a center, or of a box that contains it, is from the center, rounded up."""
    if region.center is not None:
        return Fraction(region.radius)
    low, high = region.ends()
    squares = (max(h - c, c - a) ** 2 for a, c, h in zip(low, map(Fraction, center), high, strict=True))
    return root_up(sum(squares, ZERO))

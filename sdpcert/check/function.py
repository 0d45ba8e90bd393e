"""What a checker knows of an activation: enclosures of its values, and of its slopes between two points."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from fractions import Fraction
from typing import ClassVar

from .elementary import Interval

Range = tuple[Fraction, Fraction]
ZERO, ONE = Fraction(0), Fraction(1)
#: Further fraction bits of values.
GUARD = 32
#: Fraction bits of derivatives.
SLOPE_BITS = 128


def hull(ranges: Sequence[Range]) -> Range:
    """The least interval that contains all of these."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def outward(low: Fraction, high: Fraction, bits: int) -> Range:
    """An interval that contains one, with ends that are multiples of 2^-bits."""
    return Interval.around(low, bits).ends[0], Interval.around(high, bits).ends[1]


class Function(ABC):
    """A function that is continuous, and smooth but for at most two kinks."""

    #: The name in certificates.
    name: ClassVar[str]

    @abstractmethod
    def value(self, x: Fraction, bits: int = 128) -> Range:
        """Enclose the value at a number of the range of float64, up to about 2^-bits max(1, |x|)."""

    @abstractmethod
    def derivative(self, low: Fraction, high: Fraction) -> Range:
        """Enclose the slopes between any two points of [low, high], low <= high; the derivative where low = high.

        What it contains beyond them is at most 2^-90 of the steepest slope of the function.
        """

    @abstractmethod
    def everywhere(self) -> Range:
        """Enclose the slopes between any two points of the line."""

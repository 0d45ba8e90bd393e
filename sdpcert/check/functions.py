"""The smooth activations that a certificate may name: enclosures of their values and of their derivatives.

A kind states where its derivative turns, and between two places the derivative is monotone between the turns. Nothing
is assumed of the arithmetic of a machine: all is done in integers and in fractions (`elementary.py`).
"""

from __future__ import annotations

import inspect
import math
from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

from . import saturating
from .elementary import Interval, arctangent, cosine, exponential, pi
from .function import GUARD, ONE, SLOPE_BITS, ZERO, Function, Range, hull, outward
from .reading import Rejected


class Exponential(Function):
    """`above v` for v >= 0, `size (e^(v / width) - 1)` for v < 0; its derivative is monotone on either side of zero."""

    @property
    def above(self) -> Fraction:
        """The slope on the right."""
        return ONE

    @property
    def width(self) -> Fraction:
        """The scale of the argument on the left."""
        return ONE

    @property
    @abstractmethod
    def size(self) -> Fraction:
        """How far the function falls (or rises, if this is negative) on the left."""

    def value(self, x: Fraction, bits: int = 128) -> Range:
        if x >= 0:
            return self.above * x, self.above * x
        fine = bits + GUARD + math.ceil(abs(self.size)).bit_length()
        low, high = exponential(Interval.around(x / self.width, fine)).ends
        ends = sorted((self.size * (low - 1), self.size * (min(high, ONE) - 1)))
        return outward(ends[0], ends[1], fine)

    def derivative(self, low: Fraction, high: Fraction) -> Range:
        found = [(self.above, self.above)] if low >= 0 or high > 0 else []
        if low < 0:
            found += [self._below(low), self._below(min(high, ZERO))]
        return hull(found)

    def everywhere(self) -> Range:
        slope = self.size / self.width
        return min(ZERO, slope, self.above), max(ZERO, slope, self.above)

    def _below(self, x: Fraction) -> Range:
        slope = self.size / self.width
        low, high = exponential(Interval.around(x / self.width, SLOPE_BITS)).ends
        ends = sorted((slope * low, slope * min(high, ONE)))
        return ends[0], ends[1]


@dataclass(frozen=True)
class Elu(Exponential):
    """`v` for v >= 0, `scale (e^v - 1)` for v < 0."""

    name = "elu"
    scale: Fraction

    @property
    def size(self) -> Fraction:
        return self.scale


@dataclass(frozen=True)
class Celu(Exponential):
    """`v` for v >= 0, `scale (e^(v / scale) - 1)` for v < 0; scale > 0."""

    name = "celu"
    scale: Fraction

    def __post_init__(self) -> None:
        if self.scale <= 0:
            raise Rejected("the parameter of the activation celu is not positive")

    @property
    def width(self) -> Fraction:
        return self.scale

    @property
    def size(self) -> Fraction:
        return self.scale


@dataclass(frozen=True)
class Selu(Exponential):
    """`gamma v` for v >= 0, `gamma scale (e^v - 1)` for v < 0; neither is negative."""

    name = "selu"
    scale: Fraction
    gamma: Fraction

    def __post_init__(self) -> None:
        if self.scale < 0 or self.gamma < 0:
            raise Rejected("a parameter of the activation selu is negative")

    @property
    def above(self) -> Fraction:
        return self.gamma

    @property
    def size(self) -> Fraction:
        return self.gamma * self.scale


class EvenSlope(Function):
    """An odd function whose derivative is rational in |v| and falls from 1 at zero to 0 at infinity."""

    @abstractmethod
    def slope(self, x: Fraction) -> Fraction:
        """The derivative."""

    def derivative(self, low: Fraction, high: Fraction) -> Range:
        found = [self.slope(low), self.slope(high)] + [ONE] * (low <= 0 <= high)
        return outward(min(found), max(found), SLOPE_BITS)

    def everywhere(self) -> Range:
        return ZERO, ONE


class Softsign(EvenSlope):
    """v / (1 + |v|)."""

    name = "softsign"

    def value(self, x: Fraction, bits: int = 128) -> Range:
        exact = x / (1 + abs(x))
        return outward(exact, exact, bits + GUARD)

    def slope(self, x: Fraction) -> Fraction:
        return 1 / (1 + abs(x)) ** 2


class Arctan(EvenSlope):
    """The arctangent; its derivative is 1 / (1 + v^2)."""

    name = "atan"

    def value(self, x: Fraction, bits: int = 128) -> Range:
        return arctangent(x, bits + GUARD).ends

    def slope(self, x: Fraction) -> Fraction:
        return 1 / (1 + x * x)


class Wave(Function):
    """cos(v + quarters pi / 2); its derivative is that of one quarter more, and turns at all zeros of the function."""

    quarters: ClassVar[int]

    def value(self, x: Fraction, bits: int = 128) -> Range:
        return cosine(x, self.quarters, bits + GUARD).ends

    def derivative(self, low: Fraction, high: Fraction) -> Range:
        quarters = self.quarters + 1
        least, most = hull([cosine(end, quarters, SLOPE_BITS).ends for end in (low, high)])
        return (
            -ONE if self._meets(low, high, quarters + 2) else least,
            ONE if self._meets(low, high, quarters) else most,
        )

    def everywhere(self) -> Range:
        return -ONE, ONE

    @staticmethod
    def _meets(low: Fraction, high: Fraction, quarters: int) -> bool:
        """Whether v + quarters pi / 2 may be a multiple of 2 pi somewhere in [low, high]."""
        size = int(max(abs(low), abs(high)))
        turn = tuple(2 * end for end in pi(SLOPE_BITS + 64 * (size.bit_length() // 64 + 1)).ends)
        first = min(low / end for end in turn) + Fraction(quarters, 4)
        last = max(high / end for end in turn) + Fraction(quarters, 4)
        return math.floor(last) >= math.ceil(first)


class Sin(Wave):
    """The sine."""

    name = "sin"
    quarters = -1


class Cos(Wave):
    """The cosine."""

    name = "cos"
    quarters = 0


class HardSwish(Function):
    """v clip(v / 6 + 1/2, 0, 1); its derivative is v / 3 + 1/2 between -3 and 3, 0 on the left and 1 on the right."""

    name = "hard_swish"

    def value(self, x: Fraction, bits: int = 128) -> Range:
        exact = x * min(max((x + 3) / 6, ZERO), ONE)
        return outward(exact, exact, bits + GUARD)

    def derivative(self, low: Fraction, high: Fraction) -> Range:
        found = [ZERO] * (low < -3 or high <= -3) + [ONE] * (high > 3 or low >= 3)
        if low < 3 and high > -3:
            found += [max(low, Fraction(-3)) / 3 + Fraction(1, 2), min(high, Fraction(3)) / 3 + Fraction(1, 2)]
        return outward(min(found), max(found), SLOPE_BITS)

    def everywhere(self) -> Range:
        return Fraction(-1, 2), Fraction(3, 2)


@dataclass(frozen=True)
class HardSigmoid(Function):
    """clip(slope v + offset, 0, 1)."""

    name = "hard_sigmoid"
    slope: Fraction
    offset: Fraction

    def value(self, x: Fraction, bits: int = 128) -> Range:
        exact = min(max(self.slope * x + self.offset, ZERO), ONE)
        return outward(exact, exact, bits + GUARD)

    def derivative(self, low: Fraction, high: Fraction) -> Range:
        first, last = sorted(self.slope * end + self.offset for end in (low, high))
        inside = first < 1 and last > 0
        outside = first < 0 or last > 1 or not inside
        found = [self.slope] * inside + [ZERO] * outside
        return min(found), max(found)

    def everywhere(self) -> Range:
        return min(ZERO, self.slope), max(ZERO, self.slope)


#: Every kind by the name that certificates have for it. Its fields are its parameters.
KINDS: dict[str, Callable[..., Function]] = {
    kind.name: kind for kind in (*saturating.KINDS, Elu, Celu, Selu, Softsign, Arctan, Sin, Cos, HardSwish, HardSigmoid)
}


def read(name: str, parameters: Sequence[float]) -> Function:
    """Return the function with this name and these parameters.

    Raises `Rejected` if there is none.
    """
    kind = KINDS.get(name)
    if kind is None:
        raise Rejected(f"no activation is called {name[:40]!a}")
    count = len(inspect.signature(kind).parameters)
    if len(parameters) != count:
        raise Rejected(f"the activation {name} has {count} parameters, not {len(parameters)}")
    if not all(map(math.isfinite, parameters)):
        raise Rejected(f"a parameter of the activation {name} is not finite")
    return kind(*map(Fraction, parameters))

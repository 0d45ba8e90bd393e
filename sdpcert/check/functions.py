"""The smooth activations that a certificate may name: enclosures of their values and of their derivatives.

A kind states where its derivative turns, and between two places the derivative is monotone between the turns. Nothing
is assumed of the arithmetic of a machine: all is done in integers and in fractions (`elementary.py`).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cache
from typing import ClassVar

from .elementary import (
    Interval,
    arctangent,
    cosine,
    exponential,
    gaussian_sum,
    logarithm_above_one,
    pi,
    root,
    square_root,
)
from .reading import Rejected

Range = tuple[Fraction, Fraction]
ZERO, ONE = Fraction(0), Fraction(1)
#: Further fraction bits of values.
GUARD = 32
#: Fraction bits of derivatives, relative to their steepest slope.
SLOPE_BITS = 128


def hull(ranges: Sequence[Range]) -> Range:
    """The least interval that contains all of these."""
    return min(low for low, _ in ranges), max(high for _, high in ranges)


def outward(low: Fraction, high: Fraction, bits: int) -> Range:
    """An interval that contains one, with ends that are multiples of 2^-bits."""
    return Interval.around(low, bits).ends[0], Interval.around(high, bits).ends[1]


class Function(ABC):
    """A function that is continuous, and smooth but for at most two kinks."""

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


class Saturating(Function):
    """A function that far from zero is as good as a line on either side.

    For m = |v| >= 2 both |phi(v) - line| and |phi'(v) - slope of the line| are at most (1 + 4m) e^-m, which from
    m = 2p on is less than 2^-p, p >= 4. The derivative is monotone between the turns.
    """

    #: Slope and intercept of the line on the left and of that on the right.
    left: ClassVar[tuple[Fraction, Fraction]] = (ZERO, ZERO)
    right: ClassVar[tuple[Fraction, Fraction]] = (ZERO, ONE)
    #: The slopes everywhere, if they are known in closed form.
    exact: ClassVar[Range | None] = None

    @abstractmethod
    def at(self, v: Interval) -> tuple[Interval, Interval]:
        """The value and the derivative at all points of a narrow interval that has not zero in its interior."""

    def turns(self, bits: int) -> tuple[Interval, ...]:
        """Where the derivative turns: at zero if nothing else is said."""
        return (Interval(0, 0, bits),)

    def value(self, x: Fraction, bits: int = 128) -> Range:
        fine = bits + GUARD
        if abs(x) < 2 * fine:
            return self.at(Interval.around(x, fine))[0].ends
        slope, intercept = self.left if x < 0 else self.right
        line, error = slope * x + intercept, Fraction(1, 1 << fine)
        return line - error, line + error

    def derivative(self, low: Fraction, high: Fraction) -> Range:
        found = [self._slope(end) for end in {low, high}]
        found += [slope for turn, slope in self._extremes if turn[0] <= high and turn[1] >= low]
        (least, most), (bottom, top) = hull(found), self.everywhere()
        return max(least, bottom), min(most, top)

    def everywhere(self) -> Range:
        limits = [(slope, slope) for slope, _ in (self.left, self.right)]
        return self.exact or hull(limits + [slope for _, slope in self._extremes])

    @property
    def _extremes(self) -> list[tuple[Range, Range]]:
        return _extremes(type(self))

    def _slope(self, x: Fraction) -> Range:
        if abs(x) < 2 * SLOPE_BITS:
            return self.at(Interval.around(x, SLOPE_BITS))[1].ends
        slope, error = (self.left if x < 0 else self.right)[0], Fraction(1, 1 << SLOPE_BITS)
        return slope - error, slope + error


@cache
def _extremes(kind: type[Saturating]) -> list[tuple[Range, Range]]:
    """Enclosures of the turns of a kind, and of the derivatives there."""
    function = kind()
    return [(turn.ends, function.at(turn)[1].ends) for turn in function.turns(SLOPE_BITS)]


def logistic(v: Interval) -> tuple[Interval, Interval]:
    """Enclose the logistic sigmoid and its derivative."""
    if v.low >= 0:
        value = one(v) / (exponential(-v) + 1)
    else:
        power = exponential(v)
        value = power / (power + 1)
    return value, value * (one(v) - value)


def one(v: Interval) -> Interval:
    """One, with the bits of another number."""
    return Interval(1 << v.bits, 1 << v.bits, v.bits)


@cache
def density_at_zero(bits: int) -> Interval:
    """Enclose 1 / sqrt(2 pi)."""
    number = Interval(1 << bits, 1 << bits, bits)
    return number / square_root(pi(bits) * 2)


def normal(v: Interval) -> tuple[Interval, Interval]:
    """Enclose the normal distribution function and its derivative."""
    square = v * v
    if square.low >= 2 * v.bits << v.bits:  # e^(-v^2 / 2) <= e^-bits
        tail = Interval(0, 1, v.bits)
        return (tail if v.high < 0 else one(v) - tail), tail
    inverse = exponential(square / 2)
    constant = density_at_zero(v.bits)
    middle = v * (gaussian_sum(square) / inverse) * constant
    return one(v) / 2 + middle, constant / inverse


class Sigmoid(Saturating):
    """1 / (1 + e^-v); its second derivative s (1 - s) (1 - 2s) vanishes at 0."""

    exact = (ZERO, Fraction(1, 4))

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        return logistic(v)


class Tanh(Saturating):
    """tanh v = 2 s(2v) - 1, s the sigmoid."""

    left, exact = (ZERO, -ONE), (ZERO, ONE)

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        value, slope = logistic(v * 2)
        return value * 2 - 1, slope * 4


class Erf(Saturating):
    """erf v = 2 P(v sqrt(2)) - 1, P the normal distribution function; its second derivative is -2 v phi'(v)."""

    left = (ZERO, -ONE)

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        root_of_two = square_root(one(v) * 2)
        value, slope = normal(v * root_of_two)
        return value * 2 - 1, slope * root_of_two * 2


class Softplus(Saturating):
    """log(1 + e^v); its derivative is the sigmoid, which rises."""

    right, exact = (ONE, ZERO), (ZERO, ONE)

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        value = v + logarithm_above_one(exponential(-v)) if v.low >= 0 else logarithm_above_one(exponential(v))
        return value, logistic(v)[0]

    def turns(self, bits: int) -> tuple[Interval, ...]:
        return ()


class Gated(Saturating):
    """A function v h(v), h the gate; h' and |h - (0 or 1)| are at most 4 e^-|v| for |v| >= 2."""

    right = (ONE, ZERO)

    @abstractmethod
    def gate(self, v: Interval) -> tuple[Interval, Interval]:
        """The gate and its derivative."""

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        gate, slope = self.gate(v)
        return v * gate, gate + v * slope


class Gelu(Gated):
    """v P(v), P the normal distribution function; phi'' = P'(v) (2 - v^2)."""

    def gate(self, v: Interval) -> tuple[Interval, Interval]:
        return normal(v)

    def turns(self, bits: int) -> tuple[Interval, ...]:
        turn = square_root(Interval(2 << bits, 2 << bits, bits))
        return -turn, turn


class Silu(Gated):
    """v s(v), s the sigmoid; phi'' = s'(v) (2 - v tanh(v / 2)), and v tanh(v / 2) is even and rises for v > 0."""

    def gate(self, v: Interval) -> tuple[Interval, Interval]:
        return logistic(v)

    def turns(self, bits: int) -> tuple[Interval, ...]:
        turn = root(lambda v: v * (logistic(v)[0] * 2 - 1) - 2, 1, 4, bits)
        return -turn, turn


class GeluTanh(Gated):
    """v (1 + tanh u(v)) / 2 with u = c (v + k v^3), c = sqrt(2 / pi) and k = 0.044715.

    phi'' = (1 - tanh(u)^2) (u' + v u'' / 2 - v tanh(u) u'^2), where u' + v u'' / 2 = c (1 + 6 k v^2). The sign is that
    of 1 - c v tanh(u) (1 + 9 k^2 v^4 / (1 + 6 k v^2)), which is even and falls for v > 0.
    """

    def gate(self, v: Interval) -> tuple[Interval, Interval]:
        c, _, u, rise = self._inner(v)
        value, slope = logistic(u * 2)
        return value, slope * 2 * c * rise

    def turns(self, bits: int) -> tuple[Interval, ...]:
        def rising(v: Interval) -> Interval:
            c, square, u, _ = self._inner(v)
            factor = square * square * 9 / (square * 6 + 1) + 1
            tanh = logistic(u * 2)[0] * 2 - 1
            return c * v * tanh * factor - 1

        # `square` above is k v^2.
        turn = root(rising, 1, 4, bits)
        return -turn, turn

    def _inner(self, v: Interval) -> tuple[Interval, Interval, Interval, Interval]:
        """c, k v^2, u, and u' / c."""
        c = density_at_zero(v.bits) * 2
        square = v * v * 44715 / 10**6
        return c, square, c * v * (square + 1), square * 3 + 1


class Mish(Gated):
    """v tanh(log(1 + e^v)) = v (1 - 2 / D) with w = e^v and D = w^2 + 2w + 2.

    phi'' = 4 w D^-3 (A - v N) with A = 2w^3 + 6w^2 + 8w + 4 > 0 and N = 2w^3 + 3w^2 - 2w - 2. N has one zero w0 > 0
    (Descartes), w0 < 1, it is negative below and positive above; and A / N falls on either side of w0, because
    A'N - AN' = -(6w^4 + 40w^3 + 72w^2 + 48w + 8). Below log w0, A / N falls from -2 to -inf and v rises from -inf:
    they meet once. From log w0 to 0, -v N >= 0. Above, A / N falls from inf to 1: they meet once.
    """

    def gate(self, v: Interval) -> tuple[Interval, Interval]:
        w = exponential(-v if v.low >= 0 else v)
        if v.low >= 0:  # in 1 / w
            whole = w * w * 2 + w * 2 + 1
            return (w * 2 + 1) / whole, w * w * (w + 1) * 4 / (whole * whole)
        whole = w * w + w * 2 + 2
        return (w * w + w * 2) / whole, w * (w + 1) * 4 / (whole * whole)

    def turns(self, bits: int) -> tuple[Interval, ...]:
        def rising(v: Interval) -> Interval:
            w = exponential(v)
            a, n = ((w * 2 + 6) * w + 8) * w + 4, ((w * 2 + 3) * w - 2) * w - 2
            return v * n - a

        return -root(lambda v: rising(-v), 1, 4, bits), root(rising, 1, 4, bits)


@dataclass(frozen=True)
class Exponential(Function):
    """`above v` for v >= 0, `size (e^(v / width) - 1)` for v < 0; its derivative is monotone on either side of zero."""

    above: Fraction
    size: Fraction
    width: Fraction = ONE

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

    def value(self, x: Fraction, bits: int = 128) -> Range:
        exact = x / (1 + abs(x))
        return outward(exact, exact, bits + GUARD)

    def slope(self, x: Fraction) -> Fraction:
        return 1 / (1 + abs(x)) ** 2


class Arctangent(EvenSlope):
    """The arctangent; its derivative is 1 / (1 + v^2)."""

    def value(self, x: Fraction, bits: int = 128) -> Range:
        return arctangent(x, bits + GUARD).ends

    def slope(self, x: Fraction) -> Fraction:
        return 1 / (1 + x * x)


@dataclass(frozen=True)
class Wave(Function):
    """cos(v + quarters pi / 2); its derivative is that of one quarter more, and turns at all zeros of the function."""

    quarters: int

    def value(self, x: Fraction, bits: int = 128) -> Range:
        return cosine(x, self.quarters, bits + GUARD).ends

    def derivative(self, low: Fraction, high: Fraction) -> Range:
        quarters = self.quarters + 1
        ends = [cosine(end, quarters, SLOPE_BITS).ends for end in {low, high}]
        least, most = hull(ends)
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


class HardSwish(Function):
    """v clip(v / 6 + 1/2, 0, 1); its derivative is v / 3 + 1/2 between -3 and 3, 0 on the left and 1 on the right."""

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


WITHOUT_PARAMETERS: dict[str, Function] = {
    "sigmoid": Sigmoid(),
    "tanh": Tanh(),
    "erf": Erf(),
    "softplus": Softplus(),
    "softsign": Softsign(),
    "atan": Arctangent(),
    "sin": Wave(-1),
    "cos": Wave(0),
    "gelu": Gelu(),
    "gelu_tanh": GeluTanh(),
    "silu": Silu(),
    "mish": Mish(),
    "hard_swish": HardSwish(),
}
#: How many parameters the others have.
PARAMETERS = {"elu": 1, "celu": 1, "selu": 2, "hard_sigmoid": 2}


def read(name: str, parameters: list[float]) -> Function:
    """Return the function with this name and these parameters.

    Raises `Rejected` if there is none.
    """
    if name not in WITHOUT_PARAMETERS and name not in PARAMETERS:
        raise Rejected(f"no activation is called {name[:40]!a}")
    count = PARAMETERS.get(name, 0)
    if len(parameters) != count:
        raise Rejected(f"the activation {name} has {count} parameters, not {len(parameters)}")
    if not all(map(math.isfinite, parameters)):
        raise Rejected(f"a parameter of the activation {name} is not finite")
    numbers = [Fraction(parameter) for parameter in parameters]
    if name == "celu" and numbers[0] <= 0:
        raise Rejected("the parameter of the activation celu is not positive")
    if name == "selu" and min(numbers) < 0:
        raise Rejected("a parameter of the activation selu is negative")
    if name == "elu":
        return Exponential(ONE, numbers[0])
    if name == "celu":
        return Exponential(ONE, numbers[0], numbers[0])
    if name == "selu":
        return Exponential(numbers[1], numbers[0] * numbers[1])
    return HardSigmoid(*numbers) if name == "hard_sigmoid" else WITHOUT_PARAMETERS[name]

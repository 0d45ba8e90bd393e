"""Activations that approach a line on either side faster than e^-|v|: sigmoid, tanh, erf, softplus, and gates."""

from __future__ import annotations

from abc import abstractmethod
from fractions import Fraction
from functools import cache
from typing import ClassVar

from .elementary import Interval, exponential, gaussian_sum, logarithm_above_one, pi, root, square_root
from .function import GUARD, ONE, SLOPE_BITS, ZERO, Function, Range, hull


class Saturating(Function):
    """A function that far from zero is as good as a line on either side.

    For m = |v| >= 2 both |phi(v) - line| and |phi'(v) - slope of the line| are at most (2 + 2m) e^-m, which from
    m = 2p on is less than 2^-p for p >= 4: (2 + 4p) e^-2p 2^p < (2 + 4p) / 3.6^p < 1. That is plain of sigmoid, tanh
    and softplus; of erf because e^(-m^2) <= e^-m. The derivative is monotone between the turns.
    """

    #: Slope and intercept of the line on the left and of that on the right.
    left: ClassVar[tuple[Fraction, Fraction]] = (ZERO, ZERO)
    right: ClassVar[tuple[Fraction, Fraction]] = (ZERO, ONE)
    #: The slopes everywhere, if they are known in closed form.
    exact: ClassVar[Range | None] = None

    @abstractmethod
    def at(self, v: Interval) -> tuple[Interval, Interval]:
        """The value and the derivative at all points of a narrow interval without zero in its interior."""

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
        found = [self._slope(low)] if low == high else [self._slope(low), self._slope(high)]
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

    name = "sigmoid"
    exact = (ZERO, Fraction(1, 4))

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        return logistic(v)


class Tanh(Saturating):
    """tanh v = 2 s(2v) - 1, s the sigmoid."""

    name = "tanh"
    left, exact = (ZERO, -ONE), (ZERO, ONE)

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        value, slope = logistic(v * 2)
        return value * 2 - 1, slope * 4


class Erf(Saturating):
    """erf v = 2 P(v sqrt(2)) - 1, P the normal distribution function; its second derivative is -2 v phi'(v)."""

    name = "erf"
    left = (ZERO, -ONE)

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        root_of_two = square_root(one(v) * 2)
        value, slope = normal(v * root_of_two)
        return value * 2 - 1, slope * root_of_two * 2


class Softplus(Saturating):
    """log(1 + e^v); its derivative is the sigmoid, which rises."""

    name = "softplus"
    right, exact = (ONE, ZERO), (ZERO, ONE)

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        value = v + logarithm_above_one(exponential(-v)) if v.low >= 0 else logarithm_above_one(exponential(v))
        return value, logistic(v)[0]

    def turns(self, bits: int) -> tuple[Interval, ...]:
        return ()


class Gated(Saturating):
    """A function v h(v), h the gate; h' and |h - (0 or 1)| are at most 2 e^-m for m = |v| >= 2.

    Where this is not plain: P(-m) <= e^(-m^2 / 2) <= e^-m. Of mish, h' = 4w (w + 1) / D^2; below zero D >= 2,
    so that h <= (w^2 + 2w) / 2 and h' <= w (w + 1); above, 1 - h = 2 / D <= 2 w^-2 and h' <= 4 w^-2. Of gelu_tanh,
    h(-m) and 1 - h(m) are at most e^-2u and h' at most 2u' e^-2u, with 2u = 1.595.. m + 0.071.. m^3 and
    2u' = 1.595.. (1 + 0.134.. m^2).
    """

    right = (ONE, ZERO)

    @abstractmethod
    def gate(self, v: Interval) -> tuple[Interval, Interval]:
        """The gate and its derivative."""

    def at(self, v: Interval) -> tuple[Interval, Interval]:
        gate, slope = self.gate(v)
        return v * gate, gate + v * slope


class Gelu(Gated):
    """v P(v), P the normal distribution function; phi'' = P'(v) (2 - v^2)."""

    name = "gelu"

    def gate(self, v: Interval) -> tuple[Interval, Interval]:
        return normal(v)

    def turns(self, bits: int) -> tuple[Interval, ...]:
        turn = square_root(Interval(2 << bits, 2 << bits, bits))
        return -turn, turn


class Silu(Gated):
    """v s(v), s the sigmoid; phi'' = s'(v) (2 - v tanh(v / 2)), and v tanh(v / 2) is even and rises for v > 0."""

    name = "silu"

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

    name = "gelu_tanh"

    def gate(self, v: Interval) -> tuple[Interval, Interval]:
        c, _, u, rise = self._inner(v)
        value, slope = logistic(u * 2)
        return value, slope * 2 * c * rise

    def turns(self, bits: int) -> tuple[Interval, ...]:
        def rising(v: Interval) -> Interval:
            c, cubic, u, _ = self._inner(v)
            factor = cubic * cubic * 9 / (cubic * 6 + 1) + 1
            tanh = logistic(u * 2)[0] * 2 - 1
            return c * v * tanh * factor - 1

        turn = root(rising, 1, 4, bits)
        return -turn, turn

    def _inner(self, v: Interval) -> tuple[Interval, Interval, Interval, Interval]:
        """c, k v^2, u, and u' / c."""
        c = density_at_zero(v.bits) * 2
        cubic = v * v * 44715 / 10**6
        return c, cubic, c * v * (cubic + 1), cubic * 3 + 1


class Mish(Gated):
    """v tanh(log(1 + e^v)) = v (1 - 2 / D) with w = e^v and D = w^2 + 2w + 2.

    phi'' = 4 w D^-3 (A - v N) with A = 2w^3 + 6w^2 + 8w + 4 > 0 and N = 2w^3 + 3w^2 - 2w - 2. N has one zero w0 > 0
    (Descartes), w0 < 1, it is negative below and positive above; and A / N falls on either side of w0, because
    A'N - AN' = -(6w^4 + 40w^3 + 72w^2 + 48w + 8). Below log w0, A / N falls from -2 to -inf and v rises from -inf:
    they meet once. From log w0 to 0, -v N >= 0. Above, A / N falls from 20 to 1 and v rises from 0: they meet once.
    """

    name = "mish"

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


#: Every kind of this file.
KINDS: tuple[type[Saturating], ...] = (Sigmoid, Tanh, Erf, Softplus, Gelu, Silu, GeluTanh, Mish)

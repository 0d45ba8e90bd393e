"""Activations whose values are known: their slopes on an interval, and the lines below and above them.

An interval of preactivations is a pair of float64 that may be infinite. Every number here is exact, or rounded so that
what is said of it stays true.
"""

from __future__ import annotations

import math
import operator
import struct
from abc import ABC, abstractmethod
from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from itertools import pairwise
from typing import Any

from . import functions
from .functions import Function
from .integers import fixed, fraction_bits, rounded_to
from .reading import Rejected, items, little_endian, members, real, text, values

MAX_PIECES, MAX_PARAMETERS = 16, 16
#: Values of smooth functions that are kept.
MAX_KEPT = 10**5

#: Numbers that float64 has are smaller.
LARGEST = Fraction(1 << 1024)

Ends = tuple[float, float]


class Activation(ABC):
    """The activations of one group of neurons; `neuron` is an index into the group.

    `interval` has the ends of the preactivation, `stated` those of the slopes that a file states or that hold
    everywhere.
    """

    #: Whether a file may state slopes on an interval.
    takes_slopes = False

    def has_slopes(self, interval: Ends, wanted: Ends) -> bool:
        """Whether all slopes on an interval are proved to lie between these."""
        return False

    @abstractmethod
    def hashed(self) -> bytes:
        """What the hash of the network has of the activation."""

    @abstractmethod
    def check(self, alpha: array[float], beta: array[float]) -> None:
        """Raise `Rejected` if a slope between two points of the line does not lie within [alpha, beta]."""

    def slopes_on(self, neuron: int, interval: Ends, stated: Ends) -> Ends:
        """An interval of the slopes between two points of the interval."""
        return stated

    def affine(self, neuron: int, interval: Ends | tuple[Fraction, Fraction]) -> Ends | None:
        """Slope and value at zero if the activation is one affine function on the interval, None otherwise."""
        return None

    def kink(self, neuron: int, interval: Ends) -> tuple[Ends, Ends] | None:
        """Slope and value at zero on the left and on the right of the kink, if there is exactly one in the interior."""
        return None

    @abstractmethod
    def offset(self, neuron: int, interval: Ends, stated: Ends, slope: float, below: bool, bits: int) -> int | None:
        """The q of the line `slope v + q` below (or above) the activation, times 2^bits and rounded down (up).

        None if there is no such line on the interval.
        """

    @abstractmethod
    def enclosure(
        self, neuron: int, ends: tuple[Fraction, Fraction], stated: Ends, bits: int
    ) -> tuple[Fraction, Fraction]:
        """Bounds of phi(v) for v between two ends, which are the same for a single point.

        Values of smooth functions are enclosed up to about 2^-bits. Raises `Rejected` if nothing is known of values.
        """

    def size(self, neuron: int, interval: Ends, stated: Ends, bits: int) -> int | None:
        """A bound of |phi(v)| on the interval, times 2^bits; None if there is none."""
        low = self.offset(neuron, interval, stated, 0.0, True, bits)
        high = self.offset(neuron, interval, stated, 0.0, False, bits)
        return None if low is None or high is None else max(-low, high)


@dataclass(frozen=True)
class PiecewiseLinear(Activation):
    """phi(v) = slopes[k] v + values[k] from starts[k-1] to starts[k], one entry of each array for each neuron.

    `slopes` and `values` have one array for each piece, `starts` one fewer, ascending.
    """

    starts: tuple[array[float], ...]
    slopes: tuple[array[float], ...]
    values: tuple[array[float], ...]

    def hashed(self) -> bytes:
        arrays = (*self.starts, *self.slopes, *self.values)
        return struct.pack("<q", len(self.slopes)) + b"".join(map(little_endian, arrays))

    def check(self, alpha: array[float], beta: array[float]) -> None:
        for k, slopes in enumerate(self.slopes):
            for neuron, slope in enumerate(slopes):
                first, last = self._span(neuron, k)
                if first < last and not alpha[neuron] <= slope <= beta[neuron]:
                    raise Rejected(f"slopes[{k}] has a slope beyond alpha or beta")
        for k, (before, after) in enumerate(pairwise(self.starts)):
            if not all(map(operator.le, before, after)):
                raise Rejected(f"starts[{k + 1}] is below starts[{k}]")
        for k, starts in enumerate(self.starts):
            for neuron, start in enumerate(starts):
                left, right = (
                    Fraction(self.slopes[p][neuron]) * Fraction(start) + Fraction(self.values[p][neuron])
                    for p in (k, k + 1)
                )
                if left != right:
                    raise Rejected(f"pieces {k} and {k + 1} do not meet at starts[{k}]")

    def _span(self, neuron: int, piece: int) -> Ends:
        """Where a piece begins and ends."""
        return (
            self.starts[piece - 1][neuron] if piece else -math.inf,
            self.starts[piece][neuron] if piece < len(self.starts) else math.inf,
        )

    def slopes_on(self, neuron: int, interval: Ends, stated: Ends) -> Ends:
        low, high = interval
        found = []
        for k, slopes in enumerate(self.slopes):
            first, last = self._span(neuron, k)
            met = max(first, low) < min(last, high) if low < high else first <= low <= last
            if met:
                found.append(slopes[neuron])
        return min(found), max(found)

    def affine(self, neuron: int, interval: Ends | tuple[Fraction, Fraction]) -> Ends | None:
        for k, slopes in enumerate(self.slopes):
            first, last = self._span(neuron, k)
            if first <= interval[0] and interval[1] <= last:
                return slopes[neuron], self.values[k][neuron]
        return None

    def kink(self, neuron: int, interval: Ends) -> tuple[Ends, Ends] | None:
        low, high = interval
        found = [
            k
            for k, start in enumerate(self.starts)
            if low < start[neuron] < high and self.slopes[k][neuron] != self.slopes[k + 1][neuron]
        ]
        if len(found) != 1:
            return None
        left, right = ((self.slopes[k][neuron], self.values[k][neuron]) for k in (found[0], found[0] + 1))
        return left, right

    def enclosure(
        self, neuron: int, ends: tuple[Fraction, Fraction], stated: Ends, bits: int
    ) -> tuple[Fraction, Fraction]:
        low, high = ends
        starts = [Fraction(start[neuron]) for start in self.starts]
        found = []
        for v in {low, high, *(start for start in starts if low < start < high)}:
            k = bisect_left(starts, v)
            found.append(Fraction(self.slopes[k][neuron]) * v + Fraction(self.values[k][neuron]))
        return min(found), max(found)

    @cached_property
    def _bits(self) -> int:
        return max(map(fraction_bits, (*self.starts, *self.slopes, *self.values)))

    def offset(self, neuron: int, interval: Ends, stated: Ends, slope: float, below: bool, bits: int) -> int | None:
        low, high = interval
        # Where an end is infinite, phi(v) - slope v must not tend to the wrong infinity there.
        if low == -math.inf and (self.slopes[0][neuron] > slope if below else self.slopes[0][neuron] < slope):
            return None
        if high == math.inf and (self.slopes[-1][neuron] < slope if below else self.slopes[-1][neuron] > slope):
            return None
        starts = [start[neuron] for start in self.starts]
        points = [v for v in (low, high) if math.isfinite(v)] + [v for v in starts if low < v < high]
        fine = max(self._bits, fraction_bits([slope, *points]))
        taken, found = fixed(slope, fine), []
        for v in points or [0.0]:  # one piece everywhere, and parallel to the line
            k = bisect_left(starts, v)
            own = fixed(self.slopes[k][neuron], fine) - taken
            found.append(own * fixed(v, fine) + (fixed(self.values[k][neuron], fine) << fine))
        return rounded_to(min(found) if below else max(found), 2 * fine, bits, below)


@dataclass(frozen=True)
class Smooth(Activation):
    """A function that `functions.py` knows: `function` is that of the name with these parameters."""

    name: str
    parameters: array[float]
    function: Function
    takes_slopes = True

    def hashed(self) -> bytes:
        return struct.pack("<q", len(self.parameters)) + little_endian(self.parameters)

    def check(self, alpha: array[float], beta: array[float]) -> None:
        low, high = self.function.everywhere()
        if any(a > low for a in alpha) or any(b < high for b in beta):
            raise Rejected(f"the slopes of {self.name} do not lie within alpha and beta")

    def has_slopes(self, interval: Ends, wanted: Ends) -> bool:
        if not all(map(math.isfinite, interval)):
            return False
        low, high = self.function.derivative(*map(Fraction, interval))
        return wanted[0] <= low and high <= wanted[1]

    def enclosure(
        self, neuron: int, ends: tuple[Fraction, Fraction], stated: Ends, bits: int
    ) -> tuple[Fraction, Fraction]:
        low, high = ends
        if max(abs(low), abs(high)) >= LARGEST:
            raise Rejected(f"the preactivation of neuron {neuron} is beyond the range of float64")
        least, most = self.function.value(low, bits)
        width = high - low
        return least + min(Fraction(stated[0]), 0) * width, most + max(Fraction(stated[1]), 0) * width

    @cached_property
    def _kept(self) -> dict[tuple[float, int], tuple[int, int]]:
        return {}

    def _value(self, v: float, bits: int) -> tuple[int, int]:
        """Bounds of phi(v), times 2^bits."""
        if (v, bits) not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            low, high = (end * (1 << bits) for end in self.function.value(Fraction(v), bits))
            self._kept[v, bits] = math.floor(low), math.ceil(high)
        return self._kept[v, bits]

    def offset(self, neuron: int, interval: Ends, stated: Ends, slope: float, below: bool, bits: int) -> int | None:
        if not all(map(math.isfinite, interval)):
            return None
        fine = max(bits, fraction_bits([slope, *interval, *stated]))
        at = [self._value(v, bits)[0 if below else 1] << fine - bits for v in interval]
        ends, slopes, own = ([fixed(x, fine) for x in numbers] for numbers in (interval, stated, (slope,)))
        if not below:  # the line above phi is the one below -phi, turned over
            at, slopes, own = [-x for x in at], [-x for x in reversed(slopes)], [-own[0]]
        least = rounded_to(least_between(ends, at, slopes, own[0], fine), 2 * fine, bits, True)
        return least if below else -least


@dataclass(frozen=True)
class Unknown(Activation):
    """An activation of which only the slopes everywhere are known."""

    def hashed(self) -> bytes:
        return b""

    def check(self, alpha: array[float], beta: array[float]) -> None:
        """Nothing can be checked."""

    def offset(self, neuron: int, interval: Ends, stated: Ends, slope: float, below: bool, bits: int) -> int | None:
        return None

    def enclosure(
        self, neuron: int, ends: tuple[Fraction, Fraction], stated: Ends, bits: int
    ) -> tuple[Fraction, Fraction]:
        raise Rejected(f"nothing is known of the values of neuron {neuron}")


def least_between(ends: Sequence[int], at: Sequence[int], slopes: Sequence[int], own: int, bits: int) -> int:
    """The least value of `max(p_l + a (v - l), p_u - b (u - v)) - own v` for l <= v <= u, rounded down.

    With (l, u) = ends, (p_l, p_u) = at, (a, b) = slopes; all of them times 2^bits, the result times 2^(2 bits). It is
    convex in v, so that it is least at l, at u, or where the two lines meet.
    """
    (low, high), (left, right), (a, b) = ends, at, slopes
    first, second = (left << bits) - a * low, (right << bits) - b * high  # the lines at zero
    found = [max(first + a * v, second + b * v) - own * v for v in (low, high)]
    width = b - a
    if low * width < first - second < high * width:  # they meet at (first - second) / (b - a)
        found.append(first + (a - own) * (first - second) // width)
    return min(found)


def read(value: Any, name: str, size: int) -> tuple[str, Activation]:
    """Return the kind of the activations of a group of `size` neurons, and the activations."""
    (kind,) = members(value, name, "kind", closed=False)
    return kind, KINDS.get(text(kind, f"{name}.kind"), read_smooth)(value, name, size)


def read_piecewise_linear(value: Any, name: str, size: int) -> PiecewiseLinear:
    """Return activations that are piecewise linear."""
    _, starts, slopes, at_zero = members(value, name, "kind starts slopes values")
    slopes = items(slopes, f"{name}.slopes", 1, MAX_PIECES)
    at_zero = items(at_zero, f"{name}.values", len(slopes), len(slopes))
    starts = items(starts, f"{name}.starts", len(slopes) - 1, len(slopes) - 1)
    arrays = (
        tuple(values(numbers, f"{name}.{key}[{k}]", "d", size) for k, numbers in enumerate(listed))
        for key, listed in (("starts", starts), ("slopes", slopes), ("values", at_zero))
    )
    return PiecewiseLinear(*arrays)


def read_smooth(value: Any, name: str, size: int) -> Smooth:
    """Return activations that are one smooth function."""
    kind, parameters = members(value, name, "kind parameters")
    parameters = array(
        "d",
        (
            real(number, f"{name}.parameters[{k}]")
            for k, number in enumerate(items(parameters, f"{name}.parameters", 0, MAX_PARAMETERS))
        ),
    )
    return Smooth(kind, parameters, functions.read(kind, list(parameters)))


def read_unknown(value: Any, name: str, size: int) -> Unknown:
    """Return activations of which nothing is known."""
    members(value, name, "kind")
    return Unknown()


KINDS = {"piecewise-linear": read_piecewise_linear, "unknown": read_unknown}

"""Lines below and above an activation in floating point, every intercept rounded outward; needs NumPy.

On an interval [l, u] of a preactivation v, `z >= s v + q` for any slope s with q at most the least value of
`phi(v) - s v`. `least` bounds that value from below and `greatest` the greatest one from above; where there is no line
they are infinite. Both take arrays that broadcast: one slope for each neuron, or one row of them for each bound.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import inf, isfinite, nan

import numpy as np

from .function import Function
from .reading import Rejected
from .rounding import SLACK, TINY, U, gamma, outward

Array = np.ndarray

#: Weights of two lines are multiples of this, so that they add up to one exactly.
STEP = 2.0**-50
#: Fraction bits of the values of smooth functions, and how many values are kept.
BITS, MAX_KEPT = 80, 10**6


@dataclass(frozen=True)
class Range:
    """What is known of some neurons: intervals [low, high], and slopes [alpha, beta] of their activations there.

    `at_low` and `at_high` enclose smooth activations at the two ends, two arrays each. `most` bounds |v| where the
    intervals do not.
    """

    low: Array
    high: Array
    alpha: Array
    beta: Array
    at_low: tuple[Array, Array]
    at_high: tuple[Array, Array]
    most: Array

    def of(self, neurons: Array) -> Range:
        """What is known of some of them."""
        ends = [(end[0][neurons], end[1][neurons]) for end in (self.at_low, self.at_high)]
        low, high, alpha, beta, most = (x[neurons] for x in (self.low, self.high, self.alpha, self.beta, self.most))
        return Range(low, high, alpha, beta, ends[0], ends[1], most)

    @property
    def largest(self) -> Array:
        """Bounds of |v|."""
        return np.minimum(np.maximum(np.abs(self.low), np.abs(self.high)), self.most)


class Curves(ABC):
    """The activations of one group.

    `neurons` are indices; what is `known` is known of these neurons, in their order.
    """

    def enclosed(self, points: Array, neurons: Array) -> tuple[Array, Array]:
        """Ends of intervals that contain the activations at these points; not numbers if nothing needs them."""
        return np.full(len(points), np.nan), np.full(len(points), np.nan)

    def slopes_between(self, low: float, high: float) -> tuple[Fraction, Fraction]:
        """Ends of an interval of the slopes of a smooth activation between two points; raises Rejected if it is not."""
        raise Rejected("slopes are stated, and the activation is not smooth")

    @abstractmethod
    def linear(self, known: Range, neurons: Array) -> tuple[Array, Array, Array]:
        """Which neurons are linear on their intervals, with their slopes and constants, both exact."""

    @abstractmethod
    def around(self, points: Array, errors: Array) -> tuple[Array, Array]:
        """Activations of all neurons with bounds of their errors, at points (count, neurons) with errors."""

    def kinked(self, known: Range, neurons: Array) -> tuple[Array, Array, Array]:
        """Which neurons bend at one point inside of their intervals, and between which lines; none if nothing is said.

        The lines are those on the left and on the right, slope and constant of each: two arrays (neurons, 2).
        """
        lines = np.zeros((len(neurons), 2))
        return np.zeros(len(neurons), dtype=bool), lines, lines

    @abstractmethod
    def least(self, known: Range, slope: Array, neurons: Array) -> Array:
        """Bounds of the least value of `phi(v) - slope v` from below; -inf where there is no line."""

    @abstractmethod
    def greatest(self, known: Range, slope: Array, neurons: Array) -> Array:
        """Bounds of the greatest value of `phi(v) - slope v` from above; inf where there is no line."""

    @abstractmethod
    def largest(self, known: Range) -> Array:
        """Bounds of |z| of all neurons; infinite where there are none."""

    @abstractmethod
    def slopes(self, known: Range) -> tuple[Array, Array]:
        """Ends of an interval of the slopes between two points of the intervals, exact."""


class BrokenLines(Curves):
    """On piece k, between two starts, phi(v) = slopes[k] v + values[k]."""

    def __init__(self, starts: Sequence[Array], slopes: Sequence[Array], values: Sequence[Array]) -> None:
        infinite = np.full_like(slopes[0], np.inf)
        self.bounds = [-infinite, *starts, infinite]
        self.pieces = list(zip(slopes, values, strict=True))

    def around(self, points: Array, errors: Array) -> tuple[Array, Array]:
        low, high = points - errors * SLACK, points + errors * SLACK
        low, high = np.nextafter(low, -np.inf), np.nextafter(high, np.inf)
        result, steepest, size = np.full_like(points, np.nan), np.zeros_like(points), np.zeros_like(points)
        for k, (a, c) in enumerate(self.pieces):
            start, end = self.bounds[k], self.bounds[k + 1]
            linear = a * points
            own = (start <= points) & (points <= end)
            result = np.where(own, linear + c, result)
            size = np.where(own, np.abs(linear) + np.abs(c), size)
            steepest = np.where((low <= end) & (start <= high), np.maximum(steepest, np.abs(a)), steepest)
        return result, (steepest * errors + 3 * U * size) * SLACK + TINY

    def linear(self, known: Range, neurons: Array) -> tuple[Array, Array, Array]:
        found = np.zeros(len(neurons), dtype=bool)
        slope, value = np.zeros(len(neurons)), np.zeros(len(neurons))
        for k, (a, c) in enumerate(self.pieces):
            inside = (self.bounds[k][neurons] <= known.low) & (known.high <= self.bounds[k + 1][neurons]) & ~found
            slope[inside], value[inside] = a[neurons][inside], c[neurons][inside]
            found |= inside
        return found, slope, value

    def kinked(self, known: Range, neurons: Array) -> tuple[Array, Array, Array]:
        kinks = np.zeros(len(neurons), dtype=int)
        left, right = np.zeros((len(neurons), 2)), np.zeros((len(neurons), 2))
        for start, before, after in zip(self.bounds[1:-1], self.pieces, self.pieces[1:], strict=False):
            (p, q), at = ([numbers[neurons] for numbers in piece] for piece in (before, after)), start[neurons]
            found = (p[0] != q[0]) & (known.low < at) & (at < known.high)
            kinks += found
            left[found], right[found] = np.stack(p, axis=1)[found], np.stack(q, axis=1)[found]
        return kinks == 1, left, right

    def least(self, known: Range, slope: Array, neurons: Array) -> Array:
        return self._least(known, slope, neurons, 1.0)

    def greatest(self, known: Range, slope: Array, neurons: Array) -> Array:
        return -self._least(known, slope, neurons, -1.0)

    def _least(self, known: Range, slope: Array, neurons: Array, sign: float) -> Array:
        """Bounds of the least value of `sign (phi(v) - slope v)`: it is at an end of a piece, or there is none."""
        result = np.full(np.shape(slope), np.inf)
        for k, (a, c) in enumerate(self.pieces):
            ends = self._ends(known, k, neurons)
            rise, value = sign * (a[neurons] - slope), sign * c[neurons]
            for end, direction in zip(ends, (-1.0, 1.0), strict=True):
                finite = np.isfinite(end)
                v = np.where(finite, end, 0.0)
                linear = rise * v
                sum_ = linear + value
                error = (3 * U * np.abs(linear) + U * np.abs(sum_)) * SLACK + TINY * ((rise != 0) & (v != 0))
                # Beyond every number it is constant, or it tends to infinity, on the right side or on the wrong one.
                far = np.where(rise == 0, value, np.where(rise * direction > 0, np.inf, -np.inf))
                candidate = np.where(finite, _below(sum_, error), far)
                result = np.where(ends[0] <= ends[1], np.minimum(result, candidate), result)
        return result

    def _ends(self, known: Range, k: int, neurons: Array) -> tuple[Array, Array]:
        return np.maximum(known.low, self.bounds[k][neurons]), np.minimum(known.high, self.bounds[k + 1][neurons])

    def largest(self, known: Range) -> Array:
        every = np.arange(len(known.low))
        result = np.zeros(len(every))
        for k, (a, c) in enumerate(self.pieces):
            left, right = self._ends(known, k, every)
            v = np.minimum(np.maximum(np.abs(left), np.abs(right)), known.most)
            size = np.where(a == 0, 0.0, np.abs(a) * v) + np.abs(c)
            result = np.where(left <= right, np.maximum(result, size), result)
        return result * SLACK + TINY

    def slopes(self, known: Range) -> tuple[Array, Array]:
        every = np.arange(len(known.low))
        alpha, beta = np.full(len(every), np.inf), np.full(len(every), -np.inf)
        for k, (a, _) in enumerate(self.pieces):
            left, right = self._ends(known, k, every)
            meets = (left < right) | ((known.low == known.high) & (left == right))
            alpha = np.where(meets, np.minimum(alpha, a), alpha)
            beta = np.where(meets, np.maximum(beta, a), beta)
        return alpha, beta


class SmoothCurves(Curves):
    """phi is bounded from enclosures of its values at the ends of the interval, and from its slopes between them."""

    def __init__(self, function: Function) -> None:
        self.function = function
        low, high = function.everywhere()
        self.steepest = max(abs(outward(low, -inf)), abs(outward(high, inf)))
        self._kept: dict[float, tuple[float, float]] = {}

    def enclosed(self, points: Array, neurons: Array) -> tuple[Array, Array]:
        pairs = [self._value(v) if isfinite(v) else (nan, nan) for v in points.tolist()]
        low, high = np.array(pairs).reshape(-1, 2).T
        return low, high

    def around(self, points: Array, errors: Array) -> tuple[Array, Array]:
        low, high = (x.reshape(points.shape) for x in self.enclosed(points.ravel(), np.arange(0)))
        values = low / 2 + high / 2
        return values, (np.maximum(high - values, values - low) + self.steepest * errors) * SLACK + TINY

    def slopes_between(self, low: float, high: float) -> tuple[Fraction, Fraction]:
        return self.function.derivative(Fraction(low), Fraction(high))

    def _value(self, v: float) -> tuple[float, float]:
        if v not in self._kept:
            if len(self._kept) >= MAX_KEPT:
                self._kept.clear()
            low, high = self.function.value(Fraction(v), BITS)
            self._kept[v] = outward(low, -inf), outward(high, inf)
        return self._kept[v]

    def linear(self, known: Range, neurons: Array) -> tuple[Array, Array, Array]:
        return np.zeros(len(neurons), dtype=bool), np.zeros(len(neurons)), np.zeros(len(neurons))

    def least(self, known: Range, slope: Array, neurons: Array) -> Array:
        return _least_between(known, known.alpha, known.beta, known.at_low[0], known.at_high[0], slope)

    def greatest(self, known: Range, slope: Array, neurons: Array) -> Array:
        return -_least_between(known, -known.beta, -known.alpha, -known.at_low[1], -known.at_high[1], -slope)

    def largest(self, known: Range) -> Array:
        ends = np.maximum.reduce([np.abs(end) for end in (*known.at_low, *known.at_high)])
        between = ends + np.maximum(np.abs(known.alpha), np.abs(known.beta)) * (known.high - known.low)
        from_zero = max(map(abs, self._value(0.0))) + self.steepest * known.most  # zero may be outside of the interval
        return _number(np.fmin(between, from_zero) * SLACK + TINY, np.inf)

    def slopes(self, known: Range) -> tuple[Array, Array]:
        return known.alpha, known.beta


class UnknownCurves(Curves):
    """Nothing is known of the activation but its slopes: it has no lines."""

    def around(self, points: Array, errors: Array) -> tuple[Array, Array]:
        return np.zeros_like(points), np.full_like(points, np.inf)

    def linear(self, known: Range, neurons: Array) -> tuple[Array, Array, Array]:
        return np.zeros(len(neurons), dtype=bool), np.zeros(len(neurons)), np.zeros(len(neurons))

    def least(self, known: Range, slope: Array, neurons: Array) -> Array:
        return np.full(np.shape(slope), -np.inf)

    def greatest(self, known: Range, slope: Array, neurons: Array) -> Array:
        return np.full(np.shape(slope), np.inf)

    def largest(self, known: Range) -> Array:
        return np.full(len(known.low), np.inf)

    def slopes(self, known: Range) -> tuple[Array, Array]:
        return known.alpha, known.beta


def _least_between(known: Range, alpha: Array, beta: Array, left: Array, right: Array, slope: Array) -> Array:
    """The least value on [l, u] of `max(left + alpha (v - l), right - beta (u - v)) - slope v`, bounded from below.

    Each mean of the two lines, with weights t and 1 - t, is at most their maximum, and so is its least value, which it
    has at an end. The best t is 1, 0, or the one whose mean has the given slope.
    """
    low, high = known.low, known.high
    wide = np.where(beta > alpha, beta - alpha, 1.0)
    mean = np.clip(np.rint((beta - slope) / wide / STEP) * STEP, 0.0, 1.0)
    result = np.full(np.shape(slope), -np.inf)
    for t in (np.ones_like(mean), np.zeros_like(mean), np.where(np.isnan(mean), 1.0, mean)):
        parts = [t * left, -t * (alpha * low), (1 - t) * right, -(1 - t) * (beta * high)]
        value, size = sum(parts), sum(np.abs(part) for part in parts)
        terms = [t * alpha, (1 - t) * beta, -slope]
        rest, rest_size = sum(terms), sum(np.abs(term) for term in terms)
        ends = np.minimum(rest * low, rest * high)
        errors = gamma(8) * (size + rest_size * known.largest) + 1e-300 * (1 + known.largest)
        result = np.fmax(result, _below(value + ends, errors * SLACK))
    return result


def _below(value: Array, error: Array) -> Array:
    """What is surely at most the value that has this error; -inf for what is not a number."""
    less = value - error
    return _number(np.where(error == 0, less, np.nextafter(less, -np.inf)), -np.inf)


def _number(values: Array, otherwise: float) -> Array:
    return np.where(np.isnan(values), otherwise, values)

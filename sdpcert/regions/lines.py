"""Lines between which activations lie on intervals of their preactivations.

On its interval every activation lies above one function and below another, both linear between **corners**: a
piecewise-linear activation is both of them itself; a smooth one with slopes in [a, b] lies in the parallelogram of
lines with slopes a and b through its ends. For any slope s the line `s v + q` with q the least of `value - s v` at the
corners is below the activation, and likewise above.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np

from sdpcert.check import functions
from sdpcert.check.reading import Rejected
from sdpcert.network.activation import FLOAT64, Activation
from sdpcert.network.piecewise_linear import PiecewiseLinear
from sdpcert.network.stacked import Group
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Corners(ShortRepr):
    """A function that is linear between corners, for n neurons.

    `places` and `values` are (corners, n), places ascend; `errors` bounds how far a value may be off; `sign` is 1 for a
    function from which lines are below, -1 for one from which they are above.
    """

    places: Array
    values: Array
    errors: Array
    sign: float

    def intercepts(self, slopes: Array) -> Array:
        """The q for which the lines `s v + q` are on their side of the function: (..., n) for slopes (..., n)."""
        best = np.full(np.shape(slopes), np.inf)
        for place, value, error in zip(self.places, self.values, self.errors, strict=True):
            moved = slopes * place
            lost = error + 4 * FLOAT64 * (np.abs(value) + np.abs(moved))
            best = np.minimum(best, self.sign * (value - moved) - lost)
        return self.sign * best

    def supports(self, slopes: Array) -> tuple[Array, Array]:
        """Intercepts of the lines with these slopes, without room for rounding, and where they touch the function."""
        best, touched = np.full(np.shape(slopes), np.inf), np.zeros(np.shape(slopes))
        for place, value in zip(self.places, self.values, strict=True):
            height = self.sign * (value - slopes * place)
            lower = height < best
            best, touched = np.where(lower, height, best), np.where(lower, place, touched)
        return self.sign * best, touched

    @cached_property
    def _slopes(self) -> Array:
        """Slopes of all lines through two corners, (pairs, n), NaN where they are one point; those of the first corner
        come first.
        """
        pairs = combinations(range(len(self.places)), 2)
        with np.errstate(all="ignore"):
            made = [(self.values[j] - self.values[i]) / (self.places[j] - self.places[i]) for i, j in pairs]
        slopes = np.stack(made)
        return np.where(np.isfinite(slopes), slopes, np.nan)

    @cached_property
    def middle_slopes(self) -> Array:
        """The slopes of the lines that are closest in the middle of the interval, which leave the least area."""
        middle = self.places[0] + (self.places[-1] - self.places[0]) / 2
        best, chosen = np.full(middle.shape, -np.inf), np.zeros(middle.shape)
        for slopes in self._slopes:
            usable = np.where(np.isnan(slopes), 0.0, slopes)
            height = np.where(np.isnan(slopes), -np.inf, self.sign * (self.intercepts(usable) + usable * middle))
            better = height > best
            best, chosen = np.where(better, height, best), np.where(better, usable, chosen)
        return chosen

    @cached_property
    def slope_range(self) -> tuple[Array, Array]:
        """Least and greatest slopes of lines that touch the function between its ends; others are never better."""
        corners = range(len(self.places))
        pairs = list(combinations(corners, 2))
        first = [self._slopes[k] for k, (i, _) in enumerate(pairs) if i == 0]
        last = [self._slopes[k] for k, (_, j) in enumerate(pairs) if j == corners[-1]]
        with np.errstate(all="ignore"):
            start = self.sign * np.fmin.reduce([self.sign * s for s in first])
            end = self.sign * np.fmax.reduce([self.sign * s for s in last])
        start, end = np.nan_to_num(start), np.nan_to_num(end)
        return np.minimum(start, end), np.maximum(start, end)

    def select(self, neurons: Array) -> Corners:
        """The corners of some neurons."""
        return Corners(self.places[:, neurons], self.values[:, neurons], self.errors[:, neurons], self.sign)


@dataclass(frozen=True, eq=False)
class Envelope(ShortRepr):
    """What the activations of one group are between on intervals of their preactivations.

    `finite` marks neurons with finite intervals; `linear` those that are linear there, `slope` and `at_zero` have their
    function. Neurons that are neither have no lines.
    """

    finite: Array
    linear: Array
    slope: Array
    at_zero: Array
    below: Corners
    above: Corners

    @staticmethod
    def of(group: Group, low: Array, high: Array, alpha: Array, beta: Array) -> Envelope:
        """The envelope of a group on [low, high], where slopes between two points are in [alpha, beta].

        Ends may be infinite: then a neuron has lines only if it is linear there.
        """
        finite = np.isfinite(low) & np.isfinite(high)
        first, last = np.where(finite, low, 0.0), np.where(finite, high, 0.0)
        error = group.activation.evaluation_error(FLOAT64) or (np.inf, np.inf)

        def at(place: Array) -> tuple[Array, Array]:
            value = group.evaluate(place[None])[0]
            return value, 2 * (error[0] * np.abs(value) + error[1] * group.activation.steepest * np.abs(place))

        activation = group.activation
        if isinstance(activation, PiecewiseLinear):
            kinks = [group.per_neuron(kink) for kink, _, _ in activation.segments[1:]]
            places = [first, *(np.clip(kink, first, last) for kink in kinks), last]
            values, errors = (np.stack(part) for part in zip(*map(at, places), strict=True))
            linear, _ = group.linear_on(low, high)
            slope, at_zero = _piece_below(group, high)
            below, above = (Corners(np.stack(places), values, errors, sign) for sign in (1.0, -1.0))
            return Envelope(finite, linear, slope, at_zero, below, above)
        if not _is_known(activation):
            finite = np.zeros(group.size, dtype=bool)
        ends = at(first), at(last)
        below, above = (_parallelogram(first, last, *ends, alpha, beta, sign) for sign in (1.0, -1.0))
        nothing = np.zeros(group.size)
        return Envelope(finite, np.zeros(group.size, dtype=bool), nothing, nothing, below, above)

    @property
    def known(self) -> Array:
        """Which neurons have lines."""
        return self.finite | self.linear

    def lines(self, lower: Array, upper: Array) -> tuple[Array, Array, Array, Array]:
        """Slopes and intercepts of the lines below, then of those above, for chosen slopes (..., n)."""
        found = []
        for corners, slopes in ((self.below, lower), (self.above, upper)):
            intercepts = corners.intercepts(slopes)
            found += [np.where(self.linear, self.slope, slopes), np.where(self.linear, self.at_zero, intercepts)]
        return found[0], found[1], found[2], found[3]

    @cached_property
    def reach(self) -> Array:
        """Bounds of the activations' magnitudes, infinite where nothing is known."""
        sizes = [np.max(np.abs(c.values) + c.errors, axis=0) for c in (self.below, self.above)]
        constant = np.where(self.linear & (self.slope == 0), np.abs(self.at_zero), np.inf)
        return np.minimum(np.where(self.finite, np.maximum(*sizes) * (1 + 1e-9), np.inf), constant)

    def select(self, neurons: Array) -> Envelope:
        """The envelope of some neurons."""
        return Envelope(
            self.finite[neurons],
            self.linear[neurons],
            self.slope[neurons],
            self.at_zero[neurons],
            self.below.select(neurons),
            self.above.select(neurons),
        )


def _piece_below(group: Group, places: Array) -> tuple[Array, Array]:
    """Slope and value at zero of the first pieces that the places lie on."""
    found = group.segment(places[None])
    assert found is not None, "a piecewise-linear activation has pieces"
    return found[0][0], found[1][0]


def _is_known(activation: Activation) -> bool:
    """Whether a certificate can name a smooth activation, so that its checker has values of its own."""
    parameters = [np.asarray(number, dtype=float) for number in activation.parameters]
    if any(number.ndim for number in parameters):
        return False
    try:
        functions.read(activation.name, [float(number) for number in parameters])
    except Rejected:
        return False
    return True


def _parallelogram(
    first: Array,
    last: Array,
    start: tuple[Array, Array],
    end: tuple[Array, Array],
    alpha: Array,
    beta: Array,
    sign: float,
) -> Corners:
    """The lower (upper, if sign is -1) two sides of the parallelogram between two ends of an interval."""
    steep, flat = (beta, alpha) if sign > 0 else (alpha, beta)
    width, error = last - first, np.maximum(start[1], end[1])
    with np.errstate(all="ignore"):
        # start + flat t = end - steep (width - t)
        step = (end[0] - start[0] - steep * width) / (flat - steep)
    step = np.clip(np.where(np.isfinite(step), step, 0.0), 0.0, width)
    # Whatever the rounding of the step: the function is on its side of both lines.
    one, other = start[0] + flat * step, end[0] - steep * (width - step)
    meeting = np.maximum(one, other) if sign > 0 else np.minimum(one, other)
    slack = np.abs(one - other) + 8 * FLOAT64 * (
        np.abs(start[0]) + np.abs(end[0]) + np.maximum(np.abs(steep), np.abs(flat)) * (np.abs(first) + np.abs(last))
    )
    places = np.stack([first, first + step, last])
    values = np.stack([start[0], meeting, end[0]])
    return Corners(places, values, np.stack([error, error + slack, error]), sign)

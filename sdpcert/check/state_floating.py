"""What is proved of a piece, in NumPy: intervals of preactivations, lines, slopes, the box and decisions."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from math import isfinite

import numpy as np

from .lines_floating import Curves, Range
from .network_floating import FloatingNetwork, Sizes
from .pieces import BoundsStep, LinesStep, QuadraticStep, SlopesStep, Split
from .reading import Rejected
from .region import Region
from .rounding import SLACK

Array = np.ndarray


@dataclass(frozen=True)
class Decision:
    """`sign (v - at) >= 0` on the piece, v the preactivation of a neuron of a group (from 1)."""

    group: int
    neuron: int
    sign: float
    at: float

    @property
    def side(self) -> str:
        """The side of the split that the piece is on."""
        return "above" if self.sign > 0 else "below"


@dataclass(frozen=True, eq=False)
class Lines:
    """`z >= slopes[0] v + values[0]` and `z <= slopes[1] v + values[1]`; values are infinite where there is no line.

    The arrays have one entry for each of k neurons, or for each of R bounds and of k neurons.
    """

    slopes: tuple[Array, Array]
    values: tuple[Array, Array]


@dataclass(frozen=True, eq=False)
class Neurons:
    """What is proved of the neurons of one group on a piece; `lower` and `upper` are the slopes of their lines."""

    curves: Curves
    known: Range
    lower: Array
    upper: Array
    former: Sizes | None = field(default=None, repr=False)

    @cached_property
    def every(self) -> Array:
        """The indices of all neurons."""
        return np.arange(len(self.lower))

    @cached_property
    def sizes(self) -> Sizes:
        """Bounds of |z|."""
        sizes = self.curves.largest(self.known)
        return Sizes(sizes) if self.former is None else self.former.refined(sizes)

    @cached_property
    def lines(self) -> Lines:
        """The lines of all neurons."""
        return self.lines_of(self.every, self.lower, self.upper)

    @cached_property
    def slopes(self) -> tuple[Array, Array]:
        """Ends of an interval of the slopes between two points of the piece, for each neuron."""
        return self.curves.slopes(self.known)

    @cached_property
    def undecided(self) -> Array:
        """The indices of the neurons whose slopes are not all the same."""
        alpha, beta = self.slopes
        return np.flatnonzero(alpha != beta)

    def decided(self, neurons: Array) -> tuple[Array, Array, Array]:
        """Slopes and values at zero of decided neurons, and bounds of the errors of the values."""
        known, slope = self.known.of(neurons), self.slopes[0][neurons]
        linear, _, value = self.curves.linear(known, neurons)
        if np.all(linear):
            return slope, value, np.zeros(len(neurons))
        least, greatest = self.curves.least(known, slope, neurons), self.curves.greatest(known, slope, neurons)
        value = np.where(linear, value, least / 2 + greatest / 2)
        doubt = np.where(linear, 0.0, np.nextafter(np.maximum(greatest - value, value - least), np.inf))
        return slope, value, doubt

    def kinked(self, neurons: Array) -> tuple[Array, Array, Array]:
        """Which neurons have one kink inside of their intervals; slope and value at zero on the left and on the right.

        The latter have shape (neurons, 2), and mean nothing for others.
        """
        return self.curves.kinked(self.known.of(neurons), neurons)

    def lines_of(self, neurons: Array, lower: Array, upper: Array) -> Lines:
        """The lines of some neurons with these slopes; one that is linear on its interval is its own line."""
        known = self.known.of(neurons)
        linear, slope, value = self.curves.linear(known, neurons)
        below, above = (np.where(linear, slope, slopes) for slopes in (lower, upper))
        least = np.where(linear, value, self.curves.least(known, below, neurons))
        greatest = np.where(linear, value, self.curves.greatest(known, above, neurons))
        return Lines((below, above), (least, greatest))

    def bounded(self, side: str, neurons: Array, values: Array) -> Neurons:
        """The same with bounds of some preactivations, from below (side "low") or from above."""
        at = self.curves.enclosed(values, neurons)
        old, ends = (self.known.low, self.known.at_low) if side == "low" else (self.known.high, self.known.at_high)
        closer = values > old[neurons] if side == "low" else values < old[neurons]
        places = neurons[closer]
        new, new_ends = old.copy(), (ends[0].copy(), ends[1].copy())
        for target, source in ((new, values), (new_ends[0], at[0]), (new_ends[1], at[1])):
            target[places] = source[closer]
        if side == "low":
            known = replace(self.known, low=new, at_low=new_ends)
        else:
            known = replace(self.known, high=new, at_high=new_ends)
        return replace(self, known=known, former=self.__dict__.get("sizes", self.former))

    def with_lines(self, neurons: Array, lower: Array, upper: Array) -> Neurons:
        """The same with other slopes of the lines of some neurons."""
        below, above = self.lower.copy(), self.upper.copy()
        below[neurons], above[neurons] = lower, upper
        return replace(self, lower=below, upper=above, former=self.__dict__.get("sizes", self.former))

    def with_slopes(self, neurons: Array, alpha: Array, beta: Array) -> Neurons:
        """The same with slopes of some activations that lie within [alpha, beta] too."""
        low, high = self.known.alpha.copy(), self.known.beta.copy()
        low[neurons] = np.maximum(low[neurons], alpha)
        high[neurons] = np.minimum(high[neurons], beta)
        if np.any(low > high):
            raise Rejected("the slopes of a neuron have nothing in common with those it had")
        return replace(
            self, known=replace(self.known, alpha=low, beta=high), former=self.__dict__.get("sizes", self.former)
        )


@dataclass(frozen=True, eq=False)
class State:
    """What is proved of a piece: `neurons[g - 1]` of group g, ends of the inputs, decisions, and cuts of the inputs."""

    network: FloatingNetwork
    region: Region
    neurons: tuple[Neurons, ...]
    low: Array
    high: Array
    inputs: Sizes
    decisions: tuple[Decision, ...] = ()
    cuts: tuple[tuple[Split, str], ...] = ()

    @staticmethod
    def of(network: FloatingNetwork, region: Region) -> State:
        """The whole region, of which nothing is proved yet."""
        low, high = ends(region, network.inputs)
        inputs = Sizes(np.maximum(np.abs(low), np.abs(high)))
        neurons: list[Neurons] = []
        for g, (curves, alpha, beta) in enumerate(zip(network.curves, network.alpha, network.beta, strict=True)):
            most = np.abs(network.bias[g]) + network.bias_radius[g]
            for weights in network.blocks[g + 1]:
                sizes = inputs if weights.source == 0 else neurons[weights.source - 1].sizes
                most = most + sizes.weighed(weights) + sizes.charges(weights, 1)[1]
            infinite, unknown, zero = np.full_like(alpha, np.inf), np.full_like(alpha, np.nan), np.zeros_like(alpha)
            at = (unknown, unknown)
            known = Range(-infinite, infinite, alpha, beta, at, at, most * SLACK)
            neurons.append(Neurons(curves, known, zero, zero))
        return State(network, region, tuple(neurons), low, high, inputs)

    @property
    def is_empty(self) -> bool:
        """Whether some interval is empty."""
        return any(bool(np.any(some.known.low > some.known.high)) for some in self.neurons)

    @property
    def moving(self) -> Array:
        """Which inputs are not fixed."""
        return ~np.array(self.region.fixed(self.network.inputs), dtype=bool)

    def sizes(self, source: int) -> Sizes:
        """Bounds of the absolute values of the inputs (source 0) or of the activations of a group."""
        return self.inputs if source == 0 else self.neurons[source - 1].sizes

    def with_neurons(self, group: int, neurons: Neurons) -> State:
        """The same with other knowledge of one group."""
        return replace(self, neurons=(*self.neurons[: group - 1], neurons, *self.neurons[group:]))

    def after_bounds(self, step: BoundsStep) -> State:
        """The state after bounds, which are proved already."""
        neurons, values = np.array(step.neurons, dtype=int), np.array(step.values)
        return self.with_neurons(step.group, self.neurons[step.group - 1].bounded(step.side, neurons, values))

    def after_quadratic(self, step: QuadraticStep) -> State:
        """The state after a bound of one preactivation, which is proved already."""
        neuron, value = np.array([step.neuron]), np.array([step.value])
        return self.with_neurons(step.group, self.neurons[step.group - 1].bounded(step.side, neuron, value))

    def after_lines(self, step: LinesStep) -> State:
        """The state after new slopes of lines."""
        lines = step.lines
        neurons, lower, upper = np.array(lines.neurons, dtype=int), np.array(lines.lower), np.array(lines.upper)
        return self.with_neurons(lines.group, self.neurons[lines.group - 1].with_lines(neurons, lower, upper))

    def after_slopes(self, step: SlopesStep) -> State:
        """The state after slopes of smooth activations, which are verified."""
        before = self.neurons[step.group - 1]
        for i, alpha, beta in zip(step.neurons, step.alpha, step.beta, strict=True):
            low, high = float(before.known.low[i]), float(before.known.high[i])
            if not (isfinite(low) and isfinite(high)):
                raise Rejected(f"neuron {i} of group {step.group} has slopes on an interval that is not bounded")
            least, greatest = before.curves.slopes_between(low, high)
            if not alpha <= least <= greatest <= beta:
                raise Rejected(f"the slopes of neuron {i} of group {step.group} are not within those stated")
        neurons, alpha, beta = np.array(step.neurons, dtype=int), np.array(step.alpha), np.array(step.beta)
        return self.with_neurons(step.group, before.with_slopes(neurons, alpha, beta))

    def on_side(self, split: Split, side: str) -> State:
        """The state of one of the two pieces that a split makes."""
        place, at = np.array([split.neuron]), np.array([split.at])
        if split.group > 0:
            sign = 1.0 if side == "above" else -1.0
            decision = Decision(split.group, split.neuron, sign, split.at)
            end = "low" if side == "above" else "high"
            cut = self.with_neurons(split.group, self.neurons[split.group - 1].bounded(end, place, at))
            return replace(cut, decisions=(*self.decisions, decision))
        if not -np.inf < self.low[split.neuron] < split.at < self.high[split.neuron] < np.inf:
            raise Rejected(f"input {split.neuron} is split where it has no values on both sides")
        low, high = self.low.copy(), self.high.copy()
        (low if side == "above" else high)[split.neuron] = split.at
        inputs = self.inputs.refined(np.maximum(np.abs(low), np.abs(high)))
        return replace(self, low=low, high=high, inputs=inputs, cuts=(*self.cuts, (split, side)))


def ends(region: Region, inputs: int) -> tuple[Array, Array]:
    """Ends of a box around a region, rounded outward; infinite if there is none."""
    low, high = np.full(inputs, -np.inf), np.full(inputs, np.inf)
    if region.center is not None:
        center = np.array(region.center)
        low, high = np.nextafter(center - region.radius, -np.inf), np.nextafter(center + region.radius, np.inf)
    if region.low is not None and region.high is not None:
        low, high = np.maximum(low, np.array(region.low)), np.minimum(high, np.array(region.high))
    return low, high

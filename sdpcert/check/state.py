"""What is known of a piece: intervals of preactivations, slopes, lines, the box, and the decisions above it."""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from .activations import Activation, Ends
from .integers import fixed, fraction_bits, rounded_to, rounded_up
from .network import Group, Network
from .pieces import Split
from .reading import Rejected
from .region import Region


@dataclass(frozen=True)
class Decision:
    """`sign (v - at) >= 0` for a preactivation; groups count from 1."""

    group: int
    neuron: int
    sign: int
    at: float


@dataclass(frozen=True)
class Neurons:
    """What is known of the neurons of one group; all arrays have one entry for each, and are never written to.

    `low` and `high` are the ends of preactivations, `lower` and `upper` the slopes of the lines below and above the
    activation, `alpha` and `beta` the slopes that are stated of the activation. Sizes are over 2^bits.
    """

    activation: Activation
    low: array[float]
    high: array[float]
    lower: array[float]
    upper: array[float]
    alpha: array[float]
    beta: array[float]
    bits: int

    @staticmethod
    def of(group: Group, bits: int) -> Neurons:
        """Neurons of which nothing is known yet."""
        low, high, zeros = (array("d", [end]) * group.size for end in (-math.inf, math.inf, 0.0))
        return Neurons(group.activation, low, high, zeros, zeros, group.alpha, group.beta, bits)

    def interval(self, neuron: int) -> Ends:
        """The ends of a preactivation."""
        return self.low[neuron], self.high[neuron]

    def stated(self, neuron: int) -> Ends:
        """The slopes that are stated of an activation."""
        return self.alpha[neuron], self.beta[neuron]

    def line(self, neuron: int, slope: float, below: bool) -> tuple[float, int] | None:
        """Slope and offset (over 2^bits) of the line below or above an activation; None if there is none."""
        interval = self.interval(neuron)
        affine = self.activation.affine(neuron, interval)
        slope = slope if affine is None else affine[0]
        offset = self.activation.offset(neuron, interval, self.stated(neuron), slope, below, self.bits)
        return None if offset is None else (slope, offset)

    def at_zero(self, neuron: int) -> tuple[int, int] | None:
        """Ends of `z - slope v` of a neuron whose slope is decided, over 2^bits; None if nothing is known of it."""
        below, above = (self.line(neuron, self.slopes[neuron][0], is_below) for is_below in (True, False))
        return None if below is None or above is None else (below[1], above[1])

    @cached_property
    def lines(self) -> list[tuple[tuple[float, int] | None, tuple[float, int] | None]]:
        """For each neuron the lines below and above it."""
        return [(self.line(i, self.lower[i], True), self.line(i, self.upper[i], False)) for i in range(len(self.low))]

    @cached_property
    def sizes(self) -> list[int | None]:
        """Bounds of |z|, None where there is none."""
        return [self.activation.size(i, self.interval(i), self.stated(i), self.bits) for i in range(len(self.low))]

    @cached_property
    def depths(self) -> list[int | None]:
        """How far z may be below zero, None where that has no bound."""
        least = (
            self.activation.offset(i, self.interval(i), self.stated(i), 0.0, True, self.bits)
            for i in range(len(self.low))
        )
        return [None if low is None else max(-low, 0) for low in least]

    @cached_property
    def preactivation_depths(self) -> list[int | None]:
        """How far v may be below zero, None where that has no bound."""
        return [None if low == -math.inf else rounded_up(max(-low, 0.0), self.bits) for low in self.low]

    @cached_property
    def slopes(self) -> list[Ends]:
        """Ends of the slopes between two points of the piece."""
        return [self.activation.slopes_on(i, self.interval(i), self.stated(i)) for i in range(len(self.low))]

    @cached_property
    def undecided(self) -> list[int]:
        """The neurons whose slope is not decided."""
        return [i for i, (alpha, beta) in enumerate(self.slopes) if alpha != beta]

    def with_lines(self, neurons: Iterable[int], lower: Iterable[float], upper: Iterable[float]) -> Neurons:
        """The same with new slopes of some lines."""
        own, other = self.lower[:], self.upper[:]
        for i, below, above in zip(neurons, lower, upper, strict=True):
            own[i], other[i] = below, above
        return replace(self, lower=own, upper=other)

    def with_slopes(self, neurons: Iterable[int], alpha: Iterable[float], beta: Iterable[float]) -> Neurons:
        """The same with slopes that are cut, each to what it was and to [alpha, beta]; the two have to meet."""
        own, other = self.alpha[:], self.beta[:]
        for i, low, high in zip(neurons, alpha, beta, strict=True):
            own[i], other[i] = max(own[i], low), min(other[i], high)
            if own[i] > other[i]:
                raise Rejected(f"the slopes of neuron {i} are none of those that it had")
        return replace(self, alpha=own, beta=other)

    def check_slopes(self, neurons: Iterable[int], alpha: Iterable[float], beta: Iterable[float]) -> None:
        """Raise `Rejected` if a slope of some activation on its interval is not proved to lie within [alpha, beta]."""
        for i, low, high in zip(neurons, alpha, beta, strict=True):
            if not self.activation.has_slopes(self.interval(i), (low, high)):
                raise Rejected(f"the slopes of neuron {i} are not proved to lie within alpha and beta")

    def with_ends(self, side: str, neurons: Iterable[int], ends: Iterable[float]) -> Neurons:
        """The same with intervals that are cut from below (side "low") or above ("high")."""
        own = (self.low if side == "low" else self.high)[:]
        for i, end in zip(neurons, ends, strict=True):
            own[i] = max(own[i], end) if side == "low" else min(own[i], end)
        return replace(self, low=own) if side == "low" else replace(self, high=own)

    def is_empty(self, neurons: Iterable[int]) -> bool:
        """Whether the interval of one of these neurons has no points."""
        return any(self.low[i] > self.high[i] for i in neurons)


@dataclass(frozen=True)
class Box:
    """Ends of a box around the inputs, over 2^bits."""

    low: list[int]
    high: list[int]
    bits: int

    def divided(self, split: Split, side: str) -> Box:
        """One side of a division at a value of an input; raises `Rejected` if it does not divide the box."""
        at = fixed(split.at, self.bits)
        if not self.low[split.neuron] < at < self.high[split.neuron]:
            raise Rejected(f"input {split.neuron} is not divided inside of its ends")
        ends = (self.high if side == "below" else self.low)[:]
        ends[split.neuron] = at
        return replace(self, high=ends) if side == "below" else replace(self, low=ends)


@dataclass(frozen=True)
class State:
    """What is known of one piece: of every group, of the inputs (None if they have no ends), and its decisions.

    `empty` says that it has no points: the interval of some neuron has none.
    """

    groups: tuple[Neurons, ...]
    box: Box | None
    decisions: tuple[Decision, ...] = ()
    empty: bool = False

    def neurons(self, group: int) -> Neurons:
        """What is known of a group (from 1)."""
        return self.groups[group - 1]

    def with_neurons(self, group: int, neurons: Neurons, changed: Iterable[int] = ()) -> State:
        """The state with something else known of a group; `changed` has the neurons whose intervals are others."""
        groups = (*self.groups[: group - 1], neurons, *self.groups[group:])
        return replace(self, groups=groups, empty=self.empty or neurons.is_empty(changed))

    def total(self, source: int, bits: int) -> int | None:
        """A bound of the sum of absolute values of a group's activations (of the inputs for 0), None if there is none.

        It is over 2^bits, the fraction bits of sizes.
        """
        if source:
            sizes = self.neurons(source).sizes
            return None if None in sizes else sum(size for size in sizes if size is not None)
        if self.box is None:
            return None
        total = sum(max(-low, high) for low, high in zip(self.box.low, self.box.high, strict=True))
        return rounded_to(total, self.box.bits, bits, False)

    def on_side(self, split: Split, side: str) -> State:
        """The state of one of the two pieces that a split makes, before its own steps."""
        if split.group == 0:
            if self.box is None:
                raise Rejected(f"input {split.neuron} has no ends to be divided between")
            return replace(self, box=self.box.divided(split, side))
        sign = 1 if side == "above" else -1
        decision = Decision(split.group, split.neuron, sign, split.at)
        cut = self.neurons(split.group).with_ends("low" if sign > 0 else "high", [split.neuron], [split.at])
        return replace(self, decisions=(*self.decisions, decision)).with_neurons(split.group, cut, [split.neuron])


def first_state(network: Network, region: Region, splits: Iterable[Split], bits: int) -> State:
    """What is known of the whole region; `splits` are all that divide it, `bits` the fraction bits of sizes."""
    groups = tuple(Neurons.of(group, bits) for group in network.groups)
    if not region.bounded:
        return State(groups, None)
    box_bits = input_bits(region, splits)
    low, high = ([int(end * (1 << box_bits)) for end in ends] for ends in region.ends())
    return State(groups, Box(low, high, box_bits))


def input_bits(region: Region, splits: Iterable[Split]) -> int:
    """Fraction bits of all numbers of a region, and of where inputs are divided."""
    arrays = [a for a in (region.low, region.high, region.center) if a is not None]
    finite = [region.radius] if math.isfinite(region.radius) else []
    numbers = [finite, [split.at for split in splits if split.group == 0]]
    return max(map(fraction_bits, [*arrays, *numbers]), default=0)

"""What is known of one piece of a region: intervals of preactivations, the box, decisions, and lines."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import BoundsStep, LinesStep, QuadraticStep, SlopesStep, Split, Step
from sdpcert.regions.pieces import Side as Side
from sdpcert.regions.region import Region
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True)
class Decision:
    """Preactivation `neuron` of `group` is at most (`side` "below") or at least ("above") `at`."""

    group: int
    neuron: int
    side: Side
    at: float

    @property
    def sign(self) -> float:
        """s with `s (v - at) >= 0`."""
        return 1.0 if self.side == "above" else -1.0


@dataclass(frozen=True, eq=False)
class State(ShortRepr):
    """What is proved of a piece; steps and splits make new states, arrays are never written to.

    `low` and `high` have one array for each group, the intervals of its preactivations; `lower` and `upper` the slopes
    of the lines below and above its activations; `alpha` and `beta` the slopes of its activations as far as they are
    stated (those of piecewise-linear ones follow from the intervals). `box_low` and `box_high` are ends of the inputs.
    """

    form: StackedForm
    region: Region
    low: tuple[Array, ...]
    high: tuple[Array, ...]
    lower: tuple[Array, ...]
    upper: tuple[Array, ...]
    alpha: tuple[Array, ...]
    beta: tuple[Array, ...]
    box_low: Array
    box_high: Array
    decisions: tuple[Decision, ...] = ()

    @staticmethod
    def of(form: StackedForm, region: Region) -> State:
        """The whole region.

        Raises ValueError if it has another number of inputs than the network, or if the network has neurons that are no
        elementwise functions of their preactivations.
        """
        if form.is_coupled:
            raise ValueError(
                "the network takes l2 norms of several neurons (norm pooling), and bounds on a region know elementwise "
                "activations alone; certify it on all inputs"
            )
        fitted = region.fitted(form.inputs)
        sizes = [group.size for group in form.groups]
        box_low, box_high = fitted.box(form.inputs)
        zeros = tuple(np.zeros(size) for size in sizes)
        return State(
            form,
            fitted,
            tuple(np.full(size, -np.inf) for size in sizes),
            tuple(np.full(size, np.inf) for size in sizes),
            zeros,
            zeros,
            tuple(group.alpha for group in form.groups),
            tuple(group.beta for group in form.groups),
            box_low,
            box_high,
        )

    @cached_property
    def is_empty(self) -> bool:
        """Whether the bounds contradict each other: the piece has no points."""
        return any(bool(np.any(low > high)) for low, high in zip(self.low, self.high, strict=True))

    def slopes(self, group: int) -> tuple[Array, Array]:
        """Ends of an interval of all slopes of the activations of a group (from 1) between two points of the piece."""
        neurons = self.form.groups[group - 1]
        if not neurons.is_piecewise_linear:
            return self.alpha[group - 1], self.beta[group - 1]
        return neurons.slopes_on(self.low[group - 1], self.high[group - 1])

    @cached_property
    def undecided(self) -> tuple[Array, ...]:
        """For each group the neurons whose slope is not decided, as a boolean mask."""
        slopes = [self.slopes(number) for number in range(1, len(self.form.groups) + 1)]
        return tuple(alpha != beta for alpha, beta in slopes)

    @cached_property
    def moving(self) -> Array:
        """Which inputs are not fixed, as a boolean mask."""
        low, high = self.region.box(self.form.inputs)
        return low < high

    def after(self, step: Step) -> State:
        """The state after one step of a piece."""
        match step:
            case BoundsStep(side="low"):
                return replace(self, low=_changed(self.low, step.group, step.neurons, step.values, np.maximum))
            case BoundsStep():
                return replace(self, high=_changed(self.high, step.group, step.neurons, step.values, np.minimum))
            case QuadraticStep(side="low"):
                return replace(self, low=_changed(self.low, step.group, *_single(step), np.maximum))
            case QuadraticStep():
                return replace(self, high=_changed(self.high, step.group, *_single(step), np.minimum))
            case SlopesStep():
                return replace(
                    self,
                    alpha=_changed(self.alpha, step.group, step.neurons, step.alpha, np.maximum),
                    beta=_changed(self.beta, step.group, step.neurons, step.beta, np.minimum),
                )
            case LinesStep(lines):
                return replace(
                    self,
                    lower=_changed(self.lower, lines.group, lines.neurons, lines.lower, _new),
                    upper=_changed(self.upper, lines.group, lines.neurons, lines.upper, _new),
                )

    def on_side(self, split: Split, side: Side) -> State:
        """The state of one of the two pieces that a split makes, before that piece's own steps."""
        place, at = np.array([split.neuron]), np.array([split.at])
        if split.group == 0:
            end = (self.box_high if side == "below" else self.box_low).copy()
            end[split.neuron] = split.at
            return replace(self, box_high=end) if side == "below" else replace(self, box_low=end)
        decision = Decision(split.group, split.neuron, side, split.at)
        decided = replace(self, decisions=(*self.decisions, decision))
        if side == "below":
            return replace(decided, high=_changed(self.high, split.group, place, at, np.minimum))
        return replace(decided, low=_changed(self.low, split.group, place, at, np.maximum))


def _single(step: QuadraticStep) -> tuple[Array, Array]:
    return np.array([step.neuron]), np.array([step.value])


def _new(before: Array, after: Array) -> Array:
    return after


def _changed(
    arrays: tuple[Array, ...], group: int, neurons: Array, values: Array, combine: Callable[[Array, Array], Array]
) -> tuple[Array, ...]:
    """The arrays with some entries of one group's array combined with new values."""
    array = arrays[group - 1].copy()
    array[neurons] = combine(array[neurons], values)
    return (*arrays[: group - 1], array, *arrays[group:])

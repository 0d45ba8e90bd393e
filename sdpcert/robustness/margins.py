"""The margins of a label over other classes, as preactivations of the last group of a form with differences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.network.stacked import StackedForm
from sdpcert.regions.backward import Rows
from sdpcert.regions.pieces import BoundsStep, QuadraticStep, Step
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Margins(ShortRepr):
    """Output `label` minus other outputs, for a form that `with_differences` made."""

    form: StackedForm
    label: int

    def __post_init__(self) -> None:
        if not 0 <= self.label < self.outputs:
            raise ValueError(f"the label is {self.label}; the network has the classes 0 to {self.outputs - 1}")

    @property
    def group(self) -> int:
        """The number of the group of differences."""
        return len(self.form.groups)

    @property
    def outputs(self) -> int:
        """How many classes there are."""
        return self.form.groups[-2].size

    @property
    def others(self) -> tuple[int, ...]:
        """All classes but the label."""
        return tuple(j for j in range(self.outputs) if j != self.label)

    def neurons(self, classes: Sequence[int]) -> Array:
        """The neurons of the last group that compare the label with some classes; they ascend as the classes do."""
        y, j = np.full(len(classes), self.label), np.array(classes, dtype=np.int64)
        first, second = np.minimum(y, j), np.maximum(y, j)
        return first * self.outputs - first * (first + 1) // 2 + second - first - 1

    def signs(self, classes: Sequence[int]) -> Array:
        """1 where a neuron is the margin, -1 where it is minus the margin."""
        return np.where(self.label < np.array(classes, dtype=np.int64), 1.0, -1.0)

    def rows(self, classes: Sequence[int]) -> Rows:
        """The margins over some classes as rows to be bounded from below."""
        return Rows(self.group, self.neurons(classes), self.signs(classes))

    def bounds(self, state: State, classes: Sequence[int]) -> Array:
        """Lower bounds of the margins over some classes that hold on a piece."""
        neurons, signs = self.neurons(classes), self.signs(classes)
        return np.where(signs > 0, state.low[-1][neurons], -state.high[-1][neurons])

    def at(self, points: Array, classes: Sequence[int]) -> Array:
        """The margins at points (n, inputs) over some classes, in float64: (n, classes)."""
        return self.form.evaluate(points)[:, self.neurons(classes)] * self.signs(classes)

    def needed(self, steps: Sequence[Step], classes: Sequence[int]) -> tuple[Step, ...]:
        """The steps without bounds of the last group that say nothing about the margins over some classes."""
        neurons, found = self.neurons(classes), []
        for step in steps:
            if isinstance(step, BoundsStep) and step.group == self.group:
                kept = np.flatnonzero(np.isin(step.neurons, neurons))
                if len(kept):
                    found.append(step.select(kept))
            elif not (isinstance(step, QuadraticStep) and step.group == self.group and step.neuron not in neurons):
                found.append(step)
        return tuple(found)

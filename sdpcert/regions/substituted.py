"""Preactivations as affine functions of the inputs and of undecided neurons, in float64 without any proof.

Neurons whose slope is decided on a piece are substituted by their function there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.network.stacked import Block
from sdpcert.regions.backward import Relaxation
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class AffineRows(ShortRepr):
    """Rows `constants + inputs x + neurons z`, z the undecided neurons of the groups from the first on."""

    constants: Array
    inputs: Array
    neurons: Array

    def select(self, rows: Array) -> AffineRows:
        """Some of the rows."""
        return AffineRows(self.constants[rows], self.inputs[rows], self.neurons[rows])

    def times(self, factors: Array) -> AffineRows:
        """Every row times its number."""
        f = factors[:, None]
        return AffineRows(factors * self.constants, f * self.inputs, f * self.neurons)

    def widened(self, neurons: int) -> AffineRows:
        """The same with a column for each of so many neurons."""
        missing = neurons - self.neurons.shape[1]
        return AffineRows(self.constants, self.inputs, np.pad(self.neurons, ((0, 0), (0, missing))))

    @staticmethod
    def joined(parts: Sequence[AffineRows], inputs: int, neurons: int) -> AffineRows:
        """All rows, one part after another, with a column for each of so many neurons."""
        parts = [AffineRows(np.zeros(0), np.zeros((0, inputs)), np.zeros((0, neurons))), *parts]
        wide = [part.widened(neurons) for part in parts]
        constants, coefficients = (np.concatenate([getattr(p, name) for p in wide]) for name in ("constants", "inputs"))
        return AffineRows(constants, coefficients, np.concatenate([p.neurons for p in wide]))


class Substituted:
    """The preactivations of a piece up to those of one group (from 1).

    `undecided` are the undecided neurons of each group before it, `own` are the rows of all their preactivations.
    """

    def __init__(self, state: State, group: int, relaxation: Relaxation | None = None) -> None:
        self.state, self.group = state, group
        self.relaxation = Relaxation(state) if relaxation is None else relaxation
        self.undecided = [np.flatnonzero(mask) for mask in state.undecided[: group - 1]]
        self.count = sum(map(len, self.undecided))
        self._activations: list[AffineRows] = []
        own = []
        for number in range(1, group):
            alive, slope, at_zero = self._functions(number)
            rows = self.rows(number, alive)
            chosen = self.undecided[number - 1]
            own.append(rows.select(np.searchsorted(alive, chosen)))
            self._activations.append(self._after(number, alive, rows, slope, at_zero))
        self.own = AffineRows.joined(own, state.form.inputs, self.count)

    def rows(self, group: int, neurons: Array) -> AffineRows:
        """The preactivations of some neurons of a group up to the last one."""
        form = self.state.form
        constants = form.groups[group - 1].bias[neurons].copy()
        inputs = np.zeros((len(neurons), form.inputs))
        before = sum(map(len, self.undecided[: group - 1]))
        weighed = np.zeros((len(neurons), before))
        for source, block in sorted(form.row(group).items()):
            weights = _weights(block, neurons)
            if source == 0:
                inputs += weights
                continue
            read = self._activations[source - 1]
            used = np.flatnonzero(np.any(weights != 0, axis=0))
            weights, read = weights[:, used], read.select(used)
            constants += weights @ read.constants
            inputs += blas.product(weights, read.inputs)
            weighed[:, : read.neurons.shape[1]] += blas.product(weights, read.neurons)
        return AffineRows(constants, inputs, weighed)

    def _functions(self, number: int) -> tuple[Array, Array, Array]:
        """The neurons of a group that move, and slopes and values at zero of all that are decided."""
        alpha, _ = self.state.slopes(number)
        envelope = self.relaxation.relaxed(number).envelope
        middle = np.clip(0.0, self.state.low[number - 1], self.state.high[number - 1])
        beside = self.state.form.groups[number - 1].evaluate(middle[None])[0] - alpha * middle
        slope = np.where(envelope.linear, envelope.slope, alpha)
        at_zero = np.where(envelope.linear, envelope.at_zero, beside)
        chosen = self.undecided[number - 1]
        alive = slope != 0
        alive[chosen] = True
        slope[chosen] = at_zero[chosen] = 0.0
        return np.flatnonzero(alive), slope, at_zero

    def _after(self, number: int, alive: Array, rows: AffineRows, slope: Array, at_zero: Array) -> AffineRows:
        """The activations of a group: a decided neuron is affine, an undecided one a variable of its own."""
        chosen, before = self.undecided[number - 1], rows.neurons.shape[1]
        moved = rows.times(slope[alive])
        constants, size = at_zero.copy(), len(slope)
        constants[alive] += moved.constants
        inputs, neurons = np.zeros((size, rows.inputs.shape[1])), np.zeros((size, before + len(chosen)))
        inputs[alive], neurons[alive, :before] = moved.inputs, moved.neurons
        neurons[chosen, before + np.arange(len(chosen))] = 1.0
        return AffineRows(constants, inputs, neurons)


def _weights(block: Block, rows: Array) -> Array:
    return block.weights[rows] if block.low is None else block.weights[rows] + block.low[rows]

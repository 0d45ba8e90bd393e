"""Preactivations as affine functions of the input and of the neurons that bend in a piece.

Neurons that are linear on their intervals are substituted, in float64 without any proof: this is for optimising the
lines of the few others, where a row costs a fraction of a pass through all neurons.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.regions.backward import Relaxation
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Affine(ShortRepr):
    """Rows `inputs x + sum_h neurons[h] z_h + constants`, z_h the bending neurons of group h."""

    inputs: Array
    neurons: dict[int, Array]
    constants: Array

    def select(self, rows: Array) -> Affine:
        """Some of the rows."""
        return Affine(self.inputs[rows], {h: m[rows] for h, m in self.neurons.items()}, self.constants[rows])

    def times(self, signs: Array) -> Affine:
        """Every row times its number."""
        s = signs[:, None]
        return Affine(s * self.inputs, {h: s * m for h, m in self.neurons.items()}, signs * self.constants)


class Condensed:
    """The affine functions of the preactivations that matter, group by group from 1, made when they are asked for.

    `bending[h]` are the neurons of group h that are not linear on their intervals at that time: of pieces of the piece,
    whose intervals are shorter, some of them may be linear.
    """

    def __init__(self) -> None:
        self.bending: dict[int, Array] = {}
        self._made: dict[int, tuple[Array, Affine]] = {}

    def bend(self, relaxation: Relaxation, group: int) -> Array:
        """The bending neurons of a group."""
        if group not in self.bending:
            self.bending[group] = np.flatnonzero(~relaxation.relaxed(group).envelope.linear)
        return self.bending[group]

    def rows(self, relaxation: Relaxation, group: int, neurons: Array) -> Affine:
        """The preactivations of some neurons of a group."""
        made = self._made.get(group)
        if made is None or not np.all(np.isin(neurons, made[0])):
            decided = [d.neuron for d in relaxation.state.decisions if d.group == group]
            undecided = np.flatnonzero(relaxation.state.undecided[group - 1])
            wanted = np.unique(np.concatenate([neurons, undecided, np.array(decided, dtype=np.int64)]))
            made = self._made[group] = wanted, self._substituted(relaxation, group, wanted)
        return made[1].select(np.searchsorted(made[0], neurons))

    def _substituted(self, relaxation: Relaxation, group: int, neurons: Array) -> Affine:
        """A pass from some preactivations of a group down to the bending neurons and the input."""
        form = relaxation.form
        constants = form.groups[group - 1].bias[neurons]
        open_rows: dict[int, Array] = {}
        bent: dict[int, Array] = {}
        for source, block in relaxation.operators(group):
            open_rows[source] = block.weights[neurons]
        for h in range(group - 1, 0, -1):
            if h not in open_rows:
                continue
            through, bending = open_rows.pop(h), self.bend(relaxation, h)
            bent[h] = through[:, bending]
            relaxed = relaxation.relaxed(h)
            slope, at_zero = relaxed.lower.copy(), relaxed.at_zero_below.copy()
            slope[bending] = at_zero[bending] = 0.0
            constants = constants + through @ at_zero
            if not np.any(slope):
                continue
            own = through * slope
            constants = constants + own @ form.groups[h - 1].bias
            for source, block in relaxation.operators(h):
                moved = block.back(own)
                open_rows[source] = open_rows[source] + moved if source in open_rows else moved
        return Affine(open_rows.get(0, np.zeros((len(neurons), form.inputs))), bent, constants)

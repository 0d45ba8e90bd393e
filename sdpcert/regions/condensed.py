"""Preactivations as affine functions of the input and of the neurons that bend in a piece.

Neurons that are linear on their intervals are substituted, in float64 without any proof: this is for optimising the
lines of the few others, where a row costs a fraction of a pass through all neurons.
"""

from __future__ import annotations

import numpy as np

from sdpcert.regions.backward import Relaxation
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


class Condensed(ShortRepr):
    """`v_g = inputs[g] x + sum_h neurons[g][h] z_h + constants[g]` with z_h the bending neurons of group h < g.

    Groups are counted from 1; `upto` makes those that are missing, with the lines that are known then. `bending[h]` are
    the indices of the neurons, which may be more than those that bend in pieces of the piece.
    """

    def __init__(self, inputs: int) -> None:
        self.size = inputs
        self.bending: dict[int, Array] = {}
        self.inputs: dict[int, Array] = {}
        self.neurons: dict[int, dict[int, Array]] = {}
        self.constants: dict[int, Array] = {}

    def upto(self, relaxation: Relaxation, group: int) -> None:
        """Make all groups up to this one."""
        for number in range(len(self.inputs) + 1, group + 1):
            self._add(relaxation, number)

    def _add(self, relaxation: Relaxation, group: int) -> None:
        own = relaxation.form.groups[group - 1]
        inputs: Array | None = None
        neurons: dict[int, Array] = {}
        constant = own.bias
        for source, block in relaxation.operators(group):
            if source == 0:
                inputs = block.weights if inputs is None else inputs + block.weights
                continue
            bending = self._bending(relaxation, source)
            _accumulate(neurons, source, block.weights[:, bending])
            envelope = relaxation.relaxed(source).envelope
            slope, at_zero = envelope.slope.copy(), envelope.at_zero.copy()
            slope[bending] = at_zero[bending] = 0.0
            constant = constant + block.forward((slope * self.constants[source] + at_zero)[None])[0]
            moved = block.forward((slope[:, None] * self.inputs[source]).T).T
            inputs = moved if inputs is None else inputs + moved
            for earlier, matrix in self.neurons[source].items():
                _accumulate(neurons, earlier, block.forward((slope[:, None] * matrix).T).T)
        self.inputs[group] = np.zeros((own.size, self.size)) if inputs is None else inputs
        self.neurons[group], self.constants[group] = neurons, constant

    def _bending(self, relaxation: Relaxation, group: int) -> Array:
        if group not in self.bending:
            envelope = relaxation.relaxed(group).envelope
            self.bending[group] = np.flatnonzero(~envelope.linear)
        return self.bending[group]


def _accumulate(into: dict[int, Array], key: int, matrix: Array) -> None:
    into[key] = into[key] + matrix if key in into else matrix

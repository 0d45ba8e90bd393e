"""How neurons depend on earlier neurons that read the same, the opposite or a multiple.

A neuron whose preactivation is a multiple of an earlier one's is a function of that neuron and of its own
preactivation w:

    z = K z_earlier + M w + C,

for ReLU and its relatives by `phi(-v) = -r v + (r - l) relu(v)`, for smooth activations by their reflection
`phi(-v) = a phi(v) + b v + c`. In the condition that is a substitution, which can only lower its optimum.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

Array = np.ndarray


@dataclass(frozen=True)
class Correction:
    """Entry `entry` reads one u less, u being the ReLU neuron at `place` of the activation `node`; with `reads` it
    reads what u reads instead.
    """

    entry: int
    node: int
    place: int
    reads: bool


@dataclass(frozen=True, eq=False)
class Sharing:
    """How the neurons of one activation depend on neurons, entry by entry (row major) of its tensor.

    `z = gain z_at + through w + shift`, w being the entry's own preactivation and z_at the neuron at entry `place` of
    the activation with value number `node`: itself where the neuron is new, an earlier one where it is not. Where
    `node` is 0, z is linear in w and `gain` is 0. The errors bound the rounding of `gain` and `through`. Some
    preactivations are changed first, by `corrections`, which changes no z.
    """

    node: Array
    place: Array
    gain: Array
    gain_error: Array
    through: Array
    through_error: Array
    shift: Array
    corrections: list[Correction]

    def new(self, number: int) -> Array:
        """Which neurons of the activation with value number `number` are new."""
        return (self.node == number) & (self.place == np.arange(len(self.place)))


@dataclass(frozen=True)
class Neuron:
    """A neuron: its activation's value number, its entry, the factor of its primitive row, its slopes on both sides."""

    node: int
    place: int
    scale: float | Fraction
    left: float
    right: float


class Table:
    """The columns of a `Sharing` while it is made: every neuron is new until something else is said."""

    def __init__(self, number: int, size: int) -> None:
        none = np.zeros(size)
        self.sharing = Sharing(
            np.full(size, number), np.arange(size), np.ones(size), none, none.copy(), none.copy(), none.copy(), []
        )

    def linear(self, k: int, slope: float) -> None:
        """Entry k is `slope` times its preactivation."""
        self.sharing.node[k] = self.sharing.place[k] = 0
        self.sharing.gain[k], self.sharing.through[k] = 0.0, slope

    def share(self, k: int, earlier: Neuron, gain: Fraction, through: Fraction, shift: float) -> None:
        """Entry k is `gain` times the earlier neuron plus `through` times its preactivation plus `shift`."""
        s = self.sharing
        s.node[k], s.place[k], s.shift[k] = earlier.node, earlier.place, shift
        s.gain[k], s.gain_error[k] = _rounded(gain)
        s.through[k], s.through_error[k] = _rounded(through)


def by_pieces(earlier: Neuron, neuron: Neuron) -> tuple[Fraction, Fraction, float]:
    """Gain and through of a neuron that is linear on both sides of zero by another one with a multiple of its row.

    With v the earlier preactivation, `relu(v) = (z - l v) / (r - l)`, and the neuron reads w = t v.
    """
    ratio = Fraction(neuron.scale) / Fraction(earlier.scale)
    bend = (Fraction(neuron.right) - Fraction(neuron.left)) / (Fraction(earlier.right) - Fraction(earlier.left))
    if ratio > 0:
        return ratio * bend, Fraction(neuron.left) - bend * Fraction(earlier.left), 0.0
    return -ratio * bend, Fraction(neuron.right) + bend * Fraction(earlier.left), 0.0


def _rounded(value: Fraction) -> tuple[float, float]:
    """A float64 near a rational number and a bound of the difference."""
    near = float(value)
    error = abs(value - Fraction(near))
    return near, 0.0 if error == 0 else float(np.nextafter(float(error), np.inf))

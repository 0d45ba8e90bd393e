"""What is known of one piece while a region is divided."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.regions.emptiness import Interior
from sdpcert.regions.pieces import Bounded, Empty, End, Flat, Piece, Side, Split, Step
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Witness(ShortRepr):
    """A point of the region, the direction in which the network stretches most there, and how much, in float64."""

    value: float
    point: Array
    direction: Array


@dataclass(frozen=True, eq=False)
class Node(ShortRepr):
    """A piece: its state after its own `steps`, and how it ends if it is not split.

    `bound` is that of the end (0 if the piece is flat or empty), `dual` a lower bound on what the condition can prove
    of the piece, `is_exact` whether no slope is left undecided: then dividing the piece does not lower the bound.
    `interior` is an interior point, where one is known, and `witness` how the network stretches there, unless the piece
    that this one is a part of has the same point. `contradictions`, if known, has an array for each group: how much
    each neuron's slopes disagree in the optimum of the condition, negative if the steeper one is farther away.
    """

    state: State
    steps: tuple[Step, ...]
    end: Bounded | Flat | Empty
    bound: float
    dual: float
    is_exact: bool
    interior: Interior
    witness: Witness | None = None
    contradictions: tuple[Array, ...] | None = None

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left of the piece."""
        return not isinstance(self.end, Bounded)

    def rescaled(self, exponent: int) -> Node:
        """The same with the point of the condition stated for another scale of the output."""
        if not isinstance(self.end, Bounded):
            return self
        shift = 2 * (self.end.exponent - exponent)
        multipliers = tuple(np.ldexp(m, shift) for m in self.end.multipliers)
        return replace(self, end=Bounded(float(np.ldexp(self.end.rho, shift)), exponent, multipliers))

    def piece(self, parent: int | None, side: Side | None, split: Split | None) -> Piece:
        """What a certificate states of the piece, which was split or not."""
        end: End = self.end if split is None else split
        return Piece(parent, side, self.steps, end)

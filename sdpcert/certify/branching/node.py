"""What is known of one piece while a region is divided."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
    of the piece, `is_exact` whether the bound cannot be lowered by dividing the piece: no slope is left undecided.
    """

    state: State
    steps: tuple[Step, ...]
    end: Bounded | Flat | Empty
    bound: float
    dual: float
    is_exact: bool
    inside: bool
    witness: Witness | None = None

    @property
    def is_closed(self) -> bool:
        """Whether nothing is left of the piece."""
        return not isinstance(self.end, Bounded)

    def piece(self, parent: int | None, side: Side | None, split: Split | None) -> Piece:
        """What a certificate states of the piece, which was split or not."""
        end: End = self.end if split is None else split
        return Piece(parent, side, self.steps, end)

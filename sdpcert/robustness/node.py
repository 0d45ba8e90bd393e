"""One piece of a region on which margins have to stay above a limit: their bounds, and where the piece is divided.

All functions are those of a module and what they take and give can be pickled: they run in other processes too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.regions.backward import Rows
from sdpcert.regions.pieces import BoundsStep, Empty, End, Piece, Separated, Side, Split, Step
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, Wanted, tighten
from sdpcert.robustness.margins import Margins
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: A margin that is so far above its limit is not sought any better, relative to what it has to pass (at least one).
ROOM = 1e-6
#: How far inside of a ball points are evaluated, relative to its radius: they have to be in the region without doubt.
INSIDE = 1e-9
#: How many multiplications a second is taken to hold at least.
RATE = 3e8


@dataclass(frozen=True, eq=False)
class Goal(ShortRepr):
    """Margins are to stay above `limit`; bounds are sought with `effort`, within `seconds`."""

    margins: Margins
    limit: float
    effort: Effort
    seconds: float = np.inf

    def wanted(self, classes: tuple[int, ...]) -> Wanted:
        """The only rows of the last group that matter."""
        return Wanted(self.margins.rows(classes), self.limit + ROOM * (1 + abs(self.limit)))

    @property
    def affordable(self) -> Effort:
        """The effort that there is time for."""
        return replace(self.effort, work=min(self.effort.work, RATE * max(0.0, self.seconds)))


@dataclass(frozen=True, eq=False)
class Node(ShortRepr):
    """A piece: its state after its own `steps`, and which classes are `open`: their margins are not above the limit.

    `bounds` are lower bounds of the margins over these.
    """

    state: State
    steps: tuple[Step, ...]
    open: tuple[int, ...]
    bounds: Array

    @property
    def worst(self) -> float:
        """The least bound of a margin."""
        return float(np.min(self.bounds, initial=np.inf))

    def followed_by(self, later: Node) -> Node:
        """The same piece after further steps, those of `later`."""
        return replace(later, steps=(*self.steps, *later.steps))

    def piece(self, parent: int | None, side: Side | None, split: Split | None) -> Piece:
        """What a certificate states of the piece, which was split or not."""
        end: End = split if split is not None else Empty() if self.state.is_empty else Separated()
        return Piece(parent, side, self.steps, end)


def bound_piece(state: State, classes: tuple[int, ...], goal: Goal) -> Node:
    """Bound the margins over some classes on a piece."""
    after, steps = tighten(state, goal.affordable, wanted=goal.wanted(classes))
    bounds = goal.margins.bounds(after, classes)
    left = np.zeros(len(bounds), dtype=bool) if after.is_empty else bounds <= goal.limit
    remaining = tuple(j for j, is_open in zip(classes, left, strict=True) if is_open)
    return Node(after, tuple(steps), remaining, bounds[left])


def stated_row(node: Node, margins: Margins, other: int) -> Rows:
    """The margin over a class with the lines and multipliers of the last bound of it that the node's steps state."""
    rows = margins.rows([other])
    for step in reversed(node.steps):
        if isinstance(step, BoundsStep) and step.group == margins.group:
            place = np.flatnonzero(step.neurons == rows.neurons[0])
            if len(place):
                own = step.select(place)
                return replace(rows, lines=own.lines, multipliers=own.multipliers)
    return rows


def least_point(state: State, row: Array) -> Array:
    """A point of the region where a linear function is least on the piece's ball or its box, or nearly so."""
    corner = np.where(row > 0, state.box_low, state.box_high)
    region = state.region
    if not isinstance(region, Ball):
        return corner
    radius = region.radius * (1 - INSIDE)
    step = corner - region.center
    if np.linalg.norm(step) <= radius:
        return corner
    length = float(np.linalg.norm(row))
    around = region.center - row * (radius / length) if length > 0 else region.center
    low, high = region.box(state.form.inputs)
    return np.clip(around, np.maximum(low, state.box_low), np.minimum(high, state.box_high))

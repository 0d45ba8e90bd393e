"""One piece of a region on which margins have to stay above a limit: their bounds, and where the piece is divided.

All functions are those of a module and what they take and give can be pickled: they run in other processes too.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np

from sdpcert.regions.backward import Rows
from sdpcert.regions.pieces import BoundsStep, Empty, End, Piece, Separated, Side, Split, Step
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, Wanted, tighten
from sdpcert.robustness.margins import Margins
from sdpcert.robustness.quadratic_bound import QuadraticBound
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.solution import Budget

Array = np.ndarray
#: A margin that is so far above its limit is not sought any better, relative to what it has to pass (at least one).
ROOM = 1e-6
#: How far inside of a ball points are evaluated, relative to its radius: they have to be in the region without doubt.
INSIDE = 1e-9
#: How many multiplications a second is taken to hold at least.
RATE = 3e8


@dataclass(frozen=True, eq=False)
class Goal(ShortRepr):
    """Margins are to stay above `limit`; bounds are sought with `effort`, within a budget."""

    margins: Margins
    limit: float
    effort: Effort
    budget: Budget

    @property
    def enough(self) -> float:
        """A margin above this is not sought any better."""
        return self.limit + ROOM * (1 + abs(self.limit))

    @property
    def left(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.budget.seconds - self.budget.elapsed)

    @property
    def affordable(self) -> Effort:
        """The effort that there is time for."""
        return replace(self.effort, work=min(self.effort.work, RATE * self.left))


@dataclass(frozen=True, eq=False)
class Node(ShortRepr):
    """A piece: its state after its own `steps`, and which classes are `open`: their margins are not above the limit.

    `bounds` are lower bounds of the margins over these; `quadratic` has those by quadratic facts, where they were
    looked for.
    """

    state: State
    steps: tuple[Step, ...]
    open: tuple[int, ...]
    bounds: Array
    quadratic: dict[int, QuadraticBound] = field(default_factory=dict)

    @staticmethod
    def of(
        state: State,
        steps: tuple[Step, ...],
        classes: tuple[int, ...],
        bounds: Array,
        goal: Goal,
        quadratic: dict[int, QuadraticBound] | None = None,
    ) -> Node:
        """A piece with lower bounds of the margins over some classes."""
        left = np.zeros(len(bounds), dtype=bool) if state.is_empty else bounds <= goal.limit
        remaining = tuple(j for j, is_open in zip(classes, left, strict=True) if is_open)
        return Node(state, steps, remaining, bounds[left], quadratic or {})

    @property
    def worst(self) -> float:
        """The least bound of a margin."""
        return float(np.min(self.bounds, initial=np.inf))

    @property
    def worst_class(self) -> int:
        """The class with that margin, if any is open."""
        return self.open[int(np.argmin(self.bounds))]

    def followed_by(self, later: Node) -> Node:
        """The same piece after further steps, those of `later`."""
        return replace(later, steps=(*self.steps, *later.steps))

    def piece(self, parent: int | None, side: Side | None, split: Split | None) -> Piece:
        """What a certificate states of the piece, which was split or not."""
        end: End = split if split is not None else Empty() if self.state.is_empty else Separated()
        return Piece(parent, side, self.steps, end)


def bound_piece(state: State, classes: tuple[int, ...], goal: Goal) -> Node:
    """Bound the margins over some classes on a piece by lines."""
    wanted = Wanted(goal.margins.rows(classes), goal.enough)
    after, steps = tighten(state, goal.affordable, wanted=wanted)
    return Node.of(after, tuple(steps), classes, goal.margins.bounds(after, classes), goal)


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
    region, length = state.region, float(np.linalg.norm(row))
    if not isinstance(region, Ball):
        return corner
    step = corner - region.center
    if np.linalg.norm(step) <= (1 - INSIDE) * region.radius or length == 0:
        return corner if length > 0 else inside(state, region.center)
    return inside(state, region.center - row * (region.radius / length))


def inside(state: State, point: Array) -> Array:
    """A point of the region near one that may be just outside."""
    region = state.region
    if isinstance(region, Ball):
        step = point - region.center
        point = region.center + step * min(1.0, (1 - INSIDE) * region.radius / max(np.linalg.norm(step), 1e-300))
    low, high = region.box(state.form.inputs)
    return np.clip(point, low, high)

"""Where a piece is divided so that its margins rise: at the activation whose lines cost the worst margin most."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.certify.branching.places import places
from sdpcert.regions.backward import Relaxation, Trace
from sdpcert.regions.pieces import Side, Split
from sdpcert.regions.state import State
from sdpcert.robustness.node import Goal, Node, bound_piece, least_point, stated_row
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: A region with at most so many inputs may also be halved along one of them.
MOST_INPUTS = 8


@dataclass(frozen=True, eq=False)
class Division(ShortRepr):
    """A split of a piece, and both sides; and a point of the region that was met, with its least margin."""

    split: Split
    below: Node
    above: Node
    point: Array
    value: float


def divide(node: Node, goal: Goal) -> Division | None:
    """Divide a piece where that promises most; None if nothing is left to divide."""
    worst = node.open[int(np.argmin(node.bounds))]
    relaxation = Relaxation(node.state)
    trace = relaxation.traced(stated_row(node, goal.margins, worst))
    split = best_split(node.state, relaxation, trace)
    if split is None:
        return None
    point, value = descended(node.state, trace.inputs[0], worst, goal)
    below, above = (side_of(node, split, side, goal) for side in ("below", "above"))
    return Division(split, below, above, point, value)


def side_of(node: Node, split: Split, side: Side, goal: Goal) -> Node:
    """One side of a split, bounded."""
    state = node.state.on_side(split, side)
    return bound_piece(state, node.open, goal, state.decisions[-1] if split.group else None)


def best_split(state: State, relaxation: Relaxation, trace: Trace) -> Split | None:
    """The most promising split of a piece; None if no slope is left undecided."""
    best, found = 0.0, _half(state, relaxation, trace)
    for group, through in trace.through.items():
        undecided = state.undecided[group - 1]
        if not np.any(undecided):
            continue
        at = places(state, group)
        scores = np.where(undecided & ~np.isnan(at), np.abs(through[0]) * _gaps(relaxation, group), -1.0)
        k = int(np.argmax(scores))
        if scores[k] > best:
            best, found = float(scores[k]), Split(group, k, float(at[k]))
    return found


def _gaps(relaxation: Relaxation, group: int) -> Array:
    """How far apart the lines around each activation of a group are where they are farthest apart."""
    envelope = relaxation.relaxed(group).envelope
    lower, upper = envelope.below.middle_slopes, envelope.above.middle_slopes
    first = envelope.above.intercepts(upper) - envelope.below.intercepts(lower)
    ends = [first + (upper - lower) * place for place in (envelope.below.places[0], envelope.below.places[-1])]
    return np.where(envelope.linear, 0.0, np.maximum(*ends))


def _half(state: State, relaxation: Relaxation, trace: Trace) -> Split | None:
    return None


def descended(state: State, row: Array, other: int, goal: Goal) -> tuple[Array, float]:
    """A point of the region where a margin may be small, and its least margin there."""
    point = least_point(state, row)
    return point, float(np.min(goal.margins.at(point[None], goal.margins.others)))

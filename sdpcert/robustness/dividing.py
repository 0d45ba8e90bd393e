"""Where a piece is divided so that its margins rise: at the activation whose line costs the worst margin most."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.certify.branching.places import places
from sdpcert.regions.pieces import Side, Split
from sdpcert.robustness.leaves import bound_leaf, is_affine
from sdpcert.robustness.looking import Look
from sdpcert.robustness.node import Goal, Node, bound_piece
from sdpcert.robustness.sharpening import by_facts
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
SIDES: tuple[Side, Side] = ("below", "above")
#: So many times the usual steps optimise the bounds of a piece that cannot be divided.
PATIENCE = 20


@dataclass(frozen=True, eq=False)
class Division(ShortRepr):
    """What became of a piece: a split and both sides, or, where nothing is left to split, the piece bounded better.

    `point` of the region is where a margin may be small, `value` the least margin there, in float64.
    """

    split: Split | None
    sides: tuple[Node, ...]
    point: Array
    value: float


def divide(node: Node, goal: Goal) -> Division:
    """Divide a piece where that promises most."""
    look = Look.at(node, goal)
    split = best_split(node, look.costs, goal)
    if split is not None:
        below, above = (side_of(node, split, side, goal) for side in SIDES)
        return Division(split, (below, above), look.point, look.value)
    if is_affine(node.state):
        better = node.followed_by(bound_leaf(node, goal))
    else:
        patient = replace(goal, effort=replace(goal.effort, iterations=PATIENCE * goal.effort.iterations))
        better = node.followed_by(bound_piece(node.state, node.open, patient))
    look = Look.at(better, goal) if better.open else look
    return Division(None, (better,), look.point, look.value)


def side_of(node: Node, split: Split, side: Side, goal: Goal) -> Node:
    """One side of a split, bounded."""
    return by_facts(bound_piece(node.state.on_side(split, side), node.open, goal), goal)


def best_split(node: Node, costs: dict[int, Array], goal: Goal) -> Split | None:
    """The split that promises most for the worst margin; None if no slope is left undecided."""
    known = node.quadratic.get(node.worst_class)
    if known is not None and any(np.any(scores) for scores in known.scores):
        costs = {group: np.abs(scores) for group, scores in enumerate(known.scores, start=1)}
    best, found = 0.0, None
    for group, cost in costs.items():
        at = places(node.state, group)
        usable = node.state.undecided[group - 1] & ~np.isnan(at)
        if np.any(usable):
            scores = np.where(usable, cost, -1.0)
            k = int(np.argmax(scores))
            if scores[k] > best:
                best, found = float(scores[k]), Split(group, k, float(at[k]))
    return found

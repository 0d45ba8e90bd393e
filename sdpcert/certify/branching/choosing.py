"""What a piece is divided at: candidates by a cheap score, then the one whose worse side has the least bound."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.certify.branching.bounding import Goals, bound_piece, refined
from sdpcert.certify.branching.node import Node
from sdpcert.regions.pieces import Side, Split
from sdpcert.regions.reduced import Reduced, reduced_form
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: How many splits of a piece are compared by bounding both sides.
LOOK_AHEAD = 4
#: Accuracy of bounds while splits are compared.
COARSE = 1e-3


@dataclass(frozen=True, eq=False)
class Division(ShortRepr):
    """A split of a piece, and both sides."""

    split: Split
    below: Node
    above: Node


def divide(node: Node, goals: Goals) -> Division | None:
    """Divide a piece at the best of a few candidates; None if no slope is left undecided.

    A function of a module, of things that can be pickled: it runs in other processes too.
    """
    coarse = replace(goals, tol=max(COARSE, goals.tol))
    best: Division | None = None
    worse = total = float("inf")
    for split in candidates(node.state, reduced_form(node.state), LOOK_AHEAD):
        below, above = (bound_side(node, split, side, coarse) for side in ("below", "above"))
        larger, both = max(below.bound, above.bound, goals.target), below.bound + above.bound
        if best is None or (larger, both) < (worse, total):
            best, worse, total = Division(split, below, above), larger, both
    if best is None:
        return None
    return Division(best.split, refined(best.below, node, goals), refined(best.above, node, goals))


def bound_side(node: Node, split: Split, side: Side, goals: Goals) -> Node:
    """One side of a split, bounded."""
    return bound_piece(node.state.on_side(split, side), goals, node)


def candidates(state: State, reduced: Reduced, count: int) -> list[Split]:
    """The most promising splits of a piece, best first; none if no slope is left undecided.

    On all inputs they are neurons of the first group that has any left: then all neurons before are decided, and the
    half-spaces are exact.
    """
    if not reduced.groups:
        return []
    number = reduced.groups[0]
    neurons = np.flatnonzero(reduced.live[number - 1])
    order = np.argsort(-_scores(reduced, 1), kind="stable")[:count]
    return [Split(number, int(neurons[k]), 0.0) for k in order]


def _scores(reduced: Reduced, group: int) -> Array:
    """How much goes through each neuron of a group of the reduced form: what it reads times what reads it."""
    form = reduced.form
    reads = sum(np.square(block.weights).sum(axis=1) for block in form.row(group).values())
    read = np.zeros(form.groups[group - 1].size)
    for to in range(group + 1, form.output_row + 1):
        block = form.blocks.get((to, group))
        if block is not None:
            read += np.square(block.weights).sum(axis=0)
    return np.sqrt(np.asarray(reads) * read)

"""What a piece is divided at: candidates by a cheap score, then the one whose worse side has the least bound."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from sdpcert.certify.branching.bounding import QUICK, Goals, bound_piece, refined
from sdpcert.certify.branching.guessing import guess
from sdpcert.certify.branching.node import Node, Witness
from sdpcert.certify.branching.places import places
from sdpcert.regions.pieces import Side, Split
from sdpcert.regions.reduced import Reduced, reduced_form
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: How many splits of a piece are compared by bounding both sides.
LOOK_AHEAD = 3
#: Up to so many neurons that are left are split in the order of their groups: splits of neurons that are no affine
#: functions yet leave pieces without interior, which bounds do not show where a kink passes through the piece.
FEW = 24
#: A region with at most so many inputs may also be halved along one of them.
MOST_INPUTS = 8
#: Accuracy of bounds while splits are compared.
COARSE = 3e-5


@dataclass(frozen=True, eq=False)
class Division(ShortRepr):
    """A split of a piece, and both sides; and a guess of where the network stretches most in the piece."""

    split: Split
    below: Node
    above: Node
    guess: Witness | None = None


def divide(node: Node, goals: Goals) -> Division | None:
    """Divide a piece at the best of a few candidates; None if no slope is left undecided.

    A function of a module, of things that can be pickled: it runs in other processes too.
    """
    coarse = replace(goals, tol=max(COARSE, goals.tol), effort=QUICK)
    best: Division | None = None
    worse, started = float("inf"), time.perf_counter()
    for split, larger in candidates(node, reduced_form(node.state), LOOK_AHEAD):
        if best is not None and time.perf_counter() - started > goals.seconds:
            return best
        first = bound_side(node, split, larger, coarse)
        if first.bound >= worse and best is not None:
            continue
        second = bound_side(node, split, "below" if larger == "above" else "above", coarse)
        bound = max(first.bound, second.bound, goals.target)
        if best is None or bound < worse:
            worse = bound
            best = Division(split, *((first, second) if larger == "below" else (second, first)))
        if worse <= goals.target:
            break
    if best is None:
        return None
    return Division(best.split, refined(best.below, node, goals), refined(best.above, node, goals), guess(node))


def bound_side(node: Node, split: Split, side: Side, goals: Goals) -> Node:
    """One side of a split, bounded."""
    state = node.state.on_side(split, side)
    return bound_piece(state, goals, node, state.decisions[-1] if split.group else None)


def candidates(node: Node, reduced: Reduced, count: int) -> list[tuple[Split, Side]]:
    """The most promising splits of a piece, best first, each with the side that is likely to have the larger bound.

    None if there is nothing to split. On all inputs, and where `FEW` neurons are left, they are those of the first
    group that has any: then all neurons before are decided, and the half-spaces are exact. A region with few inputs may
    also be halved along one of them.
    """
    state, found = node.state, []
    in_order = not state.region.bounded or reduced.form.neurons <= FEW
    for place, number in enumerate(reduced.groups, start=1):
        neurons = np.flatnonzero(reduced.live[number - 1])
        known = node.contradictions
        scores = _scores(reduced, place) if known is None else known[number - 1][neurons]
        at = places(state, number)[neurons]
        found += [
            (float(score), Split(number, int(k), float(v)))
            for score, k, v in zip(scores, neurons, at)
            if not np.isnan(v)
        ]
        if in_order and found:
            break
    found.sort(key=lambda pair: -abs(pair[0]))
    chosen: list[tuple[Split, Side]] = [(split, "above" if score >= 0 else "below") for score, split in found[:count]]
    return chosen + [(split, "below") for split in _halves(state, reduced)]


def _halves(state: State, reduced: Reduced) -> list[Split]:
    """The halves of a box with few inputs, along the input that moves undecided neurons most."""
    moving = np.flatnonzero(state.moving)
    if not state.region.bounded or len(moving) > MOST_INPUTS:
        return []
    low, high = state.box_low[moving], state.box_high[moving]
    reach = np.zeros(len(moving))
    for (to, source), block in reduced.form.blocks.items():
        if source == 0 and to < reduced.form.output_row:
            reach += np.square(block.weights).sum(axis=0)
    middle = low + (high - low) / 2
    scores = np.where((low < middle) & (middle < high), np.sqrt(reach) * (high - low), -1.0)
    k = int(np.argmax(scores))
    return [Split(0, int(moving[k]), float(middle[k]))] if scores[k] > 0 else []


def _scores(reduced: Reduced, group: int) -> Array:
    """How much goes through each neuron of a group of the reduced form: what it reads times what reads it."""
    form = reduced.form
    own = form.groups[group - 1]
    reads, read = np.zeros(own.size), np.zeros(own.size)
    for block in form.row(group).values():
        reads += np.square(block.weights).sum(axis=1)
    for to in range(group + 1, form.output_row + 1):
        block = form.blocks.get((to, group))
        if block is not None:
            read += np.square(block.weights).sum(axis=0)
    return np.sqrt(reads * read) * (own.beta - own.alpha)

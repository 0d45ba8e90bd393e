"""Where a piece is divided so that its margins rise: at the activation whose line costs the worst margin most."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.certify.branching.places import places
from sdpcert.regions.backward import Relaxation, Trace
from sdpcert.regions.pieces import Side, Split
from sdpcert.regions.state import State
from sdpcert.robustness.node import Goal, Node, bound_piece, least_point, stated_row
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: What a line may cost anywhere counts for this part of what it costs at the least point of the row.
ELSEWHERE = 0.1
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
    worst = node.open[int(np.argmin(node.bounds))]
    relaxation = Relaxation(node.state)
    trace = relaxation.traced(stated_row(node, goal.margins, worst))
    point = least_point(node.state, trace.inputs[0])
    value = float(np.min(goal.margins.at(point[None], goal.margins.others)))
    split = best_split(node.state, relaxation, trace, point)
    if split is not None:
        below, above = (side_of(node, split, side, goal) for side in ("below", "above"))
        return Division(split, (below, above), point, value)
    patient = replace(goal, effort=replace(goal.effort, iterations=PATIENCE * goal.effort.iterations))
    better = node.followed_by(bound_piece(node.state, node.open, patient))
    if better.open:
        row = stated_row(better, goal.margins, better.open[int(np.argmin(better.bounds))])
        point = least_point(better.state, Relaxation(better.state).traced(row).inputs[0])
        value = float(np.min(goal.margins.at(point[None], goal.margins.others)))
    return Division(None, (better,), point, value)


def side_of(node: Node, split: Split, side: Side, goal: Goal) -> Node:
    """One side of a split, bounded."""
    return bound_piece(node.state.on_side(split, side), node.open, goal)


def best_split(state: State, relaxation: Relaxation, trace: Trace, point: Array) -> Split | None:
    """The split that promises the first row of a trace most; `point` is where the row is least.

    None if no slope is left undecided.
    """
    best, found = 0.0, None
    costs = _costs(relaxation, trace, point)
    for group, cost in costs.items():
        at = places(state, group)
        usable = state.undecided[group - 1] & ~np.isnan(at)
        if np.any(usable):
            scores = np.where(usable, cost, -1.0)
            k = int(np.argmax(scores))
            if scores[k] > best:
                best, found = float(scores[k]), Split(group, k, float(at[k]))
    return found


def _costs(relaxation: Relaxation, trace: Trace, point: Array) -> dict[int, Array]:
    """What the lines of every group cost the first row: at the point, and a part of what they cost at most."""
    form, sources = relaxation.form, {0: point}
    costs = {}
    for group in range(1, max(trace.used, default=0) + 1):
        own = form.groups[group - 1]
        values = own.bias.copy()
        for source, block in form.row(group).items():
            values += block.weights @ sources[source]
        activations = sources[group] = own.evaluate(values[None])[0]
        if group in trace.used:
            used = trace.used[group]
            sources[group] = on_lines = used.slopes[0] * values + used.at_zero[0]
            size = np.abs(used.coefficients[0])
            costs[group] = size * (np.abs(on_lines - activations) + ELSEWHERE * _gaps(relaxation, group))
    return costs


def _gaps(relaxation: Relaxation, group: int) -> Array:
    """How far apart the lines around each activation of a group are where they are farthest apart."""
    envelope = relaxation.relaxed(group).envelope
    lower, upper = envelope.below.middle_slopes, envelope.above.middle_slopes
    first = envelope.above.intercepts(upper) - envelope.below.intercepts(lower)
    ends = [first + (upper - lower) * place for place in (envelope.below.places[0], envelope.below.places[-1])]
    return np.where(envelope.linear, 0.0, np.maximum(*ends))

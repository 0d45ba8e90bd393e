"""A look at a piece: what lines in place of activations cost its worst margin, and where that margin may be small."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.regions.backward import Relaxation, Trace
from sdpcert.robustness.node import Goal, Node, inside, least_point, stated_row
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: What a line may cost anywhere counts for this part of what it costs at the least point of the row.
ELSEWHERE = 0.1


@dataclass(frozen=True, eq=False)
class Look(ShortRepr):
    """What the lines of a piece cost its worst margin, a point where that may be small, and the least margin there."""

    costs: dict[int, Array]
    point: Array
    value: float

    @staticmethod
    def at(node: Node, goal: Goal) -> Look:
        """For a piece with open classes."""
        margins, relaxation, state = goal.margins, Relaxation(node.state), node.state
        traces = {j: relaxation.traced(stated_row(node, margins, j)) for j in node.open}
        least = {j: least_point(state, trace.inputs[0]) for j, trace in traces.items()}
        others = [inside(state, bound.point) for bound in node.quadratic.values() if bound.point is not None]
        points = np.array([*least.values(), *others])
        values = np.min(margins.at(points, margins.others), axis=1)
        k, worst = int(np.argmin(values)), node.worst_class
        return Look(costs_of_lines(relaxation, traces[worst], least[worst]), points[k], float(values[k]))


def costs_of_lines(relaxation: Relaxation, trace: Trace, point: Array) -> dict[int, Array]:
    """What the lines of every group cost the first row of a trace: at the point where it is least, and a part of what
    they cost at most.
    """
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

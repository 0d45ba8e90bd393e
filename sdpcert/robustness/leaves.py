"""Pieces with nothing left to split: multipliers of the half-spaces by linear programmes.

Where every slope is decided, all preactivations are affine functions of the inputs, and the least margin on the box of
a piece and its half-spaces is the value of a linear programme, whose multipliers prove it. A ball enters by planes that
touch it, one at each point that the programme finds outside. Steps along slopes of a bound come near that only slowly.
"""

from __future__ import annotations

import numpy as np
from scipy.optimize import OptimizeResult, linprog

from sdpcert.regions.backward import Relaxation, Rows
from sdpcert.regions.pieces import BoundsStep, Step
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.robustness.node import Goal, Node

Array = np.ndarray
#: Planes that touch a ball, at most.
MOST_PLANES = 60
#: How far outside of a ball a point counts as inside, relative to its radius.
OUTSIDE = 1e-9
#: Most inputs that a programme may have.
MOST_INPUTS = 2000


def is_affine(state: State) -> bool:
    """Whether the outputs are an affine function of the inputs on a piece, as far as its bounds say."""
    linear = all(group.is_piecewise_linear for group in state.form.groups)
    return linear and state.form.inputs <= MOST_INPUTS and not any(np.any(mask) for mask in state.undecided[:-1])


def bound_leaf(node: Node, goal: Goal) -> Node:
    """Bound the open margins of a piece on which the network is affine."""
    state, margins, bounds, steps = node.state, goal.margins, node.bounds.copy(), list[Step]()
    programme, relaxation = _Programme(state), Relaxation(state)
    for k, j in enumerate(node.open):
        (neuron,), (sign,) = margins.neurons([j]), margins.signs([j])
        multipliers = programme.multipliers(int(neuron), float(sign), goal.enough)
        if multipliers is None:
            continue
        rows = Rows(margins.group, np.array([neuron]), np.array([sign]), (), multipliers[None])
        value = float(relaxation.bound(rows)[0])
        if value > bounds[k]:
            bounds[k] = value
            side = "low" if sign > 0 else "high"
            step = BoundsStep(side, margins.group, rows.neurons, np.array([sign * value]), (), rows.multipliers)
            steps.append(step)
            state = state.after(step)
    return Node.of(state, tuple(steps), node.open, bounds, goal)


class _Programme:
    """All preactivations of a piece as affine functions of the inputs, and its half-spaces."""

    def __init__(self, state: State) -> None:
        self.state = state
        self.slopes, self.offsets = _affine(state)
        signs = np.array([d.sign for d in state.decisions])
        rows = [self.slopes[d.group - 1][d.neuron] for d in state.decisions]
        ends = np.array([self.offsets[d.group - 1][d.neuron] - d.at for d in state.decisions])
        self.rows = signs[:, None] * np.array(rows).reshape(len(rows), state.form.inputs)
        self.ends = signs * ends
        self.planes: list[tuple[Array, float]] = []

    def multipliers(self, neuron: int, sign: float, enough: float) -> Array | None:
        """Those that prove the largest lower bound of `sign v`, or one above `enough` where there are no points.

        None if there are no half-spaces, or the programme is not solved.
        """
        if not len(self.rows):
            return None
        target, constant = sign * self.slopes[-1][neuron], sign * float(self.offsets[-1][neuron])
        found = self._solved(target, slack=False)
        if found is not None:
            return _decided(found, len(self.rows))
        # No points: with a common slack that is as large as it may be, and yet negative, the half-spaces contradict.
        found = self._solved(np.zeros(len(target)), slack=True)
        if found is None or found.fun <= 0:
            return None
        reach = np.abs(target) @ np.maximum(np.abs(self.state.box_low), np.abs(self.state.box_high)) + abs(constant)
        return _decided(found, len(self.rows)) * (2 * (reach + abs(enough)) / found.fun)

    def _solved(self, target: Array, slack: bool) -> OptimizeResult | None:
        """The least value of a row, or of how much the half-spaces have to give way."""
        bounds = [*zip(self.state.box_low, self.state.box_high, strict=True)]
        objective = np.append(target, 1.0) if slack else target
        bounds = [*bounds, (0.0, None)] if slack else bounds
        region = self.state.region
        for _ in range(MOST_PLANES):
            matrix, ends = [self.rows, *(p[None] for p, _ in self.planes)], [self.ends, *(e for _, e in self.planes)]
            rows, ends = -np.concatenate(matrix), np.hstack(ends)
            if slack:
                column = np.where(np.arange(len(rows)) < len(self.rows), -1.0, 0.0)
                rows = np.column_stack([rows, column])
            found = linprog(objective, rows, ends, bounds=bounds, method="highs")
            if found.status != 0:
                return None
            if not isinstance(region, Ball):
                return found
            step = found.x[: len(target)] - region.center
            length = float(np.linalg.norm(step))
            if length <= region.radius * (1 + OUTSIDE):
                return found
            away = step / length
            self.planes.append((-away, region.radius + float(away @ region.center)))
        return found


def _decided(found: OptimizeResult, count: int) -> Array:
    """The multipliers of the half-spaces."""
    return np.maximum(0.0, -np.asarray(found.ineqlin.marginals)[:count])


def _affine(state: State) -> tuple[list[Array], list[Array]]:
    """Preactivations of every group as affine functions of the inputs: coefficients (size, inputs), and constants."""
    form = state.form
    sources, constants = [np.eye(form.inputs)], [np.zeros(form.inputs)]
    slopes, offsets = [], []
    for number, group in enumerate(form.groups, start=1):
        own, at_zero = np.zeros((group.size, form.inputs)), group.bias.copy()
        for source, block in form.row(number).items():
            own = own + block.weights @ sources[source]
            at_zero = at_zero + block.weights @ constants[source]
        slopes.append(own)
        offsets.append(at_zero)
        segment = group.segment(_between(state.low[number - 1], state.high[number - 1])[None])
        if segment is None:
            raise ValueError("an activation of the piece is not piecewise linear")
        slope, value = (part[0] for part in segment)
        sources.append(slope[:, None] * own)
        constants.append(slope * at_zero + value)
    return slopes, offsets


def _between(low: Array, high: Array) -> Array:
    """A number between the ends of each interval, which may be infinite."""
    low, high = np.maximum(low, np.minimum(high, 0) - 1e6), np.minimum(high, np.maximum(low, 0) + 1e6)
    return low / 2 + high / 2

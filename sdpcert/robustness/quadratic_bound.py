"""A bound of one preactivation of a piece by weighed quadratic facts, as a step that a certificate states."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdpcert.arithmetic.blas import cholesky
from sdpcert.regions.pieces import QuadraticStep
from sdpcert.regions.quadratic import Facts, QuadraticProblem
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.barrier import Bound, QuadraticGoals, Weights, combination, maximise

Array = np.ndarray
#: How much lower than what was found the stated bound is, relative to what the weighed facts add up, until its matrix
#: has room.
ROOM = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)
#: The least eigenvalue of a matrix with unit diagonal that counts as room, relative to its order.
LEAST_EIGENVALUE = 1e-13


@dataclass(frozen=True, eq=False)
class QuadraticBound(ShortRepr):
    """A bound of a preactivation: `step` states it (None if nothing was found), `value` is what it says.

    For side "low" the preactivation is at least `value`, and no weights prove more than `upper`, roughly; for "high" it
    is at most `value`, and none prove less than `upper`. `weights` are a start for the same neuron on a part of the
    piece. `scores` has an array for each group before the neuron's: how much each neuron's relaxed activation is beside
    the activation's graph, negative if the piece right of the kink is farther away. `point` is an input at which the
    relaxation is worst, in the region.
    """

    step: QuadraticStep | None
    value: float
    upper: float
    weights: Weights | None
    scores: tuple[Array, ...]
    point: Array | None


def quadratic_step(
    facts: Facts | State,
    group: int,
    neuron: int,
    side: Literal["low", "high"],
    goals: QuadraticGoals | None = None,
    start: Weights | None = None,
) -> QuadraticBound:
    """Bound a preactivation (group from 1) by quadratic facts; goals are those of side "low", negated for "high".

    `facts` are shared by all neurons of a group; a state is as good for a single one of a region with a ball. Raises
    ValueError if the region has no ball and there are no scales.
    """
    if isinstance(facts, State):
        facts = Facts(facts, group)
    sign = 1.0 if side == "low" else -1.0
    problem = facts.problem(neuron, sign)
    goals = QuadraticGoals() if goals is None else goals
    bound = maximise(problem, goals.scaled(problem.scale), start)
    nothing = tuple(np.zeros(g.size) for g in facts.state.form.groups[: group - 1])
    upper = sign * bound.upper * problem.scale
    if bound.weights is None:
        return QuadraticBound(None, -sign * np.inf, upper, None, nothing, None)
    t = stated(problem, bound.weights)
    step = None if t is None else _step(problem, bound.weights, sign * t * problem.scale)
    value = -sign * np.inf if step is None else step.value
    scores, point = nothing, None
    if bound.moments is not None:
        scores, point = _scores(problem, bound), problem.point(bound.moments[0, 1 : 1 + problem.inputs])
    return QuadraticBound(step, value, upper, bound.weights, scores, point)


def stated(problem: QuadraticProblem, weights: Weights) -> float | None:
    """The bound that these weights prove, in units of the problem, with room for rounding; None if they prove none."""
    q = combination(problem, 0.0, weights, problem.target)
    inner = np.ascontiguousarray(q[1:, 1:])
    factor = cholesky(inner)
    if factor is None:
        return None
    half = np.linalg.solve(factor, q[1:, 0])
    x = np.concatenate([[1.0], -np.linalg.solve(factor.T, half)])
    best = float(q[0, 0] - half @ half)
    size = float(np.abs(q.diagonal()) @ np.square(x)) + abs(best)
    for room in ROOM:
        t = best - room * size
        if _has_room(q, t):
            return t
    return None


def _has_room(q: Array, t: float) -> bool:
    shifted = q.copy()
    shifted[0, 0] -= t
    diagonal = shifted.diagonal()
    if not np.all(diagonal > 0):
        return False
    scale = diagonal**-0.5
    unit = scale[:, None] * shifted * scale
    unit[np.diag_indices(len(unit))] -= LEAST_EIGENVALUE * len(unit)
    return cholesky(unit) is not None


def _step(problem: QuadraticProblem, weights: Weights, value: float) -> QuadraticStep:
    """The step in the units of the format."""
    facts = problem.facts
    unit = problem.scale
    multipliers = facts.multipliers(unit * weights.facts)
    decisions = None
    if problem.decisions:
        decisions = np.zeros(len(facts.state.decisions))
        decisions[facts.decisions] = unit * weights.decisions / facts.decision_scales
    scales = facts.ellipsoid.scales
    ball = unit * weights.ball / facts.ellipsoid.square
    side: Literal["low", "high"] = "low" if problem.sign > 0 else "high"
    return QuadraticStep(side, facts.group, problem.neuron, value, scales, float(ball), multipliers, decisions)


def _scores(problem: QuadraticProblem, bound: Bound) -> tuple[Array, ...]:
    """Weights of the first facts times the lesser of the mean squares of their two forms."""
    facts, m, u = problem.facts, problem.inputs, problem.neurons
    moments = bound.moments
    rows = problem.rows[:u]
    through = rows @ moments
    gram = np.empty((3, 3, u))
    gram[0, 0] = moments[0, 0]
    gram[0, 1] = gram[1, 0] = through[:, 0]
    gram[0, 2] = gram[2, 0] = moments[0, 1 + m :]
    gram[1, 1] = np.einsum("ij,ij->i", through, rows)
    gram[1, 2] = gram[2, 1] = through[np.arange(u), 1 + m + np.arange(u)]
    gram[2, 2] = moments.diagonal()[1 + m :]
    first, second = (np.einsum("ia,abi,ib->i", f, gram, f) for f in problem.forms[:2])
    scale = np.abs(problem.forms[0, :, 2] / problem.forms[1, :, 2])
    second = second * scale**2
    cost = bound.weights.facts[0] / np.maximum(scale, 1e-300) * np.where(second <= first, second, -first)
    found, start = [], 0
    for group, own in zip(facts.state.form.groups, facts.undecided, strict=False):
        every = np.zeros(group.size)
        every[own] = cost[start : start + len(own)]
        start += len(own)
        found.append(every)
    return tuple(found)

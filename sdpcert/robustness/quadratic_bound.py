"""A bound of one preactivation of a piece by weighed quadratic facts, as a step that a certificate states."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.regions.ellipsoid import box_scales
from sdpcert.regions.pieces import QuadraticStep
from sdpcert.regions.quadratic import Facts, QuadraticProblem, ScaledFacts
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.barrier import Bound, QuadraticGoals, maximise
from sdpcert.solvers.quadratic_start import linear_weights, moved_inside
from sdpcert.solvers.weighed_facts import Weights, grams, matrix

Array = np.ndarray
#: How much lower than what was found the stated bound is, relative to what the weighed facts add up, until its matrix
#: has room.
ROOM = (1e-10, 1e-9, 1e-8, 1e-7, 1e-6, 1e-5)
#: The same for every variable, relative to the magnitudes that the facts add up in the network's own coordinates.
ROUNDING = 1e-14
#: The least eigenvalue of a matrix with unit diagonal that counts as room, relative to its order.
LEAST_EIGENVALUE = 1e-13
#: How far weights are moved inside until their matrix has room.
INWARD = (0.0, 1e-8, 1e-6, 1e-4)
#: How many ellipsoids are tried on a box after the first.
ELLIPSOIDS = 3
#: How far beyond its other end a bound is as good as any, relative to 1 and that end.
BEYOND = 1e-6


@dataclass(frozen=True, eq=False)
class FactWeights(ShortRepr):
    """Weights of facts in the units of the format, for all neurons of the groups before the one that is bounded.

    `facts` has (facts, size) entries for every group, in the order of `FACTS`, zero for decided neurons; `scales` are
    those of the ellipsoid, None for a ball. They are a start for the same neuron on parts of the piece, and on regions
    nearby.
    """

    ball: float
    decisions: Array
    facts: tuple[Array, ...]
    scales: Array | None


@dataclass(frozen=True, eq=False)
class QuadraticBound(ShortRepr):
    """A bound of a preactivation: `step` states it (None if nothing was found), `value` is what it says.

    For side "low" the preactivation is at least `value`, and no weights prove more than `upper`, roughly; for "high" it
    is at most `value`, and none prove less than `upper`. `scores` has an array for each group before the neuron's: how
    far each neuron's relaxed activation is from its function, weighed, negative where the piece left of the kink is
    nearer. `point` is an input of the region where the relaxation is worst.
    """

    step: QuadraticStep | None
    value: float
    upper: float
    weights: FactWeights | None
    scores: tuple[Array, ...]
    point: Array | None


def quadratic_step(
    facts: Facts | State,
    group: int,
    neuron: int,
    side: Literal["low", "high"],
    goals: QuadraticGoals | None = None,
    start: FactWeights | None = None,
) -> QuadraticBound:
    """Bound a preactivation (group from 1) by quadratic facts; `goals` are in terms of `v` for side "low", of `-v` for
    side "high".

    `facts`, those of a state and this group, may be shared by all its neurons. A box gets the ellipsoid that suits the
    linear relaxation of the row, then, while that pays, those that suit what was found. Raises ValueError if the region
    has no ends, or the facts are those of another group.
    """
    if isinstance(facts, State):
        facts = Facts(facts, group)
    if facts.group != group:
        raise ValueError(f"these are the facts before group {facts.group}, not before group {group}")
    sign = 1.0 if side == "low" else -1.0
    nothing = tuple(np.zeros(own.size) for own in facts.state.form.groups[: group - 1])
    if not facts.sufficient:
        return QuadraticBound(None, -sign * np.inf, sign * np.inf, None, nothing, None)
    goals = QuadraticGoals() if goals is None else goals
    state = facts.state
    other = sign * float((state.high if side == "low" else state.low)[group - 1][neuron])
    # Beyond its other end the piece is empty: pieces without points have bounds without an end.
    goals = replace(goals, enough=min(goals.enough, other + BEYOND * (1 + abs(other))))
    found = _bounded(facts, neuron, sign, goals, start)
    scaled, problem, bound = found.scaled, found.problem, found.bound
    upper = sign * bound.upper * problem.scale
    proved = None if bound.weights is None else stated(problem, bound.weights)
    if proved is None:
        return QuadraticBound(None, -sign * np.inf, upper, None, nothing, None)
    reached, stating = proved
    own = stating.facts * (problem.scale / scaled.units)
    reached = reached * problem.scale - ROUNDING * problem.order * (abs(reached) + float(np.sum(own * facts.sizes)))
    step = _step(scaled, problem, stating, neuron, side, sign * reached)
    weights = _kept(facts, step, own)
    if bound.moments is None:
        return QuadraticBound(step, step.value, upper, weights, nothing, None)
    point = scaled.point(problem, bound.moments[0, 1 : 1 + problem.inputs])
    return QuadraticBound(step, step.value, upper, weights, _scores(facts, problem, stating, bound.moments), point)


@dataclass(frozen=True, eq=False)
class _Found(ShortRepr):
    """A problem, with the ellipsoid that it has, and its best weights."""

    scaled: ScaledFacts
    problem: QuadraticProblem
    bound: Bound

    @property
    def value(self) -> float:
        """The bound in the network's units."""
        return self.bound.value * self.problem.scale


def _bounded(facts: Facts, neuron: int, sign: float, goals: QuadraticGoals, start: FactWeights | None) -> _Found:
    """The best weights, on a box with a few ellipsoids one after another."""

    def on(scaled: ScaledFacts, first: FactWeights | None) -> _Found:
        problem = scaled.problem(neuron, sign)
        given = None if first is None else _from_start(scaled, problem, first)
        return _Found(scaled, problem, maximise(problem, goals.scaled(problem.scale), given))

    state = facts.state
    if isinstance(state.region, Ball):
        return on(facts.scaled(), start)
    if start is not None and start.scales is not None:
        best = on(facts.scaled(start.scales), start)
    else:
        around = facts.scaled(box_scales(state, np.ones(state.form.inputs)))
        problem = around.problem(neuron, sign)
        best = on(facts.scaled(box_scales(state, _along(around, problem, linear_weights(problem)[0][1:]))), None)
    for _ in range(ELLIPSOIDS):
        bound, problem = best.bound, best.problem
        if best.value >= goals.enough or bound.moments is None or goals.spent:
            break
        # The ellipsoid on which the function that the weights leave of the input is as good as on the box.
        row = _along(best.scaled, problem, bound.moments[0, 1 : 1 + problem.inputs])
        again = on(facts.scaled(box_scales(state, row)), None)
        if again.value <= best.value:
            break
        best = again
    return best


def _along(scaled: ScaledFacts, problem: QuadraticProblem, row: Array) -> Array:
    """A linear function of a problem's inputs as one of the network's, up to a factor."""
    return problem.lifted(row) / scaled.ellipsoid.axes


def stated(problem: QuadraticProblem, weights: Weights) -> tuple[float, Weights] | None:
    """A bound in units of the problem, with room for rounding, and the weights that prove it; None if there is none.

    The weights are those given, or, where their matrix has no room, moved a little to those of a closed form.
    """
    for share in INWARD:
        inward = weights if share == 0 else moved_inside(problem, weights, share)
        reached = None if inward is None else _with_room(problem, inward)
        if inward is not None and reached is not None:
            return reached, inward
    return None


def _with_room(problem: QuadraticProblem, weights: Weights) -> float | None:
    """The bound that weights prove with room; None if they prove none."""
    whole = matrix(problem, 0.0, weights)
    factor = blas.cholesky(whole[1:, 1:])
    if factor is None:
        return None
    worst = np.concatenate([[1.0], -blas.solve(factor, whole[1:, 0])])
    best = float(whole[0] @ worst)
    size = float(np.abs(whole.diagonal()) @ np.square(worst)) + abs(best)
    for room in ROOM:
        value = best - room * size
        if _has_room(whole, value):
            return value
    return None


def _has_room(whole: Array, value: float) -> bool:
    """Whether the matrix after taking off the value, its diagonal brought to one, is positive definite by a margin."""
    diagonal = whole.diagonal().copy()
    diagonal[0] -= value
    if not np.all(diagonal > 0):
        return False
    scale = diagonal**-0.5
    unit = scale[:, None] * whole * scale
    unit[np.diag_indices(len(unit))] = 1 - LEAST_EIGENVALUE * len(unit)
    return blas.cholesky(unit) is not None


def _step(
    scaled: ScaledFacts,
    problem: QuadraticProblem,
    weights: Weights,
    neuron: int,
    side: Literal["low", "high"],
    value: float,
) -> QuadraticStep:
    """The step in the units of the format."""
    facts, unit = scaled.facts, problem.scale
    decisions = None
    if problem.decisions:
        decisions = np.zeros(len(facts.state.decisions))
        decisions[facts.decisions] = unit * weights.decisions / scaled.decision_units
    multipliers = facts.multipliers(unit * weights.facts / scaled.units)
    ball = unit * weights.ball / scaled.ellipsoid.square
    return QuadraticStep(side, facts.group, neuron, value, scaled.ellipsoid.scales, ball, multipliers, decisions)


def _by_group(facts: Facts, values: Array) -> tuple[Array, ...]:
    """Values (..., neurons) of undecided neurons as arrays (..., size) for each group."""
    found, start = [], 0
    for group, own in zip(facts.state.form.groups, facts.undecided, strict=False):
        every = np.zeros((*values.shape[:-1], group.size))
        every[..., own] = values[..., start : start + len(own)]
        start += len(own)
        found.append(every)
    return tuple(found)


def _kept(facts: Facts, step: QuadraticStep, weights: Array) -> FactWeights:
    decisions = np.zeros(0) if step.decisions is None else step.decisions
    return FactWeights(step.ball, decisions, _by_group(facts, weights), step.scales)


def _from_start(scaled: ScaledFacts, problem: QuadraticProblem, start: FactWeights) -> Weights:
    """The weights of a problem like those of another piece."""
    facts = scaled.facts
    own = np.concatenate(
        [np.zeros((len(scaled.units), 0)), *(w[:, k] for w, k in zip(start.facts, facts.undecided, strict=True))],
        axis=1,
    )
    decisions = np.zeros(max(len(facts.state.decisions), len(start.decisions)))
    decisions[: len(start.decisions)] = start.decisions
    unit = 1 / problem.scale
    return Weights(
        unit * start.ball * scaled.ellipsoid.square,
        unit * decisions[facts.decisions] * scaled.decision_units,
        unit * own * scaled.units,
    )


def _scores(facts: Facts, problem: QuadraticProblem, weights: Weights, moments: Array) -> tuple[Array, ...]:
    """The weight of the first fact times the lesser of the mean squares of its two factors, in the relaxation."""
    gram = grams(problem, moments, blas.product(problem.rows, moments))
    first, second = (np.einsum("ia,abi,ib->i", f, gram, f) for f in problem.forms[:2])
    ratio = np.abs(problem.forms[0, :, 2] / problem.forms[1, :, 2])
    first, second = first / ratio, second * ratio
    return _by_group(facts, weights.facts[0] * np.where(second <= first, second, -first))

"""Better bounds of a piece by weighed quadratic facts: of margins, and of preactivations that margins depend on."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Literal

import numpy as np

from sdpcert.certify.branching.places import places
from sdpcert.regions.pieces import Step
from sdpcert.regions.quadratic import Facts
from sdpcert.regions.state import State
from sdpcert.robustness.looking import Look
from sdpcert.robustness.node import Goal, Node, bound_piece
from sdpcert.robustness.quadratic_bound import QuadraticBound, quadratic_step
from sdpcert.solvers.barrier import QuadraticGoals

Array = np.ndarray
SIDES: tuple[tuple[Literal["low", "high"], float], ...] = (("low", 1.0), ("high", -1.0))
#: Accuracy of bounds of preactivations, as a share of how far they move.
COARSE = 1e-2
#: A bound that cannot become better by this share of the interval is given up.
WORTH = 0.02
#: A neuron that is decided is so by at least this share of its interval.
BEYOND = 1e-4
#: How much less than what was found is stated, as a share of the interval of a preactivation, or of what a margin
#: gained: so much room a checker has, and so much beyond its limit a margin is sought.
ROOM, MARGIN_ROOM = 1e-6, 1e-2
#: How many preactivations are bounded before the margins are looked at again; the next time twice as many.
ROUND = 8
#: With so few undecided neurons pieces are divided at once.
FEW = 12
#: The share of the time left that preactivations may take.
SHARE = 0.4


def by_facts(node: Node, goal: Goal, thorough: bool = True) -> Node:
    """Bound the margins over the open classes by quadratic facts.

    Unless it is to be `thorough`, the first margin that stays open, the worst ones being first, ends it. Weights of a
    larger piece are no start: measured, they are so near to the boundary that the method stalls there.
    """
    if not node.open or not node.state.region.bounded:
        return node
    margins, facts = goal.margins, Facts(node.state, goal.margins.group)
    found: dict[int, QuadraticBound] = {}
    bounds, steps, state = node.bounds.copy(), list(node.steps), node.state
    for k in np.argsort(node.bounds):
        if goal.budget.spent:
            break
        j = node.open[k]
        (neuron,), (sign,) = margins.neurons([j]), margins.signs([j])
        room = max(2 * (goal.enough - goal.limit), MARGIN_ROOM * (goal.limit - float(node.bounds[k])))
        goals = QuadraticGoals(goal.limit + room, goal.limit, seconds=goal.left)
        bound = quadratic_step(facts, margins.group, int(neuron), "low" if sign > 0 else "high", goals)
        found[j], value = bound, sign * bound.value
        if bound.step is not None and value > goal.enough:
            bounds[k] = goal.limit + (value - goal.limit) / 2
            step = replace(bound.step, value=sign * bounds[k])
            state = state.after(step)
            steps.append(step)
        else:
            bounds[k] = max(bounds[k], min(value, goal.limit))
            if not thorough:
                break
    return Node.of(state, tuple(steps), node.open, bounds, goal, found)


def sharpened(node: Node, goal: Goal) -> Iterator[Node]:
    """Bound the preactivations that cost the worst margin most by quadratic facts, a few at a time, and everything
    after them again; the piece after each round, and in the end all margins.
    """
    if sum(int(np.sum(mask)) for mask in node.state.undecided[:-1]) <= FEW:
        yield by_facts(node, goal)
        return
    until, count = goal.budget.elapsed + SHARE * goal.left, ROUND
    tried: set[tuple[int, int]] = set()
    while node.open and goal.budget.elapsed < until:
        chosen = _most_costly(node, Look.at(node, goal).costs, tried)[:count]
        if not chosen:
            break
        tried, count = tried | set(chosen), 2 * count
        state, steps = node.state, list(node.steps)
        for group in sorted({group for group, _ in chosen}):
            facts = Facts(state, group)
            for neuron in sorted(k for g, k in chosen if g == group):
                if goal.budget.elapsed < until and not state.is_empty:
                    state = _bounded(state, facts, group, neuron, steps, goal, until)
        if len(steps) > len(node.steps):
            better = Node.of(state, tuple(steps), node.open, node.bounds, goal, node.quadratic)
            if better.open:
                again = better.followed_by(bound_piece(state, better.open, goal))
                better = by_facts(again, goal, thorough=False)
            node = better
            yield node
    yield by_facts(node, goal)


def _most_costly(node: Node, costs: dict[int, Array], tried: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Group and number of the neurons whose lines cost the worst margin most, of those that were not tried."""
    found = [
        (float(cost[k]), (group, int(k)))
        for group, cost in costs.items()
        if group > 1  # a linear function of a ball has its bounds without any facts
        for k in np.flatnonzero(node.state.undecided[group - 1] & (cost > 0))
        if (group, int(k)) not in tried
    ]
    return [place for _, place in sorted(found, reverse=True)]


def _bounded(state: State, facts: Facts, group: int, neuron: int, steps: list[Step], goal: Goal, until: float) -> State:
    """The state after bounds of one neuron, which are added to the steps."""
    low, high = state.low[group - 1][neuron], state.high[group - 1][neuron]
    kink = float(places(state, group)[neuron]) if state.form.groups[group - 1].is_piecewise_linear else np.inf
    for side, sign in SIDES:
        enough = sign * kink + BEYOND * (high - low) if np.isfinite(kink) else np.inf
        hopeless = (low if sign > 0 else -high) + WORTH * (high - low)
        goals = QuadraticGoals(enough, hopeless, COARSE, until - goal.budget.elapsed)
        bound = quadratic_step(facts, group, neuron, side, goals)
        if bound.step is not None and sign * bound.value > hopeless:
            step = replace(bound.step, value=bound.value - sign * ROOM * (high - low))
            state = state.after(step)
            steps.append(step)
            if sign * step.value > sign * kink:
                break
    return state

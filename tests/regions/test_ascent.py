"""Optimised lines and multipliers: gradients, and the optimum of the linear program that they are the dual of."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from sdpcert.regions import Box
from sdpcert.regions.ascent import Limits, ascend
from sdpcert.regions.backward import Relaxation, Rows, sided
from sdpcert.regions.condensed import Condensed
from sdpcert.regions.objective import Objective
from sdpcert.regions.pieces import Lines, Split
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from tests.regions.networks import ACTIVATIONS, Array, chain, region_of, skipping


def halved(state: State, rng: np.random.Generator, times: int) -> State:
    """A piece of the piece, by splits of random neurons."""
    for _ in range(times):
        group = int(rng.integers(1, len(state.form.groups) + 1))
        neuron = int(rng.integers(state.form.groups[group - 1].size))
        low, high = state.low[group - 1][neuron], state.high[group - 1][neuron]
        state = state.on_side(Split(group, neuron, float(low + high) / 2), "above" if rng.uniform() < 0.5 else "below")
    return state


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(ACTIVATIONS)),
    kind=st.sampled_from(["box", "ball", "both"]),
    skips=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)
def test_values_and_gradients(name: str, kind: str, skips: bool, seed: int) -> None:
    rng = np.random.default_rng(seed)
    form = (skipping(rng, ACTIVATIONS[name]) if skips else chain(rng, [3, 4, 4, 3, 2], ACTIVATIONS[name])).stacked
    state, _ = tighten(State.of(form, region_of(kind, rng, 3, 1.0)), Effort())
    state = halved(state, rng, 2)
    relaxation, group = Relaxation(state), int(rng.integers(1, len(form.groups) + 1))
    rows = Rows(group, *sided(np.arange(form.groups[group - 1].size)))
    objective = Objective(relaxation, Condensed(), rows, True)
    shares = {key: rng.uniform(0.1, 0.9, value.shape) for key, value in objective.start().items()}
    value, gradients = objective.value(shares)
    lines = [
        Lines(h, objective.bending[h], objective.below[h].slopes(shares[h, 0]), objective.above[h].slopes(shares[h, 1]))
        for h in objective.groups
        if h < group
    ]
    proved = relaxation.bound(Rows(group, rows.neurons, rows.signs, tuple(lines), shares[0, 0] * objective.scales))
    np.testing.assert_allclose(proved, value, atol=1e-6 * (1 + np.max(np.abs(value))))
    step = 1e-7
    wrong = total = 0
    for key, gradient in gradients.items():
        for column in range(gradient.shape[1]):
            moved = {k: v.copy() for k, v in shares.items()}
            moved[key][:, column] += step
            ahead, _ = objective.value(moved)
            moved[key][:, column] -= 2 * step
            behind, _ = objective.value(moved)
            slope = (ahead - behind) / (2 * step)
            close = np.abs(slope - gradient[:, column]) <= 1e-4 * (1 + np.abs(slope)) + 1e-5
            wrong, total = wrong + int(np.sum(~close)), total + len(close)
    assert wrong <= 0.05 * total  # where a bound bends


@settings(deadline=None, max_examples=30)
@given(name=st.sampled_from(sorted(ACTIVATIONS)), kind=st.sampled_from(["box", "ball"]), seed=st.integers(0, 2**32 - 1))
def test_ascent_reaches_what_it_says_and_no_less_than_its_start(name: str, kind: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    form = chain(rng, [3, 4, 4, 2], ACTIVATIONS[name]).stacked
    state, _ = tighten(State.of(form, region_of(kind, rng, 3, 1.0)), Effort())
    relaxation, rows = Relaxation(state), Rows(2, *sided(np.arange(form.groups[1].size)))
    found = ascend(relaxation, Condensed(), rows, Limits(15))
    plain, proved = relaxation.bound(rows), relaxation.bound(found.rows)
    size = 1 + np.max(np.abs(plain))
    np.testing.assert_allclose(found.start, plain, atol=1e-7 * size)
    assert np.all(found.reached >= found.start)
    np.testing.assert_allclose(proved, found.reached, atol=0.02 * size)


def linear_program(state: State, neuron: int, sign: float) -> float:
    """The least value of a preactivation of the second group on the triangles of the first, the best of all lines."""
    form, first = state.form, state.form.groups[0].size
    weights, bias = form.blocks[1, 0].weights, form.groups[0].bias
    rows, ends = [], []
    bounds = list(zip(state.box_low, state.box_high, strict=True))
    for i in range(first):
        low, high, own = state.low[0][i], state.high[0][i], np.eye(first)[i]
        if low >= 0 or high <= 0:
            slope = float(low >= 0)
            rows += [np.concatenate([slope * weights[i], -own]), np.concatenate([-slope * weights[i], own])]
            ends += [-slope * bias[i], slope * bias[i]]
            bounds.append((None, None))
        else:
            chord = high / (high - low)
            rows += [np.concatenate([weights[i], -own]), np.concatenate([-chord * weights[i], own])]
            ends += [-bias[i], chord * (bias[i] - low)]
            bounds.append((0, None))
    for decision in state.decisions:
        rows.append(np.concatenate([-decision.sign * weights[decision.neuron], np.zeros(first)]))
        ends.append(decision.sign * (bias[decision.neuron] - decision.at))
    target = sign * np.concatenate([np.zeros(form.inputs), form.blocks[2, 1].weights[neuron]])
    found = linprog(target, A_ub=np.array(rows), b_ub=ends, bounds=bounds)
    assert found.status == 0
    return float(found.fun + sign * form.groups[1].bias[neuron])


@pytest.mark.parametrize("decided", [0, 2])
@pytest.mark.parametrize("seed", range(3))
def test_two_layers_reach_the_linear_program(seed: int, decided: int) -> None:
    rng = np.random.default_rng(seed)
    form = chain(rng, [5, 10, 6, 2], "relu").stacked
    state, _ = tighten(State.of(form, Box(-np.ones(5), np.ones(5))), Effort())
    for neuron in np.flatnonzero(state.undecided[0])[:decided]:
        state = state.on_side(Split(1, int(neuron)), "above")
    relaxation, rows = Relaxation(state), Rows(2, *sided(np.arange(form.groups[1].size)))
    exact = np.array([linear_program(state, t, s) for t, s in zip(rows.neurons, rows.signs, strict=True)])
    plain = relaxation.bound(rows)
    few, many = (relaxation.bound(ascend(relaxation, Condensed(), rows, Limits(n)).rows) for n in (20, 200))
    gap = np.mean(exact - plain)
    assert np.all(many <= exact)
    assert np.mean(exact - few) <= 0.15 * gap
    assert np.mean(exact - many) <= 0.02 * gap


def test_rows_without_hope_stay_as_they_were() -> None:
    rng = np.random.default_rng(0)
    form = chain(rng, [5, 10, 6, 2], "relu").stacked
    state, _ = tighten(State.of(form, Box(-np.ones(5), np.ones(5))), Effort())
    rows = Rows(2, *sided(np.arange(form.groups[1].size)))
    goals: Array = np.where(rows.signs > 0, np.inf, -np.inf)
    relaxation = Relaxation(state)
    some = ascend(relaxation, Condensed(), rows, Limits(40), goals)
    every = ascend(relaxation, Condensed(), rows, Limits(40))
    np.testing.assert_allclose(some.reached[rows.signs < 0], every.reached[rows.signs < 0])
    assert some.work < 0.7 * every.work
    limited = ascend(relaxation, Condensed(), rows, Limits(40, every.work / 4))
    assert limited.work <= every.work / 4

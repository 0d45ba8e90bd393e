"""Quadratic facts hold at points of the piece, and problems say what preactivations are there."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network import activations as act
from sdpcert.regions import Ball
from sdpcert.regions.pieces import Split
from sdpcert.regions.quadratic import FACTS, Facts
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from tests.regions.networks import ACTIVATIONS, chain, points_of, region_of, skipping

FEW = settings(deadline=None, max_examples=15)


@FEW
@given(
    name=st.sampled_from(sorted(ACTIVATIONS)),
    kind=st.sampled_from(["box", "ball", "both"]),
    size=st.sampled_from([0.1, 0.5, 2.0]),
    skips=st.booleans(),
    inputs=st.sampled_from([2, 3, 20]),
    seed=st.integers(0, 2**32 - 1),
)
def test_facts_hold_at_points(name: str, kind: str, size: float, skips: bool, inputs: int, seed: int) -> None:
    """Rows, forms, half-spaces and the ellipsoid of a problem, at points and what the network makes of them."""
    rng = np.random.default_rng(seed)
    network = skipping(rng, ACTIVATIONS[name]) if skips else chain(rng, [inputs, 5, 4, 3, 2], ACTIVATIONS[name])
    form = network.stacked
    region = region_of(kind, rng, form.inputs, size)
    state, _ = tighten(State.of(form, region), Effort())
    group, neuron = len(form.groups), int(rng.integers(form.groups[-1].size))
    split = int(rng.integers(form.groups[0].size))
    at = float(state.low[0][split] + state.high[0][split]) / 2
    if state.low[0][split] < at < state.high[0][split]:
        state = state.on_side(Split(1, split, at), "above")
    facts = Facts(state, group)
    assert facts.sufficient
    scales = rng.uniform(0.5, 2.0, form.inputs) if kind == "box" else None
    scaled, sign = facts.scaled(scales), float(rng.choice([-1.0, 1.0]))
    problem = scaled.problem(neuron, sign)
    for point in points_of(region, rng, form.inputs, 12):
        sources, preactivations = form._forward(point[None])
        if facts.decisions and preactivations[0][0][split] < at:
            continue
        v = np.concatenate([p[0][own] for p, own in zip(preactivations, facts.undecided, strict=False)])
        z = np.concatenate([s[0][own] for s, own in zip(sources[1:], facts.undecided, strict=False)])
        y = (point - scaled.ellipsoid.center) / scaled.ellipsoid.axes
        assert y @ y <= 1 + 1e-9
        reduced = y if problem.basis is None else problem.basis.T @ y
        middle, half = facts.middles, facts.halves
        everything = np.concatenate([[1.0], reduced, (z - middle) / half])
        assert sign * preactivations[group - 1][0][neuron] == pytest.approx(
            problem.scale * (problem.target @ everything), rel=1e-9, abs=1e-9 * problem.scale
        )
        rows = problem.rows @ everything
        assert np.all(rows[problem.neurons :] >= -1e-9)
        triples = np.stack([np.ones(len(v)), rows[: problem.neurons], (z - middle) / half], axis=1)
        forms = np.einsum("fni,ni->fn", problem.forms, triples)
        unscaled = np.einsum("fni,ni->fn", facts.forms, np.stack([np.ones(len(v)), v, z], axis=1))
        for k, (left, right) in enumerate(FACTS):
            value = problem.signs[k] * forms[left] * forms[right]
            assert np.all(value >= -1e-9)
            known = problem.signs[k] * unscaled[left] * unscaled[right]
            np.testing.assert_allclose(
                value * scaled.units[k], known, rtol=1e-6, atol=1e-8 * np.max(scaled.units, initial=1.0)
            )


def test_a_kinked_neuron_has_three_facts_of_six() -> None:
    """Where both ends are finite those are t0, t4 and t5; the format has places for all six."""
    rng = np.random.default_rng(0)
    state, _ = tighten(State.of(chain(rng, [3, 6, 2, 2], act.relu()).stacked, Ball(np.zeros(3), 2.0)), Effort())
    facts = Facts(state, 2)
    count = facts.substituted.count
    assert count > 2
    assert np.array_equal(facts.places, np.repeat([[0], [4], [5]], count, axis=1))
    weights = rng.uniform(size=(3, count))
    (stated,) = facts.multipliers(weights)
    np.testing.assert_array_equal(stated.reshape(count, 6)[:, [0, 4, 5]].T, weights)
    assert not np.any(stated.reshape(count, 6)[:, [1, 2, 3]])


def test_two_kinks_in_an_interval_are_lines() -> None:
    form = chain(np.random.default_rng(1), [3, 20, 2, 2], act.clip(-0.2, 0.2)).stacked
    state, _ = tighten(State.of(form, Ball(np.zeros(3), 0.4)), Effort())
    facts = Facts(state, 2)
    both = (state.low[0] < -0.2) & (state.high[0] > 0.2)
    one = state.undecided[0] & ~both
    assert np.any(both) and np.any(one)
    assert [len(m) for m in facts.multipliers(np.ones((3, facts.substituted.count)))] == [
        3 * both.sum() + 6 * one.sum()
    ]


def test_nothing_is_known_without_bounds() -> None:
    form = chain(np.random.default_rng(2), [3, 6, 2, 2], act.tanh()).stacked
    assert not Facts(State.of(form, Ball(np.zeros(3), 1.0)), 2).sufficient

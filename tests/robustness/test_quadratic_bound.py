"""Quadratic bounds are steps that both checkers accept, and hold at points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network import activations as act
from sdpcert.network.differences import with_differences
from sdpcert.regions import AllInputs, Ball, Box
from sdpcert.regions.pieces import Piece, Side, Split
from sdpcert.regions.quadratic import Facts
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from sdpcert.robustness import quadratic_bound
from sdpcert.robustness.quadratic_bound import QuadraticBound, quadratic_step
from sdpcert.solvers.barrier import QuadraticGoals
from tests.regions.confirmed import confirm, ending
from tests.regions.networks import ACTIVATIONS, Array, chain, points_of, region_of, skipping

NAMES, KINDS = st.sampled_from(sorted(ACTIVATIONS)), st.sampled_from(["box", "ball", "both"])
SIZES, SEEDS = st.sampled_from([0.05, 0.5, 2.0]), st.integers(0, 2**32 - 1)
STEPS = given(name=NAMES, kind=KINDS, size=SIZES, skips=st.booleans(), splits=st.integers(0, 3), seed=SEEDS)


def margins(state: State, points: Array, group: int, neuron: int) -> Array:
    """The preactivation at points that satisfy the decisions."""
    _, preactivations = state.form._forward(points)
    inside = np.all((points >= state.box_low) & (points <= state.box_high), axis=1)
    for d in state.decisions:
        inside &= d.sign * (preactivations[d.group - 1][:, d.neuron] - d.at) >= 0
    return preactivations[group - 1][inside, neuron]


def steps_are_accepted(name: str, kind: str, size: float, skips: bool, splits: int, seed: int) -> None:
    """On pieces of pieces, by both checkers, and never above what a point has."""
    rng = np.random.default_rng(seed)
    network = skipping(rng, ACTIVATIONS[name]) if skips else chain(rng, [3, 5, 4, 3, 2], ACTIVATIONS[name])
    form, region = network.stacked, region_of(kind, rng, 3, size)
    state, steps = tighten(State.of(form, region), Effort())
    path: list[Piece] = []
    side: Side | None = None
    for _ in range(splits):
        group = int(rng.integers(1, 3))
        low, high = state.low[group - 1], state.high[group - 1]
        neuron = int(np.argmax(high - low))
        at = 0.0 if low[neuron] < 0 < high[neuron] else float(low[neuron] + high[neuron]) / 2
        if not low[neuron] < at < high[neuron]:
            break
        split = Split(group, neuron, at)
        path.append(Piece(len(path) - 1 if path else None, side, tuple(steps), split))
        side = "above" if rng.uniform() < 0.5 else "below"
        state, steps = tighten(state.on_side(split, side), Effort())
        if state.is_empty:
            return
    group = len(form.groups)
    neuron = int(rng.integers(form.groups[-1].size))
    facts, points = Facts(state, group), points_of(region, rng, 3, 300)
    for end in ("low", "high"):
        bound = quadratic_step(facts, group, neuron, end)
        assert bound.step is not None and bound.point is not None
        assert region.contains(bound.point)
        sign = 1.0 if end == "low" else -1.0
        values = sign * margins(state, points, group, neuron)
        assert np.all(values >= sign * bound.value - 1e-12)
        assert not len(values) or sign * bound.upper >= sign * bound.value - 1e-6
        state, steps = state.after(bound.step), [*steps, bound.step]
        if state.is_empty:  # relaxations show that of pieces without points
            assert not len(values)
            break
    path.append(Piece(len(path) - 1 if path else None, side, tuple(steps), ending(state)))
    confirm(form, region, path, state)


test_steps_are_accepted = settings(deadline=None, max_examples=12)(STEPS(steps_are_accepted))
test_steps_of_many_networks_are_accepted = pytest.mark.slow(
    settings(deadline=None, max_examples=150)(STEPS(steps_are_accepted))
)


def classified(seed: int, radius: float) -> tuple[State, list]:
    """A ball around a point of a small classifier, with differences of outputs as the last group."""
    rng = np.random.default_rng(seed)
    form = with_differences(chain(rng, [6, 12, 12, 3], act.relu()))
    return tighten(State.of(form, Ball(rng.standard_normal(6), radius)), Effort())


def bounded(state: State, neuron: int = 0, **wanted: float) -> QuadraticBound:
    return quadratic_step(state, len(state.form.groups), neuron, "low", QuadraticGoals(**wanted))


def test_differences_of_outputs_are_bounded_better_than_by_lines() -> None:
    state, steps = classified(0, 0.5)
    bound = bounded(state)
    assert bound.step is not None
    width = state.high[-1][0] - state.low[-1][0]
    assert bound.value > state.low[-1][0] + 0.1 * width
    after = state.after(bound.step)
    confirm(state.form, state.region, [Piece(None, None, (*steps, bound.step), ending(after))], after)
    assert [len(scores) for scores in bound.scores] == [12, 12, 3]
    for scores, undecided in zip(bound.scores, state.undecided, strict=False):
        assert not np.any(scores[~undecided])


def test_goals_are_those_of_the_preactivation() -> None:
    state, _ = classified(0, 0.5)
    best = bounded(state)
    middle = (best.value + state.low[-1][0]) / 2
    assert middle <= bounded(state, enough=middle).value < best.value
    assert bounded(state, hopeless=best.upper + 1.0).upper <= best.upper + 1.0
    high = quadratic_step(state, len(state.form.groups), 0, "high", QuadraticGoals(enough=-np.inf))
    assert high.step is not None and high.value <= state.high[-1][0] + 1e3


def test_weights_of_a_piece_are_a_start_for_its_parts() -> None:
    state, _ = classified(2, 0.7)
    group = len(state.form.groups)
    whole = bounded(state)
    worst = [int(np.argmax(np.abs(scores))) for scores in whole.scores[:2]]
    group_of_split = int(np.argmax([abs(whole.scores[g][worst[g]]) for g in range(2)]))
    split = Split(group_of_split + 1, worst[group_of_split], 0.0)
    for side in ("below", "above"):
        part, _ = tighten(state.on_side(split, side), Effort())
        cold, warm = (quadratic_step(part, group, 0, "low", start=start) for start in (None, whole.weights))
        assert warm.value == pytest.approx(cold.value, abs=1e-3)
        assert cold.value >= whole.value - 1e-3


def test_a_box_is_bounded_as_by_lines_at_least() -> None:
    rng = np.random.default_rng(4)
    form = chain(rng, [5, 8, 8, 2], act.leaky_relu(0.1)).stacked
    center = rng.standard_normal(5)
    half = np.array([0.3, 0.3, 0.01, 0.0, 0.3])
    state, steps = tighten(State.of(form, Box(center - half, center + half)), Effort())
    bound = quadratic_step(state, 2, 1, "high")
    assert bound.step is not None and bound.step.scales is not None
    assert bound.value < state.high[1][1] + 1e-2
    start = quadratic_step(state, 2, 1, "high", QuadraticGoals(enough=-bound.value - 1e-3), bound.weights)
    assert start.value == pytest.approx(bound.value, abs=1e-6) and start.point is None
    after = state.after(bound.step)
    confirm(form, state.region, [Piece(None, None, (*steps, bound.step), ending(after))], after)


def test_later_ellipsoids_around_a_box_are_better(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(6)
    form, center = chain(rng, [20, 24, 24, 24, 3], act.relu()).stacked, rng.standard_normal(20)
    state, _ = tighten(State.of(form, Box(center - 0.1, center + 0.1)), Effort())
    best = quadratic_step(state, 3, 0, "low").value
    monkeypatch.setattr(quadratic_bound, "ELLIPSOIDS", 0)
    first = quadratic_step(state, 3, 0, "low").value
    assert state.low[2][0] < first < best - 0.02


def test_what_cannot_be_bounded_has_no_step() -> None:
    form = chain(np.random.default_rng(5), [3, 4, 3, 2], act.tanh()).stacked
    nothing = quadratic_step(State.of(form, Ball(np.zeros(3), 1.0)), 2, 0, "low")
    assert nothing.step is None and nothing.value == -np.inf
    with pytest.raises(ValueError, match="an end in every direction"):
        quadratic_step(State.of(chain(np.random.default_rng(5), [3, 4, 3, 2]).stacked, AllInputs()), 2, 0, "low")
    with pytest.raises(ValueError, match="before group 1, not before group 2"):
        quadratic_step(Facts(State.of(form, Ball(np.zeros(3), 1.0)), 1), 2, 0, "low")

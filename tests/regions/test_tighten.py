"""Bounds of preactivations hold at points of the piece, and their steps alone make the state."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network import activations as act
from sdpcert.regions import AllInputs
from sdpcert.regions.pieces import Piece, Side, Split
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from tests.regions.confirmed import confirm, ending
from tests.regions.networks import ACTIVATIONS, Array, chain, points_of, region_of, skipping

EFFORTS = (Effort(), Effort(8))


def replayed(state: State, steps: list) -> State:
    for step in steps:
        state = state.after(step)
    return state


def assert_same(one: State, other: State) -> None:
    for name in ("low", "high", "lower", "upper", "alpha", "beta"):
        for a, b in zip(getattr(one, name), getattr(other, name), strict=True):
            np.testing.assert_array_equal(a, b)


def assert_holds(state: State, points: Array) -> None:
    """Every point that satisfies the decisions satisfies the bounds."""
    _, preactivations = state.form._forward(points)
    inside = np.all((points >= state.box_low) & (points <= state.box_high), axis=1)
    for d in state.decisions:
        inside &= d.sign * (preactivations[d.group - 1][:, d.neuron] - d.at) >= 0
    for low, high, values in zip(state.low, state.high, preactivations, strict=True):
        slack = 1e-12 * (1 + np.abs(values[inside]))
        assert np.all(values[inside] >= low - slack)
        assert np.all(values[inside] <= high + slack)


@settings(deadline=None, max_examples=60)
@given(
    name=st.sampled_from(sorted(ACTIVATIONS)),
    kind=st.sampled_from(["box", "ball", "both"]),
    size=st.sampled_from([0.05, 0.5, 2.0]),
    skips=st.booleans(),
    effort=st.sampled_from(EFFORTS),
    seed=st.integers(0, 2**32 - 1),
)
def test_bounds_hold_at_points(name: str, kind: str, size: float, skips: bool, effort: Effort, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = skipping(rng, ACTIVATIONS[name]) if skips else chain(rng, [3, 5, 4, 3], ACTIVATIONS[name])
    region = region_of(kind, rng, 3, size)
    start = State.of(network.stacked, region)
    state, steps = tighten(start, effort)
    assert_same(state, replayed(start, steps))
    assert not state.is_empty
    assert_holds(state, points_of(region, rng, 3, 300))
    confirm(network.stacked, region, [Piece(None, None, tuple(steps), ending(state))], state)
    assert all(np.all(np.isfinite(low)) and np.all(np.isfinite(high)) for low, high in zip(state.low, state.high))


@settings(deadline=None, max_examples=40)
@given(
    name=st.sampled_from(sorted(ACTIVATIONS)),
    kind=st.sampled_from(["box", "ball", "both"]),
    effort=st.sampled_from(EFFORTS),
    seed=st.integers(0, 2**32 - 1),
)
def test_bounds_hold_on_pieces(name: str, kind: str, effort: Effort, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = chain(rng, [3, 5, 4, 3], ACTIVATIONS[name])
    region = region_of(kind, rng, 3, 1.0)
    points = points_of(region, rng, 3, 2000)
    state, steps = tighten(State.of(network.stacked, region), effort)
    path: list[Piece] = []
    side: Side | None = None
    for _ in range(4):
        group = int(rng.integers(0, 3))
        low, high = (state.box_low, state.box_high) if group == 0 else (state.low[group - 1], state.high[group - 1])
        neuron = int(rng.integers(len(low)))
        at = 0.0 if low[neuron] < 0 < high[neuron] and group else float(low[neuron] + high[neuron]) / 2
        if not low[neuron] < at < high[neuron]:
            continue
        split = Split(group, neuron, at)
        path.append(Piece(len(path) - 1 if path else None, side, tuple(steps), split))
        side = "above" if rng.uniform() < 0.5 else "below"
        start = state.on_side(split, side)
        state, steps = tighten(start, effort, start.decisions[-1] if group else None)
        assert_same(state, replayed(start, steps))
        assert_holds(state, points)
        if state.is_empty:
            break
    path.append(Piece(len(path) - 1 if path else None, side, tuple(steps), ending(state)))
    confirm(network.stacked, region, path, state)


def test_constant_neurons_are_bounded_on_all_inputs() -> None:
    rng = np.random.default_rng(0)
    network = chain(rng, [3, 5, 4, 3], act.relu())
    form = network.stacked
    form.blocks[1, 0].weights[2] = 0.0
    state, steps = tighten(State.of(form, AllInputs()), Effort())
    assert [int(np.sum(mask)) for mask in state.undecided] == [4, 4]
    assert len(steps) <= 3
    assert state.low[0][2] <= form.groups[0].bias[2] <= state.high[0][2]

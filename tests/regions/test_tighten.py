"""Bounds of preactivations hold at points of the piece, and their steps alone make the state."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network import activations as act
from sdpcert.regions import AllInputs, Ball
from sdpcert.regions.backward import Rows
from sdpcert.regions.pieces import Empty, Piece, Side, Split
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, Wanted, tighten
from tests.regions.confirmed import confirm, ending
from tests.regions.networks import ACTIVATIONS, Array, chain, points_of, region_of, skipping

EFFORTS = (Effort(), Effort(8))
NAMES, KINDS = st.sampled_from(sorted(ACTIVATIONS)), st.sampled_from(["box", "ball", "both"])
SEEDS = st.integers(0, 2**32 - 1)
ON_PIECES = given(name=NAMES, kind=KINDS, effort=st.sampled_from(EFFORTS), seed=SEEDS)
AT_POINTS = given(
    name=NAMES,
    kind=KINDS,
    size=st.sampled_from([0.05, 0.5, 2.0]),
    skips=st.booleans(),
    effort=st.sampled_from(EFFORTS),
    seed=SEEDS,
)
#: Networks that are tried with every change, and in slow tests.
FEW, MANY = settings(deadline=None, max_examples=12), settings(deadline=None, max_examples=150)


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


def bounds_hold_at_points(name: str, kind: str, size: float, skips: bool, effort: Effort, seed: int) -> None:
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


def bounds_hold_on_pieces(name: str, kind: str, effort: Effort, seed: int) -> None:
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


test_bounds_hold_at_points = FEW(AT_POINTS(bounds_hold_at_points))
test_bounds_hold_on_pieces = FEW(ON_PIECES(bounds_hold_on_pieces))
test_bounds_hold_at_points_of_many_networks = pytest.mark.slow(MANY(AT_POINTS(bounds_hold_at_points)))
test_bounds_hold_on_pieces_of_many_networks = pytest.mark.slow(MANY(ON_PIECES(bounds_hold_on_pieces)))


def test_constant_neurons_are_bounded_on_all_inputs() -> None:
    rng = np.random.default_rng(0)
    network = chain(rng, [3, 5, 4, 3], act.relu())
    form = network.stacked
    form.blocks[1, 0].weights[2] = 0.0
    state, steps = tighten(State.of(form, AllInputs()), Effort())
    assert [int(np.sum(mask)) for mask in state.undecided] == [4, 4]
    assert len(steps) <= 3
    assert state.low[0][2] <= form.groups[0].bias[2] <= state.high[0][2]


@pytest.mark.parametrize("name", sorted(ACTIVATIONS))
def test_more_effort_gives_shorter_intervals(name: str) -> None:
    rng = np.random.default_rng(3)
    form = chain(rng, [4, 8, 8, 8, 2], ACTIVATIONS[name]).stacked
    start = State.of(form, region_of("ball", rng, 4, 0.7))
    plain, optimised = (tighten(start, Effort(n))[0] for n in (0, 20))
    widths = [sum(float(np.sum(h - l)) for l, h in zip(s.low, s.high, strict=True)) for s in (plain, optimised)]
    assert widths[1] <= widths[0] * 1.001
    for one, other in zip(plain.undecided, optimised.undecided, strict=True):
        assert np.sum(other) <= np.sum(one)


def test_half_spaces_that_exclude_each_other_leave_nothing() -> None:
    network = chain(np.random.default_rng(1), [2, 3, 2], act.relu())
    form = network.stacked
    form.blocks[1, 0].weights[:] = [[1.0, 0.5], [-1.0, -0.4], [0.0, 1.0]]
    form.groups[0].bias[:] = [-0.5, -0.5, 0.0]
    region = Ball(np.zeros(2), 3.0)
    state, steps = tighten(State.of(form, region), Effort(10))
    first = state.on_side(Split(1, 0), "above")
    assert not tighten(first, Effort(10), first.decisions[-1])[0].undecided[0][1]
    # v_0 + v_1 = x_1 / 10 - 1 is negative on the ball: no point has both.
    second = first.on_side(Split(1, 1), "above")
    path = [Piece(None, None, tuple(steps), Split(1, 0)), Piece(0, "above", (), Split(1, 1))]
    state, steps = tighten(second, Effort(10), second.decisions[-1])
    assert state.is_empty
    confirm(form, region, [*path, Piece(1, "above", tuple(steps), Empty())], state)
    without, _ = tighten(second, Effort(10, multipliers=False), second.decisions[-1])
    assert not without.is_empty


def test_an_empty_state_stays_as_it_is() -> None:
    form = chain(np.random.default_rng(1), [2, 3, 2], act.relu()).stacked
    state, _ = tighten(State.of(form, Ball(np.zeros(2), 1.0)), Effort())
    empty = state.on_side(Split(1, 0, float(state.high[0][0]) + 1.0), "above")
    assert tighten(empty, Effort(5), empty.decisions[-1]) == (empty, [])


def test_nothing_is_stated_twice() -> None:
    rng = np.random.default_rng(5)
    form = chain(rng, [4, 8, 8, 2], "relu").stacked
    state, _ = tighten(State.of(form, region_of("ball", rng, 4, 0.5)), Effort(20))
    again, steps = tighten(state, Effort())
    assert not steps
    assert again is state


def test_only_wanted_rows_of_the_last_group_are_bounded() -> None:
    rng = np.random.default_rng(2)
    form, region = chain(rng, [3, 5, 4, 3], "relu").stacked, region_of("ball", rng, 3, 0.5)
    rows = Rows(len(form.groups), np.array([0, 2]), np.array([1.0, -1.0]))
    for effort in EFFORTS:
        state, _ = tighten(State.of(form, region), effort, wanted=Wanted(rows))
        whole, _ = tighten(State.of(form, region), effort)
        assert np.isfinite(state.low[-1]).tolist() == [True, *[False] * (len(state.low[-1]) - 1)]
        assert np.flatnonzero(np.isfinite(state.high[-1])).tolist() == [2]
        assert_holds(state, points_of(region, rng, 3, 300))
        for g in range(len(form.groups) - 1):
            np.testing.assert_array_equal(state.low[g], whole.low[g])

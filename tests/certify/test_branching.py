"""Branch and bound against the list of all patterns, and everything that it states in rational arithmetic."""

from __future__ import annotations

import math
import signal
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import scipy.io
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from sdpcert.certify.branching import Searched, search
from sdpcert.regions import AllInputs, Ball, Box, Region
from sdpcert.regions.pieces import Bounded, Empty, Flat, Split
from sdpcert.running.executors import executor
from sdpcert.solvers.solution import Budget, Progress
from tests.certify.branching_cases import Mlp, is_proved, is_tree, proves_flat, states

TOL = 1e-6
#: A network whose search has about twenty pieces.
DIVIDED = 225
#: Networks that are searched with every change, and in slow tests.
FEW, MANY = hypothesis_settings(max_examples=4), hypothesis_settings(max_examples=40)
ALL_INPUTS = given(biases=st.booleans(), seed=st.integers(0, 10**6))
BALLS = given(seed=st.integers(0, 10**6))


def bound_of(end: Bounded) -> float:
    return math.ldexp(math.sqrt(end.rho), end.exponent)


def check_all(mlp: Mlp, region: Region, found: Searched) -> None:
    """Every statement of a tree, but for the steps."""
    assert is_tree(found.pieces)
    for state, piece in zip(states(mlp.form, region, found.pieces), found.pieces, strict=True):
        if isinstance(piece.end, Bounded):
            assert not state.is_empty
            assert bound_of(piece.end) <= found.upper * (1 + 1e-15)
            assert is_proved(state, piece.end)
        if isinstance(piece.end, Flat):
            assert proves_flat(state, piece.end)
        if isinstance(piece.end, Empty):
            assert state.is_empty


def all_inputs_exactly(biases: bool, seed: int) -> None:
    mlp = Mlp.random(seed, biases)
    found = search(mlp.form, AllInputs(), tol=TOL)
    exact = mlp.constant()
    assert found.status == "optimal"
    assert exact * (1 - 1e-9) <= found.upper <= exact * (1 + 1.1 * TOL) + 1e-99
    assert found.lower <= exact * (1 + 1e-9)
    check_all(mlp, AllInputs(), found)


test_all_inputs_exactly = FEW(ALL_INPUTS(all_inputs_exactly))
test_all_inputs_exactly_of_many_networks = pytest.mark.slow(MANY(ALL_INPUTS(all_inputs_exactly)))


@given(seed=st.integers(0, 10**6))
@hypothesis_settings(max_examples=6)
def test_boxes_exactly(seed: int) -> None:
    mlp = Mlp.random(seed, True)
    inputs = mlp.form.inputs
    rng = np.random.default_rng(seed)
    center, half = rng.standard_normal(inputs), rng.uniform(0.1, 1.0, inputs)
    region = Box(center - half, center + half)
    found = search(mlp.form, region, tol=TOL, nodes=400)
    exact = mlp.constant(region.low, region.high)
    assert found.status == "optimal"
    assert exact * (1 - 1e-9) <= found.upper <= exact * (1 + 1.1 * TOL) + 1e-99
    check_all(mlp, region, found)


def balls_are_not_below_what_is_attained(seed: int) -> None:
    mlp = Mlp.random(seed, True)
    rng = np.random.default_rng(seed)
    region = Ball(rng.standard_normal(mlp.form.inputs), 0.5)
    found = search(mlp.form, region, tol=TOL, nodes=200)
    directions = rng.standard_normal((200, mlp.form.inputs))
    directions *= (0.5 * rng.random(200) / np.linalg.norm(directions, axis=1))[:, None]
    attained = max(np.linalg.norm(mlp.form.jacobian(x), 2) for x in region.center + directions)
    assert attained <= found.upper * (1 + 1e-9)
    assert all(region.contains(w.point) for w in found.witnesses)
    check_all(mlp, region, found)


test_balls_are_not_below_what_is_attained = FEW(BALLS(balls_are_not_below_what_is_attained))
test_balls_of_many_networks = pytest.mark.slow(MANY(BALLS(balls_are_not_below_what_is_attained)))


def test_three_directions_whose_closed_pattern_has_more_than_is_attained() -> None:
    """All three neurons are active at zero alone: that piece has the constant 3, the network sqrt(7)."""
    angles = 2 * np.pi * np.arange(3) / 3
    weight = np.round(np.stack([np.cos(angles), np.sin(angles)], axis=1) * 2**20) / 2**20
    weight[2] = -weight[0] - weight[1]  # the sum vanishes exactly
    mlp = Mlp((weight, np.array([[1.0, 1.0, -2.0]])), (np.zeros(3), np.zeros(1)))
    found = search(mlp.form, AllInputs(), tol=TOL)
    assert found.upper == pytest.approx(math.sqrt(7), rel=1e-5)
    assert any(isinstance(piece.end, Flat) for piece in found.pieces)


def test_every_moment_is_a_cover() -> None:
    """However few pieces are allowed, the tree is whole, and more pieces give no larger bound."""
    mlp, before = Mlp.random(DIVIDED, False), math.inf
    exact = mlp.constant()
    for nodes in (1, 2, 3, 5, 9, 17, 33):
        found = search(mlp.form, AllInputs(), tol=TOL, nodes=nodes)
        assert found.nodes <= nodes
        assert exact * (1 - 1e-9) <= found.upper <= before * (1 + 1e-8)
        check_all(mlp, AllInputs(), found)
        before = found.upper


def test_children_are_not_above_their_parents() -> None:
    mlp = Mlp.random(DIVIDED, False)
    found = search(mlp.form, AllInputs(), tol=TOL)
    uppers = [row[1] for row in found.history]
    assert len(uppers) > 3
    assert all(after <= before * (1 + 1e-8) for before, after in pairwise(uppers))


def test_interrupted_it_returns_what_stands() -> None:
    mlp = Mlp.random(DIVIDED, False)

    def interrupt(line: Progress) -> None:
        if line.iteration >= 5:
            raise KeyboardInterrupt

    found = search(mlp.form, AllInputs(), tol=TOL, report=interrupt)
    assert found.status == "interrupted"
    assert found.nodes == 5
    assert found.upper >= mlp.constant()
    check_all(mlp, AllInputs(), found)


def test_interrupts_that_something_else_takes_end_it() -> None:
    """As a solver does, which then returns its best point: the search notices all the same."""
    calls = 0

    def lower() -> float:
        nonlocal calls
        calls += 1
        if calls == 20:
            with suppress(KeyboardInterrupt):
                signal.raise_signal(signal.SIGINT)
        return 0.0

    found = search(Mlp.random(DIVIDED, False).form, AllInputs(), tol=TOL, lower=lower)
    assert found.status == "interrupted"
    assert is_tree(found.pieces)


def test_spent_budget_ends_it() -> None:
    found = search(Mlp.random(DIVIDED, False).form, AllInputs(), tol=TOL, budget=Budget(seconds=0.0))
    assert found.status == "time limit"
    assert is_tree(found.pieces)


def test_executor_finds_the_same_value() -> None:
    mlp = Mlp.random(DIVIDED, False)
    alone = search(mlp.form, AllInputs(), tol=TOL)
    with ThreadPoolExecutor(2) as pool:
        together = search(mlp.form, AllInputs(), tol=TOL, executor=pool)
    assert together.status == alone.status == "optimal"
    assert together.upper == pytest.approx(alone.upper, rel=2 * TOL)
    check_all(mlp, AllInputs(), together)


def test_without_division_it_is_the_condition_of_the_region() -> None:
    found = search(Mlp.random(DIVIDED, False).form, AllInputs(), exact=False)
    assert found.nodes == len(found.pieces) == 1
    assert not isinstance(found.pieces[0].end, Split)


def test_known_value_ends_it_early() -> None:
    mlp = Mlp.random(DIVIDED, False)
    exact = mlp.constant()
    found = search(mlp.form, AllInputs(), tol=9.0, lower=exact)
    assert found.upper <= 10 * exact
    assert found.nodes == 1


@pytest.mark.slow
def test_processes_find_the_same_value() -> None:
    form = Mlp.random(DIVIDED, False).form
    alone = search(form, AllInputs(), tol=TOL)
    with executor(2) as workers:
        together = search(form, AllInputs(), tol=TOL, executor=workers)
    assert together.upper == pytest.approx(alone.upper, rel=2 * TOL)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [0, 1])
def test_trained_networks_whose_exact_constants_are_published(shared_networks: Path, seed: int) -> None:
    """ExLipBaB's absolute-value networks."""
    published = (1.2413605265794627, 1.0132462130014432)[seed]
    parts = []
    for kind in ("weights", "biases"):
        stored = scipy.io.loadmat(shared_networks / "exlipbab" / f"absolute_value_relu_{seed:02d}_{kind}.mat")
        key = next(key for key in stored if not key.startswith("__"))
        parts.append([np.asarray(part, dtype=float) for part in stored[key].ravel()])
    mlp = Mlp(tuple(parts[0]), tuple(bias.ravel() for bias in parts[1]))
    found = search(mlp.form, AllInputs(), tol=TOL)
    assert published * (1 - 1e-12) <= found.upper <= published * (1 + TOL)
    check_all(mlp, AllInputs(), found)

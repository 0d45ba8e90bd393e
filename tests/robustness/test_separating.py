"""Branch and bound on margins: what is proved holds at every point, and what is not proved is said."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network.differences import with_differences
from sdpcert.network.stacked import StackedForm
from sdpcert.regions import Ball, Box, Region
from sdpcert.regions.pieces import Empty, Piece, Separated, Split
from sdpcert.regions.state import State
from sdpcert.robustness.confirming import refusal
from sdpcert.robustness.margins import Margins
from sdpcert.robustness.separating import ClassesProof, Separation, separate
from sdpcert.solvers.solution import Budget, Progress
from tests.regions.networks import ACTIVATIONS, Array, chain, points_of, region_of

NAMES = st.sampled_from(["relu", "leaky_relu", "hardtanh", "tanh"])
KINDS = st.sampled_from(["box", "ball", "both"])
SEEDS = st.integers(0, 2**32 - 1)


def classifier(seed: int, name: str = "relu", sizes: Sequence[int] = (3, 5, 4, 3)) -> StackedForm:
    return with_differences(chain(np.random.default_rng(seed), list(sizes), ACTIVATIONS[name]))


def leaves_of(form: StackedForm, region: Region, pieces: Sequence[Piece]) -> list[tuple[Piece, State]]:
    """The pieces that are not split, with the states that their steps lead to."""
    states: list[State] = []
    for piece in pieces:
        if piece.parent is None or piece.side is None:
            state = State.of(form, region)
        else:
            split = pieces[piece.parent].end
            assert isinstance(split, Split)
            state = states[piece.parent].on_side(split, piece.side)
        for step in piece.steps:
            state = state.after(step)
        states.append(state)
    return [(piece, state) for piece, state in zip(pieces, states, strict=True) if not isinstance(piece.end, Split)]


def assert_separates(found: Separation, margins: Margins, region: Region, limit: float) -> None:
    """Every leaf keeps the margins above the limit, and both checkers accept that."""
    for proof in found.proofs:
        for piece, state in leaves_of(margins.form, region, proof.pieces):
            assert isinstance(piece.end, Empty if state.is_empty else Separated)
            assert state.is_empty or np.all(margins.bounds(state, proof.classes) > limit)
        for exact in (True, False):
            assert refusal(margins.form, region, margins.label, proof, limit, exact) is None
        assert refusal(margins.form, region, margins.label, proof, limit + 1e3) is not None or _is_empty(proof)


def _is_empty(proof: ClassesProof) -> bool:
    return not any(isinstance(piece.end, Separated) for piece in proof.pieces)


def label_at(form: StackedForm, point: Array) -> int:
    return next(
        y for y in range(form.groups[-2].size) if np.all(Margins(form, y).at(point[None], Margins(form, y).others) >= 0)
    )


@settings(deadline=None, max_examples=10)
@given(name=NAMES, kind=KINDS, size=st.sampled_from([0.1, 0.4, 1.0]), seed=SEEDS)
def test_margins_stay_above_the_limit_at_all_points(name: str, kind: str, size: float, seed: int) -> None:
    rng = np.random.default_rng(seed)
    form, region = classifier(seed, name), region_of(kind, rng, 3, size)
    points = points_of(region, rng, 3, 500)
    margins = Margins(form, label_at(form, points[-1]))
    limit = float(rng.choice([0.0, 0.1]))
    found = separate(form, region, margins.label, limit=limit, nodes=20)
    values = margins.at(points, margins.others)
    for j, column in zip(margins.others, values.T, strict=True):
        assert np.all(column > limit) or j not in found.proved
        assert np.all(column >= found.bounds.get(j, -np.inf) - 1e-9)
    assert set(found.proved) | set(found.bounds) == set(margins.others)
    if found.counterexample is not None:
        assert region.contains(found.counterexample)
        assert np.min(margins.at(found.counterexample[None], margins.others)) <= limit
    assert_separates(found, margins, region, limit)
    assert (found.status == "separated") is (not found.bounds)


@settings(deadline=None, max_examples=4)
@given(kind=KINDS, seed=SEEDS)
def test_small_networks_are_decided(kind: str, seed: int) -> None:
    """Dividing ends with a proof or a counterexample."""
    rng = np.random.default_rng(seed)
    form, region = classifier(seed), region_of(kind, rng, 3, 0.5)
    found = separate(form, region, label_at(form, points_of(region, rng, 3, 1)[0]), nodes=400)
    assert found.status in ("separated", "counterexample")


def test_limits_of_nodes_and_time_keep_what_is_proved() -> None:
    form, center = classifier(5, sizes=(6, 12, 12, 5)), np.zeros(6)
    label = label_at(form, center)
    region = Ball(center, 0.3)
    for found in (
        separate(form, region, label, nodes=5),
        separate(form, region, label, budget=Budget(seconds=0.0)),
    ):
        assert found.nodes <= 5
        assert set(found.proved) | set(found.bounds) == set(Margins(form, label).others)
        assert_separates(found, Margins(form, label), region, 0.0)


def test_an_interrupt_keeps_what_is_proved() -> None:
    form, center = classifier(5, sizes=(6, 12, 12, 5)), np.zeros(6)
    margins, region = Margins(form, label_at(form, center)), Ball(center, 0.5)

    def interrupt(progress: Progress) -> None:
        raise KeyboardInterrupt

    found = separate(form, region, margins.label, report=interrupt)
    assert found.status == "interrupted"
    assert found.proved
    assert set(found.proved) | set(found.bounds) == set(margins.others)
    assert_separates(found, margins, region, 0.0)


def test_an_executor_divides_pieces() -> None:
    form, center = classifier(8), np.zeros(3)
    margins, region = Margins(form, label_at(form, center)), Ball(center, 0.92)
    with ThreadPoolExecutor(2) as executor:
        found = separate(form, region, margins.label, executor=executor, nodes=60)
    assert found.status == "separated"
    assert found.nodes > 1
    assert_separates(found, margins, region, 0.0)


def test_only_some_classes_are_looked_at() -> None:
    form = classifier(3)
    found = separate(form, Box(-0.01 * np.ones(3), 0.01 * np.ones(3)), 0, [2], nodes=1)
    assert set(found.proved) | set(found.bounds) == {2}


def test_a_label_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="the label is 4"):
        separate(classifier(1), Ball(np.zeros(3), 1.0), 4)

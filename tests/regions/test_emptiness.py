"""Pieces without interior are proved flat, and those with one have a point."""

from __future__ import annotations

import numpy as np
import pytest

from sdpcert import Ball, Box, Network
from sdpcert.regions.emptiness import interior, is_flat
from sdpcert.regions.pieces import Side, Split
from sdpcert.regions.region import AllInputs, Region
from sdpcert.regions.state import State

Array = np.ndarray


def piece(weights: list[Array], region: Region, *splits: tuple[int, int, Side]) -> State:
    """A piece of a chain of ReLU layers without biases."""
    state = State.of(Network.mlp(weights).unshared, region)
    for group, neuron, side in splits:
        state = state.on_side(Split(group, neuron, 0.0), side)
    return state


AROUND = Ball(np.array([0.5, 0.25]), 2.0)
#: Normals of half-spaces through zero whose cones are zero alone, though every two of them have interior points.
CONE = np.array([[1.3873, -0.3984], [-0.9613, -0.00373], [0.092, -1.2171]])


@pytest.mark.parametrize("region", [AROUND, Ball([0.5, 0.25], 2.0, within=Box(-1, 1)), Box(-1, 1), AllInputs()])
def test_half_spaces_that_meet_in_one_point(region: Region) -> None:
    weights = [np.vstack([CONE, -CONE.sum(axis=0)]), np.ones((1, 4))]
    splits: list[tuple[int, int, Side]] = [(1, k, "above") for k in range(4)]
    state = piece(weights, region, *splits)
    found = interior(state)
    assert found.point is None
    assert found.flat is not None and is_flat(state, found.flat)


@pytest.mark.parametrize(("low", "is_there"), [(0.0, False), (-1e-3, True)])
def test_a_half_space_and_an_end_of_the_box(low: float, is_there: bool) -> None:
    """`v = -x_0 + 0.3 x_1 >= 0` and `x_1 <= 0` (a split) leave nothing of `x_0 >= 0` but its end."""
    weights = [np.array([[-1.0, 0.3], [0.0, 1.0]]), np.ones((1, 2))]
    state = piece(weights, Box([low, -1.0], [1.0, 1.0]), (1, 0, "above"), (1, 1, "below"))
    found = interior(state)
    assert (found.point is not None) is is_there
    assert (found.flat is not None) is not is_there


def test_an_end_of_the_box_that_is_met_at_an_edge() -> None:
    """`x_0 <= 0` on a box that begins there, with another input that does not matter."""
    state = piece([np.eye(2), np.ones((1, 2))], Box([0.0, -1.0], [1.0, 1.0]), (1, 0, "below"), (1, 1, "above"))
    assert interior(state).flat is not None


def test_a_neuron_at_its_kink() -> None:
    """Where the first neuron is off the second stands at zero, and the third reads the input alone."""
    first = np.array([[1.0], [-1.0]])
    second, third = np.array([[3.0, 0.0], [0.0, 1.0]]), np.array([[5.0, -1.0]])
    state = piece([first, second, third, np.ones((1, 1))], AllInputs(), (1, 0, "below"), (1, 1, "above"))
    state = state.on_side(Split(2, 1, 0.0), "above").on_side(Split(3, 0, 0.0), "above")
    found = interior(state)
    assert found.flat is not None and is_flat(state, found.flat)


def test_rounding_opens_no_cone() -> None:
    """The normal of the second split is that of the first one, rounded."""
    row = np.array([[0.1, 0.7]])
    weights = [row, np.array([[0.3]]), np.array([[1.0]])]
    state = piece(weights, AllInputs(), (1, 0, "above"), (2, 0, "below"))
    assert interior(state).flat is not None
    assert interior(piece(weights, AllInputs(), (1, 0, "above"), (2, 0, "above"))).point is not None

"""Pieces on which a network is affine: their least margins, as programmes find them and bounds prove them."""

from __future__ import annotations

import numpy as np
import pytest

from sdpcert import Network
from sdpcert.network.differences import with_differences
from sdpcert.regions import Ball, Box, Region
from sdpcert.regions.pieces import Split
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from sdpcert.robustness.leaves import bound_leaf, is_affine
from sdpcert.robustness.margins import Margins
from sdpcert.robustness.node import Goal, Node
from sdpcert.solvers.solution import Budget
from tests.regions.networks import Array, chain, points_of, region_of


def decided(region: Region, margins: Margins, at: Array) -> State:
    """The piece of a region where all activations are as they are at a point."""
    form = margins.form
    state, _ = tighten(State.of(form, region), Effort(0))
    z = at
    for number, group in enumerate(form.groups[:-1], start=1):
        values = form.row(number)[number - 1].weights @ z + group.bias
        for neuron in np.flatnonzero(state.undecided[number - 1]):
            state = state.on_side(Split(number, int(neuron)), "above" if values[neuron] > 0 else "below")
        z = group.evaluate(values[None])[0]
    return state


def leaf(kind: str, seed: int) -> tuple[Node, Goal, Array]:
    """A piece with all classes open, and many of its points."""
    random = np.random.default_rng(seed)
    form, region = with_differences(chain(random, [2, 5, 4, 3])), region_of(kind, random, 2, 0.7)
    points, margins = points_of(region, random, 2, 20000), Margins(form, 0)
    state = decided(region, margins, points[-1])
    own = np.ones(len(points), dtype=bool)
    z = points
    for number, group in enumerate(form.groups[:-1], start=1):
        values = z @ form.row(number)[number - 1].weights.T + group.bias
        own &= np.all((state.low[number - 1] <= values) & (values <= state.high[number - 1]), axis=1)
        z = group.evaluate(values)
    goal = Goal(margins, 1e9, Effort(0), Budget())
    return Node(state, (), margins.others, np.full(2, -np.inf)), goal, points[own]


@pytest.mark.parametrize("kind", ["box", "ball", "both"])
@pytest.mark.parametrize("seed", range(6))
def test_least_margins_of_affine_pieces(kind: str, seed: int) -> None:
    """No point is below the bound, and some are near: the points are dense in two dimensions."""
    node, goal, points = leaf(kind, seed)
    assert is_affine(node.state)
    if not node.state.decisions:
        return
    found = bound_leaf(node, goal)
    values = goal.margins.at(points, goal.margins.others)
    assert np.all(values.min(axis=0) >= found.bounds - 1e-9)
    reach = np.linalg.norm(goal.margins.form.jacobian(points[0])[goal.margins.neurons(goal.margins.others)], axis=1)
    assert np.all(values.min(axis=0) <= found.bounds + 0.1 * reach + 1e-9)


@pytest.mark.parametrize("region", [Box(-np.ones(2), np.ones(2)), Ball(np.zeros(2), 1.0)])
def test_half_spaces_without_common_points_prove_any_margin(region: Region) -> None:
    """Neurons x + y and x - 3 y and -x: all of them at least 1 / 4 is impossible."""
    weight = np.array([[1.0, 1.0], [1.0, -3.0], [-1.0, 0.0]])
    form = with_differences(Network.mlp([weight, np.array([[1.0, 0, 1], [0, 1, 0]])], [np.full(3, -0.25), np.zeros(2)]))
    state, _ = tighten(State.of(form, region), Effort(0))
    for neuron in range(3):
        state = state.on_side(Split(1, neuron), "above")
    goal = Goal(Margins(form, 0), 100.0, Effort(0), Budget())
    found = bound_leaf(Node(state, (), (1,), np.array([-np.inf])), goal)
    assert found.open == ()
    assert len(found.steps) == 1


def test_pieces_with_undecided_slopes_are_not_affine() -> None:
    form = with_differences(chain(np.random.default_rng(0), [2, 5, 3]))
    assert not is_affine(tighten(State.of(form, Ball(np.zeros(2), 3.0)), Effort(0))[0])
    smooth = with_differences(chain(np.random.default_rng(0), [2, 5, 3], "tanh"))
    assert not is_affine(tighten(State.of(smooth, Ball(np.zeros(2), 1e-3)), Effort(0))[0])

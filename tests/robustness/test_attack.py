"""Attacks: points that have another class, as near as those of the attack of evaluations, and never out of the box."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdpcert import Box, Network
from sdpcert.network.differences import with_differences
from sdpcert.robustness import radii
from sdpcert.robustness.attack import Attacker, Found, Settings
from sdpcert.robustness.enclosure import Enclosure
from tests.robustness.test_radii import data, linear, small

Array = np.ndarray


def found_by(
    network: Network, inputs: Array, labels: Array, norm: str = "l2", radii: tuple[float, ...] = (), **more: Any
) -> Found:
    flat = inputs.astype(float).reshape(len(inputs), -1)
    found = Found.nothing(flat)
    Attacker(network, norm, Enclosure(with_differences(network)).lost, **more).attack(flat, labels, radii, found)
    return found


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("single", [False, True])
def test_points_have_another_class_at_their_distance_and_stay_in_the_box(norm: str, single: bool) -> None:
    network = small(0, (5, 12, 4))
    inputs, labels = data(network, 20)
    box = Box(np.zeros(5), np.full(5, 0.9999))
    inputs = np.minimum(inputs, np.float32(0.9999))
    labels = network(inputs.astype(float)).argmax(axis=1)
    found = found_by(network, inputs, labels, norm, (0.05, 0.3), within=box, single=single)
    at = np.isfinite(found.distances)
    assert np.sum(at) >= 15
    points, centers = found.points[at], inputs[at].astype(float)
    values = network(points)
    assert np.all(values.max(axis=1) - values[np.arange(len(values)), labels[at]] > -1e-12)
    assert np.all(points >= box.low) and np.all(points <= box.high)
    exact = np.linalg.norm(points - centers, ord=2 if norm == "l2" else np.inf, axis=1)
    assert np.all(exact <= found.distances[at] * (1 + 1e-15)) and np.all(found.distances[at] <= exact * (1 + 1e-10))
    if single:
        assert np.array_equal(points, points.astype(np.float32))


def test_the_border_of_a_linear_classifier_is_found() -> None:
    network = linear([3.0, 4.0, 0.0], [0.0, 0.0, 0.0])
    inputs = np.array([[0.5, 0.1, 0.2], [0.01, 0.0, 0.7]])
    for norm, exact in (("l2", [0.38, 0.006]), ("linf", [1.9 / 7, 0.03 / 7])):
        found = found_by(network, inputs, np.array([0, 0]), norm)
        assert np.all(found.distances >= exact) and np.all(found.distances <= np.array(exact) * 1.005)


def test_the_same_seed_finds_the_same_and_nothing_is_no_point() -> None:
    network = small(5)
    inputs, labels = data(network, 6)
    first, again = (found_by(network, inputs, labels, radii=(0.1,), settings=Settings(seed=7)) for _ in range(2))
    assert np.array_equal(first.points, again.points) and np.array_equal(first.distances, again.distances)
    bias = Network.mlp([np.zeros((2, 2))], [np.array([1.0, 0.0])])
    assert np.all(found_by(bias, np.ones((2, 2)), np.array([0, 0])).distances == np.inf)


def test_it_is_as_strong_as_the_attack_of_evaluations() -> None:
    torch = pytest.importorskip("torch")
    from sdpcert.evaluation.attack import AttackSettings, run_attack
    from sdpcert.evaluation.graph_module import GraphModule

    network = small(5, (30, 20, 20, 6))
    inputs, labels = data(network, 30)
    box = Box(np.zeros(30), np.ones(30))
    mine = found_by(network, inputs, labels, radii=(0.1,), within=box).distances
    lost = Enclosure(with_differences(network)).lost
    others = run_attack(
        GraphModule(network, dtype=torch.float32),
        torch.from_numpy(inputs),
        labels,
        [0.1],
        lambda points, known: lost(points.double().numpy().reshape(len(points), -1), known),
        AttackSettings(),
    ).distances
    assert np.median(mine) <= np.median(others) * 1.02
    assert np.sum(mine <= 0.1) >= np.sum(others <= 0.1) - 1


def test_a_strong_attack_finds_no_less() -> None:
    """It begins with the usual one; the radii that are proved stay below what it finds, and it is stated."""
    network = small(1, (5, 12, 4))
    inputs, _ = data(network, 6)
    labels = network(inputs.astype(float)).argmax(axis=1)
    asked: dict[str, Any] = {"radii": [0.05, 0.3], "time_limit": 0.5, "constants": False}
    quick, strong = (radii(network, inputs, labels, attack=how, **asked) for how in (True, "strong"))
    assert np.all(strong.distance <= quick.distance) and np.all(strong.radius <= strong.distance)
    for row, usual in zip(strong.rows, quick.rows, strict=True):
        assert row.certified <= (row.attacked or 0) <= (usual.attacked or 0)
    settings = strong.stated["information"]["attack"]
    assert (settings["steps"], settings["restarts"]) == (120, 9)

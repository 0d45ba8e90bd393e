"""Proved radii beside the exact ones: the nearest input of another class, by enumeration in rational arithmetic."""

from __future__ import annotations

from math import inf, nextafter

import numpy as np
import pytest

import sdpcert
from sdpcert.regions import Box
from tests.oracles.networks import PiecewiseNetwork, random_network
from tests.oracles.robustness import Nearest, Norm, nearest_of_another_class

Array = np.ndarray
#: Share of the exact radius that is reached without a limit of nodes.
REACHED = 0.98
#: Seconds for one input: no test hangs, and one that needs more fails.
LIMIT = 120.0
NETWORKS = 200
QUICK = (2, 3, 5, 8)


def classifier(seed: int) -> PiecewiseNetwork:
    """A random network of two to four outputs."""
    network, random = random_network(seed), np.random.default_rng([seed, 5])
    weight = random.standard_normal((int(random.integers(2, 5)), network.weight.shape[1]))
    return PiecewiseNetwork(network.layers, weight, 0.3 * random.standard_normal(len(weight)))


def inputs_of(network: PiecewiseNetwork, seed: int, count: int) -> tuple[Array, Array]:
    """Random inputs with few digits, and their classes."""
    centers = np.round(np.random.default_rng([seed, 3]).standard_normal((count, network.inputs)) * 64) / 64
    return centers, np.argmax(network.network()(centers), axis=1)


def search(network: PiecewiseNetwork, seed: int, norm: Norm, count: int) -> None:
    """No radius that is found reaches the exact one, and all are near; those of inputs that are wrong are zero."""
    centers, labels = inputs_of(network, seed, count)
    within = box_of(centers, seed)
    found = sdpcert.radii(network.network(), centers, labels, norm=norm, within=within, time_limit=LIMIT)
    for center, label, radius, right, distance in zip(
        centers, labels.tolist(), found.radius.tolist(), found.correct, found.distance.tolist(), strict=True
    ):
        exact = nearest_of(network, center, label, norm, within)
        assert right == exact.is_beyond(0)
        if not right:
            assert radius == 0
            continue
        assert exact.is_beyond(radius)
        assert distance == inf or not exact.is_beyond(distance)
        assert radius >= REACHED * min(float(exact), 1.0)


def nearest_of(network: PiecewiseNetwork, center: Array, label: int, norm: Norm, within: Box | None) -> Nearest:
    return nearest_of_another_class(network, center, label, norm, None if within is None else (within.low, within.high))


def box_of(centers: Array, seed: int) -> Box | None:
    """A box around all inputs for every fourth network."""
    return Box(centers.min(axis=0) - 0.25, centers.max(axis=0) + 0.75) if seed % 4 == 3 else None


def ask(network: PiecewiseNetwork, seed: int, norm: Norm) -> None:
    """Of two radii just below and just above the exact one, the first is proved and the second is not."""
    centers, labels = inputs_of(network, seed, 1)
    within = box_of(centers, seed)
    exact = nearest_of(network, centers[0], int(labels[0]), norm, within)
    if not exact.is_beyond(0):
        return
    below = REACHED * min(float(exact), 1.0)
    radii = [below] if exact.measure is None else [below, nextafter(float(exact), inf)]
    assert exact.measure is None or not exact.is_beyond(radii[-1])
    for attack in (False, True):
        found = sdpcert.radii(
            network.network(), centers, labels, norm=norm, within=within, radii=radii, attack=attack, time_limit=LIMIT
        )
        assert found.radius[0] >= below
        assert exact.is_beyond(found.radius[0])
        assert found.distance[0] == inf or not exact.is_beyond(found.distance[0])


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", QUICK)
def test_a_radius_just_below_the_exact_one_is_proved_and_none_above(seed: int, norm: Norm) -> None:
    ask(classifier(seed), seed, norm)


def test_the_largest_radius_is_near_the_exact_one() -> None:
    search(classifier(2), 2, "l2", 1)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", range(NETWORKS))
def test_radii_of_many_networks_just_below_and_above_the_exact_ones(seed: int, norm: Norm) -> None:
    ask(classifier(seed), seed, norm)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", range(NETWORKS // 4))
def test_the_largest_radii_of_many_networks_are_near_the_exact_ones(seed: int, norm: Norm) -> None:
    search(classifier(seed), seed, norm, 2)

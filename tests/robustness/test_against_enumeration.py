"""Proved radii beside the exact ones: the nearest input of another class, by enumeration in rational arithmetic."""

from __future__ import annotations

from math import inf

import numpy as np
import pytest

import sdpcert
from sdpcert.regions import Box
from tests.oracles.networks import PiecewiseNetwork, random_network
from tests.oracles.robustness import Norm, nearest_of_another_class

Array = np.ndarray
#: Share of the exact radius that is reached without a limit of nodes.
REACHED = 0.98
#: Seconds for one input: no test hangs, and one that needs more fails.
LIMIT = 120.0
NETWORKS = 200
QUICK = (0, 2, 3, 4, 5, 8)


def classifier(seed: int) -> PiecewiseNetwork:
    """A random network of two to four outputs."""
    network, random = random_network(seed), np.random.default_rng([seed, 5])
    weight = random.standard_normal((int(random.integers(2, 5)), network.weight.shape[1]))
    return PiecewiseNetwork(network.layers, weight, 0.3 * random.standard_normal(len(weight)))


def inputs_of(network: PiecewiseNetwork, seed: int, count: int) -> tuple[Array, Array]:
    """Random inputs with few digits, and their classes."""
    centers = np.round(np.random.default_rng([seed, 3]).standard_normal((count, network.inputs)) * 64) / 64
    return centers, np.argmax(network.network()(centers), axis=1)


def compare(network: PiecewiseNetwork, seed: int, norm: Norm, boxed: bool, count: int = 1) -> None:
    """No radius reaches the exact one, and all are near; those of inputs that are wrong are zero."""
    centers, labels = inputs_of(network, seed, count)
    within = (centers.min(axis=0) - 0.25, centers.max(axis=0) + 0.75) if boxed else None
    found = sdpcert.radii(
        network.network(), centers, labels, norm=norm, within=None if within is None else Box(*within), time_limit=LIMIT
    )
    for center, label, radius, right, distance in zip(
        centers, labels.tolist(), found.radius.tolist(), found.correct, found.distance.tolist(), strict=True
    ):
        exact = nearest_of_another_class(network, center, label, norm, within)
        assert right == exact.is_beyond(0)
        if not right:
            assert radius == 0
            continue
        assert exact.is_beyond(radius)
        assert distance == inf or not exact.is_beyond(distance)
        assert radius >= REACHED * min(float(exact), 1.0)


@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", QUICK)
def test_radii_of_random_networks(seed: int, norm: Norm) -> None:
    compare(classifier(seed), seed, norm, seed % 4 == 3)


@pytest.mark.slow
@pytest.mark.parametrize("norm", ["l2", "linf"])
@pytest.mark.parametrize("seed", range(NETWORKS))
def test_radii_of_many_random_networks(seed: int, norm: Norm) -> None:
    compare(classifier(seed), seed, norm, seed % 4 == 3, 2)

"""No pair of inputs of a region is above its bound: random networks of every kind on random regions.

Pairs are random, near to each other, or along the direction in which the network moves most; many lie at the region's
border.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import sdpcert
from sdpcert import Network
from sdpcert.network import Graph
from sdpcert.network.activations import BY_NAME, activation_by_name
from sdpcert.network.affine import Conv2d, Dense, Sum
from sdpcert.network.piecewise import maxmin
from sdpcert.regions import Ball, Box, Region
from tests.oracles.units import Sorting

Array = np.ndarray
NAMES = (*sorted(BY_NAME), "maxmin", "group sort")
#: What is divided, or convolutional, with every change; the slow tests take all names.
SOME = ("relu", "leaky_relu", "tanh", "gelu", "relu6", "maxmin")


def activate(graph: Graph, value: int, name: str) -> int:
    """The activation, or for a width that has no groups of its size a ReLU."""
    width = graph.shape(value)[0]
    if name == "maxmin" and width % 2 == 0:
        return maxmin(graph, value)
    if name == "group sort" and width % 3 == 0 and len(graph.shape(value)) == 1:
        return Sorting(3).add_to(graph, value)
    return graph.add(activation_by_name(name if name in BY_NAME else "relu"), value)


def dense(random: np.random.Generator, rows: int, columns: int) -> Dense:
    weight = random.standard_normal((rows, columns)) / np.sqrt(columns) * 10.0 ** random.uniform(-0.5, 1)
    if random.random() < 0.3:
        weight *= random.random(weight.shape) < 0.5
    if rows > 1 and random.random() < 0.3:
        weight[0] = random.choice([-1.0, 0.0, 1.0]) * weight[-1]
    return Dense(weight, random.standard_normal(rows) if random.random() < 0.7 else None)


def chain(random: np.random.Generator, name: str) -> Network:
    """Dense layers, some of them with a skip around the activation."""
    graph = Graph((int(random.integers(1, 6)),))
    value = 0
    for _ in range(int(random.integers(1, 4))):
        width = int(random.choice([1, 2, 3, 4]))
        read = graph.add(dense(random, width, graph.shape(value)[0]), value)
        made = activate(graph, read, name)
        value = graph.add(Sum(), made, read) if random.random() < 0.3 else made
    return graph.network(graph.add(dense(random, int(random.integers(1, 4)), graph.shape(value)[0]), value))


def convolutional(random: np.random.Generator, name: str) -> Network:
    """One or two small convolutions and a dense layer."""
    graph = Graph((int(random.integers(1, 3)), 3, 3))
    value, channels = 0, 2
    for _ in range(int(random.choice([1, 1, 2]))):
        kernel = random.standard_normal((channels, graph.shape(value)[0], 2, 2))
        padding = (1, 1, 0, 0) if random.random() < 0.5 else (0, 0, 0, 0)
        value = graph.add(Conv2d(kernel, random.standard_normal(channels), padding=padding), value)
        value = activate(graph, value, name)
    value = graph.rearrange(value, np.ravel)
    return graph.network(graph.add(dense(random, 2, graph.shape(value)[0]), value))


def region_around(random: np.random.Generator, inputs: int) -> Region:
    """A box, a ball, or a ball within a box; some inputs may be fixed."""
    center, size = random.standard_normal(inputs), 10.0 ** random.uniform(-3, 1.5)
    low, high = center - size * random.uniform(0, 1, inputs), center + size * random.uniform(0, 1, inputs)
    if inputs > 1 and random.random() < 0.3:
        fixed = random.random(inputs) < 0.5
        fixed[int(random.integers(inputs))] = False
        low, high = np.where(fixed, center, low), np.where(fixed, center, high)
    kind = int(random.integers(3))
    box = Box(low, high)
    return box if kind == 0 else Ball(center, size, box if kind == 1 else None)


def moved_into(region: Region, points: Array) -> Array:
    """The points moved into the region."""
    if isinstance(region, Ball):
        box = region.within
        points = points if box is None else np.clip(points, box.low, box.high)
        steps = points - region.center
        lengths = np.linalg.norm(steps, axis=1, keepdims=True)
        points = region.center + steps * np.minimum(1, region.radius / np.maximum(lengths, 1e-300))
        return points if box is None else np.clip(points, box.low, box.high)
    assert isinstance(region, Box)
    return np.clip(points, region.low, region.high)


def points_of(random: np.random.Generator, region: Region, inputs: int, count: int) -> Array:
    low, high = region.box(inputs)
    spread = random.choice([0.5, 1.0, 3.0], (count, 1))
    return moved_into(region, (low + high) / 2 + spread * (high - low) * random.uniform(-0.5, 0.5, (count, inputs)))


def largest_ratio(network: Network, region: Region, random: np.random.Generator) -> float:
    """The largest ratio of pairs in the region, less what evaluating the network rounds."""
    inputs = int(np.prod(network.input_shape))

    def value(points: Array) -> Array:
        return network(points.reshape(len(points), *network.input_shape)).reshape(len(points), -1)

    low, high = region.box(inputs)
    width = float(np.max(high - low))
    best = 0.0
    x = points_of(random, region, inputs, 600)
    step = np.concatenate([points_of(random, region, inputs, 300) - x[:300], np.zeros((300, inputs))])
    near = random.standard_normal((300, inputs)) * (high - low)
    step[300:] = near * 10.0 ** random.uniform(-4, -1, (300, 1))
    for _ in range(6):
        other = moved_into(region, x + step)
        apart = np.linalg.norm(other - x, axis=1)
        one, two = value(x), value(other)
        rounding = 1e-13 * (1 + np.abs(one).max(axis=1) + np.abs(two).max(axis=1)) * (1 + np.abs(x).max())
        sure = apart > 1e-6 * width
        ratios = np.where(sure, (np.linalg.norm(two - one, axis=1) - rounding) / np.where(sure, apart, 1), 0)
        best = max(best, float(ratios.max(initial=0)))
        # The 20 best points go on, each in the direction in which the network moves most there.
        chosen = np.argsort(-ratios)[:20]
        x = x[chosen]
        short = 1e-4 * (high - low)
        directions = []
        for point in x:
            moves = np.array([(value((point + e)[None]) - value((point - e)[None]))[0] for e in np.diag(short)])
            slopes = moves / np.where(short > 0, 2 * short, 1)[:, None]
            directions.append(np.linalg.svd(slopes, full_matrices=False)[0][:, 0])
        lengths = width * 10.0 ** random.uniform(-4, 0, (len(x), 1))
        x = moved_into(region, x + 0.01 * width * random.standard_normal(x.shape))
        step = np.array(directions) * lengths * random.choice([-1, 1], (len(x), 1))
    return best


def sound(make: Callable[[np.random.Generator, str], Network], name: str, seed: int, nodes: int | None = None) -> None:
    random = np.random.default_rng([seed, NAMES.index(name), len(make.__name__)])
    network = make(random, name)
    inputs = int(np.prod(network.input_shape))
    region = region_around(random, inputs)
    certificate = sdpcert.certify(network, region=region, effort=0, nodes=nodes)
    assert certificate.status == "proved", certificate.notes
    assert certificate.lower <= certificate.upper
    assert largest_ratio(network, region, random) <= certificate.upper * (1 + 1e-9)
    verdict = sdpcert.check(certificate)
    assert verdict.ok, verdict.reason
    assert verdict.upper == certificate.upper


@pytest.mark.parametrize("name", NAMES)
def test_no_pair_is_above_a_local_bound(name: str) -> None:
    sound(chain, name, 0)


@pytest.mark.parametrize("name", SOME)
def test_no_pair_is_above_a_local_bound_of_convolutions(name: str) -> None:
    sound(convolutional, name, 0)


@pytest.mark.parametrize("name", SOME)
def test_no_pair_is_above_the_bound_of_a_divided_region(name: str) -> None:
    sound(chain, name, 0, nodes=5)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 60))
@pytest.mark.parametrize("name", NAMES)
def test_no_pair_is_above_a_local_bound_of_many_networks(name: str, seed: int) -> None:
    sound(chain, name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 16))
@pytest.mark.parametrize("name", NAMES)
def test_no_pair_is_above_a_local_bound_of_many_convolutions(name: str, seed: int) -> None:
    sound(convolutional, name, seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1, 16))
@pytest.mark.parametrize("name", NAMES)
def test_no_pair_is_above_the_bound_of_many_divided_regions(name: str, seed: int) -> None:
    sound(chain, name, seed, nodes=9)


def test_a_point_that_is_moved_into_a_region_is_in_it() -> None:
    random = np.random.default_rng(0)
    for _ in range(50):
        inputs = int(random.integers(1, 6))
        region = region_around(random, inputs)
        shrunk = points_of(random, region, inputs, 20)
        low, high = region.box(inputs)
        assert np.all((low - 1e-9 <= shrunk) & (shrunk <= high + 1e-9))
        if isinstance(region, Ball):
            assert np.all(np.linalg.norm(shrunk - region.center, axis=1) <= region.radius * (1 + 1e-12))

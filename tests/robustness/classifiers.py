"""Random classifiers of all kinds of activations and layers, and inputs of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.network import Graph, Network
from sdpcert.network.activations import BY_NAME
from sdpcert.network.affine import Conv2d, Dense, Sum
from tests.regions.test_soundness_of_regions import activate

Array = np.ndarray
NAMES = (*sorted(BY_NAME), "maxmin", "group sort")
#: Names of the activations that are piecewise linear with float64 kinks.
PIECEWISE = ("relu", "leaky_relu", "abs", "relu6", "maxmin", "group sort")


@dataclass(frozen=True, eq=False)
class Sample:
    """A classifier and one of its inputs, flat, with the class that it has.

    The network reads `(input - mean) / std`.
    """

    network: Network
    center: Array
    label: int
    mean: float = 0.0
    std: float = 1.0

    def outputs(self, points: Array) -> Array:
        """Outputs (n, classes) of inputs (n, inputs), in float64."""
        read = (points - self.mean) / self.std
        return self.network(read.reshape(len(points), *self.network.input_shape)).reshape(len(points), -1)

    def margins(self, points: Array) -> Array:
        """The label's output minus the largest other one, for inputs (n, inputs)."""
        values = self.outputs(points)
        return values[:, self.label] - np.max(np.delete(values, self.label, axis=1), axis=1)

    def rounding(self, points: Array) -> Array:
        """What float64 may be wrong by in these margins; networks here are so small that this is plenty."""
        return 1e-12 * (1 + np.abs(self.outputs(points)).max(axis=1)) * (1 + np.abs(points).max(axis=1))


def _dense(random: np.random.Generator, rows: int, columns: int, gain: float) -> Dense:
    weight = gain * random.standard_normal((rows, columns)) / np.sqrt(columns)
    if rows > 2 and random.random() < 0.3:
        weight[0] = random.choice([-1.0, 0.0, 1.0]) * weight[-1]
    return Dense(weight, 0.5 * random.standard_normal(rows) if random.random() < 0.8 else None)


def chain(random: np.random.Generator, name: str) -> Network:
    """Dense layers, some of them with a skip around the activation, and two to five classes."""
    graph, value = Graph((int(random.integers(1, 7)),)), 0
    for _ in range(int(random.integers(1, 4))):
        width = int(random.choice([2, 3, 4, 6]))
        read = graph.add(_dense(random, width, graph.shape(value)[0], random.uniform(1, 3)), value)
        made = activate(graph, read, name)
        value = graph.add(Sum(), made, read) if random.random() < 0.3 else made
    head = _dense(random, int(random.integers(2, 6)), graph.shape(value)[0], random.uniform(1, 3))
    return graph.network(graph.add(head, value))


def convolutional(random: np.random.Generator, name: str) -> Network:
    """One or two small convolutions and a dense layer."""
    graph, value = Graph((int(random.integers(1, 3)), 3, 3)), 0
    for _ in range(int(random.choice([1, 1, 2]))):
        kernel = random.standard_normal((2, graph.shape(value)[0], 2, 2))
        padding = (1, 1, 0, 0) if random.random() < 0.5 else (0, 0, 0, 0)
        value = graph.add(Conv2d(kernel, random.standard_normal(2), padding=padding), value)
        value = activate(graph, value, name)
    value = graph.rearrange(value, np.ravel)
    return graph.network(graph.add(_dense(random, 3, graph.shape(value)[0], 2.0), value))


def sampled(network: Network, random: np.random.Generator, count: int) -> list[Sample]:
    """Random inputs of clear classes, with few digits, so that level F takes them; some networks are normalised."""
    inputs = int(np.prod(network.input_shape))
    mean, std = (0.25, 0.3) if random.random() < 0.3 else (0.0, 1.0)
    points = np.round(random.standard_normal((20 * count, inputs)) * 256) / 256
    values = Sample(network, points[0], 0, mean, std).outputs(points)
    ordered = np.sort(values, axis=1)
    clear = ordered[:, -1] - ordered[:, -2] > 1e-3 * (1 + np.abs(values).max(axis=1))
    return [
        Sample(network, points[k], int(np.argmax(values[k])), mean, std) for k in np.flatnonzero(clear)[:count].tolist()
    ]

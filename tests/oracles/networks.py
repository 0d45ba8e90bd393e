"""Small piecewise-linear networks as rational data, with their value, and as networks of sdpcert."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.network import Graph, Network
from sdpcert.network.affine import Dense, Sum
from tests.oracles.units import UNITS, Unit

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Layer:
    """`unit(weight x + bias)`, plus x where `skip` is set; neighbouring neurons are the groups that the unit reads."""

    weight: Array
    bias: Array
    unit: Unit
    skip: bool = False

    def __post_init__(self) -> None:
        if len(self.weight) % self.unit.size:
            raise ValueError(f"{len(self.weight)} neurons are no groups of {self.unit.size}")
        if self.skip and self.width != self.weight.shape[1]:
            raise ValueError("a skip needs as many outputs as inputs")

    @property
    def groups(self) -> int:
        return len(self.weight) // self.unit.size

    @property
    def width(self) -> int:
        """Number of outputs."""
        return self.groups * self.unit.outputs


@dataclass(frozen=True, eq=False)
class PiecewiseNetwork:
    """Layers, and an affine map after them."""

    layers: tuple[Layer, ...]
    weight: Array
    bias: Array

    @property
    def inputs(self) -> int:
        return (self.layers[0].weight if self.layers else self.weight).shape[1]

    @property
    def neurons(self) -> int:
        return sum(len(layer.weight) for layer in self.layers)

    def __call__(self, point: Sequence[Fraction]) -> list[Fraction]:
        """The value, without any rounding."""
        return self.preactivations(point)[-1]

    def preactivations(self, point: Sequence[Fraction]) -> list[list[Fraction]]:
        """What every layer's units read, and the value."""
        values, found = list(point), []
        for layer in self.layers:
            read = _affine(layer.weight, layer.bias, values)
            size = layer.unit.size
            made = [z for k in range(layer.groups) for z in layer.unit.value(read[k * size : (k + 1) * size])]
            values = [z + x for z, x in zip(made, values)] if layer.skip else made
            found.append(read)
        return [*found, _affine(self.weight, self.bias, values)]

    def network(self) -> Network:
        """The same network for sdpcert."""
        graph, value = Graph((self.inputs,)), 0
        for layer in self.layers:
            made = layer.unit.add_to(graph, graph.add(Dense(layer.weight, layer.bias), value))
            value = graph.add(Sum(), made, value) if layer.skip else made
        return graph.network(graph.add(Dense(self.weight, self.bias), value), source="oracle")


def _affine(weight: Array, bias: Array, values: Sequence[Fraction]) -> list[Fraction]:
    rows = [[Fraction(float(w)) for w in row] for row in weight]
    return [
        sum((w * x for w, x in zip(row, values) if w), Fraction(float(b))) for row, b in zip(rows, bias, strict=True)
    ]


#: Kinds of networks that the random ones are of, by the names of their units.
KINDS = (("relu",), ("relu",), ("leaky_relu",), ("abs",), ("clip",), ("maxmin",), ("group sort 3",), ("max pool 2",))
#: Neurons that a random network has at most.
LARGEST = 12


def random_network(
    seed: int, biases: bool | None = None, kind: str | None = None, inputs: int | None = None
) -> PiecewiseNetwork:
    """A network of 1 to 3 layers, 1 to 4 inputs and at most 12 neurons; every other seed has no biases.

    Some have neurons that are equal, opposite, zero, or that nothing reads; some have weights of few digits, so that
    preactivations vanish together; some have a skip around a layer.
    """
    random = np.random.default_rng([seed, 2026])
    biases = seed % 2 == 0 if biases is None else biases
    inputs = int(random.integers(1, 5)) if inputs is None else inputs
    names = (kind,) if kind else KINDS[int(random.integers(len(KINDS)))]
    short = bool(random.random() < 0.25)
    left, before, layers = LARGEST, inputs, []
    for _ in range(int(random.integers(1, 4))):
        unit = UNITS[names[int(random.integers(len(names)))]]
        most = min(left // unit.size, 8 // unit.size)
        if most == 0:
            break
        groups = int(random.integers(1, most + 1))
        width = groups * unit.size
        weight, bias = _weight(random, width, before, short), np.zeros(width)
        if biases:
            bias = random.standard_normal(width)
            bias = np.round(4 * bias) / 4 if short else bias
        _peculiar(random, weight, bias)
        outputs = groups * unit.outputs
        layers.append(Layer(weight, bias, unit, outputs == before and bool(random.random() < 0.3)))
        before, left = outputs, left - width
    count = int(random.integers(1, 4))
    return PiecewiseNetwork(tuple(layers), _weight(random, count, before, short), np.zeros(count))


def _weight(random: np.random.Generator, rows: int, columns: int, short: bool) -> Array:
    if short:
        return random.integers(-2, 3, (rows, columns)).astype(float)
    return random.standard_normal((rows, columns))


def _peculiar(random: np.random.Generator, weight: Array, bias: Array) -> None:
    """Neurons that are equal, opposite or zero, in place."""
    if len(weight) < 2 or random.random() < 0.5:
        return
    one, other = random.choice(len(weight), 2, replace=False)
    factor = random.choice([1.0, -1.0, 0.0, 2.0])
    weight[one], bias[one] = factor * weight[other], factor * bias[other]


def three_directions() -> PiecewiseNetwork:
    """Three directions at 120 degrees, output weights 1, 1, -2: no input has all neurons on, the constant is 7^(1/2).

    The directions are u, v and -u - v with u = (1, 0) and v as near to (-1/2, 3^(1/2)/2) as float64 goes.
    """
    weight = np.array([[1.0, 0.0], [-0.5, np.sqrt(0.75)], [-0.5, -np.sqrt(0.75)]])
    return PiecewiseNetwork((Layer(weight, np.zeros(3), UNITS["relu"]),), np.array([[1.0, 1.0, -2.0]]), np.zeros(1))

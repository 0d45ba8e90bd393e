"""Units: the piecewise-linear functions of oracles, each by the definition that a textbook gives it.

A unit reads a few preactivations. It has pieces, closed polyhedra that cover its space, with an affine map on each.
Sorting is sorting, and not the comparators that sdpcert makes of it.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise, permutations

from sdpcert.network import Activation, Graph
from sdpcert.network.activations import absolute, clip, leaky_relu, relu
from sdpcert.network.affine import Rearrange
from sdpcert.network.piecewise import maximum, sorted_pairs
from sdpcert.network.sorting import sorting_network

Vector = tuple[Fraction, ...]


@dataclass(frozen=True)
class Piece:
    """Where all of `inside` are nonnegative the unit is `outputs`: coefficients of preactivations, and a constant."""

    inside: tuple[Vector, ...]
    outputs: tuple[Vector, ...]


class Unit(ABC):
    """A continuous piecewise-linear function of `size` numbers."""

    size: int = 1
    outputs: int = 1

    @abstractmethod
    def pieces(self) -> list[Piece]: ...

    @abstractmethod
    def value(self, numbers: Sequence[Fraction]) -> list[Fraction]: ...

    @abstractmethod
    def add_to(self, graph: Graph, value: int) -> int:
        """The same function on all neighbouring groups of `size` entries of a vector, as sdpcert has it."""


@dataclass(frozen=True)
class Elementwise(Unit):
    """`slopes[k] v + values[k]` from `starts[k - 1]` to `starts[k]`."""

    activation: Activation
    starts: tuple[float, ...]
    slopes: tuple[float, ...]
    values: tuple[float, ...]

    def pieces(self) -> list[Piece]:
        found = []
        for k, (slope, value) in enumerate(zip(self.slopes, self.values)):
            inside = []
            if k:
                inside.append((Fraction(1), -Fraction(self.starts[k - 1])))
            if k < len(self.starts):
                inside.append((Fraction(-1), Fraction(self.starts[k])))
            found.append(Piece(tuple(inside), ((Fraction(slope), Fraction(value)),)))
        return found

    def value(self, numbers: Sequence[Fraction]) -> list[Fraction]:
        piece = sum(numbers[0] > start for start in self.starts)
        return [Fraction(self.slopes[piece]) * numbers[0] + Fraction(self.values[piece])]

    def add_to(self, graph: Graph, value: int) -> int:
        return graph.add(self.activation, value)


@dataclass(frozen=True)
class Sorting(Unit):
    """GroupSort: `size` numbers, sorted upwards. Size 2 is MaxMin."""

    size: int = 2

    @property
    def outputs(self) -> int:  # type: ignore[override]
        return self.size

    def pieces(self) -> list[Piece]:
        found = []
        for order in permutations(range(self.size)):
            rows = [_unit(self.size, k) for k in order]
            found.append(Piece(tuple(_less(b, a) for a, b in pairwise(rows)), tuple(rows)))
        return found

    def value(self, numbers: Sequence[Fraction]) -> list[Fraction]:
        return sorted(numbers)

    def add_to(self, graph: Graph, value: int) -> int:
        import numpy as np

        places = np.arange(graph.shape(value)[0]).reshape(-1, self.size)
        for stage in sorting_network(self.size):
            first, second = (places[:, [pair[end] for pair in stage]].ravel() for end in range(2))
            value = sorted_pairs(graph, value, first, second)
        return value


@dataclass(frozen=True)
class Maximum(Unit):
    """Max pooling: the largest of `size` numbers."""

    size: int = 2

    def pieces(self) -> list[Piece]:
        rows = [_unit(self.size, k) for k in range(self.size)]
        return [Piece(tuple(_less(row, other) for other in rows if other is not row), (row,)) for row in rows]

    def value(self, numbers: Sequence[Fraction]) -> list[Fraction]:
        return [max(numbers)]

    def add_to(self, graph: Graph, value: int) -> int:
        import numpy as np

        places = np.arange(graph.shape(value)[0]).reshape(-1, self.size)
        largest = graph.add(Rearrange(places[:, 0]), value)
        for k in range(1, self.size):
            largest = maximum(graph, largest, graph.add(Rearrange(places[:, k]), value))
        return largest


def _unit(size: int, k: int) -> Vector:
    return tuple(Fraction(int(j == k)) for j in range(size + 1))


def _less(a: Vector, b: Vector) -> Vector:
    return tuple(x - y for x, y in zip(a, b))


RELU = Elementwise(relu(), (0.0,), (0.0, 1.0), (0.0, 0.0))
ABSOLUTE = Elementwise(absolute(), (0.0,), (-1.0, 1.0), (0.0, 0.0))
LEAKY = Elementwise(leaky_relu(0.01), (0.0,), (0.01, 1.0), (0.0, 0.0))
CLIP = Elementwise(clip(-1.0, 0.75), (-1.0, 0.75), (0.0, 1.0, 0.0), (-1.0, 0.0, 0.75))
UNITS: dict[str, Unit] = {
    "relu": RELU,
    "leaky_relu": LEAKY,
    "abs": ABSOLUTE,
    "clip": CLIP,
    "maxmin": Sorting(2),
    "group sort 3": Sorting(3),
    "group sort 4": Sorting(4),
    "max pool 2": Maximum(2),
    "max pool 3": Maximum(3),
}

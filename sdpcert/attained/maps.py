"""What the search needs to know of a network: its values and derivatives on batches of flat inputs.

`StackedMap` reads the blocks of an unrolled network, `GraphMap` the layers of the graph.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.attained.graph_ratio import network_last_uses, sure_difference
from sdpcert.network.activations import Activation
from sdpcert.network.adjoint import adjoint
from sdpcert.network.affine import AffineLayer, Conv2d, Dense, Shape
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm

Array = np.ndarray


@dataclass(frozen=True)
class Plan:
    """How a search goes about; a round of either plan evaluates about 12 maps on every point."""

    #: Least number of points and of rounds, however little the search may spend.
    least_batch: int
    least_rounds: int
    #: Power iterations on every new point.
    power_steps: int
    #: Every such round moves pairs by their gradients; the others hop at random.
    ascend_every: int
    #: Step of a pair relative to its distance, and the decimal logarithms of its distance relative to the points' size.
    ascent_step: float
    reach: tuple[float, float]


class DifferentiableMap(ABC):
    """A network with activations, on batches of rows; slopes are the derivatives of its activations."""

    inputs: int
    outputs: int
    neurons: int
    #: What one evaluation of one point costs, in the unit of the search's operations.
    cost: float
    plan: Plan
    #: Points around which pairs are tried at the end, and the distances (powers of two of the points' size).
    finalists: int
    distances: Array

    @abstractmethod
    def forward(self, points: Array) -> tuple[Array, list[Array]]:
        """The outputs, up to a constant, and the slopes."""

    @abstractmethod
    def push(self, directions: Array, slopes: list[Array]) -> Array:
        """Jacobians times directions."""

    @abstractmethod
    def back(self, outputs: Array, slopes: list[Array]) -> Array:
        """Transposed Jacobians times rows of outputs."""

    @abstractmethod
    def soften(self, slopes: list[Array]) -> list[Array]:
        """Slopes for gradients: a switched-off neuron would hide all that lies behind it."""

    @abstractmethod
    def scale(self) -> float:
        """A typical distance at which activations change: biases over the norms of the rows that read the input."""

    @abstractmethod
    def jacobian(self, point: Array) -> Array | None:
        """The Jacobian at a point, or None where that would be expensive."""

    @abstractmethod
    def gains(self, starts: Array, ends: Array) -> Array:
        """Difference quotients of pairs, to rank them."""


class StackedMap(DifferentiableMap):
    """The map of a stacked form."""

    plan = Plan(4, 8, 3, 3, 0.15, (-2, 0.5))
    finalists = 3
    distances = np.arange(1, -28, -1)

    def __init__(self, form: StackedForm) -> None:
        self.form = form
        self.inputs, self.outputs, self.neurons = form.inputs, form.outputs, form.neurons
        # Small blocks cost what calling NumPy costs: count a few thousand operations a block and point for that.
        self.cost = 2.0 * sum(b.weights.size for b in form.blocks.values()) + 4e3 * max(len(form.blocks), 1)

    def forward(self, points: Array) -> tuple[Array, list[Array]]:
        sources, slopes = [points], []
        for number, group in enumerate(self.form.groups, start=1):
            values = self._row(number, sources) + group.bias
            slopes.append(group.derivative(values))
            sources.append(group.evaluate(values))
        return self._row(self.form.output_row, sources), slopes

    def _row(self, to: int, sources: list[Array]) -> Array:
        total = np.zeros((len(sources[0]), self.form.sizes[to]))
        for source, block in self.form.row(to).items():
            total += sources[source] @ block.weights.T
        return total

    def push(self, directions: Array, slopes: list[Array]) -> Array:
        sources = [directions]
        for number, slope in enumerate(slopes, start=1):
            sources.append(slope * self._row(number, sources))
        return self._row(self.form.output_row, sources)

    def back(self, outputs: Array, slopes: list[Array]) -> Array:
        form = self.form
        gradients = [np.zeros((len(outputs), size)) for size in form.sizes]
        gradients[-1] = outputs
        for to in range(form.output_row, 0, -1):
            incoming = gradients[to] if to == form.output_row else gradients[to] * slopes[to - 1]
            for source, block in form.row(to).items():
                gradients[source] += incoming @ block.weights
        return gradients[0]

    def soften(self, slopes: list[Array]) -> list[Array]:
        return [0.8 * s + 0.1 * (g.alpha + g.beta) for s, g in zip(slopes, self.form.groups, strict=True)]

    def scale(self) -> float:
        lengths = []
        for number, group in enumerate(self.form.groups, start=1):
            block = self.form.blocks.get((number, 0))
            if block is not None:
                norm = np.sqrt(np.square(block.weights).sum(axis=1))
                ratio = np.abs(group.bias)[norm > 0] / norm[norm > 0]
                lengths.extend(ratio[np.isfinite(ratio) & (ratio > 0)])
        return float(np.median(lengths)) if lengths else 1.0

    def jacobian(self, point: Array) -> Array | None:
        if min(self.inputs, self.outputs) and self.inputs * max(self.neurons, 1) <= 4e6:
            return self.form.jacobian(point)
        return None

    def gains(self, starts: Array, ends: Array) -> Array:
        return norms(self.forward(starts)[0] - self.forward(ends)[0]) / norms(starts - ends)


class GraphMap(DifferentiableMap):
    """The map of a network graph, without unrolling; `rows` chooses outputs (row major)."""

    # Few evaluations are affordable: long steps, and one power iteration from the direction of the point before.
    plan = Plan(2, 4, 1, 2, 0.4, (-1.5, 0.8))

    def __init__(self, network: Network, operations: float, rows: Sequence[int] | None = None) -> None:
        self.network = network
        self.rows = None if rows is None else np.array(rows, dtype=int)
        self.inputs = int(np.prod(network.input_shape))
        self.size = int(np.prod(network.output_shape))
        self.outputs = self.size if rows is None else len(rows)
        self.last = network_last_uses(network)
        nodes = [n for k, n in enumerate(network.nodes, start=1) if k in self.last]
        self.neurons = sum(
            int(np.prod(n.shape)) for n in nodes if isinstance(n.layer, Activation) and not n.layer.is_linear
        )
        self.cost = 4e3 + sum(_cost(n.layer, n.shape) for n in nodes)
        self.memory = 8.0 * max(sum(int(np.prod(n.shape)) for n in nodes), self.inputs)
        # Pairs are evaluated with error bounds at the end, at six times the cost: at most a quarter of the work.
        affordable = operations / self.cost / 6
        self.finalists = 3 if affordable > 3 * 4 * 3 * 24 else 1
        count = int(np.clip(affordable / (4 * 3 * self.finalists), 6, 24))
        self.distances = np.linspace(1, -22, count)

    def _shape(self, number: int) -> Shape:
        return self.network.input_shape if number == 0 else self.network.nodes[number - 1].shape

    def _chosen(self, values: Array) -> Array:
        values = values.reshape(len(values), -1)
        return values if self.rows is None else values[:, self.rows]

    def _run(self, points: Array, slopes: list[Array] | None) -> tuple[Array, list[Array]]:
        """The network at points, or its derivative in directions where slopes are given."""
        values = {0: points.reshape(len(points), *self.network.input_shape)}
        found: list[Array] = []
        for number, node in enumerate(self.network.nodes, start=1):
            if number not in self.last:
                continue
            given = [values[k] for k in node.inputs]
            if isinstance(node.layer, AffineLayer):
                values[number] = node.layer(*given) if slopes is None else node.layer.linear(*given)
            elif slopes is None:
                found.append(np.broadcast_to(node.layer.derivative(given[0]), given[0].shape))
                values[number] = node.layer(given[0])
            else:
                values[number] = given[0] * slopes[len(found)]
                found.append(slopes[len(found)])
            for k in set(node.inputs):
                if self.last[k] == number:
                    del values[k]
        return self._chosen(values[self.network.output]), found

    def forward(self, points: Array) -> tuple[Array, list[Array]]:
        return self._run(points, None)

    def push(self, directions: Array, slopes: list[Array]) -> Array:
        return self._run(directions, slopes)[0]

    def back(self, outputs: Array, slopes: list[Array]) -> Array:
        count = len(outputs)
        if self.rows is not None:
            whole = np.zeros((count, self.size))
            np.add.at(whole.T, self.rows, outputs.T)
            outputs = whole
        gradients = {self.network.output: outputs.reshape(count, *self.network.output_shape)}
        left = len(slopes)
        for number in range(len(self.network.nodes), 0, -1):
            if number not in self.last:
                continue
            node, gradient = self.network.nodes[number - 1], gradients.pop(number)
            if isinstance(node.layer, AffineLayer):
                parts = adjoint(node.layer, gradient, *(self._shape(k) for k in node.inputs))
            else:
                left -= 1
                parts = (gradient * slopes[left],)
            for k, part in zip(node.inputs, parts, strict=True):
                gradients[k] = gradients[k] + part if k in gradients else part
        if 0 not in gradients:
            return np.zeros((count, self.inputs))
        return gradients[0].reshape(count, -1)

    def soften(self, slopes: list[Array]) -> list[Array]:
        layers = [n.layer for k, n in enumerate(self.network.nodes, start=1) if k in self.last]
        ends = [np.asarray(a.alpha) + np.asarray(a.beta) for a in layers if isinstance(a, Activation)]
        return [0.8 * s + 0.1 * e for s, e in zip(slopes, ends, strict=True)]

    def scale(self) -> float:
        # Norms of rows are estimated with random directions; a value behind an activation is None.
        count = 16
        directions = np.random.default_rng(0).standard_normal((count, self.inputs)) / np.sqrt(count)
        values: list[tuple[Array, Array] | None] = [
            (np.zeros((1, *self.network.input_shape)), directions.reshape(count, *self.network.input_shape))
        ]
        lengths = []
        for number, node in enumerate(self.network.nodes, start=1):
            given = [values[k] for k in node.inputs]
            known = [g for g in given if g is not None]
            values.append(None)
            if len(known) < len(given) or number not in self.last:
                continue
            if isinstance(node.layer, AffineLayer):
                values[-1] = (node.layer(*(g[0] for g in known)), node.layer.linear(*(g[1] for g in known)))
            else:
                bias, norm = np.abs(known[0][0][0]), np.sqrt(np.square(known[0][1]).sum(axis=0))
                ratio = bias[norm > 0] / norm[norm > 0]
                lengths.append(ratio[np.isfinite(ratio) & (ratio > 0)])
        found = np.concatenate(lengths) if lengths else np.zeros(0)
        return float(np.median(found)) if len(found) else 1.0

    def jacobian(self, point: Array) -> Array | None:
        if not 0 < self.outputs <= 32 or self.outputs * self.memory > 2**30:
            return None
        _, slopes = self.forward(point[None])
        return self.back(np.eye(self.outputs), slopes)

    def gains(self, starts: Array, ends: Array) -> Array:
        rows = None if self.rows is None else self.rows.tolist()
        largest = max(int(2**28 / self.memory), 1)  # in parts, for the memory
        parts = [
            norms(sure_difference(self.network, starts[k : k + largest], ends[k : k + largest], rows))
            for k in range(0, len(starts), largest)
        ]
        return np.concatenate(parts) / norms(starts - ends)


def _cost(layer: AffineLayer | Activation, shape: Shape) -> float:
    """Operations of one evaluation of a layer, and what calling NumPy and moving the entries costs."""
    entries = int(np.prod(shape))
    if isinstance(layer, Conv2d):
        return 2.0 * entries * layer.terms + entries * 25.0 * layer.kernel.shape[2] * layer.kernel.shape[3] + 4e3
    if isinstance(layer, Dense):
        return 2.0 * entries * layer.terms + 4e3
    return 60.0 * entries + 4e3


def norms(rows: Array) -> Array:
    """Euclidean norms of rows, without overflow."""
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    return largest * np.sqrt(np.square(rows / safe[:, None]).sum(axis=1))


def unit(rows: Array) -> Array:
    """Rows divided by their norms; zero rows stay."""
    lengths = norms(rows)
    largest = np.max(np.abs(rows), axis=1, initial=0.0)
    scaled = rows / np.where(largest > 0, largest, 1.0)[:, None]
    relative = np.where(largest > 0, lengths / np.where(largest > 0, largest, 1.0), 1.0)
    return scaled / relative[:, None]

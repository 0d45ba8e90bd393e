"""The map of a network graph, layer by layer, without unrolling convolutions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdpcert.attained.maps import CALL, AtNeurons, Kinked, Neurons, SearchedMap
from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Shape
from sdpcert.network.graph import Network

Array = np.ndarray


class _ActivationNeurons(Neurons):
    """An activation of a graph, on tensors."""

    def __init__(self, activation: Activation) -> None:
        self.activation = activation
        self.kink_at_zero = activation.pieces is not None
        self.elementwise = activation.coupled == 1

    @staticmethod
    def of(activation: Activation) -> Neurons:
        """The neurons of an activation by the quickest way."""
        pieces = activation.pieces
        return _ActivationNeurons(activation) if pieces is None else Kinked(*map(np.asarray, pieces))

    def __call__(self, values: Array) -> Array:
        return self.activation(values)

    def derivative(self, values: Array) -> Array:
        return np.broadcast_to(self.activation.derivative(values), values.shape)


class GraphMap(SearchedMap):
    """The map of a network graph; `rows` chooses outputs (row major)."""

    def __init__(self, network: Network, rows: Sequence[int] | None = None) -> None:
        self.network = network
        self.rows = None if rows is None else np.array(rows, dtype=int)
        self.inputs = self.all_inputs = int(np.prod(network.input_shape))
        self.all_outputs = int(np.prod(network.output_shape))
        self.outputs = self.all_outputs if rows is None else len(rows)
        self.last = network.last_uses
        #: Numbers of the nodes that the output depends on, with the group of each nonlinear activation.
        self.used = [k for k in range(1, len(network.nodes) + 1) if k in self.last]
        nodes = {k: network.nodes[k - 1] for k in self.used}
        activations = {k: n.layer for k, n in nodes.items() if isinstance(n.layer, Activation)}
        nonlinear = {k: a for k, a in activations.items() if not a.is_linear}
        self.number = {k: group for group, k in enumerate(nonlinear)}
        self.groups = tuple(_ActivationNeurons.of(a) for a in nonlinear.values())
        self.size = sum(int(np.prod(nodes[k].shape)) for k in nonlinear)
        costs = [_cost(n.layer, n.shape) for n in nodes.values()]
        self.cost = sum(operations for operations, _ in costs)
        self.overhead = CALL * sum(calls for _, calls in costs)

    def _shape(self, number: int) -> Shape:
        return self.network.input_shape if number == 0 else self.network.nodes[number - 1].shape

    def sweep(self, rows: Array, count: int, at_neurons: AtNeurons) -> Array:
        values = {0: rows.reshape(len(rows), *self.network.input_shape)}
        for number in self.used:
            node = self.network.nodes[number - 1]
            given = [values[k] for k in node.inputs]
            if isinstance(node.layer, AffineLayer):
                value = node.layer.linear(*given)
                offset = node.layer.offset()
                if count and np.any(offset):
                    value = value if value.base is None and value is not given[0] else value.copy()
                    value[:count] += offset
            elif number in self.number:
                value = node.layer.summed(at_neurons(self.number[number], given[0]))
            else:
                value = given[0] * node.layer.alpha
            values[number] = value
            for k in set(node.inputs):
                if self.last[k] == number:
                    del values[k]
        output = values[self.network.output].reshape(len(rows), -1)
        return output if self.rows is None else output[:, self.rows]

    def back(self, rows: Array, at_neurons: AtNeurons) -> Array:
        count = len(rows)
        if self.rows is not None:
            whole = np.zeros((count, self.all_outputs))
            np.add.at(whole.T, self.rows, rows.T)
            rows = whole
        gradients = {self.network.output: rows.reshape(count, *self.network.output_shape)}
        for number in reversed(self.used):
            node, gradient = self.network.nodes[number - 1], gradients.pop(number)
            if isinstance(node.layer, AffineLayer):
                parts = node.layer.adjoint(gradient, *(self._shape(k) for k in node.inputs))
            elif number in self.number:
                parts = (at_neurons(self.number[number], node.layer.unsummed(gradient)),)
            else:
                parts = (gradient * node.layer.alpha,)
            for k, part in zip(node.inputs, parts, strict=True):
                gradients[k] = gradients[k] + part if k in gradients else part
        if 0 not in gradients:
            return np.zeros((count, self.inputs))
        return gradients[0].reshape(count, -1)

    def lift(self, rows: Array) -> Array:
        return rows

    def coordinates(self, point: Array) -> Array:
        return point


def _cost(layer: AffineLayer | Activation, shape: Shape) -> tuple[float, float]:
    """About how many operations one row takes in a layer, and how many calls of NumPy a batch."""
    if isinstance(layer, Activation):
        return 20.0 * float(np.prod(shape)), 3.0
    return layer.operations(shape), layer.calls

"""A network as a graph of affine layers and elementwise activations, evaluated in NumPy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from sdpcert.network.activations import Activation, activation_by_name
from sdpcert.network.affine import AffineLayer, Dense, Rearrange, Scale, Shape
from sdpcert.network.piecewise_linear import Clip

if TYPE_CHECKING:
    from sdpcert.network.stacked import StackedForm
    from sdpcert.network.value_numbers import Sharing

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Node:
    """One layer and the values it reads: 0 is the network's input, k the output of node k (counted from 1)."""

    layer: AffineLayer | Activation
    inputs: tuple[int, ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class Network:
    """What is certified: an acyclic graph of affine layers and elementwise activations.

    `input_shape` is without batch axis; the value numbered `output` is the network's output. Build one with
    `Graph`, with `Network.mlp`, or with a reader (`sdpcert.load`). `source` says where it came from.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]
    output: int
    source: str = ""
    details: dict[str, str] = field(default_factory=dict)

    @property
    def output_shape(self) -> Shape:
        """Shape of the output without batch axis."""
        return self.input_shape if self.output == 0 else self.nodes[self.output - 1].shape

    def __call__(self, inputs: Array) -> Array:
        """Evaluate in float64; `inputs` is one input of `input_shape`, or a batch of them."""
        inputs = np.asarray(inputs, dtype=float)
        single = inputs.shape == self.input_shape
        if single:
            inputs = inputs[None]
        if inputs.shape[1:] != self.input_shape:
            raise ValueError(f"the network reads inputs of shape {self.input_shape}, not {inputs.shape}")
        values = [inputs]
        for node in self.nodes:
            values.append(node.layer(*(values[k] for k in node.inputs)))
        return values[self.output][0] if single else values[self.output]

    @cached_property
    def stacked(self) -> StackedForm:
        """The network as v = K z + b, z = phi(v), y = F z + c, neurons that read the same being one (built once)."""
        from sdpcert.network.stacked import stack

        return stack(self)

    @cached_property
    def unshared(self) -> StackedForm:
        """The stacked form with a neuron for every entry of every activation (built once)."""
        from sdpcert.network.stacked import stack

        return stack(self, share=False)

    @cached_property
    def sharing(self) -> dict[int, Sharing]:
        """Which neurons read the same (`sdpcert.network.value_numbers`; found once)."""
        from sdpcert.network.value_numbers import share_neurons

        return share_neurons(self)

    def shape(self, value: int) -> Shape:
        """Shape of a value without batch axis."""
        return self.input_shape if value == 0 else self.nodes[value - 1].shape

    @cached_property
    def last_uses(self) -> dict[int, int]:
        """For every value that the output depends on, the last node that reads it; the output outlives all nodes."""
        last = {self.output: len(self.nodes) + 1}
        for number in range(len(self.nodes), 0, -1):
            if number in last:
                for k in self.nodes[number - 1].inputs:
                    last.setdefault(k, number)
        return last

    def between(self, start: int, end: int) -> Network:
        """The network from the value numbered `start` to the value numbered `end`, whose values are `path(start, end)`.

        Raises ValueError if something before `start` reaches `end` by another way.
        """
        graph = Graph(self.shape(start))
        number = {start: 0}
        for k in self.path(start, end):
            node = self.nodes[k - 1]
            number[k] = graph.add(node.layer, *(number[i] for i in node.inputs))
        return graph.network(number[end], source=f"a part of {self.source}")

    def path(self, start: int, end: int) -> list[int]:
        """The values after `start` that the value numbered `end` depends on, itself included, in order.

        Raises ValueError if something before `start` reaches `end` by another way.
        """
        needed, open_values = set(), [end]
        while open_values:
            k = open_values.pop()
            if k == start or k in needed:
                continue
            if k == 0 or k < start:
                raise ValueError(f"value {end} does not depend on value {start} alone")
            needed.add(k)
            open_values.extend(self.nodes[k - 1].inputs)
        return sorted(needed)

    def followed_by(self, layer: AffineLayer, source: str | None = None) -> Network:
        """The network with one more affine layer after its output."""
        nodes = (*self.nodes, Node(layer, (self.output,), layer.output_shape(self.output_shape)))
        return Network(self.input_shape, nodes, len(nodes), source or self.source, dict(self.details))

    @property
    def neurons(self) -> int:
        """Number of nonlinear neurons."""
        return sum(
            int(np.prod(n.shape)) for n in self.nodes if isinstance(n.layer, Activation) and not n.layer.is_linear
        )

    @staticmethod
    def mlp(
        weights: Sequence[Array], biases: Sequence[Array | None] | None = None, activation: str | Activation = "relu"
    ) -> Network:
        """A chain of dense layers with one activation between them.

        `weights` are (out, in) arrays; `biases` are (out,) arrays or None; `activation` is an `Activation`, the name of
        one, or "maxmin" (neurons (0, 1), (2, 3), ... sorted upwards in pairs). Raises ValueError where shapes do not
        chain, a value is not finite, or a layer is empty.
        """
        from sdpcert.network.piecewise import maxmin

        weights = [_checked(w, f"weight {k}", 2) for k, w in enumerate(weights)]
        if not weights:
            raise ValueError("a network needs at least one weight matrix")
        if biases is None:
            biases = [None] * len(weights)
        if len(biases) != len(weights):
            raise ValueError(f"{len(weights)} weights but {len(biases)} biases")
        graph = Graph((weights[0].shape[1],))
        value = 0
        for k, (weight, bias) in enumerate(zip(weights, biases, strict=True)):
            if k:
                if activation == "maxmin":
                    value = maxmin(graph, value)
                else:
                    kind = activation_by_name(activation) if isinstance(activation, str) else activation
                    value = graph.add(kind, value)
            if bias is not None:
                bias = _checked(bias, f"bias {k}").ravel()
                if bias.shape != weight.shape[:1]:
                    raise ValueError(f"bias {k} has {bias.size} entries for a weight of shape {weight.shape} (out, in)")
            try:
                value = graph.add(Dense(weight, bias), value)
            except ValueError:
                before = weights[k - 1].shape
                raise ValueError(
                    f"weight {k} has shape {weight.shape}, the one before {before}; every weight must be (out, in)"
                ) from None
        return graph.network(value, source="mlp")


class Graph:
    """Builds a `Network` node by node.

    Values are numbers, 0 is the input:

        graph = Graph((64,))
        hidden = graph.add(relu(), graph.add(Dense(W0, b0), 0))
        network = graph.network(graph.add(Dense(W1, b1), hidden))
    """

    def __init__(self, input_shape: Shape) -> None:
        self.input_shape = tuple(int(k) for k in input_shape)
        if any(k <= 0 for k in self.input_shape):
            raise ValueError(f"the input shape {self.input_shape} has an empty axis")
        self.nodes: list[Node] = []

    def shape(self, value: int) -> Shape:
        """Shape of a value without batch axis."""
        return self.input_shape if value == 0 else self.nodes[value - 1].shape

    def add(self, layer: AffineLayer | Activation, *inputs: int) -> int:
        """Append a layer that reads the given values and return the number of its output."""
        shapes = [self.shape(k) for k in inputs]
        if isinstance(layer, Clip) and np.array_equal(layer.lower, layer.upper):  # a constant, not a neuron
            layer = Scale(0.0, layer.lower)
        if isinstance(layer, AffineLayer):
            shape = tuple(layer.output_shape(*shapes))
        else:
            shape = shapes[0]
            np.broadcast_to(layer.alpha, shape)  # one slope a channel must fit the tensor
        self.nodes.append(Node(layer, tuple(inputs), shape))
        return len(self.nodes)

    def rearrange(self, value: int, move: object) -> int:
        """Append the rearrangement that `move` (a function of an array) makes of the value's entries."""
        indices = np.arange(int(np.prod(self.shape(value)))).reshape(self.shape(value))
        return self.add(Rearrange(np.asarray(move(indices))), value)  # type: ignore[operator]

    def network(self, output: int, source: str = "", details: dict[str, str] | None = None) -> Network:
        """The finished network with the given value as its output."""
        return Network(self.input_shape, tuple(self.nodes), output, source, details or {})


def _checked(values: object, name: str, dimensions: int | None = None) -> Array:
    try:
        array = np.array(values, dtype=float)
    except (TypeError, ValueError):
        raise ValueError(f"{name} is not a numeric array") from None
    if dimensions is not None and array.ndim != dimensions:
        raise ValueError(f"{name} has {array.ndim} axes, not {dimensions}")
    if array.size == 0:
        raise ValueError(f"{name} is empty")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} has entries that are not finite")
    return array

"""A network, what is certified, and the graph that builds one node by node."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from sdpcert.network.activations import Activation, activation_by_name
from sdpcert.network.affine import AffineLayer, Dense, Rearrange
from sdpcert.network.nodes import GraphBuilder, LayerGraph, Node
from sdpcert.network.piecewise import maxmin
from sdpcert.network.sharing import Sharing
from sdpcert.network.stacked import StackedForm
from sdpcert.network.stacking import stack
from sdpcert.network.value_numbers import share_neurons

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Network(LayerGraph):
    """What is certified: an acyclic graph of affine layers and elementwise activations.

    `input_shape` is without batch axis; the value numbered `output` is the network's output. Build one with
    `Graph`, with `Network.mlp`, or with a reader (`sdpcert.load`). `source` says where it came from.
    """

    source: str = ""
    details: dict[str, str] = field(default_factory=dict)

    @cached_property
    def stacked(self) -> StackedForm:
        """The network as v = K z + b, z = phi(v), y = F z + c, neurons that read the same being one (built once)."""
        return stack(self)

    @cached_property
    def unshared(self) -> StackedForm:
        """The stacked form with a neuron for every entry of every activation (built once)."""
        return stack(self, share=False)

    @cached_property
    def exactly_stacked(self) -> StackedForm:
        """A stacked form without radii wherever the layers' own weights are exact (built once).

        Neurons are not shared, and linear values whose later products two float64 do not hold are neurons of slope 1.
        """
        return stack(self, share=False, merged=False)

    @cached_property
    def carried(self) -> StackedForm:
        """The stacked form whose last group has one neuron of slope 1 for each output (built once)."""
        return stack(self, carried=True).without_unread()

    @cached_property
    def sharing(self) -> dict[int, Sharing]:
        """Which neurons read the same (`sdpcert.network.value_numbers`; found once)."""
        return share_neurons(self)

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

    def followed_by(self, layer: AffineLayer, source: str | None = None) -> Network:
        """The network with one more affine layer after its output."""
        nodes = (*self.nodes, Node(layer, (self.output,), layer.output_shape(self.output_shape)))
        return Network(self.input_shape, nodes, len(nodes), source or self.source, dict(self.details))

    def output_pair(self, one: int, other: int) -> Network:
        """The network whose only output is that of row `one` minus that of row `other` (row major, counted from 0).

        Raises ValueError for a row that does not exist, or the same row twice.
        """
        outputs = int(np.prod(self.output_shape))
        for row in (one, other):
            if not 0 <= row < outputs:
                raise ValueError(f"output row {row} does not exist; the network has rows 0 to {outputs - 1}")
        if one == other:
            raise ValueError(f"output row {one} is named twice")
        return self.followed_by(Rearrange(np.array([one, other]))).followed_by(Dense(np.array([[1.0, -1.0]])))

    @staticmethod
    def mlp(
        weights: Sequence[Array], biases: Sequence[Array | None] | None = None, activation: str | Activation = "relu"
    ) -> Network:
        """A chain of dense layers with one activation between them.

        `weights` are (out, in) arrays; `biases` are (out,) arrays or None; `activation` is an `Activation`, the name of
        one, or "maxmin" (neurons (0, 1), (2, 3), ... sorted upwards in pairs). Raises ValueError if shapes do not
        chain, a value is not finite, or a layer is empty.
        """
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


class Graph(GraphBuilder):
    """Builds a `Network` node by node.

    Values are numbers, 0 is the input:

        graph = Graph((64,))
        hidden = graph.add(relu(), graph.add(Dense(W0, b0), 0))
        network = graph.network(graph.add(Dense(W1, b1), hidden))
    """

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

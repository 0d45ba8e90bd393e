"""Nodes of affine layers and activations, the acyclic graph that they are, and its evaluation in NumPy."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sdpcert.network.activation import Activation
from sdpcert.network.affine import AffineLayer, Rearrange, Scale, Shape
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Node(ShortRepr):
    """One layer and the values it reads: 0 is the network's input, k the output of node k (counted from 1)."""

    layer: AffineLayer | Activation
    inputs: tuple[int, ...]
    shape: Shape


@dataclass(frozen=True, eq=False)
class LayerGraph(ShortRepr):
    """An acyclic graph of affine layers and activations, a function of one tensor.

    `input_shape` is without batch axis; the value numbered `output` is the output.
    """

    input_shape: Shape
    nodes: tuple[Node, ...]
    output: int

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

    @property
    def neurons(self) -> int:
        """Number of nonlinear neurons."""
        return sum(
            int(np.prod(n.shape)) for n in self.nodes if isinstance(n.layer, Activation) and not n.layer.is_linear
        )


class GraphBuilder:
    """Collects nodes one by one; values are numbers, 0 is the input."""

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
        if isinstance(layer, Activation) and layer.constant is not None:  # no neuron
            layer = Scale(0.0, layer.constant)
        if isinstance(layer, AffineLayer):
            shape = tuple(layer.output_shape(*shapes))
        else:
            shape = shapes[0]
            layer.check_shape(shape)
        self.nodes.append(Node(layer, tuple(inputs), shape))
        return len(self.nodes)

    def rearrange(self, value: int, move: Callable[[Array], Array]) -> int:
        """Append the rearrangement that `move` makes of the value's entries."""
        indices = np.arange(int(np.prod(self.shape(value)))).reshape(self.shape(value))
        return self.add(Rearrange(np.asarray(move(indices))), value)

    def space_to_depth(self, value: int, factor: int) -> int:
        """Append the move of the pixels of cells of `factor` by `factor` into channels, in the order of torch's
        `PixelUnshuffle`.

        Raises ValueError if `factor` does not divide the image.
        """
        channels, height, width = self.shape(value)
        if height % factor or width % factor:
            raise ValueError(f"an image of {height} x {width} pixels has no cells of {factor} x {factor}")
        rows, columns = height // factor, width // factor
        cells = (channels, rows, factor, columns, factor)
        moved = (channels * factor**2, rows, columns)
        return self.rearrange(value, lambda image: image.reshape(cells).transpose(0, 2, 4, 1, 3).reshape(moved))

"""A network rewritten so that its images are (channels, height, width), whatever order of axes it keeps them in.

Frameworks store images with the channels last, flatten them between layers, or join branches as flat vectors and put
the entries in order afterwards. All of that only permutes entries, and elementwise layers do not mind: so a
permutation that is no regular pick of pixels is carried along as the layout of a value, past elementwise layers, sums
and concatenations, until a layer reads the value in its own order.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.affine import AffineLayer, Concat, Rearrange, Shape
from sdpcert.network.filters import NotInvariant
from sdpcert.network.graph import Graph, Network
from sdpcert.network.nodes import Node

Array = np.ndarray
LAST = (1, 2, 0)  # channels last


@dataclass(frozen=True, eq=False)
class Arranged:
    """A network in which images are images, and how its input and output follow from the original's.

    Entry k of its flat input is entry `inputs[k]` of the original's, and entry k of the original's output is entry
    `outputs[k]` of its output. `values` are the original's values in the new network, None if that is the original.
    """

    network: Network
    inputs: Array
    outputs: Array
    values: list[_Value] | None = None

    @staticmethod
    def unchanged(network: Network) -> Arranged:
        """The network as it is."""
        inputs, outputs = (np.arange(int(np.prod(shape))) for shape in (network.input_shape, network.output_shape))
        return Arranged(network, inputs, outputs)

    def number(self, value: int) -> int:
        """The number that a value of the original has."""
        return value if self.values is None else self.values[value].number

    def entries(self, value: int, entries: Array | float) -> Array | float:
        """What broadcasts against a value of the original, as it broadcasts against that value of the network."""
        if self.values is None or np.ndim(entries) == 0:
            return entries
        return self.values[value].arrange(entries, self.network.shape(self.values[value].number))


@dataclass(frozen=True, eq=False)
class _Value:
    """A value of the original network: its entries, row major, are entries `order` of value `number` of the new one."""

    number: int
    order: Array

    @property
    def shape(self) -> Shape:
        """The shape in the original network."""
        return self.order.shape

    def is_natural(self, shape: Shape) -> bool:
        """Whether the value is the new one of that shape, entry by entry."""
        return self.shape == shape and _ascends(self.order)

    def arrange(self, entries: Array | float, shape: Shape) -> Array | float:
        """What broadcasts against the original's tensor, in the order of the new one of that shape."""
        if np.ndim(entries) == 0 or self.is_natural(shape):
            return entries
        full = np.empty(self.order.size)
        full[self.order.ravel()] = np.broadcast_to(entries, self.shape).ravel()
        return full.reshape(shape)


def arranged(network: Network) -> Arranged:
    """The network with every image that is only stored in another order as (channels, height, width).

    Its values are those of the network up to the order of their entries; a network without such layouts stays as it
    is.
    """
    if not any(_moves(network, n) for n in network.nodes):
        return Arranged.unchanged(network)
    size = int(np.prod(network.input_shape))
    first = _first_image(network)
    inputs = np.arange(size).reshape(network.input_shape) if first is None else first
    return _Rewriting(network, inputs).result()


def _first_image(network: Network) -> Array | None:
    """The input's entries as the first convolution reads them, or None if that is a regular pick, or is not all of
    them.
    """
    entries = np.arange(int(np.prod(network.input_shape))).reshape(network.input_shape)
    moved = {0: entries}
    for number, node in enumerate(network.nodes, start=1):
        read = moved.get(node.inputs[0])
        if read is None:
            continue
        layer = node.layer
        if isinstance(layer, Activation) and layer.coupled == 1:
            moved[number] = read
        elif isinstance(layer, Activation):
            continue
        elif layer.reads_images:
            return None if len(network.input_shape) == 3 and _is_pick(read, network.input_shape) else read
        elif len(node.inputs) == 1 and (places := layer.places(network.shape(node.inputs[0]))) is not None:
            if _is_permutation(places, read.size):
                moved[number] = read.ravel()[places]
        elif len(node.inputs) == 1 and layer.is_elementwise:
            moved[number] = read
    return None


def _moves(network: Network, node: Node) -> bool:
    """Whether a node only moves the entries of one value."""
    if isinstance(node.layer, Activation) or len(node.inputs) != 1:
        return False
    return node.layer.places(network.shape(node.inputs[0])) is not None


def _is_permutation(indices: Array, size: int) -> bool:
    return indices.size == size and bool(np.array_equal(np.sort(indices, axis=None), np.arange(size)))


def _is_pick(indices: Array, shape: Shape) -> bool:
    """Whether a rearrangement of an image is one between images on the lattice."""
    try:
        Rearrange(indices).stencil(shape, indices.shape)
    except NotInvariant:
        return False
    return True


class _Rewriting:
    def __init__(self, network: Network, inputs: Array) -> None:
        self.network, self.inputs = network, inputs
        self.graph = Graph(inputs.shape)
        order = np.empty(inputs.size, dtype=int)
        order[inputs.ravel()] = np.arange(inputs.size)
        self.values = [_Value(0, order.reshape(network.input_shape))]

    def result(self) -> Arranged:
        for node in self.network.nodes:
            self.values.append(self._node(node.layer, [self.values[k] for k in node.inputs], node.shape))
        output = self.values[self.network.output]
        if len(output.shape) != 3:  # rows of a vector can be chosen
            output = self._natural(self._literal(output))
        network = self.graph.network(output.number, self.network.source, dict(self.network.details))
        return Arranged(network, self.inputs.ravel(), output.order.ravel(), self.values)

    def _natural(self, number: int) -> _Value:
        shape = self.graph.shape(number)
        return _Value(number, np.arange(int(np.prod(shape))).reshape(shape))

    def _is_natural(self, value: _Value) -> bool:
        return value.is_natural(self.graph.shape(value.number))

    def _literal(self, value: _Value) -> int:
        """The number of the value with its entries in the original's order and shape."""
        if self._is_natural(value):
            return value.number
        return self.graph.add(Rearrange(value.order), value.number)

    def _node(self, layer: AffineLayer | Activation, given: list[_Value], shape: Shape) -> _Value:
        if isinstance(layer, Activation) and layer.coupled > 1:
            return self._natural(self.graph.add(layer, self._literal(given[0])))
        if isinstance(layer, Activation):
            return replace(given[0], number=self._add(self._activation(layer, given[0]), given[0]))
        if layer.is_elementwise:
            return self._elementwise(layer, given)
        places = layer.places(*(v.shape for v in given))
        if places is not None:
            return self._rearrange(places, given[0]) if len(given) == 1 else self._join(layer, places, given)
        if len(given) == 1 and self._is_last(given[0]):
            on_channels = layer.on_channels()
            if on_channels is not None:
                return self._last(self._add(on_channels, given[0]))
        return self._natural(self.graph.add(layer, *map(self._literal, given)))

    def _add(self, layer: AffineLayer | Activation, *values: _Value) -> int:
        return self.graph.add(layer, *(v.number for v in values))

    def _arrange(self, value: _Value, entries: Array | float) -> Array | float:
        """What broadcasts against the original's tensor, in the order of the new one."""
        return value.arrange(entries, self.graph.shape(value.number))

    def _activation(self, layer: Activation, value: _Value) -> Activation:
        if self._is_natural(value):
            return layer
        given = {f.name: getattr(layer, f.name) for f in fields(layer)}
        return replace(layer, **{name: self._arrange(value, v) for name, v in given.items()})

    def _rearrange(self, places: Array, value: _Value) -> _Value:
        image, shape = self.graph.shape(value.number), places.shape
        flat = value.order.ravel()
        order = np.where(places >= 0, flat[places], -1)
        if shape == image and _ascends(order):
            return _Value(value.number, order)
        pixels = len(image) == 3 and image[1:] != (1, 1)
        if pixels and not (len(shape) == 3 and _is_pick(order, image)):
            if _is_permutation(order, flat.size):
                return _Value(value.number, order)
            if self._is_last(value) and len(shape) == 3:
                channels_first = np.moveaxis(order, -1, 0)
                if _is_pick(channels_first, image):
                    return self._last(self.graph.add(Rearrange(channels_first), value.number))
        return self._natural(self.graph.add(Rearrange(order), value.number))

    def _is_last(self, value: _Value) -> bool:
        """Whether the value is an image with the channels last."""
        image = self.graph.shape(value.number)
        if len(image) != 3 or image[1:] == (1, 1) or len(value.shape) != 3:
            return False
        return np.array_equal(value.order, np.arange(value.order.size).reshape(image).transpose(LAST))

    def _last(self, number: int) -> _Value:
        image = self.graph.shape(number)
        return _Value(number, np.arange(int(np.prod(image))).reshape(image).transpose(LAST))

    def _elementwise(self, layer: AffineLayer, given: list[_Value]) -> _Value:
        """Arguments in the order of the first one that is an image."""
        lead = next((v for v in given if len(self.graph.shape(v.number)) == 3), given[0])
        image, inverse = self.graph.shape(lead.number), np.empty(lead.order.size, dtype=int)
        inverse[lead.order.ravel()] = np.arange(lead.order.size)
        numbers = [self._literal(replace(v, order=v.order.ravel()[inverse].reshape(image))) for v in given]
        layer = layer.reordered(lambda entries: self._arrange(lead, entries))
        return replace(lead, number=self.graph.add(layer, *numbers))

    def _join(self, layer: AffineLayer, places: Array, given: list[_Value]) -> _Value:
        """Images of one size are joined along their channels, in whatever order the original has their entries."""
        images = [self.graph.shape(v.number) for v in given]
        sizes = [v.order.size for v in given]
        together = all(len(i) == 3 and i[1:] == images[0][1:] != (1, 1) for i in images)
        if not together or not _is_permutation(places, sum(sizes)):
            return self._natural(self.graph.add(layer, *map(self._literal, given)))
        starts = np.cumsum([0, *sizes])
        orders = np.concatenate([v.order.ravel() + start for v, start in zip(given, starts, strict=False)])
        return _Value(self.graph.add(Concat(0), *(v.number for v in given)), orders[places])


def _ascends(order: Array) -> bool:
    return bool(np.array_equal(order.ravel(), np.arange(order.size)))

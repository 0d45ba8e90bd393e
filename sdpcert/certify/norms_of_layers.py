"""The proved norms of a network's affine layers, one by one, and the product of norms up to each of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from math import inf, nextafter

import numpy as np

from sdpcert.certificate.certificate import Certificate
from sdpcert.certify.passages import passages
from sdpcert.network.activation import Activation
from sdpcert.network.affine import AffineLayer, Shape
from sdpcert.network.graph import Network
from sdpcert.network.nodes import Node
from sdpcert.running.choices import Form
from sdpcert.running.short_repr import ShortRepr

#: Proves the norm of a network of one affine layer, in this form.
Prover = Callable[[Network, Form], Certificate]
#: Coefficients above which the norm of a layer between images is found over frequencies: unrolled it is a matrix.
LARGEST_MATRIX = 2**21


@dataclass(frozen=True, eq=False)
class LayerBound(ShortRepr):
    """One layer: the `value` of the network that it gives (counted from 1), its kind, and the shapes of both ends.

    `upper` is a proved bound of its l2 norm, `lower` the largest ratio that two inputs of it were found to attain,
    rounded down, and `certificate` has both. Where paths meet there is none: `upper` is then the sum of what they bring
    over what the stage was given, and `lower` None. Of an activation, which is listed where it stretches, `upper` is
    the largest slope that it is known to have. `product` is the product of norms from the network's input to here.
    """

    value: int
    kind: str
    inputs: tuple[Shape, ...]
    output: Shape
    upper: float
    lower: float | None
    product: float
    certificate: Certificate | None = None

    @property
    def text(self) -> str:
        """The layer in a sentence."""
        ends = [" x ".join(map(str, shape)) for shape in (self.inputs[0], self.output)]
        return f"layer {self.value} ({self.kind}, {ends[0]} to {ends[1]})"


def norms_of_layers(network: Network, prove: Prover) -> list[LayerBound]:
    """The layers that the output depends on and that compute something, in order.

    Layers that only move entries are left out, and activations that stretch nothing.
    """
    reached, layers, start = {0: 1.0}, [], 0
    passed = set(passages(network))
    for value in network.path(0, network.output) if network.output else []:
        node = network.nodes[value - 1]
        bound = _bound(network, value, node, reached, reached[start], prove)
        reached[value] = reached[node.inputs[0]] if bound is None else bound.product
        if bound is not None:
            layers.append(bound)
        start = value if value in passed else start
    return layers


def _bound(
    network: Network, value: int, node: Node, reached: dict[int, float], given: float, prove: Prover
) -> LayerBound | None:
    """The bound of one layer; None if it stretches nothing. `reached` has the products of the values before it."""
    layer, shapes = node.layer, tuple(network.shape(k) for k in node.inputs)
    kind, before, certificate, lower = type(layer).__name__, reached[node.inputs[0]], None, None
    if isinstance(layer, Activation):
        upper = max(float(np.max(np.abs(slopes))) for slopes in (layer.alpha, layer.beta))
        if upper == 1:
            return None
        product = times(before, upper)
    elif len(set(node.inputs)) > 1:
        product = float(layer.gain([reached[k] for k in node.inputs], shapes))
        upper = nextafter(product / given, inf) if given > 0 else 0.0
    elif only_moves(layer, shapes):
        return None
    else:
        certificate = _certified(network.between(node.inputs[0], value), prove)
        upper, lower = certificate.upper, certificate.lower
        product = times(before, upper)
    return LayerBound(value, kind, shapes, node.shape, upper, lower, product, certificate)


def times(one: float, other: float) -> float:
    """The product, rounded up."""
    return 0.0 if 0 in (one, other) else one * other if 1 in (one, other) else nextafter(one * other, inf)


def only_moves(layer: AffineLayer, shapes: tuple[Shape, ...]) -> bool:
    """Whether a layer has every entry of its argument in one place at the most, as it is: its norm is at most one."""
    places = layer.places(*shapes)
    if places is None:
        return False
    moved = places[places >= 0]
    return len(np.unique(moved)) == moved.size


def _certified(own: Network, prove: Prover) -> Certificate:
    """The certificate of one layer; a large one between images is bounded over frequencies if it is a convolution."""
    unrolled = math.prod(own.input_shape) * math.prod(own.output_shape)
    if unrolled > LARGEST_MATRIX and len(own.input_shape) == len(own.output_shape) == 3:
        with suppress(ValueError):  # not the same at all pixels
            found = prove(own, "frequency")
            if found.status == "proved":
                return found
    return prove(own, "auto")

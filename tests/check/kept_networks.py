"""The networks that the kept certificates of earlier versions are about, with weights that every machine gets alike."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

import sdpcert
from sdpcert.network.activations import leaky_relu, relu, tanh
from sdpcert.network.affine import Conv2d, Dense, Rearrange, Scale, Sum
from sdpcert.network.graph import Graph, Network

#: Four orthogonal vectors of length two.
HADAMARD = np.array([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]])


def weights(seed: int, *shape: int) -> np.ndarray:
    """Multiples of 1/16 between -1/2 and 1/2."""
    return np.random.default_rng(seed).integers(-8, 9, shape) / 16


def dense_relu() -> Network:
    return Network.mlp([weights(0, 5, 3), weights(1, 4, 5), weights(2, 2, 4)], [weights(3, 5), None, weights(4, 2)])


def residual_tanh() -> Network:
    graph = Graph((4,))
    hidden = graph.add(tanh(), graph.add(Dense(weights(5, 6, 4), weights(6, 6)), 0))
    sum_ = graph.add(Sum(), 0, graph.add(Dense(weights(7, 4, 6)), hidden))
    return graph.network(graph.add(Dense(weights(8, 2, 4)), graph.add(tanh(), sum_)), source="residual")


def low_parts() -> Network:
    """The thirds of a normalisation are multiplied into dense layers, which leaves low parts."""
    graph = Graph((3,))
    value = graph.add(Dense(weights(9, 4, 3)), graph.add(Scale(np.full(3, 1 / 3), np.zeros(3)), 0))
    value = graph.add(Scale(np.array([1 / 3, 1 / 5, 1 / 7, 3.0]), np.ones(4)), value)
    return graph.network(graph.add(Dense(weights(10, 2, 4)), graph.add(leaky_relu(0.1), value)), source="normalised")


def wide_input() -> Network:
    return Network.mlp([weights(11, 3, 40), weights(12, 2, 3)])


def maxmin() -> Network:
    return Network.mlp([weights(13, 4, 4), weights(14, 4, 4)], activation="maxmin")


def convolutional_head() -> Network:
    graph = Graph((1, 6, 6))
    value = graph.add(relu(), graph.add(Conv2d(weights(15, 2, 1, 3, 3), padding=(1, 1, 1, 1), stride=(2, 2)), 0))
    value = graph.add(relu(), graph.add(Conv2d(weights(16, 2, 2, 2, 2)), value))
    flat = graph.add(Rearrange(np.arange(8)), value)
    return graph.network(graph.add(Dense(weights(17, 3, 8)), flat), source="convolutional")


def circular_pooled() -> Network:
    graph = Graph((2, 4, 4))
    value = graph.add(Conv2d(weights(18, 3, 2, 3, 3), padding=(1, 1, 1, 1), circular=True), 0)
    mean = graph.add(Conv2d(np.full((3, 1, 4, 4), 1 / 16), groups=3), graph.add(relu(), value))
    flat = graph.add(Rearrange(np.arange(3)), mean)
    return graph.network(graph.add(Dense(weights(21, 2, 3)), flat), source="pooled")


def many_channels() -> Network:
    """A torus of 8 by 8 cells and 220 channels: too large for integers."""
    graph = Graph((1, 8, 8))
    first, second = weights(19, 220, 1, 1, 1) + 1 / 32, weights(20, 1, 220, 1, 1) + 1 / 32  # none is zero
    value = graph.add(relu(), graph.add(Conv2d(first, circular=True), 0))
    return graph.network(graph.add(Conv2d(second, circular=True), value), source="channels")


def orthogonal_maxmin() -> Network:
    return Network.mlp([HADAMARD / 2] * 4, activation="maxmin")


def by_construction() -> Network:
    """Layers of AOL, whose scales are powers of two for these weights."""
    import torch

    from sdpcert import layers

    chain = []
    for _ in range(3):
        layer = layers.AOLLinear(4, 4, bias=False)
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(HADAMARD))
        chain += [layer, torch.nn.ReLU()]
    return sdpcert.from_torch(torch.nn.Sequential(*chain[:-1]).eval(), (4,))


#: Name of the kept file, network, method, other arguments of `certify`.
KEPT: dict[str, tuple[Callable[[], Network], str, dict[str, object]]] = {
    "dense-relu": (dense_relu, "neuron", {}),
    "dense-relu-layer": (dense_relu, "layer", {}),
    "dense-relu-rows": (dense_relu, "neuron", {"output_rows": [1]}),
    "residual-tanh": (residual_tanh, "neuron", {}),
    "low-parts": (low_parts, "neuron", {}),
    "wide-input": (wide_input, "neuron", {}),
    "maxmin": (maxmin, "neuron", {}),
    "convolutional-head": (convolutional_head, "neuron", {"form": "frequency"}),
    "convolutional-head-composed": (convolutional_head, "layer", {"form": "frequency", "head": "composed"}),
    "circular-pooled": (circular_pooled, "neuron", {"form": "frequency"}),
    "many-channels": (many_channels, "product", {"form": "frequency"}),
    "orthogonal-maxmin": (orthogonal_maxmin, "product", {}),
    "by-construction": (by_construction, "by-construction", {}),
}

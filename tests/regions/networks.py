"""Small networks of all kinds, regions, and points of regions."""

from __future__ import annotations

import itertools

import numpy as np

from sdpcert import Network
from sdpcert.network import activations as act
from sdpcert.network.affine import Dense, Sum
from sdpcert.network.graph import Graph
from sdpcert.network.piecewise import maxmin
from sdpcert.network.piecewise_linear import Softshrink
from sdpcert.regions import Ball, Box, Region

Array = np.ndarray

PIECEWISE_LINEAR = {
    "relu": act.relu(),
    "leaky_relu": act.leaky_relu(0.1),
    "steep": act.leaky_relu(2.0),
    "abs": act.absolute(),
    "hardtanh": act.clip(-0.5, 1.0),
    "softshrink": Softshrink(0.3),
}
SMOOTH = {
    "tanh": act.tanh(),
    "sigmoid": act.sigmoid(),
    "elu": act.elu(),
    "celu": act.celu(),
    "selu": act.selu(),
    "softplus": act.softplus(),
    "softsign": act.softsign(),
    "atan": act.arctan(),
    "sin": act.sin(),
    "cos": act.cos(),
    "erf": act.erf(),
    "gelu": act.gelu(),
    "gelu_tanh": act.gelu_tanh(),
    "silu": act.silu(),
    "mish": act.mish(),
    "hard_swish": act.hard_swish(),
}
ACTIVATIONS: dict[str, act.Activation] = {**PIECEWISE_LINEAR, **SMOOTH}


def chain(rng: np.random.Generator, sizes: list[int], activation: str | act.Activation = "relu") -> Network:
    """Dense layers of these sizes with biases."""
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in itertools.pairwise(sizes)]
    return Network.mlp(weights, [0.3 * rng.standard_normal(len(w)) for w in weights], activation)


def skipping(rng: np.random.Generator, activation: act.Activation) -> Network:
    """A residual block and MaxMin behind it."""
    graph = Graph((3,))
    dense = [Dense(rng.standard_normal(s) / 2, rng.standard_normal(s[0]) / 3) for s in ((4, 3), (4, 4), (4, 4), (2, 4))]
    first = graph.add(activation, graph.add(dense[0], 0))
    second = graph.add(Sum(), graph.add(dense[1], first), first)
    third = maxmin(graph, graph.add(Sum(), graph.add(dense[2], graph.add(activation, second)), second))
    return graph.network(graph.add(dense[3], graph.add(act.relu(), third)))


def region_of(kind: str, rng: np.random.Generator, inputs: int, size: float) -> Region:
    """A box, a ball, or a ball within a box, around a random point."""
    center = rng.standard_normal(inputs)
    box = Box(center - size * rng.uniform(0.2, 1, inputs), center + size * rng.uniform(0.2, 1, inputs))
    if kind == "box":
        return box
    return Ball(center, 1.2 * size, box if kind == "both" else None)


def points_of(region: Region, rng: np.random.Generator, inputs: int, count: int) -> Array:
    """Points of a region, many of them at its ends."""
    low, high = region.box(inputs)
    points = rng.uniform(low, high, (count, inputs))
    points[: count // 3] = np.where(rng.uniform(size=(count // 3, inputs)) < 0.5, low, high)
    if isinstance(region, Ball):
        moves = points - region.center
        lengths = np.linalg.norm(moves, axis=1, keepdims=True)
        points = region.center + moves * np.minimum(1.0, (1 - 1e-15) * region.radius / np.maximum(lengths, 1e-300))
    return np.clip(points, low, high)

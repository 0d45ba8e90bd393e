"""Tiny networks, regions and covers for tests of the checker."""

from __future__ import annotations

from array import array
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.check.activations import PiecewiseLinear
from sdpcert.check.backward_floating import least_values
from sdpcert.check.blocks import Block
from sdpcert.check.cover import Cover
from sdpcert.check.network import Group, Network
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.pieces import Bounded, BoundsStep, Lines, Piece, Split
from sdpcert.check.reading import Rejected
from sdpcert.check.region import Region
from sdpcert.check.state_floating import State
from tests.check.exact_pieces import ExactState

SHAPES = {
    "relu": ([0.0], [0.0, 1.0], [0.0, 0.0]),
    "leaky": ([0.0], [0.1, 1.0], [0.0, 0.0]),
    "hardtanh": ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]),
    "linear": ([], [1.0], [0.0]),
    "abs": ([0.0], [-1.0, 1.0], [0.0, 0.0]),
    "concave": ([0.25], [1.0, 0.25], [0.0, 0.1875]),
    "shifted": ([0.5], [-0.25, 0.75], [0.0, -0.5]),
}


def doubles(values: object) -> array[float]:
    return array("d", np.asarray(values, dtype=float).ravel().tolist())


def integers(values: object) -> array[int]:
    return array("q", np.asarray(values, dtype=int).ravel().tolist())


def group(shape: str, size: int, bias: object, bias_radius: float = 0.0) -> Group:
    starts, slopes, values = SHAPES[shape]
    arrays = [tuple(doubles(np.full(size, x)) for x in some) for some in (starts, slopes, values)]
    low, high = doubles(np.full(size, min(slopes))), doubles(np.full(size, max(slopes)))
    return Group(size, shape, PiecewiseLinear(*arrays), low, high, doubles(bias), doubles(np.full(size, bias_radius)))


def block(target: int, source: int, weights: np.ndarray, radius: float = 0.0, low: np.ndarray | None = None) -> Block:
    rows, columns = weights.shape
    return Block(target, source, rows, columns, radius, doubles(weights), None if low is None else doubles(low))


def random_network(rng: np.random.Generator, scale: float = 1.0, radius: float = 0.0, doubled: bool = False) -> Network:
    sizes = [int(n) for n in rng.integers(1, 5, size=int(rng.integers(3, 6)))]
    groups = [
        group(str(rng.choice(list(SHAPES))), n, rng.standard_normal(n) * scale, radius * scale) for n in sizes[1:-1]
    ]
    blocks = []
    for target in range(1, len(sizes)):
        for source in range(target):
            if source == target - 1 or rng.random() < 0.3:
                weights = rng.standard_normal((sizes[target], sizes[source]))
                weights[rng.random(weights.shape) < 0.2] = 0.0
                low = rng.standard_normal(weights.shape) * 1e-17 if doubled else None
                blocks.append(block(target, source, weights, radius, low))
    return Network(sizes[0], sizes[-1], tuple(groups), tuple(blocks), "")


def random_region(rng: np.random.Generator, inputs: int, scale: float = 1.0) -> Region:
    center = rng.standard_normal(inputs)
    width = rng.random(inputs)
    low, high = doubles((center - width) * scale), doubles((center + width * (rng.random(inputs) > 0.2)) * scale)
    middle = doubles((np.array(low) + np.array(high)) / 2)
    radius = float(rng.random() + 0.1) * scale
    kind = rng.choice(["box", "ball", "within"])
    if kind == "box":
        return Region("box", low, high)
    return Region("ball", *((low, high) if kind == "within" else (None, None)), middle, radius)


def cover(network: Network, region: Region, pieces: list[Piece], upper: float = 1e300) -> Cover:
    return Cover("", upper, network.inputs, network.outputs, "", network, tuple(pieces), region=region)


def random_bounds(rng: np.random.Generator, network: Network, g: int, side: str, decisions: int) -> BoundsStep:
    """A step without values: other lines for some neurons of every group below, multipliers for every decision."""
    size = network.groups[g - 1].size
    neurons = np.flatnonzero(rng.random(size) < 0.8)
    lines = []
    for h in range(1, g):
        some = np.flatnonzero(rng.random(network.groups[h - 1].size) < 0.5)
        shape = (len(neurons), len(some))
        if len(some) and rng.random() < 0.5:
            lines.append(Lines(h, integers(some), doubles(rng.random(shape)), doubles(rng.random(shape))))
    weights = rng.random((len(neurons), decisions)) * (rng.random((len(neurons), decisions)) < 0.6)
    multipliers = doubles(weights) if rng.random() < 0.7 else None
    return BoundsStep(side, g, integers(neurons), doubles(np.zeros(len(neurons))), tuple(lines), multipliers)


def floating_bounds(state: State, step: BoundsStep) -> np.ndarray:
    sign, count = (1.0 if step.side == "low" else -1.0), len(step.neurons)

    def rows(values: Any) -> np.ndarray:
        return np.array(values).reshape(count, -1)

    own = [(x.group, np.array(x.neurons), rows(x.lower), rows(x.upper)) for x in step.lines]
    multipliers = None if step.multipliers is None else np.array(step.multipliers).reshape(count, len(state.decisions))
    with np.errstate(all="ignore"):
        return sign * least_values(state, step.group, np.array(step.neurons, dtype=int), sign, own, multipliers)


def bounded_state(rng: np.random.Generator, network: Network, region: Region) -> tuple[State, ExactState]:
    """A state of random intervals, the same in both arithmetics."""
    state, other = State.of(FloatingNetwork(network), region), ExactState.of(network, region)
    for g, some in enumerate(network.groups, 1):
        center, width = rng.standard_normal(some.size), rng.random(some.size)
        every = np.arange(some.size)
        for side, values, ends in (("low", center - width, other.low), ("high", center + width, other.high)):
            state = state.with_neurons(g, state.neurons[g - 1].bounded(side, every, values))
            ends[g - 1] = [Fraction(float(x)) for x in values]
    return state, other


def spectrum(matrix: list[list[Fraction]]) -> tuple[float, float]:
    """The least and the greatest eigenvalue after the diagonal is brought to one."""
    dense = np.array([[float(x) for x in row] for row in matrix])
    scale = 1 / np.sqrt(np.maximum(np.abs(dense.diagonal()), 1e-30))
    values = np.linalg.eigvalsh(dense * scale * scale[:, None])
    return float(values[0]), float(values[-1])


def absolute_value() -> Network:
    """y = max(x, 0) + max(-x, 0)."""
    groups = (group("relu", 2, [0.0, 0.0]),)
    return Network(1, 1, groups, (block(1, 0, np.array([[1.0], [-1.0]])), block(2, 1, np.array([[1.0, 1.0]]))), "")


def sides(rho: float, multiplier: float, *steps: tuple[BoundsStep, ...]) -> list[Piece]:
    """Both sides of x = 0, where one neuron is decided, with one multiplier for the other one."""
    below, above = steps or ((), ())
    end = Bounded(rho, 0, (doubles([multiplier]),))
    return [
        Piece("root", None, None, (), Split(1, 0, 0.0)),
        Piece("below", 0, "below", below, end),
        Piece("above", 0, "above", above, end),
    ]


def reason(prove: Callable[[], None]) -> str | None:
    """Why a proof is rejected; None if it is not."""
    try:
        prove()
    except Rejected as error:
        return str(error)
    return None

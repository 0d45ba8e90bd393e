"""Preactivations at given inputs in floating point, compared with rational arithmetic."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import functions
from sdpcert.check.activations import Smooth, Unknown
from sdpcert.check.forward_floating import margins
from sdpcert.check.network import Network
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.reading import Rejected
from tests.check.tiny_networks import block, doubles, group, random_network

Array = np.ndarray
Interval = tuple[Fraction, Fraction]


def activated(network: Network, g: int, i: int, v: Fraction) -> Interval:
    """An enclosure of an activation, exact if it is piecewise linear."""
    activation: Any = network.groups[g - 1].activation
    if isinstance(activation, Smooth):
        return activation.function.value(v, 400)
    k = sum(v > Fraction(start[i]) for start in activation.starts)
    value = Fraction(activation.slopes[k][i]) * v + Fraction(activation.values[k][i])
    return value, value


def exactly(network: Network, point: Array, rng: np.random.Generator | None = None) -> list[Interval]:
    """Enclosures of the last group's preactivations, for weights moved within their radii if there is a generator."""
    found: dict[tuple[int, int], Interval] = {}
    for j, x in enumerate(point.tolist()):
        found[0, j] = Fraction(x), Fraction(x)

    def moved(number: float, radius: float) -> Fraction:
        return Fraction(number) + (Fraction(0) if rng is None else Fraction(radius) * int(rng.integers(-1, 2)))

    values: list[Interval] = []
    for g, some in enumerate(network.groups, 1):
        values = []
        for i in range(some.size):
            low = high = moved(some.bias[i], some.bias_radius[i])
            for b in network.blocks:
                if b.target != g:
                    continue
                for j in range(b.columns):
                    k = i * b.columns + j
                    w = moved(b.weights[k], b.radius) + (0 if b.low is None else Fraction(b.low[k]))
                    ends = sorted(w * end for end in found[b.source, j])
                    low, high = low + ends[0], high + ends[1]
            values.append((low, high))
            if g < len(network.groups):
                ends = [activated(network, g, i, end) for end in (low, high)]
                monotone = min(a for a, _ in ends), max(b for _, b in ends)
                found[g, i] = monotone
    return values


def check(network: Network, points: Array, rng: np.random.Generator | None = None, width: float = 1e-11) -> None:
    low, high = margins(FloatingNetwork(network), points)
    assert low.shape == high.shape == (len(points), network.groups[-1].size)
    one = margins(FloatingNetwork(network), points[0])
    assert np.allclose([low[0], high[0]], one, rtol=1e-12, atol=1e-300)
    for row, point in enumerate(points):
        size = 1 + np.abs(low).max()
        for i, (least, most) in enumerate(exactly(network, point, rng)):
            assert Fraction(float(low[row, i])) <= least
            assert most <= Fraction(float(high[row, i]))
            assert high[row, i] - low[row, i] <= width * size


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 1e-12]), st.booleans(), st.sampled_from([1e-8, 1.0, 1e8]))
def test_piecewise_linear_networks(seed: int, radius: float, doubled: bool, scale: float) -> None:
    """Kinks are hit, too: a tenth of the inputs are zero, and biases are scaled by one."""
    rng = np.random.default_rng(seed)
    network = random_network(rng, radius=radius, doubled=doubled)
    points = rng.standard_normal((4, network.inputs)) * scale * (rng.random((4, network.inputs)) > 0.1)
    check(network, points, rng if radius else None, 1e-7 if radius else 1e-11)


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32), st.sampled_from(["tanh", "sigmoid", "softplus"]))
def test_smooth_networks(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    plain = random_network(rng)
    smooth = Smooth(name, doubles([]), functions.read(name, []))
    groups = tuple(replace(some, activation=smooth) for some in plain.groups)
    check(replace(plain, groups=groups), rng.standard_normal((2, plain.inputs)))


def test_what_is_not_known_or_too_large_has_no_ends() -> None:
    plain = Network(1, 1, (group("relu", 1, [0.0]), group("relu", 1, [0.0])), (), "")
    blocks = tuple(block(t, t - 1, np.array([[1e200]])) for t in (1, 2, 3))
    network = replace(plain, blocks=blocks)
    for points in ([[1e200]], [[np.nan]], [[1.0]]):
        low, high = margins(FloatingNetwork(network), np.array(points))
        assert (low[0, 0], high[0, 0]) == (-np.inf, np.inf)
    unknown = replace(plain.groups[0], activation=Unknown())
    one = tuple(block(t, t - 1, np.array([[1.0]])) for t in (1, 2, 3))
    low, high = margins(FloatingNetwork(replace(plain, groups=(unknown, plain.groups[1]), blocks=one)), np.ones((2, 1)))
    assert np.all(low == -np.inf)
    assert np.all(high == np.inf)
    with pytest.raises(Rejected, match="no preactivations"):
        margins(FloatingNetwork(Network(1, 1, (), (block(1, 0, np.ones((1, 1))),), "")), np.ones((1, 1)))
    low, high = margins(FloatingNetwork(replace(plain, blocks=one)), np.zeros((0, 1)))
    assert low.shape == high.shape == (0, 1)

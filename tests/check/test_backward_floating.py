"""Bounds of preactivations in floating point, compared with rational arithmetic; nothing false may pass."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check.activations import PiecewiseLinear
from sdpcert.check.network import Group, Network
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.pieces import BoundsStep, Lines, LinesStep, Split
from sdpcert.check.region import ALL, Region
from sdpcert.check.state_floating import State
from tests.check.exact_pieces import ExactState, exact
from tests.check.tiny_networks import (
    SHAPES,
    block,
    doubles,
    floating_bounds,
    group,
    integers,
    random_bounds,
    random_network,
    random_region,
)


def walk(rng: np.random.Generator, network: Network, region: Region, strict: bool = True) -> float:
    """Bounds of all groups, with splits between them, in both arithmetics; returns the largest relative difference.

    Not strict: the floating-point bound may be finite where there is no exact one by lines alone.
    """
    with np.errstate(all="ignore"):
        state = State.of(FloatingNetwork(network), region)
    other = ExactState.of(network, region)
    worst = 0.0
    for _ in range(2):
        for g, some in enumerate(network.groups, 1):
            places = integers(range(some.size))
            lower, upper = doubles(rng.random(some.size)), doubles(rng.random(some.size))
            state = state.after_lines(LinesStep(Lines(g, places, lower, upper)))
            other.lower[g - 1], other.upper[g - 1] = [Fraction(s) for s in lower], [Fraction(s) for s in upper]
            for side in ("low", "high"):
                step = random_bounds(rng, network, g, side, len(other.decisions))
                if not step.neurons:
                    continue
                got, true = floating_bounds(state, step), other.bounds(step)
                sign = 1 if side == "low" else -1
                for a, b in zip(got, true, strict=True):
                    if np.isnan(a) or (not strict and b in (inf, -inf)):
                        continue
                    assert sign * exact(float(a)) <= sign * b, "a bound that is not proved exactly"
                    if b not in (inf, -inf) and abs(a) != inf:
                        worst = max(worst, float(abs(Fraction(float(a)) - b) / (1 + abs(b))))
                    elif b not in (inf, -inf):
                        worst = inf
                got = np.where(np.isfinite(got), got, -sign * np.inf)
                values = doubles(got)
                neurons = state.neurons[g - 1].bounded(side, np.array(step.neurons, dtype=int), np.array(values))
                state = state.with_neurons(g, neurons)
                ends, better = (other.low[g - 1], max) if side == "low" else (other.high[g - 1], min)
                for i, value in zip(step.neurons, values, strict=True):
                    ends[i] = better(ends[i], exact(value))
            if state.is_empty:
                return worst
            i = int(rng.integers(some.size))
            ends = float(state.neurons[g - 1].known.low[i]), float(state.neurons[g - 1].known.high[i])
            if -inf < ends[0] < ends[1] < inf and rng.random() < 0.7:
                at, side = float(rng.uniform(*ends)), str(rng.choice(["below", "above"]))
                state = state.on_side(Split(g, i, at), side)
                other.decisions.append((g, i, 1 if side == "above" else -1, Fraction(at)))
                if side == "above":
                    other.low[g - 1][i] = max(other.low[g - 1][i], Fraction(at))
                else:
                    other.high[g - 1][i] = min(other.high[g - 1][i], Fraction(at))
    return worst


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32), st.booleans())
def test_bounds_are_those_of_rational_arithmetic_but_for_rounding(seed: int, doubled: bool) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng, doubled=doubled)
    assert walk(rng, network, random_region(rng, network.inputs)) < 1e-9


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32), st.sampled_from([1e-300, 5e-324, 1e-160, 1e100, 1e160, 1e300]))
def test_extreme_numbers_prove_nothing_false(seed: int, scale: float) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    blocks = [
        replace(b, weights=doubles(np.array(b.weights) * np.where(rng.random(len(b.weights)) < 0.5, scale, 1.0)))
        for b in network.blocks
    ]
    region = random_region(rng, network.inputs, float(rng.choice([1.0, scale])) if scale < 1e200 else 1.0)
    walk(rng, replace(network, blocks=tuple(blocks)), region, strict=False)
    biased = random_network(rng, scale)
    walk(rng, biased, random_region(rng, biased.inputs), strict=False)


@pytest.mark.parametrize("seed", range(3))
def test_what_cancels_is_charged(seed: int) -> None:
    """Weights of a million whose products cancel, at inputs of a thousand: what is left is rounding alone."""
    rng = np.random.default_rng(seed)
    first = rng.standard_normal((30, 4))
    second = rng.standard_normal((16, 30))
    second -= second @ first @ np.linalg.pinv(first)
    blocks = block(1, 0, first * 1e6), block(2, 1, second * 1e6), block(3, 2, np.ones((1, 16)))
    network = Network(4, 1, (group("linear", 30, np.zeros(30)), group("linear", 16, np.zeros(16))), blocks, "")
    region = Region("box", doubles(np.full(4, 1000.0)), doubles(np.full(4, 1000.0 + 1e-9)))
    state, other = State.of(FloatingNetwork(network), region), ExactState.of(network, region)
    for side, sign in (("low", 1), ("high", -1)):
        step = BoundsStep(side, 2, integers(range(16)), doubles(np.zeros(16)), (), None)
        for got, true in zip(floating_bounds(state, step), other.bounds(step), strict=True):
            assert sign * Fraction(float(got)) <= sign * true
            assert abs(Fraction(float(got)) - true) <= 10**4  # of sums of 10^17


@settings(deadline=None, max_examples=20)
@given(st.integers(0, 2**32))
def test_bounds_on_all_inputs_are_exact_or_none(seed: int) -> None:
    rng = np.random.default_rng(seed)
    walk(rng, random_network(rng), ALL)


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**32))
def test_bounds_hold_for_all_networks_within_radii(seed: int) -> None:
    """Values of networks within the radii, at points of the region, are within the bounds."""
    rng = np.random.default_rng(seed)
    radius = 0.05
    network = random_network(rng, radius=radius)
    region = random_region(rng, network.inputs)
    state = State.of(FloatingNetwork(network), region)
    for g, some in enumerate(network.groups, 1):
        every = integers(range(some.size))
        slopes = doubles(rng.random(some.size)), doubles(rng.random(some.size))
        state = state.after_lines(LinesStep(Lines(g, every, *slopes)))
        for side in ("low", "high"):
            values = floating_bounds(state, BoundsStep(side, g, every, slopes[0], (), None))
            state = state.with_neurons(g, state.neurons[g - 1].bounded(side, np.array(every), values))
    low, high = state.low, state.high
    for _ in range(30):
        x = np.where(
            rng.random(len(low)) < 0.5, rng.uniform(low, high), np.where(rng.random(len(low)) < 0.5, low, high)
        )
        if not region.contains(doubles(x)):
            continue
        z = [x]
        for g, some in enumerate(network.groups, 1):
            v = np.array(some.bias) + radius * rng.choice([-1.0, 1.0], size=some.size)
            for b in network.blocks:
                if b.target == g:
                    weights = np.array(b.weights).reshape(b.rows, b.columns)
                    v = v + (weights + radius * rng.choice([-1.0, 1.0], size=weights.shape)) @ z[b.source]
            known = state.neurons[g - 1].known
            assert np.all(known.low <= v + 1e-9) and np.all(v <= known.high + 1e-9)
            starts, slopes, values = SHAPES[some.name]
            k = np.searchsorted(starts, v)
            z.append(np.array(slopes)[k] * v + np.array(values)[k])


#: Products with weights of 1e300 are 4e-10, the same in float64, and the second is 3e-26 larger.
HEAVY, TINY_NUMBERS = (
    np.array([[1.175655620602559e300, 1.2323758479123317e300]]),
    (3.77861405939385e-310, -3.60470295205773e-310),
)


@pytest.mark.parametrize("fixed", [True, False])
def test_what_is_subnormal_loses_to_rounding_too(fixed: bool) -> None:
    """Of inputs that are fixed, and of activations that are constant."""
    truth = sum(Fraction(w) * Fraction(v) for w, v in zip(HEAVY[0].tolist(), TINY_NUMBERS, strict=True))
    assert truth < -2e-26 and HEAVY[0] @ np.array(TINY_NUMBERS) == 0
    ends = doubles(TINY_NUMBERS) if fixed else doubles([0.0, 0.0])
    groups, blocks = (group("linear", 1, [0.0]),), [block(1, 0, HEAVY)]
    if not fixed:
        zeros = doubles([0.0, 0.0])
        constant = PiecewiseLinear((), (zeros,), (doubles(TINY_NUMBERS),))
        groups = (Group(2, "constant", constant, zeros, zeros, zeros, zeros), *groups)
        blocks = [block(1, 0, np.zeros((2, 2))), block(2, 1, HEAVY)]
    network = Network(2, 1, groups, (*blocks, block(len(groups) + 1, len(groups), np.ones((1, 1)))), "")
    state = State.of(FloatingNetwork(network), Region("box", ends, ends))
    step = BoundsStep("low", len(groups), integers([0]), doubles([0.0]), (), None)
    assert Fraction(float(floating_bounds(state, step)[0])) <= truth

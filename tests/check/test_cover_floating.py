"""Pieces proved in floating point, compared with rational arithmetic; nothing false may pass."""

from __future__ import annotations

import copy
import itertools
import math
from array import array
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import cover_floating, functions, network_floating, replay
from sdpcert.check.activations import PiecewiseLinear, Smooth
from sdpcert.check.backward_floating import least_values
from sdpcert.check.blocks import Block
from sdpcert.check.condition_floating import input_factor, prove_condition
from sdpcert.check.cover import Cover
from sdpcert.check.lines_floating import Range
from sdpcert.check.network import Group, Network
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.pieces import Bounded, BoundsStep, Empty, Flat, Lines, LinesStep, Piece, SlopesStep, Split, Step
from sdpcert.check.reading import Rejected
from sdpcert.check.reduced_floating import reduce
from sdpcert.check.region import ALL, Region
from sdpcert.check.state_floating import State
from tests.check.exact_pieces import ExactState, exact

SHAPES = {
    "relu": ([0.0], [0.0, 1.0], [0.0, 0.0]),
    "leaky": ([0.0], [0.1, 1.0], [0.0, 0.0]),
    "hardtanh": ([-1.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 1.0]),
    "linear": ([], [1.0], [0.0]),
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
    rows = lambda values: np.array(values).reshape(count, -1)  # noqa: E731
    own = [(x.group, np.array(x.neurons), rows(x.lower), rows(x.upper)) for x in step.lines]
    multipliers = None if step.multipliers is None else np.array(step.multipliers).reshape(count, len(state.decisions))
    with np.errstate(all="ignore"):
        return sign * least_values(state, step.group, np.array(step.neurons, dtype=int), sign, own, multipliers)


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
            shift = lambda shape: radius * rng.choice([-1.0, 1.0], size=shape)  # noqa: E731
            v = np.array(some.bias) + shift(some.size)
            for b in network.blocks:
                if b.target == g:
                    weights = np.array(b.weights).reshape(b.rows, b.columns)
                    v = v + (weights + shift(weights.shape)) @ z[b.source]
            known = state.neurons[g - 1].known
            assert np.all(known.low <= v + 1e-9) and np.all(v <= known.high + 1e-9)
            starts, slopes, values = SHAPES[some.name]
            k = np.searchsorted(starts, v)
            z.append(np.array(slopes)[k] * v + np.array(values)[k])


@settings(deadline=None, max_examples=60)
@given(
    st.sampled_from(["tanh", "sigmoid", "softplus", "gelu", "sin", "softsign"]),
    st.floats(-20, 20),
    st.floats(0, 10),
    st.floats(-1.5, 1.5),
)
def test_lines_of_smooth_activations_are_those_of_integers(name: str, low: float, width: float, slope: float) -> None:
    smooth = Smooth(name, doubles([]), functions.read(name, []))
    curves = network_floating.CURVES[Smooth](smooth)
    ends = np.array([low, low + width])
    stated = [float(x) for x in curves.slopes_between(float(ends[0]), float(ends[1]))]
    alpha, beta = np.nextafter(stated[:1], -inf), np.nextafter(stated[1:], inf)
    one = np.arange(1)
    known = Range(
        ends[:1],
        ends[1:],
        alpha,
        beta,
        curves.enclosed(ends[:1], one),
        curves.enclosed(ends[1:], one),
        np.abs(ends).max(keepdims=True),
    )
    own, bits = np.array([slope]), 400
    interval, slopes = (float(ends[0]), float(ends[1])), (float(alpha[0]), float(beta[0]))
    for below, got, sign in (
        (True, curves.least(known, own, one)[0], 1),
        (False, curves.greatest(known, own, one)[0], -1),
    ):
        offset = smooth.offset(0, interval, slopes, slope, below, bits)
        assert offset is not None
        wanted = Fraction(offset, 1 << bits)
        assert sign * Fraction(float(got)) <= sign * wanted + Fraction(2, 1 << bits)
        assert abs(Fraction(float(got)) - wanted) <= Fraction(1, 10**12) * (1 + abs(wanted))
    for t in np.linspace(0, 1, 7):
        v = float(ends[0] + t * (ends[1] - ends[0]))
        value = float(smooth.function.value(Fraction(v), 80)[0])
        assert slope * v + curves.least(known, own, one)[0] <= value + 1e-12
        assert slope * v + curves.greatest(known, own, one)[0] >= value - 1e-12
        assert abs(value) <= curves.largest(known)[0]


def spectrum(matrix: list[list[Fraction]]) -> tuple[float, float]:
    """The least and the greatest eigenvalue after the diagonal is brought to one."""
    dense = np.array([[float(x) for x in row] for row in matrix])
    scale = 1 / np.sqrt(np.maximum(np.abs(dense.diagonal()), 1e-30))
    values = np.linalg.eigvalsh(dense * scale * scale[:, None])
    return float(values[0]), float(values[-1])


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


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_rows_are_those_of_rational_arithmetic(seed: int) -> None:
    """With no multipliers and rho = 0, M is -F'F; with them, it is definite exactly when it is proved to be."""
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    state, other = bounded_state(rng, network, random_region(rng, network.inputs))
    reduced = reduce(state)
    multipliers = [rng.random(int(mask.sum())) + 0.5 for mask in reduced.active]
    flat = np.concatenate([np.zeros(0), *multipliers[::-1]])
    lists = [[Fraction(float(m)) for m in group] for group in multipliers]

    def proved(rho: float) -> bool:
        try:
            with np.errstate(all="ignore"):
                prove_condition(reduced, rho, 0, flat)
        except Rejected:
            return False
        return True

    base = other.matrix(Fraction(0), 0, lists)

    def at(rho: float) -> list[list[Fraction]]:
        return [
            [x + (Fraction(rho) if p == q < reduced.moving else 0) for q, x in enumerate(r)] for p, r in enumerate(base)
        ]

    seen = set()
    for rho in [0.0, *(4.0**k for k in range(-4, 12))]:
        least, most = spectrum(at(rho)) if reduced.matrix.shape[1] else (1.0, 1.0)
        if least < -1e-9 * max(most, 1):
            assert not proved(rho)
            seen.add(False)
        if least > 1e-9 * max(most, 1):
            assert proved(rho)
            seen.add(True)
    # The threshold is sharp.
    if seen == {False, True}:
        low, high = 0.0, 4.0**12
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (low, middle) if proved(middle) else (middle, high)
        assert spectrum(at(high * (1 + 1e-6)))[0] > -1e-12
        assert spectrum(at(high * (1 - 1e-6)))[0] < 1e-12


def test_a_wide_input_is_replaced_by_a_factor() -> None:
    rng = np.random.default_rng(5)
    rows = rng.standard_normal((6, 40)) * np.logspace(-3, 3, 6)[:, None]
    rows[3] = rows[2] * 2
    factor = input_factor(rows, 1e-15 * np.abs(rows))
    exactly = lambda a: [[Fraction(float(x)) for x in row] for row in a]  # noqa: E731
    r, g = exactly(factor), exactly(rows)
    product = lambda m, i, j: sum(a * b for a, b in zip(m[i], m[j], strict=True))  # noqa: E731
    difference = [[product(r, i, j) - product(g, i, j) for j in range(6)] for i in range(6)]
    scale = np.array([float(product(g, i, i)) for i in range(6)]) ** 0.5
    dense = np.array([[float(x) for x in row] for row in difference]) / scale / scale[:, None]
    assert np.linalg.eigvalsh(dense)[0] >= 0
    assert np.abs(dense).max() < 1e-12


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


def test_a_cover_of_all_inputs_by_splits_and_conditions() -> None:
    pieces = sides(1 + 1e-9, 1.0)
    cover_floating.prove(cover(absolute_value(), ALL, pieces, upper=1 + 1e-9))
    with pytest.raises(Rejected, match="upper is less"):
        cover_floating.prove(cover(absolute_value(), ALL, pieces, upper=1.0))
    with pytest.raises(Rejected, match="below: end: M is not proved"):
        cover_floating.prove(cover(absolute_value(), ALL, sides(1 - 1e-6, 1.0)))
    none = [pieces[0], *(replace(piece, end=Bounded(1.1, 0, (doubles([]),))) for piece in pieces[1:])]
    with pytest.raises(Rejected, match="below: end: group 1 has not one multiplier"):
        cover_floating.prove(cover(absolute_value(), ALL, none))


def test_what_would_be_rounded_on_all_inputs_needs_integers() -> None:
    """The other neuron is at least zero where x <= 0: -x - (0 - x) is zero, and nothing else would be small enough."""
    step = BoundsStep("low", 1, integers([1]), doubles([0.0]), (), doubles([1.0]))
    decided = Bounded(1.0, 0, (doubles([]),))
    pieces = sides(1 + 1e-9, 1.0, (step,), ())
    pieces[1] = replace(pieces[1], end=decided)
    replay.prove(cover(absolute_value(), ALL, pieces, 2.0))
    with pytest.raises(Rejected, match=r"below: steps.0.: neuron 1 .* integers"):
        cover_floating.prove(cover(absolute_value(), ALL, pieces))


def test_steps_and_ends_have_to_agree() -> None:
    box = Region("box", doubles([-1.0]), doubles([2.0]))

    def piece(end: object, *values: tuple[str, float]) -> Piece:
        steps = tuple(BoundsStep(side, 1, integers([0]), doubles([x]), (), None) for side, x in values)
        return Piece("piece", None, None, steps, end)  # type: ignore[arg-type]

    for end, values, problem in (
        (Empty(), [("low", -1.1)], "end: no interval"),
        (Bounded(5.0, 0, (doubles([1.0, 1.0]),)), [("low", 2.1)], "steps.0.: neuron 0"),
        (Bounded(5.0, 0, (doubles([1.0, 1.0]),)), [("low", np.nan)], "steps.0.: neuron 0"),
    ):
        with pytest.raises(Rejected, match=problem):
            cover_floating.prove(cover(absolute_value(), box, [piece(end, *values)]))
    # Above x = 1.5 and below it, both neurons' bounds contradict the split.
    cut = [
        Piece("root", None, None, (), Split(0, 0, 1.5)),
        Piece("below", 0, "below", (), Split(1, 0, 1.75)),
        Piece("above", 0, "above", (), Bounded(2.1, 0, (doubles([2.0, 2.0]),))),
        Piece("below below", 1, "below", (), Bounded(2.1, 0, (doubles([2.0, 2.0]),))),
        Piece("below above", 1, "above", (BoundsStep("high", 1, integers([0]), doubles([1.6]), (), None),), Empty()),
    ]
    cover_floating.prove(cover(absolute_value(), box, cut, 1.5))
    with pytest.raises(Rejected, match="below above: end: the piece is empty"):
        cover_floating.prove(cover(absolute_value(), box, [*cut[:4], replace(cut[4], end=Flat((1,)))]))
    again = replace(cut[4], steps=cut[4].steps * 2)
    with pytest.raises(Rejected, match=r"below above: steps.1.: the piece is empty already"):
        cover_floating.prove(cover(absolute_value(), box, [*cut[:4], again]))
    outside = replace(cut[0], end=Split(0, 0, 2.5))
    with pytest.raises(Rejected, match="input 0 is split"):
        cover_floating.prove(cover(absolute_value(), box, [outside, *cut[1:]]))


def test_a_flat_piece_is_proved_in_integers() -> None:
    """x >= 0 and -x >= 0 leave one point."""
    both = Bounded(2.1, 0, (doubles([2.0, 2.0]),))
    pieces = [
        Piece("root", None, None, (), Split(1, 0, 0.0)),
        Piece("below", 0, "below", (), Bounded(1.1, 0, (doubles([1.0]),))),
        Piece("above", 0, "above", (), Split(1, 1, 0.0)),
        Piece("above below", 2, "below", (), Bounded(1.1, 0, (doubles([]),))),
        Piece("above above", 2, "above", (), Flat((1, 1))),
    ]
    cover_floating.prove(cover(absolute_value(), ALL, pieces, 1.1))
    with pytest.raises(Rejected, match="above above: end: "):
        cover_floating.prove(cover(absolute_value(), ALL, [*pieces[:4], replace(pieces[4], end=Flat((1, 2)))], 1.1))
    with pytest.raises(Rejected, match="above above: end: group 1"):
        cover_floating.prove(cover(absolute_value(), ALL, [*pieces[:4], replace(pieces[4], end=both)], 3.0))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_what_is_beyond_the_exact_bound_is_rejected(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    region = random_region(rng, network.inputs)
    other = ExactState.of(network, region)
    steps: list[BoundsStep] = []
    for g, some in enumerate(network.groups, 1):
        for side, sign in (("low", 1), ("high", -1)):
            every = integers(range(some.size))
            step = BoundsStep(side, g, every, doubles(np.zeros(some.size)), (), None)
            true = other.bounds(step)
            if any(b in (inf, -inf) for b in true):
                return
            safe = doubles([float(b) - sign * 1e-9 * (1 + abs(float(b))) for b in true])
            beyond = doubles([float(b) + sign * 1e-6 * (1 + abs(float(b))) for b in true])
            end = Bounded(0.0, 0, ())
            piece = Piece("piece", None, None, (*steps, replace(step, values=beyond)), end)
            with pytest.raises(Rejected, match=f"steps\\[{len(steps)}\\]: neuron 0 of group {g} is not"):
                cover_floating.prove(cover(network, region, [piece]))
            steps.append(replace(step, values=safe))
            ends = other.low if side == "low" else other.high
            ends[g - 1] = [Fraction(x) for x in safe]
    # All safe ones are accepted, and the piece is not empty.
    with pytest.raises(Rejected, match="no interval"):
        cover_floating.prove(cover(network, region, [Piece("piece", None, None, tuple(steps), Empty())]))


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 2**32))
def test_covers_are_accepted_in_both_arithmetics(seed: int) -> None:
    """Random splits, bounds a little inside of what is proved exactly, conditions as sharp as floating point can."""
    rng = np.random.default_rng(seed)
    network = random_network(rng)
    region = random_region(rng, network.inputs)
    pieces: list[Piece] = []

    def grow(other: ExactState, parent: int | None, side: str | None, depth: int) -> None:
        steps: list[BoundsStep] = []
        for g in range(1, len(network.groups) + 1):
            for end, sign in (("low", 1), ("high", -1)):
                step = random_bounds(rng, network, g, end, len(other.decisions))
                true = other.bounds(step)
                if not true or any(b in (inf, -inf) for b in true):
                    continue
                values = doubles([float(b) - sign * 1e-9 * (1 + abs(float(b))) for b in true])
                steps.append(replace(step, values=values))
                ends, better = (other.low[g - 1], max) if end == "low" else (other.high[g - 1], min)
                for i, value in zip(step.neurons, values, strict=True):
                    ends[i] = better(ends[i], Fraction(value))
                if any(low > high for low, high in zip(other.low[g - 1], other.high[g - 1], strict=True)):
                    pieces.append(Piece(f"pieces[{len(pieces)}]", parent, side, tuple(steps), Empty()))
                    return
        name, number = f"pieces[{len(pieces)}]", len(pieces)
        g = int(rng.integers(1, len(network.groups) + 1))
        i = int(rng.integers(network.groups[g - 1].size))
        if depth and other.low[g - 1][i] < other.high[g - 1][i]:
            at = float(rng.standard_normal())
            pieces.append(Piece(name, parent, side, tuple(steps), Split(g, i, at)))
            for s, where in ((-1, "below"), (1, "above")):
                child = copy.deepcopy(other)
                child.decisions.append((g, i, s, Fraction(at)))
                if s > 0:
                    child.low[g - 1][i] = max(child.low[g - 1][i], Fraction(at))
                else:
                    child.high[g - 1][i] = min(child.high[g - 1][i], Fraction(at))
                if child.low[g - 1][i] > child.high[g - 1][i]:
                    pieces.append(Piece(f"pieces[{len(pieces)}]", number, where, (), Empty()))
                else:
                    grow(child, number, where, depth - 1)
            return
        multipliers = []
        for h, some in enumerate(network.groups, 1):
            slopes = [other.slopes(h, j) for j in range(some.size)]
            multipliers.append(doubles([4.0 ** (len(network.groups) - h) for a, b in slopes if a != b]))
        pieces.append(Piece(name, parent, side, tuple(steps), Bounded(1e6, 0, tuple(multipliers))))

    grow(ExactState.of(network, region), None, None, 2)
    floating, integers_ = (
        reason(lambda: cover_floating.prove(cover(network, region, pieces))),
        reason(lambda: replay.prove(cover(network, region, pieces))),
    )
    # The multipliers are guessed, so that a condition may be false; all else is true.
    assert floating is None or floating.endswith("is not positive") or "M is not proved" in floating
    assert (floating is None) == (integers_ is None)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from(["tanh", "gelu", "elu"]))
def test_smooth_networks_are_accepted_in_both_arithmetics(seed: int, name: str) -> None:
    """Bounds a little inside of those in floating point, slopes of the derivative, and the condition they leave."""
    rng = np.random.default_rng(seed)
    parameters = [1.0] if name == "elu" else []
    smooth = Smooth(name, doubles(parameters), functions.read(name, parameters))
    low, high = smooth.function.everywhere()
    plain = random_network(rng)
    groups = tuple(
        replace(
            some,
            activation=smooth,
            alpha=doubles(np.full(some.size, float(low) - 1e-9)),
            beta=doubles(np.full(some.size, float(high) + 1e-9)),
        )
        for some in plain.groups
    )
    network, region = replace(plain, groups=groups), random_region(rng, plain.inputs, 0.3)
    state = State.of(FloatingNetwork(network), region)
    steps: list[Step] = []
    for g, some in enumerate(groups, 1):
        every = integers(range(some.size))
        for side, sign in (("low", 1), ("high", -1)):
            step = BoundsStep(side, g, every, doubles(np.zeros(some.size)), (), None)
            values = floating_bounds(state, step)
            values = values - sign * 1e-9 * (1 + np.abs(values))
            stated_bounds = replace(step, values=doubles(values))
            steps.append(stated_bounds)
            state = state.after_bounds(stated_bounds)
        known = state.neurons[g - 1].known
        ends = [
            smooth.function.derivative(Fraction(x), Fraction(y)) for x, y in zip(known.low, known.high, strict=True)
        ]
        slopes = np.array([(float(x) - 1e-12, float(y) + 1e-12) for x, y in ends]).T
        stated = SlopesStep(g, every, doubles(slopes[0]), doubles(slopes[1]))
        lines = LinesStep(Lines(g, every, doubles(slopes.mean(axis=0)), doubles(slopes.mean(axis=0))))
        steps += [stated, lines]
        state = state.after_slopes(stated).after_lines(lines)
    multipliers = tuple(doubles(np.full(some.size, 8.0 ** (len(groups) - g))) for g, some in enumerate(groups))
    pieces = [Piece("pieces[0]", None, None, tuple(steps), Bounded(1e7, 0, multipliers))]
    floating, integers_ = (
        reason(lambda: cover_floating.prove(cover(network, region, pieces))),
        reason(lambda: replay.prove(cover(network, region, pieces))),
    )
    assert floating is None or "M is not proved" in floating
    assert (floating is None) == (integers_ is None)
    wrong = [replace(s, alpha=doubles(np.array(s.alpha) + 1e-6)) if isinstance(s, SlopesStep) else s for s in steps]
    with pytest.raises(Rejected, match="slopes"):
        cover_floating.prove(cover(network, region, [replace(pieces[0], steps=tuple(wrong))]))


def reason(prove: Callable[[], None]) -> str | None:
    """Why a proof is rejected; None if it is not."""
    try:
        prove()
    except Rejected as error:
        return str(error)
    return None


def test_long_chains_of_decided_neurons_cancel() -> None:
    """Thirty linear layers whose product is far below that of their sizes: only integers are sharp."""
    rng = np.random.default_rng(0)
    sizes = [4, *[10] * 30, 1]
    layers = [rng.standard_normal((m, n)) / 8 for n, m in itertools.pairwise(sizes)]
    groups = tuple(group("linear", n, np.zeros(n)) for n in sizes[1:-1])
    blocks = tuple(block(t, t - 1, weights) for t, weights in enumerate(layers, 1))
    network = Network(4, 1, groups, blocks, "")
    product = np.linalg.multi_dot(layers[::-1])
    norm = float(np.linalg.norm(product))
    none = tuple(doubles([]) for _ in groups)
    exponent = math.frexp(norm)[1]

    def part(factor: float) -> Cover:
        rho = (norm * factor) ** 2 * 4.0**-exponent
        return cover(network, ALL, [Piece("piece", None, None, (), Bounded(rho, exponent, none))], norm * factor * 1.1)

    assert reduce(State.of(FloatingNetwork(network), ALL)).is_doubtful
    cover_floating.prove(part(1 + 1e-9))
    with pytest.raises(Rejected, match="definite"):
        cover_floating.prove(part(1 - 1e-9))

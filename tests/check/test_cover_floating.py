"""Covers proved in floating point, and what is rejected."""

from __future__ import annotations

import copy
import itertools
import math
from dataclasses import replace
from fractions import Fraction
from math import inf

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import cover_floating, functions, replay
from sdpcert.check.activations import Smooth
from sdpcert.check.cover import Cover
from sdpcert.check.network import Network
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.pieces import Bounded, BoundsStep, Empty, Flat, Lines, LinesStep, Piece, SlopesStep, Split, Step
from sdpcert.check.reading import Rejected
from sdpcert.check.reduced_floating import reduce
from sdpcert.check.region import ALL, Region
from sdpcert.check.state_floating import State
from tests.check.exact_pieces import ExactState
from tests.check.tiny_networks import (
    absolute_value,
    block,
    cover,
    doubles,
    floating_bounds,
    group,
    integers,
    random_bounds,
    random_network,
    random_region,
    reason,
    sides,
)


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

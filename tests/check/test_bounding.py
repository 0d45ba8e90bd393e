"""Bounds and reduced conditions of random networks in integers, against points and weights drawn at random."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from sdpcert.check import network as networks
from sdpcert.check import region as regions
from sdpcert.check.backward import IntegerNetwork, units
from sdpcert.check.bounding import Bounding, add_decisions
from sdpcert.check.pieces import Bounded, Lines, Split
from sdpcert.check.reading import Rejected
from sdpcert.check.reduced import reduced
from sdpcert.check.state import State, first_state
from tests.check import covers

Array = np.ndarray
BITS = 400

#: Kind of activation, slopes everywhere, and the function.
ACTIVATIONS: list[tuple[Any, tuple[float, float], Any]] = [
    (covers.relu, (0.0, 1.0), lambda v: np.maximum(v, 0)),
    (
        lambda size: covers.piecewise_linear(size, [-0.5, 0.25], [0.125, 1.0, -0.25], [-0.4375, 0.0, 0.3125]),
        (-0.25, 1.0),
        lambda v: np.where(v < -0.5, 0.125 * v - 0.4375, np.where(v < 0.25, v, 0.3125 - 0.25 * v)),
    ),
    (lambda size: covers.smooth("tanh"), (0.0, 1.0), np.tanh),
    (lambda size: covers.smooth("silu"), (-0.11, 1.11), lambda v: v / (1 + np.exp(-v))),
]


@dataclass
class Case:
    """A random network with its region, as the checker has it and as numbers."""

    content: networks.Network
    region: regions.Region
    functions: list[Any]
    rng: np.random.Generator
    center: Array
    radius: float

    def points(self, count: int) -> Array:
        """Points of the region, many on its boundary."""
        n = len(self.center)
        if self.region.kind == "box":
            steps = np.clip(2 * self.rng.random((count, n)) - 0.5, 0, 1)
            low, high = np.array(self.region.low), np.array(self.region.high)
            return np.clip(low + steps * (high - low), low, high)
        steps = self.rng.normal(size=(count, n))
        steps /= np.linalg.norm(steps, axis=1)[:, None]
        return self.center + self.radius * (1 - 1e-12) * np.minimum(1.2 * self.rng.random((count, 1)), 1) * steps

    def weights(self) -> tuple[dict[tuple[int, int], Array], list[Array]]:
        """Weights and biases within their radii."""
        rng = self.rng
        blocks = {}
        for block in self.content.blocks:
            stated = np.array(block.weights).reshape(block.rows, block.columns)
            moved = block.radius * rng.choice([-1, 1, 0.5], size=stated.shape)
            blocks[block.target, block.source] = stated + moved
        biases = [
            np.array(group.bias) + np.array(group.bias_radius) * rng.choice([-1, 1], size=group.size)
            for group in self.content.groups
        ]
        return blocks, biases

    def run(self, points: Array, weights: Any) -> tuple[list[Array], list[Array]]:
        """Preactivations of all groups (the output last) and what each source has (the input first)."""
        blocks, biases = weights
        sources, preactivations = [points], []
        for target in range(1, len(self.functions) + 2):
            v = sum(sources[s] @ w.T for (t, s), w in blocks.items() if t == target)
            if target <= len(biases):
                v = v + biases[target - 1]
                sources.append(self.functions[target - 1](v))
            preactivations.append(v)
        return preactivations, sources


def made(seed: int) -> Case:
    rng = np.random.default_rng(seed)
    n, groups = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    sizes = [n, *map(int, rng.integers(1, 5, size=groups)), int(rng.integers(1, 3))]
    kinds = [ACTIVATIONS[k] for k in rng.integers(len(ACTIVATIONS), size=groups)]
    if seed % 2:
        kinds = [ACTIVATIONS[int(rng.integers(2))]] * groups
    radius, bias_radius = (0.01 if seed % 3 == 0 else 0.0), (0.02 if seed % 5 == 0 else 0.0)
    written = [
        covers.group(make(size), rng.normal(size=size) * (1.5 if seed % 2 else 0.5), slopes, bias_radius)
        for (make, slopes, _), size in zip(kinds, sizes[1:-1], strict=True)
    ]
    blocks = []
    for target in range(1, groups + 2):
        for source in range(target):
            if source == target - 1 or rng.random() < 0.3:
                weights = rng.normal(size=(sizes[target], sizes[source])) * (rng.random() < 0.9)
                blocks.append(covers.block(target, source, weights, radius * (rng.random() < 0.7)))
    content = networks.read(covers.network(n, sizes[-1], written, blocks), "network")
    center, size = rng.normal(size=n), float(rng.random() + 0.1)
    if seed % 4 < 2:
        low = center - size * rng.random(n)
        document = covers.box(low, low + size * rng.choice([0.0, 1.0, 1.0], size=n))
    else:
        document = covers.ball(center, size)
    region = regions.read(document, "region", n)
    return Case(content, region, [f for _, _, f in kinds], rng, center, size)


def random_lines(case: Case, state: State, group: int) -> State:
    """Other slopes of lines, some of them absurd."""
    count = case.content.groups[group - 1].size
    lower, upper = case.rng.normal(size=(2, count)) * case.rng.choice([0.0, 0.5, 1.0, 3.0])
    return state.with_neurons(group, state.neurons(group).with_lines(range(count), lower, upper))


def tightened(case: Case, network: IntegerNetwork, state: State, group: int, shrink: bool = True) -> State:
    """The state with bounds of a group that the checker finds itself."""
    size = case.content.groups[group - 1].size
    multipliers = array("d", case.rng.random(size * len(state.decisions)) * case.rng.choice([0.0, 1.0]))
    for sign, side in ((1, "low"), (-1, "high")):
        bounding = Bounding(network, state, case.region, BITS, size)
        if group > 1 and case.rng.random() < 0.5:
            other = case.content.groups[group - 2].size
            slopes = (array("d", case.rng.normal(size=size * other)) for _ in range(2))
            bounding.own_lines = {group - 1: Lines(group - 1, array("q", range(other)), *slopes)}
        direct = {group: units(list(range(size)), size, sign)}
        if multipliers:
            add_decisions(direct, bounding, multipliers, state.decisions, state)
        values = [math.nextafter(math.ldexp(x, -BITS), -math.inf) for x in bounding.least(direct)]
        cut = state.neurons(group).with_ends(side, range(size), [sign * v for v in values])
        state = state.with_neurons(group, cut, range(size))
    return state


def kept(case: Case, state: State, preactivations: list[Array], points: Array) -> Array:
    """Which points satisfy all decisions and the ends of the box."""
    mask = np.ones(len(points), bool)
    for decision in state.decisions:
        mask &= decision.sign * (preactivations[decision.group - 1][:, decision.neuron] - decision.at) >= 0
    assert state.box is not None
    low, high = (np.array([math.ldexp(x, -state.box.bits) for x in ends]) for ends in (state.box.low, state.box.high))
    return mask & np.all(points >= low, axis=1) & np.all(points <= high, axis=1)


@pytest.mark.parametrize("seed", range(80))
def test_no_preactivation_is_beyond_its_bounds(seed: int) -> None:
    case = made(seed)
    network = IntegerNetwork(case.content)
    state = first_state(case.content, case.region, [], BITS)
    for _ in range(2):
        for group in range(1, len(case.content.groups) + 1):
            state = tightened(case, network, state, group)
            if state.empty:
                break
            if seed % 2 == 0:
                known = state.neurons(group)
                for i in range(len(known.low)):
                    if known.activation.takes_slopes and case.rng.random() < 0.7:
                        derivative = known.activation.function.derivative  # type: ignore[attr-defined]
                        low, high = derivative(*map(Fraction, known.interval(i)))
                        ends = math.nextafter(float(low), -9.0), math.nextafter(float(high), 9.0)
                        known.check_slopes([i], ends[:1], ends[1:])
                        known = known.with_slopes([i], ends[:1], ends[1:])
                state = state.with_neurons(group, known)
            state = random_lines(case, state, group)
        if state.empty:
            break
        group = int(case.rng.integers(len(case.content.groups))) + 1
        neuron = int(case.rng.integers(case.content.groups[group - 1].size))
        low, high = state.neurons(group).interval(neuron)
        split = Split(group, neuron, low + float(case.rng.random()) * (high - low))
        state = state.on_side(split, str(case.rng.choice(["below", "above"])))
    for _ in range(8):
        points = case.points(200)
        preactivations, _ = case.run(points, case.weights())
        mask = kept(case, state, preactivations, points)
        assert not (state.empty and np.any(mask))
        for known, v in zip(state.groups, preactivations, strict=False):
            if np.any(mask):
                room = 1e-12 * (1 + np.abs(v[mask]))
                assert np.all(v[mask] >= np.array(known.low) - room) and np.all(v[mask] <= np.array(known.high) + room)


@pytest.mark.parametrize("seed", range(1, 81, 2))
def test_reduced_rows_give_the_differences_of_preactivations(seed: int) -> None:
    case = made(seed)
    network = IntegerNetwork(case.content)
    state = first_state(case.content, case.region, [], BITS)
    for group in range(1, len(case.content.groups) + 1):
        state = tightened(case, network, state, group)
    counts = [len(known.undecided) for known in state.groups]
    end = Bounded(1.0, 0, tuple(array("d", [1.0] * count) for count in counts))
    inequality = reduced(end, network, state, case.region)
    moving = [j for j, fixed in enumerate(case.region.fixed(case.content.inputs)) if not fixed]
    assert inequality.sizes == [len(moving), *counts, case.content.outputs]
    for _ in range(8):
        weights = case.weights()
        runs = [case.run(case.points(60), weights) for _ in range(2)]
        dv, dz = ([one - two for one, two in zip(runs[0][k], runs[1][k], strict=True)] for k in range(2))
        read = [dz[0][:, moving], *(d[:, known.undecided] for d, known in zip(dz[1:], state.groups, strict=True))]
        for target in range(1, len(inequality.sizes)):
            rows = known.undecided if target <= len(counts) and (known := state.neurons(target)) else None
            wanted = dv[target - 1] if rows is None else dv[target - 1][:, rows]
            found, room = np.zeros(wanted.shape), np.full(wanted.shape, 1e-11)
            for block in inequality.blocks:
                if block.target == target:
                    bits = block.needed_bits()
                    entries = np.array([math.ldexp(x, -bits) for x in block.fixed(bits)])
                    found += read[block.source] @ entries.reshape(block.rows, block.columns).T
                    radius = math.ldexp(block.fixed_radius(bits), -bits)
                    room += radius * np.abs(read[block.source]).sum(axis=1)[:, None]
            assert np.all(np.abs(found - wanted) <= room)


def test_nothing_is_rounded_on_all_inputs() -> None:
    """v2 = v1 - v1 in two ways with weights of many bits: the inputs cancel exactly, and no bound is lost."""
    weight = 1 + 2.0**-50
    blocks = [covers.block(1, 0, [[weight]]), covers.block(2, 0, [[-weight * 3.0]]), covers.block(2, 1, [[3.0]])]
    linear = covers.piecewise_linear(1, [], [1.0], [0.25])
    groups = [covers.group(linear, [0.5], (1.0, 1.0)), covers.group(covers.relu(1), [0.0])]
    blocks.append(covers.block(3, 2, [[1.0]]))
    content = networks.read(covers.network(1, 1, groups, blocks), "network")
    for document, exact in ((covers.everything(), True), (covers.box([-1e30], [1e30]), False)):
        region = regions.read(document, "region", 1)
        network, state = IntegerNetwork(content), first_state(content, region, [], BITS)
        found = Bounding(network, state, region, BITS, 1).least({2: units([0], 1)})
        assert found == [9 << BITS - 2] if exact else abs(math.ldexp(found[0], -BITS) - 2.25) < 1e-9
    blocks[1] = covers.block(2, 0, [[-3.0]])
    content = networks.read(covers.network(1, 1, groups, blocks), "network")
    network, state = IntegerNetwork(content), first_state(content, regions.ALL, [], BITS)
    with pytest.raises(Rejected, match="reads inputs that have no ends"):
        Bounding(network, state, regions.ALL, BITS, 1).least({2: units([0], 1)})

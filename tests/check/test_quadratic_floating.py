"""Quadratic bounds in floating point, compared with rational arithmetic; nothing false may pass."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.check import cover_floating, functions, quadratic_floating
from sdpcert.check.activations import Smooth
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.bounding import GUARD, MORE_BITS
from sdpcert.check.cover import prove
from sdpcert.check.entries import Separation
from sdpcert.check.lines_floating import SmoothCurves
from sdpcert.check.network import Group, Network
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.pieces import (
    Bounded,
    BoundsStep,
    Empty,
    Lines,
    LinesStep,
    Piece,
    QuadraticStep,
    Requirement,
    Separated,
    SlopesStep,
    Split,
)
from sdpcert.check.quadratic import check_quadratic
from sdpcert.check.quadratic_floating import prove_quadratic
from sdpcert.check.reading import Rejected
from sdpcert.check.region import ALL, Region
from sdpcert.check.state import first_state, input_bits
from sdpcert.check.state_floating import State
from tests.check.exact_quadratic import ExactQuadratic
from tests.check.tiny_networks import (
    block,
    cover,
    doubles,
    floating_bounds,
    group,
    integers,
    reason,
)

Array = np.ndarray

BENT = ("relu", "leaky", "abs", "concave", "shifted")


#: One for the inputs and one for each group.
Units = list[float]


def centred_region(rng: np.random.Generator, inputs: int) -> Region:
    """A box, a ball, or a ball within a box, around a point near zero."""
    center, kind = 0.2 * rng.standard_normal(inputs), str(rng.choice(["box", "ball", "within"]))
    width = rng.random(inputs) * (rng.random(inputs) > 0.1)
    ends = doubles(center - width), doubles(center + width)
    if kind == "box":
        return Region("box", *ends)
    return Region("ball", *(ends if kind == "within" else (None, None)), doubles(center), float(rng.random() + 0.1))


def bounded(state: State, rng: np.random.Generator) -> State:
    """The state after bounds of all groups, between lines some of which are random."""
    for g, neurons in enumerate(state.neurons, 1):
        every = integers(range(len(neurons.lower)))
        for side in ("low", "high"):
            step = BoundsStep(side, g, every, doubles(np.zeros(len(every))), (), None)
            state = state.after_bounds(replace(step, values=doubles(floating_bounds(state, step))))
        known = state.neurons[g - 1].known
        if isinstance(neurons.curves, SmoothCurves):
            between = [neurons.curves.slopes_between(*ends) for ends in zip(known.low.tolist(), known.high.tolist())]
            ends = np.array([(float(low) - 1e-12, float(high) + 1e-12) for low, high in between]).T
            state = state.after_slopes(SlopesStep(g, every, doubles(ends[0]), doubles(ends[1])))
        low, high = state.neurons[g - 1].slopes
        slopes = [low + (high - low) * rng.random(len(every)) for _ in range(2)]
        state = state.after_lines(LinesStep(Lines(g, every, doubles(slopes[0]), doubles(slopes[1]))))
    return state


def bent_network(rng: np.random.Generator, radius: float = 0.0, doubled: bool = False) -> Network:
    """A random network most of whose neurons have a kink near the middle, with at least two groups."""
    sizes = [int(n) for n in rng.integers(2, 5, size=int(rng.integers(4, 6)))]
    shapes = [str(rng.choice([*BENT, "hardtanh", "linear"])) for _ in sizes[1:-1]]
    shapes[0] = str(rng.choice(BENT))
    groups = [group(s, n, 0.3 * rng.standard_normal(n), radius) for s, n in zip(shapes, sizes[1:-1], strict=True)]
    blocks = []
    for target in range(1, len(sizes)):
        for source in range(target):
            if source == target - 1 or rng.random() < 0.3:
                weights = rng.standard_normal((sizes[target], sizes[source]))
                low = rng.standard_normal(weights.shape) * 1e-17 if doubled else None
                blocks.append(block(target, source, weights, radius, low))
    return Network(sizes[0], sizes[-1], tuple(groups), tuple(blocks), "")


def rescaled(network: Network, region: Region, units: Units) -> tuple[Network, Region]:
    """The same network and region with inputs (unit 0) and groups measured in other units, which are powers of two."""

    def times(numbers: Any, unit: float) -> Any:
        return None if numbers is None else doubles(np.array(numbers) * unit)

    groups = []
    for some, unit in zip(network.groups, units[1:], strict=True):
        starts, values = (
            tuple(times(x, unit) for x in numbers)
            for numbers in (some.activation.starts, some.activation.values)  # type: ignore[attr-defined]
        )
        activation = replace(some.activation, starts=starts, values=values)  # type: ignore[type-var]
        arrays = {"bias": times(some.bias, unit), "bias_radius": times(some.bias_radius, unit)}
        groups.append(replace(some, activation=activation, **arrays))
    every = [*units, 1.0]
    blocks = tuple(replace(b, weights=times(b.weights, every[b.target] / every[b.source])) for b in network.blocks)
    arrays = {key: times(getattr(region, key), units[0]) for key in ("low", "high", "center")}
    other = replace(region, **arrays, radius=region.radius * units[0])
    return replace(network, groups=tuple(groups), blocks=blocks), other


def smooth_network(rng: np.random.Generator, name: str) -> Network:
    """A random network one of whose groups is smooth."""
    plain = bent_network(rng)
    g = int(rng.integers(len(plain.groups)))
    smooth = Smooth(name, doubles([]), functions.read(name, []))
    low, high = (float(end) for end in smooth.function.everywhere())
    some = plain.groups[g]
    stated = Group(
        some.size, name, smooth, doubles(np.full(some.size, low - 1e-9)), doubles(np.full(some.size, high + 1e-9)),
        some.bias, some.bias_radius,
    )  # fmt: skip
    return replace(plain, groups=(*plain.groups[:g], stated, *plain.groups[g + 1 :]))


def piece(rng: np.random.Generator, network: Network, region: Region, splits: int = 2) -> State | None:
    """A random piece of a region, with bounds; None if it turns out to be empty."""
    with np.errstate(all="ignore"):
        state = bounded(State.of(FloatingNetwork(network), region), rng)
        for _ in range(splits):
            g = int(rng.integers(len(network.groups) + 1))
            i = int(rng.integers(network.inputs if g == 0 else network.groups[g - 1].size))
            known = state.neurons[g - 1].known
            low, high = (state.low, state.high) if g == 0 else (known.low, known.high)
            at = float(low[i] + (high[i] - low[i]) * rng.random())
            if low[i] < at < high[i]:
                state = state.on_side(Split(g, i, at), str(rng.choice(["below", "above"])))
                state = bounded(state, rng)
            if state.is_empty:
                return None
    return state


def facts_of(network: Network, state: State, g: int, i: int) -> int:
    """How many facts the contract has for an undecided neuron."""
    known, activation = state.neurons[g - 1].known, network.groups[g - 1].activation
    kinks = 0
    for k, start in enumerate(getattr(activation, "starts", ())):
        bends = activation.slopes[k][i] != activation.slopes[k + 1][i]  # type: ignore[attr-defined]
        kinks += bool(known.low[i] < start[i] < known.high[i]) and bends
    return 6 if kinks == 1 else 3


def random_step(
    rng: np.random.Generator, network: Network, region: Region, state: State, units: Units | None = None
) -> tuple[QuadraticStep, ExactQuadratic, Fraction] | None:
    """A step with random weights, its exact form and the largest `s value`; None if there is none.

    `units` are those of `rescaled`.
    """
    units = [1.0] * (len(network.groups) + 1) if units is None else units
    g = max(1, len(network.groups) - int(rng.random() < 0.2))
    scales = None
    if region.center is None or rng.random() < 0.4:
        scales = doubles((state.high - state.low + 1e-3 * units[0]) * np.exp(rng.standard_normal(network.inputs)))
    usable = [
        units[g] / units[d.group] * rng.random() if d.group < g and rng.random() < 0.7 else 0.0 for d in state.decisions
    ]
    base: list[tuple[int, Array, Array]] = []
    for h in range(1, g):
        slopes = state.neurons[h - 1].slopes
        for i in np.flatnonzero(slopes[0] != slopes[1]).tolist():
            weights = np.exp(rng.standard_normal(facts_of(network, state, h, i))) * 0.3
            base.append((h, weights * (rng.random(len(weights)) < 0.6), weights[:1] + 0.1))
    for attempt in range(12):
        rows = []
        for h, weights, first in base:
            scaled = weights.copy()
            scaled[0] = first[0] * 3.0 ** (attempt * (g - h))
            # Facts of degree one are in the units of the neuron, those of degree two in their squares.
            degree = np.array([2, 1, 1, 1, 2, 2])[: len(scaled)]
            rows.append((h, scaled * units[g] / units[h] ** degree))
        multipliers = tuple(doubles([x for k, row in rows if k == h for x in row]) for h in range(1, g))
        ball = 3.0 ** (attempt * g) * units[g] / (units[0] ** 2 if scales is None else 1.0)
        side, neuron = str(rng.choice(["low", "high"])), int(rng.integers(network.groups[g - 1].size))
        decisions = doubles(usable) if state.decisions else None
        step = QuadraticStep(side, g, neuron, 0.0, scales, ball, multipliers, decisions)
        exact = ExactQuadratic(network, region, state, step)
        largest = exact.largest()
        if largest is not None:
            return step, exact, largest
    return None


def accepted(state: State, step: QuadraticStep, value: Fraction | float) -> bool:
    """Whether a step is accepted with `s value`."""
    sign = 1.0 if step.side == "low" else -1.0
    why = reason(lambda: prove_quadratic(state, replace(step, value=sign * float(value))))
    assert why is None or "the matrix is not proved" in why
    return why is None


def samples(rng: np.random.Generator, network: Network, region: Region, state: State, count: int = 200) -> Array:
    """Points of a piece."""
    if region.center is None:
        points = rng.uniform(state.low, state.high, (count, network.inputs))
    else:
        steps = rng.standard_normal((count, network.inputs))
        length = rng.random(count) ** (1 / network.inputs) * region.radius * (1 - 1e-12)
        points = np.array(region.center) + steps * (length / np.linalg.norm(steps, axis=1))[:, None]
    points = points[np.all((state.low <= points) & (points <= state.high), axis=1)]
    if not len(points):
        return points
    before, _ = evaluated(network, points)
    inside = [d.sign * (before[d.group][:, d.neuron] - d.at) >= 0 for d in state.decisions]
    return points[np.all([np.ones(len(points), dtype=bool), *inside], axis=0)]


def evaluated(network: Network, points: Array) -> tuple[dict[int, Array], dict[int, Array]]:
    """Preactivations and activations by group, in float64."""
    before, after = {}, {0: points}
    for g, some in enumerate(network.groups, 1):
        v = np.tile(np.array(some.bias), (len(points), 1))
        for b in network.blocks:
            if b.target == g:
                v = v + after[b.source] @ np.array(b.weights).reshape(b.rows, b.columns).T
        before[g], after[g] = v, activated(some, v)
    return before, after


def activated(some: Group, v: Array) -> Array:
    if isinstance(some.activation, Smooth):
        return {"tanh": np.tanh, "sigmoid": lambda x: 1 / (1 + np.exp(-x)), "sin": np.sin}[some.activation.name](v)
    starts, slopes, values = (
        [np.array(x) for x in numbers]
        for numbers in (some.activation.starts, some.activation.slopes, some.activation.values)  # type: ignore[attr-defined]
    )
    result = slopes[0] * v + values[0]
    for start, slope, value in zip(starts, slopes[1:], values[1:], strict=True):
        result = np.where(v > start, slope * v + value, result)
    return result


def compared(network: Network, region: Region, rng: np.random.Generator, units: Units | None = None) -> bool:
    """Compare a random step with rational arithmetic; whether there was one."""
    state = piece(rng, network, region)
    found = None if state is None else random_step(rng, network, region, state, units)
    if state is None or found is None:
        return False
    step, exact, largest = found
    sign = 1 if step.side == "low" else -1
    size = sum(abs(float(x)) for row in exact.matrix[:1] for x in row) + abs(float(largest))
    points = samples(rng, network, region, state)
    before, after = evaluated(network, points) if len(points) else ({}, {})
    for k in range(min(len(points), 10)):
        z = [Fraction(float(after[g][k, i])) for g, i in exact.undecided]
        inputs = [Fraction(float(x)) for x in points[k]]
        assert float(exact.at(inputs, z)) <= sign * before[step.group][k, step.neuron] + 1e-9 * size
    for k in range(len(points)):
        assert float(largest) <= sign * before[step.group][k, step.neuron] + 1e-9 * size
    values = [float(largest) - share * size for share in (1e-7, 1e-9, 1e-10, 1e-11, 1e-12, 1e-13, 1e-14, 1e-15, 0.0)]
    good = [value for value in values if accepted(state, step, value)]
    assert good[:1] == values[:1]
    assert Fraction(good[-1]) <= largest
    in_integers(network, region, state, replace(step, value=sign * good[-1]))
    return True


def in_integers(network: Network, region: Region, state: State, step: QuadraticStep) -> None:
    """Prove the same step in integers."""
    exact = IntegerNetwork(network)
    cuts = [split for split, _ in state.cuts]
    bits = exact.bits + MORE_BITS + GUARD + input_bits(region, cuts)
    known = first_state(network, region, cuts, bits)
    for g, neurons in enumerate(state.neurons, 1):
        own, every = known.neurons(g), range(len(neurons.lower))
        for side, ends in (("low", neurons.known.low), ("high", neurons.known.high)):
            own = own.with_ends(side, every, ends.tolist())
        own = own.with_lines(every, neurons.lower.tolist(), neurons.upper.tolist())
        known = known.with_neurons(g, own.with_slopes(every, neurons.known.alpha.tolist(), neurons.known.beta.tolist()))
    for split, side in (*state.cuts, *((Split(d.group, d.neuron, d.at), d.side) for d in state.decisions)):
        known = known.on_side(split, side)
    check_quadratic(step, exact, known, region, bits)


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 2**32))
def test_what_is_accepted_is_semidefinite_in_rational_arithmetic(seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = bent_network(rng)
    compared(network, centred_region(rng, network.inputs), rng)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.lists(st.integers(-27, 27), min_size=6, max_size=6))
def test_units_do_not_matter(seed: int, exponents: list[int]) -> None:
    """Inputs and groups of 1e-8 to 1e8, as sharp as others."""
    rng = np.random.default_rng(seed)
    network, region = bent_network(rng), None
    region = centred_region(rng, network.inputs)
    units = [2.0**k for k in exponents[: len(network.groups) + 1]]
    compared(*rescaled(network, region, units), rng, units)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from(["tanh", "sigmoid", "sin"]))
def test_smooth_activations_are_between_two_lines(seed: int, name: str) -> None:
    rng = np.random.default_rng(seed)
    network = smooth_network(rng, name)
    compared(network, centred_region(rng, network.inputs), rng)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32), st.sampled_from([0.0, 1e-14, 1e-9, 1e-4]))
def test_bounds_hold_for_all_weights_within_their_radii(seed: int, radius: float) -> None:
    rng = np.random.default_rng(seed)
    network = bent_network(rng, radius, doubled=True)
    region = centred_region(rng, network.inputs)
    state = piece(rng, network, region)
    found = None if state is None else random_step(rng, network, region, state)
    if state is None or found is None:
        return
    step, exact, largest = found
    size = sum(abs(float(x)) for x in exact.matrix[0]) + abs(float(largest))
    value = next(v for k in range(130) if accepted(state, step, v := float(largest) - 1e-15 * 1.3**k * size))
    assert Fraction(value) < largest
    assert value >= largest - (1e-7 + 1e5 * radius) * size
    sign = 1.0 if step.side == "low" else -1.0
    in_integers(network, region, state, replace(step, value=sign * value))
    for _ in range(5):
        moved = perturbed(network, rng)
        points = samples(rng, moved, region, state)
        if len(points):
            values = sign * evaluated(moved, points)[0][step.group][:, step.neuron]
            assert values.min() >= value - 1e-13 * (1 + abs(value))


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32))
def test_radii_cost_what_the_rows_may_be_wrong_by(seed: int) -> None:
    """With one group below the bounded one, every error is one sum of sizes."""
    rng = np.random.default_rng(seed)
    plain = bent_network(rng)
    radii = [10.0 ** rng.integers(-9, -3) for _ in range(2)]
    groups = tuple(
        replace(some, bias_radius=doubles(np.full(some.size, r)))
        for some, r in zip(plain.groups[:2], radii, strict=True)
    )
    blocks = [replace(b, radius=radii[b.target - 1]) for b in plain.blocks if b.target <= 2]
    last = block(3, 2, np.ones((1, groups[1].size)))
    network = Network(plain.inputs, 1, groups, (*blocks, last), "")
    region = centred_region(rng, network.inputs)
    state = piece(rng, network, region, splits=0)
    found = None if state is None else random_step(rng, network, region, state)
    if state is None or found is None:
        return
    step, exact, largest = found
    inputs = sum(max(abs(Fraction(float(a))), abs(Fraction(float(b)))) for a, b in zip(state.low, state.high))
    errors = {(1, i): Fraction(radii[0]) * (1 + inputs) for i in range(groups[0].size)}
    if step.group == 2:
        sizes = [Fraction(float(x)) for x in state.neurons[0].sizes.sizes]
        error = Fraction(radii[1]) * (1 + sum(sizes) + (inputs if any(b.source == 0 for b in blocks[1:]) else 0))
        for j, slope in enumerate(state.neurons[0].slopes[0].tolist()):
            weight = next(b for b in blocks if b.source == 1).weights[step.neuron * groups[0].size + j]
            if (1, j) not in exact.undecided:
                error += abs(Fraction(weight) * Fraction(slope)) * errors[1, j]
        errors[2, step.neuron] = error
    size = sum(abs(float(x)) for x in exact.matrix[0]) + abs(float(largest))
    charge = exact.charge(errors)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quadratic_floating, "CAUTION", 1.0)
        assert not accepted(state, step, float(largest - charge) + 1e-14 * size)
        assert accepted(state, step, float(largest - charge) - 1e-7 * (size + float(charge)))


def perturbed(network: Network, rng: np.random.Generator) -> Network:
    """Another network within the radii, at one of the farthest ones."""

    def moved(numbers: Any, radius: Any) -> Any:
        return doubles(np.array(numbers) + rng.choice([-1.0, 1.0], len(numbers)) * radius)

    groups = tuple(replace(some, bias=moved(some.bias, np.array(some.bias_radius))) for some in network.groups)
    blocks = tuple(replace(b, weights=moved(b.weights, b.radius), radius=0.0) for b in network.blocks)
    return replace(network, groups=groups, blocks=blocks)


@settings(deadline=None, max_examples=10)
@given(st.integers(0, 2**32))
def test_wide_inputs_are_replaced(seed: int) -> None:
    rng = np.random.default_rng(seed)
    plain, inputs = bent_network(rng), 12
    wide = [block(b.target, 0, rng.standard_normal((b.rows, inputs)) / 3) if b.source == 0 else b for b in plain.blocks]
    network = replace(plain, inputs=inputs, blocks=tuple(wide))
    compared(network, centred_region(rng, inputs), rng)


def valley() -> tuple[Network, Region, QuadraticStep]:
    """|x| on the ball of radius 2 around zero, and a step that bounds it from below by nearly -1/500."""
    groups = (group("relu", 2, [0.0, 0.0]), group("relu", 1, [0.0]))
    blocks = (block(1, 0, np.array([[1.0], [-1.0]])), block(2, 1, np.ones((1, 2))), block(3, 2, np.ones((1, 1))))
    weights = doubles([1e-3, 1.0, 0.0, 0.0, 0.0, 0.0] * 2)
    step = QuadraticStep("low", 2, 0, -2.001e-3, None, 5e-4 * (1 + 1e-9), (weights,), None)
    return Network(1, 1, groups, blocks, ""), Region("ball", center=doubles([0.0]), radius=2.0), step


def test_facts_that_need_no_ends_bound_before_anything_is_known() -> None:
    network, region, step = valley()
    state = State.of(FloatingNetwork(network), region)
    prove_quadratic(state, step)
    assert state.after_quadratic(step).neurons[1].known.low[0] == step.value
    assert not accepted(state, step, -1.999e-3)
    for k in (3, 4, 5):
        weights = step.multipliers[0][:]
        weights[k] = 1.0
        with pytest.raises(Rejected, match="group 1 has a weight and needs an end or a line"):
            prove_quadratic(state, replace(step, multipliers=(weights,)))


@pytest.mark.parametrize("exact", [True, False])
def test_the_square_of_a_tiny_radius_is_not_zero(exact: bool) -> None:
    """x + 5e-166 is negative in the ball of radius 1e-165, whose square underflows, however heavy it is."""
    groups = (group("linear", 1, [5e-166]),)
    network = Network(1, 1, groups, (block(1, 0, np.array([[1.0]])), block(2, 1, np.array([[1.0]]))), "")
    step = QuadraticStep("low", 1, 0, 1e-300, None, 1e200, (), None)
    region = Region("ball", None, None, doubles([0.0]), 1e-165)
    pieces = (Piece("root", None, None, (step,), Separated()),)
    with pytest.raises(Rejected, match=r"root: steps\[0\]"):
        prove(Separation(network, region, pieces, (Requirement(0, "low", Fraction(0)),)), exact)


def test_what_does_not_fit_is_rejected() -> None:
    network, region, step = valley()
    fresh, floating = State.of(FloatingNetwork(network), region), FloatingNetwork(network)
    with np.errstate(invalid="ignore"):
        unbounded = State.of(floating, ALL)
    with pytest.raises(Rejected, match="a region with ends"):
        prove_quadratic(unbounded, step)
    box = Region("box", doubles([-1.0]), doubles([1.0]))
    with pytest.raises(Rejected, match="no ball"):
        prove_quadratic(State.of(floating, box), step)
    prove_quadratic(State.of(floating, box), replace(step, scales=doubles([2.0]), ball=2e-3 * (1 + 1e-9)))
    with pytest.raises(Rejected, match="11 multipliers for the undecided neurons of group 1"):
        prove_quadratic(fresh, replace(step, multipliers=(step.multipliers[0][:-1],)))
    cut = fresh.on_side(Split(2, 0, 1.0), "above")
    prove_quadratic(cut, replace(step, decisions=doubles([0.0])))
    with pytest.raises(Rejected, match="a decision on group 2 has a weight"):
        prove_quadratic(cut, replace(step, decisions=doubles([1.0])))
    # Activations and inputs that nothing keeps from growing: a neuron that nothing reads, and no ball.
    apart = replace(network, blocks=(network.blocks[0], block(2, 1, np.array([[1.0, 0.0]])), network.blocks[2]))
    unread = State.of(FloatingNetwork(apart), region)
    low = replace(step, value=-1.001e-3)
    for first, second, ball, right in (
        ([1e-3, 1.0], [0.0, 0.0], 2.5e-4 * (1 + 1e-9), True),
        ([1e-3, 1.0], [0.0, 1.0], 2.5e-4 * (1 + 1e-9), False),
        ([1e-3, 1.0], [0.0, 0.0], 0.0, False),
        ([0.0, 1.0], [0.0, 0.0], 2.5e-4, False),
    ):
        weights = doubles([*first, 0.0, 0.0, 0.0, 0.0, *second, 0.0, 0.0, 0.0, 0.0])
        assert accepted(unread, replace(low, multipliers=(weights,), ball=ball), low.value) is right
    for large in (replace(step, value=-1e308, ball=1e308), replace(step, ball=1e-320)):
        with pytest.raises(Rejected):
            prove_quadratic(fresh, large)


def test_a_step_of_a_piece_changes_the_interval() -> None:
    """Below the split there is nothing, and only the quadratic bound shows it."""
    network, region, step = valley()
    pieces = [
        Piece("root", None, None, (), Split(2, 0, -1.0)),
        Piece("below", 0, "below", (replace(step, decisions=doubles([0.0])),), Empty()),
        Piece("above", 0, "above", (), Bounded(1e9, 0, (doubles([1e3, 1e3]), doubles([1.0])))),
    ]
    cover_floating.prove(cover(network, region, pieces))
    none = [pieces[0], replace(pieces[1], steps=()), pieces[2]]
    with pytest.raises(Rejected, match="below: end: no interval"):
        cover_floating.prove(cover(network, region, none))
    wrong = replace(step, value=-1e-3, decisions=doubles([0.0]))
    with pytest.raises(Rejected, match=r"below: steps.0.: the matrix is not proved"):
        cover_floating.prove(cover(network, region, [pieces[0], replace(pieces[1], steps=(wrong,)), pieces[2]]))

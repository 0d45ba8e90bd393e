"""What a backward pass proves is below the exact bound by the same lines, and close to it."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.network.affine import Scale
from sdpcert.network.graph import Graph
from sdpcert.network.piecewise_linear import PiecewiseLinear
from sdpcert.network.stacked import Block
from sdpcert.network.stacking import stack
from sdpcert.regions.backward import SHARE, Relaxation, Rows, sided
from sdpcert.regions.pieces import Lines, Split
from sdpcert.regions.products import DENSEST, SMALLEST, Operator
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.regions.tighten import Effort, tighten
from tests.regions.networks import PIECEWISE_LINEAR, chain, region_of, skipping


def exact_bound(state: State, rows: Rows, r: int) -> tuple[Fraction, Fraction]:
    """The bound of row r in rational arithmetic (balls: but for the root), and the magnitudes that it adds up."""
    form = state.form
    top = max([rows.group, *(d.group for d in state.decisions)])
    v = {g: [Fraction(0)] * form.groups[g - 1].size for g in range(1, top + 1)}
    z: dict[int, list[Fraction]] = {g: [Fraction(0)] * size for g, size in enumerate(form.sizes)}
    constant, scale = Fraction(0), Fraction(0)

    def add(term: Fraction) -> None:
        nonlocal constant, scale
        constant, scale = constant + term, scale + abs(term)

    v[rows.group][rows.neurons[r]] += Fraction(float(rows.signs[r]))
    for k, decision in enumerate(state.decisions):
        weight = Fraction(0 if rows.multipliers is None else float(rows.multipliers[r, k])) * int(decision.sign)
        v[decision.group][decision.neuron] -= weight
        add(weight * Fraction(decision.at))
    own = {lines.group: lines for lines in rows.lines}
    for g in range(top, 0, -1):
        group = form.groups[g - 1]
        for i, through in enumerate(z[g]):
            if not through:
                continue
            below = through > 0
            slope = float((state.lower if below else state.upper)[g - 1][i])
            if g in own and i in own[g].neurons:
                slope = float((own[g].lower if below else own[g].upper)[r, list(own[g].neurons).index(i)])
            s, q = exact_line(state, g, i, slope, below)
            v[g][i] += through * s
            add(through * q)
        for i, coefficient in enumerate(v[g]):
            if not coefficient:
                continue
            add(coefficient * Fraction(float(group.bias[i])))
            for source, block in form.row(g).items():
                for j, weight in enumerate(block.weights[i]):
                    low = Fraction(0) if block.low is None else Fraction(float(block.low[i, j]))
                    z[source][j] += coefficient * (Fraction(float(weight)) + low)
    ends = zip(z[0], state.box_low, state.box_high, strict=True)
    least = sum((min(a * Fraction(float(low)), a * Fraction(float(high))) for a, low, high in ends), Fraction(0))
    if isinstance(state.region, Ball):
        length = Fraction(float(np.sqrt(float(sum(a * a for a in z[0])))))
        center = (Fraction(float(c)) for c in state.region.center)
        around = sum((a * c for a, c in zip(z[0], center, strict=True)), Fraction(0))
        least = max(least, around - Fraction(state.region.radius) * length)
    return constant + least, scale + abs(least)


def exact_line(state: State, g: int, i: int, slope: float, below: bool) -> tuple[Fraction, Fraction]:
    """Slope and intercept of the line of neuron i of group g."""
    group = state.form.groups[g - 1]
    low, high = float(state.low[g - 1][i]), float(state.high[g - 1][i])
    assert isinstance(group.activation, PiecewiseLinear)
    pieces = [[float(group.per_neuron(part)[i]) for part in piece] for piece in group.activation.segments]
    starts = [start for start, _, _ in pieces]
    for (start, a, c), end in zip(pieces, [*starts[1:], np.inf], strict=True):
        if start <= low and high <= end:
            return Fraction(a), Fraction(c)
    heights = []
    for place in (low, high, *(start for start in starts[1:] if low < start < high)):
        _, a, c = [piece for piece in pieces if piece[0] <= place][-1]
        heights.append((Fraction(a) - Fraction(slope)) * Fraction(place) + Fraction(c))
    return Fraction(slope), min(heights) if below else max(heights)


@settings(deadline=None, max_examples=50)
@given(
    name=st.sampled_from(sorted(PIECEWISE_LINEAR)),
    kind=st.sampled_from(["box", "ball", "both"]),
    skips=st.booleans(),
    decided=st.integers(0, 3),
    seed=st.integers(0, 2**32 - 1),
)
def test_bounds_are_below_exact_ones(name: str, kind: str, skips: bool, decided: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    activation = PIECEWISE_LINEAR[name]
    form = (skipping(rng, activation) if skips else chain(rng, [3, 4, 4, 3, 2], activation)).stacked
    state, _ = tighten(State.of(form, region_of(kind, rng, 3, 1.0)), Effort())
    for _ in range(decided):
        group = int(rng.integers(1, len(form.groups) + 1))
        neuron = int(rng.integers(form.groups[group - 1].size))
        low, high = state.low[group - 1][neuron], state.high[group - 1][neuron]
        state = state.on_side(Split(group, neuron, float(low + high) / 2), "above" if rng.uniform() < 0.5 else "below")
    group = int(rng.integers(1, len(form.groups) + 1))
    neurons, signs = sided(np.arange(form.groups[group - 1].size))
    count = len(neurons)
    lines = []
    for g in range(1, group):
        some = np.flatnonzero(rng.uniform(size=form.groups[g - 1].size) < 0.7)
        lines.append(Lines(g, some, *rng.uniform(-0.5, 1.5, (2, count, len(some)))))
    multipliers = rng.exponential(size=(count, decided)) if decided else None
    rows = Rows(group, neurons, signs, tuple(lines), multipliers)
    bounds = Relaxation(state).bound(rows)
    for r in range(count):
        exact, scale = exact_bound(state, rows, r)
        lost = exact - Fraction(float(bounds[r]))
        assert lost > 0
        # Sizes are bounded by intervals, which may be much longer than what one row adds up.
        sizes = sum(float(np.max(Relaxation(state).sizes(g)[0])) for g in range(1, len(form.groups) + 1))
        assert lost <= Fraction(100 * SHARE * (1 + sizes) ** 2) * (1 + scale)


def test_uncertain_weights_and_biases_are_charged() -> None:
    rng = np.random.default_rng(0)
    form = chain(rng, [3, 4, 4, 2], "relu").stacked
    state, _ = tighten(State.of(form, region_of("box", rng, 3, 1.0)), Effort())
    rows = Rows(2, *sided(np.arange(form.groups[1].size)))
    known = Relaxation(state).bound(rows)
    blocks = {key: Block(block.weights, 1e-3) for key, block in form.blocks.items()}
    doubtful = Relaxation(replace(state, form=replace(form, blocks=blocks))).bound(rows)
    groups = tuple(replace(group, bias_radius=np.full(group.size, 1e-3)) for group in form.groups)
    biased = Relaxation(replace(state, form=replace(form, groups=groups))).bound(rows)
    assert np.all(biased <= known - 1e-3)
    assert np.all(doubtful < known)
    for _ in range(8):
        moved = {
            key: Block(block.weights + 1e-3 * rng.uniform(-1, 1, block.weights.shape))
            for key, block in form.blocks.items()
        }
        other = Relaxation(replace(state, form=replace(form, blocks=moved)))
        # With the lines of the form that moved, which are those of the same intervals.
        assert np.all(doubtful <= other.bound(rows))


def test_a_low_part_counts() -> None:
    rng = np.random.default_rng(1)
    graph = Graph((3,))
    value = graph.add(Scale(np.array([1 / 3, 1 / 7, 1 / 9]), np.zeros(3)), 0)
    network = chain(rng, [3, 4, 2], "relu")
    for node in network.nodes:
        value = graph.add(node.layer, value)
    form = stack(graph.network(value))
    assert form.blocks[1, 0].low is not None
    state = State.of(form, region_of("box", rng, 3, 1.0))
    rows = Rows(1, *sided(np.arange(4)))
    bounds = Relaxation(state).bound(rows)
    assert all(Fraction(float(bounds[r])) < exact_bound(state, rows, r)[0] for r in range(8))


@pytest.mark.parametrize("sparse", [False, True])
def test_operators_are_the_block(sparse: bool) -> None:
    rng = np.random.default_rng(2)
    weights = rng.standard_normal((250, 2 * SMALLEST // 250))
    if sparse:
        weights *= rng.uniform(size=weights.shape) < DENSEST / 2
    operator = Operator(Block(weights))
    assert operator.is_sparse is sparse
    rows, values = rng.standard_normal((7, weights.shape[0])), rng.standard_normal((7, weights.shape[1]))
    np.testing.assert_allclose(operator.back(rows), rows @ weights, atol=1e-12)
    reach = np.abs(values[0])
    np.testing.assert_allclose(operator.size(reach), np.abs(weights) @ reach, atol=1e-12)
    reach[3] = np.inf
    np.testing.assert_array_equal(np.isinf(operator.size(reach)), weights[:, 3] != 0)


def test_a_trace_has_the_function_and_the_lines_that_make_a_bound() -> None:
    rng = np.random.default_rng(4)
    form, region = chain(rng, [3, 5, 4, 3], "relu").stacked, region_of("box", rng, 3, 0.5)
    state, _ = tighten(State.of(form, region), Effort())
    relaxation, rows = Relaxation(state), Rows(2, *sided([0, 3]))
    trace = relaxation.traced(rows)
    corners = np.where(trace.inputs > 0, state.box_low, state.box_high)
    for corner, row, neuron, sign, bound in zip(
        corners, trace.used[1].coefficients, rows.neurons, rows.signs, relaxation.bound(rows), strict=True
    ):
        # Activations that lie on the lines give the row at its least point the value of the bound.
        values = form.blocks[1, 0].weights @ corner + form.groups[0].bias
        k = int(np.flatnonzero((rows.neurons == neuron) & (rows.signs == sign))[0])
        on_lines = trace.used[1].slopes[k] * values + trace.used[1].at_zero[k]
        np.testing.assert_allclose(row, sign * form.blocks[2, 1].weights[neuron])
        assert row @ on_lines + sign * form.groups[1].bias[neuron] == pytest.approx(bound, abs=1e-7)

"""The search for two inputs: derivatives against differences, exact constants, effort, early ends, counted work."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network, certify
from sdpcert.attained import _candidates, attained_lower_bound, evaluate_ratio
from sdpcert.attained.derivatives import averaged_gradients, stretch
from sdpcert.attained.domain import Domain, Everywhere
from sdpcert.attained.flips import pieces_at, switch
from sdpcert.attained.graph_map import GraphMap
from sdpcert.attained.maps import BlockMap, Kinked, Neurons, SearchedMap, norms, unit
from sdpcert.attained.search import LEAST_STEPS, Search
from sdpcert.attained.work import LEAST, MOST, SOLVING, Work, default_operations
from sdpcert.network.activations import leaky_relu
from sdpcert.network.affine import Conv2d, Dense, Sum
from sdpcert.network.graph import Graph

Array = np.ndarray
KINDS = ["relu", "leaky_relu", "abs", "tanh", "sigmoid", "gelu", "maxmin"]


def mlp(rng: np.random.Generator, *widths: int, activation: str = "relu") -> Network:
    weights = [rng.standard_normal((m, n)) / np.sqrt(n) for n, m in itertools.pairwise(widths)]
    return Network.mlp(weights, [0.3 * rng.standard_normal(len(w)) for w in weights], activation)


def residual(rng: np.random.Generator) -> Network:
    """A convolution with a skip and a dense head: many sources in one row of blocks."""
    graph = Graph((1, 4, 4))
    image = graph.add(Conv2d(rng.standard_normal((2, 1, 3, 3)), rng.standard_normal(2), padding=(1, 1, 1, 1)), 0)
    value = graph.add(leaky_relu(np.array([0.1, -0.2]).reshape(2, 1, 1)), image)
    value = graph.add(Conv2d(rng.standard_normal((2, 2, 3, 3)), rng.standard_normal(2), padding=(1, 1, 1, 1)), value)
    value = graph.add(leaky_relu(0.0), graph.add(Sum((1, -1)), value, image))
    return graph.network(graph.add(Dense(rng.standard_normal((3, 32))), graph.rearrange(value, np.ravel)))


# ---------------------------------------------------------------- maps and derivatives


@pytest.mark.parametrize("kind", [*KINDS, "residual"])
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_graph_and_blocks_are_one_map(kind: str, seed: int) -> None:
    """Values up to a constant, and transposed Jacobians, in the reduced space too."""
    rng = np.random.default_rng(seed)
    network = residual(rng) if kind == "residual" else mlp(rng, 9, 4, 6, 3, activation=kind)
    graph, blocks = GraphMap(network), BlockMap(network.stacked)
    assert blocks.inputs == (16 if kind == "residual" else 4) and blocks.all_inputs == graph.inputs
    rows = rng.standard_normal((5, blocks.inputs))
    points = blocks.lift(rows)
    assert norms(points) == pytest.approx(norms(rows))
    outputs = network(points.reshape(5, *network.input_shape)).reshape(5, -1)
    for values in (graph.values(points), blocks.values(rows)):
        assert values - values[:1] == pytest.approx(outputs - outputs[:1], abs=1e-9)
    up = rng.standard_normal((5, graph.outputs))
    slopes, other = graph.slopes(points), blocks.slopes(rows)
    through_graph = graph.back(up, lambda group, r: r * slopes[group])
    through_blocks = blocks.back(up, lambda group, r: r * other[group])
    assert blocks.lift(through_blocks) == pytest.approx(through_graph, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1))
def test_averaged_gradients_are_derivatives(kind: str, seed: int) -> None:
    """For one layer of neurons the width is that of the point, so it is held: the value is |W D(Vx) V v|."""
    rng = np.random.default_rng(seed)
    network = mlp(rng, 4, 6, 3, activation=kind)
    searched = BlockMap(network.stacked, reduce=False)
    point, direction = rng.standard_normal((2, 1, 4))
    width = 0.7
    group = network.stacked.groups[0]
    inner, outer = network.stacked.blocks[1, 0].weights, network.stacked.blocks[2, 1].weights
    skip = network.stacked.blocks.get((2, 0))
    read = point @ inner.T + group.bias
    half = width * np.sqrt(np.mean(read**2))

    def value(x: Array, v: Array) -> float:
        z = x @ inner.T + group.bias
        slopes = (group.evaluate(z + half) - group.evaluate(z - half)) / (2 * half)
        image = (slopes * (v @ inner.T)) @ outer.T
        return float(norms(image if skip is None else image + v @ skip.weights.T)[0])

    by_point, by_direction = np.split(averaged_gradients(searched, point, direction, np.array([[width]])), 2)
    step = 1e-6
    for k in range(4):
        e = step * np.eye(4)[k : k + 1]
        near = np.min(np.abs(np.abs(read) - half)) < 1e-4  # a kink of the average itself
        if not near or kind not in ("relu", "leaky_relu", "abs", "maxmin"):
            difference = (value(point + e, direction) - value(point - e, direction)) / (2 * step)
            assert by_point[0, k] == pytest.approx(difference, abs=1e-5)
        difference = (value(point, direction + e) - value(point, direction - e)) / (2 * step)
        assert by_direction[0, k] == pytest.approx(difference, abs=1e-5)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(["relu", "abs", "leaky_relu"]))
def test_a_switch_raises_the_norm_that_it_reports(seed: int, activation: str) -> None:
    rng = np.random.default_rng(seed)
    network = mlp(rng, 5, 8, 6, 2, activation=activation)
    searched = BlockMap(network.stacked, reduce=False)
    points = rng.standard_normal((3, 5))
    directions, values = stretch(searched, points, unit(rng.standard_normal((3, 5))), 50)
    pieces = pieces_at(searched, points)
    assert pieces.gradients.shape == (3, 5, 14) and pieces.values.shape == (3, 14)
    moved = switch(searched, points, directions, values, Everywhere(), rng)
    for k in range(3):
        if not moved.grown[k]:
            assert np.array_equal(moved.points[k], points[k]) and moved.values[k] == values[k]
            continue
        jacobian = network.stacked.jacobian(moved.points[k])
        assert moved.values[k] > values[k]
        assert moved.values[k] == pytest.approx(float(np.linalg.norm(jacobian @ moved.directions[k])), rel=1e-9)
        assert moved.values[k] <= np.linalg.norm(jacobian, 2) * (1 + 1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), below=st.floats(-2, 2), above=st.floats(-2, 2))
def test_slopes_averaged_in_closed_form_are_those_of_differences(seed: int, below: float, above: float) -> None:
    rng = np.random.default_rng(seed)
    kinked = Kinked(np.full(6, below), np.full(6, above))
    values, half = rng.standard_normal((4, 6)), rng.uniform(0.1, 2.0, (4, 1))
    for found, expected in zip(kinked.averaged(values, half), Neurons.averaged(kinked, values, half), strict=True):
        assert found == pytest.approx(expected, abs=1e-12)


@settings(max_examples=50)
@given(scale=st.integers(-320, 300), seed=st.integers(0, 2**32 - 1))
def test_unit_rows_at_any_scale(scale: int, seed: int) -> None:
    rows = np.random.default_rng(seed).standard_normal((3, 4)) * 10.0**scale
    with np.errstate(all="ignore"):
        made = unit(np.concatenate([rows, np.zeros((1, 4)), np.full((1, 4), np.nan), np.full((1, 4), np.inf)]))
    moved = np.any(rows != 0, axis=1)
    assert np.all(made[3:] == 0) and np.all(made[:3][~moved] == 0)
    assert norms(made[:3][moved]) == pytest.approx(1.0, rel=1e-12)
    assert np.array_equal(unit(np.zeros((1, 2)), np.ones((1, 2))), np.ones((1, 2)))


# ---------------------------------------------------------------- what is found


@pytest.mark.parametrize("activation", ["relu", "abs", "leaky_relu"])
@pytest.mark.parametrize("seed", range(4))
def test_one_layer_attains_its_constant(activation: str, seed: int) -> None:
    """With more inputs than neurons every pattern of signs is attained: the constant is the best of 2^9 norms."""
    rng = np.random.default_rng(seed)
    network = mlp(rng, 12, 9, 4, activation=activation)
    inner, outer = (network.stacked.blocks[key].weights for key in ((1, 0), (2, 1)))
    alpha = network.stacked.groups[0].alpha[0]
    patterns = itertools.product((alpha, 1.0), repeat=9)
    exact = max(float(np.linalg.norm(outer * np.array(slopes) @ inner, 2)) for slopes in patterns)
    for form in (network, network.stacked):
        found = attained_lower_bound(form, seed)
        assert exact * (1 - 1e-9) <= found.lower <= exact * (1 + 1e-12)


@pytest.mark.parametrize("activation", ["tanh", "sigmoid", "gelu", "softplus"])
def test_smooth_neurons_attain_their_steepest_slope(activation: str) -> None:
    """All neurons can be at their steepest at once, so the constant is the largest slope times the norm of W V."""
    rng = np.random.default_rng(1)
    inner, outer = rng.uniform(0.1, 1.0, (5, 8)), rng.uniform(0.1, 1.0, (3, 5))
    network = Network.mlp([inner, outer], [rng.standard_normal(5), None], activation)
    constant = float(np.linalg.norm(outer @ inner, 2)) * network.stacked.groups[0].beta[0]
    found = attained_lower_bound(network, effort=3).lower
    assert 0.99 * constant <= found <= constant * (1 + 1e-12)


def test_all_forms_are_searched_alike() -> None:
    """A network, its stacked form, and the stacked form claimed of a network: no form is searched worse."""
    network = residual(np.random.default_rng(3))
    found = [
        attained_lower_bound(network, operations=1e9).lower,
        attained_lower_bound(network.stacked, operations=1e9).lower,
        attained_lower_bound(network, operations=1e9, claimed=network.stacked).lower,
    ]
    assert min(found) >= 0.95 * max(found)
    upper = certify(network, "neuron", form="unrolled").upper
    assert max(found) <= upper


@settings(max_examples=15)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(KINDS))
def test_more_effort_never_finds_less(seed: int, kind: str) -> None:
    network = mlp(np.random.default_rng(seed), 6, 10, 8, 3, activation=kind)
    found = [attained_lower_bound(network, seed % 1000, operations=3e7, effort=e).lower for e in (0, 0.3, 1, 4)]
    for less, more in itertools.pairwise(found):
        assert more >= less * (1 - 1e-7)
    assert found[0] > 0


@pytest.mark.parametrize("effort", [-1.0, float("inf"), float("nan")])
def test_efforts_that_are_none(effort: float) -> None:
    network = mlp(np.random.default_rng(0), 2, 3, 1)
    with pytest.raises(ValueError, match="effort must be a finite number"):
        attained_lower_bound(network, effort=effort)
    with pytest.raises(ValueError, match="effort must be a finite number"):
        certify(network, effort=effort)


def test_certificates_say_how_long_the_search_took() -> None:
    certificate = certify(mlp(np.random.default_rng(0), 3, 8, 2), effort=0)
    assert 0 < certificate.lower <= certificate.upper
    assert 0 < certificate.attained_seconds <= certificate.seconds
    assert certificate.summary()["attained_seconds"] == certificate.attained_seconds


# ---------------------------------------------------------------- counted work


def searched_with(network: Network, planned: float, effort: float = 1.0) -> Search:
    search = Search(BlockMap(network.stacked), Everywhere(), 0, Work(planned, effort))
    search.run()
    return search


@pytest.mark.parametrize("widths", [(4, 6, 2), (10, 32, 32, 5), (8, *[8] * 12, 3)])
@pytest.mark.parametrize("planned", [LEAST, 1e9])
def test_no_more_is_spent_than_planned(widths: tuple[int, ...], planned: float) -> None:
    search = searched_with(mlp(np.random.default_rng(1), *widths), planned)
    assert search.work.spent <= planned
    shortest = searched_with(mlp(np.random.default_rng(1), *widths), planned, 0.0)
    assert shortest.rounds == 1 and shortest.work.spent <= search.work.spent


def test_the_search_ends_when_nothing_more_is_found() -> None:
    """One linear piece as far as anyone can see: every round finds the same value."""
    rng = np.random.default_rng(0)
    weights = [rng.uniform(0, 1, (6, 4)), rng.uniform(0, 1, (2, 6))]
    search = searched_with(Network.mlp(weights), 1e12)
    assert search.rounds <= Everywhere.patience + 2 and search.work.spent < 1e12 / 10


def test_the_default_follows_from_the_cube_that_solving_takes() -> None:
    for widths, order in (((4, 8, 2), 12), ((30, 100, 100, 5), 230), ((784, 100, 100, 5), 300), ((4, 3000, 2), 3004)):
        form = mlp(np.random.default_rng(0), *widths).stacked
        operations = default_operations(form)
        assert LEAST <= operations <= MOST
        assert operations in (LEAST, MOST) or operations == pytest.approx(SOLVING * order**3)
    # 64 neurons: the least there is
    assert default_operations(mlp(np.random.default_rng(0), 10, 32, 32, 5).stacked) <= 1.5 * LEAST


def test_rounds_of_a_climb_are_never_too_short() -> None:
    search = searched_with(mlp(np.random.default_rng(0), 4, 6, 2), 0.0)
    assert search.rounds == 1 and search.count >= 2 and search.work.spent >= LEAST_STEPS * search.step


# ---------------------------------------------------------------- domains


class UnitBall(Domain):
    """What a region has to provide."""

    def start(self, generator: np.random.Generator, inputs: int, distances: Array) -> Array:
        return self.project(unit(generator.standard_normal((len(distances), inputs))) * distances[:, None])

    def project(self, points: Array) -> Array:
        return points / np.maximum(norms(points), 1.0)[:, None]


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_both_inputs_lie_in_the_domain(activation: str) -> None:
    network = mlp(np.random.default_rng(2), 6, 12, 3, activation=activation)
    searched: SearchedMap = BlockMap(network.stacked, reduce=False)
    candidates = _candidates(searched, UnitBall(), 0, Work(LEAST), 1.0)
    assert candidates
    for pair in candidates:
        assert np.linalg.norm(pair.x) <= 1 + 1e-12 and np.linalg.norm(pair.x_prime) <= 1 + 1e-12
    best = candidates[0]
    assert evaluate_ratio(network, best.x, best.x_prime) == pytest.approx(best.quotient, rel=1e-6)


# ---------------------------------------------------------------- never above the real quotient


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    exponents=st.tuples(*[st.integers(-170, 170)] * 4),
    unrolled=st.booleans(),
)
def test_ratios_at_extreme_scales_are_below_the_exact_ones(
    seed: int, exponents: tuple[int, int, int, int], unrolled: bool
) -> None:
    """Overflow, underflow and NaN on the way give less, or nothing, never more."""
    rng = np.random.default_rng(seed)
    scales = [10.0**e for e in exponents]
    inner, outer = rng.standard_normal((4, 3)) * scales[0], rng.standard_normal((2, 4)) * scales[1]
    bias = rng.standard_normal(4) * scales[2]
    network = Network.mlp([inner, outer], [bias, None])
    x, x_prime = rng.standard_normal((2, 3)) * scales[3]

    def outputs(point: Array) -> list[Fraction]:
        given = [Fraction(float(p)) for p in point]
        hidden = [
            max(sum((Fraction(float(w)) * p for w, p in zip(row, given)), Fraction(float(b))), Fraction(0))
            for row, b in zip(inner, bias)
        ]
        return [sum((Fraction(float(w)) * h for w, h in zip(row, hidden)), Fraction(0)) for row in outer]

    distance = sum((Fraction(float(a)) - Fraction(float(b))) ** 2 for a, b in zip(x, x_prime))
    square = sum((a - b) ** 2 for a, b in zip(outputs(x), outputs(x_prime))) / distance
    ratio = evaluate_ratio(network.stacked if unrolled else network, x, x_prime)
    assert ratio >= 0 and Fraction(ratio) ** 2 <= square

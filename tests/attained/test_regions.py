"""Pairs inside regions: exactly inside, never above what is true, near to it, and the same for the same seed."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert import Network
from sdpcert.attained import attained_lower_bound, evaluate_ratio, improve, pair_at
from sdpcert.attained.graph_map import GraphMap
from sdpcert.attained.maps import BlockMap, norms, unit
from sdpcert.attained.within import LocalMap, Place
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense
from sdpcert.network.graph import Graph
from sdpcert.regions import AllInputs, Ball, Box, Region

Array = np.ndarray
#: Operations of searches: a short one, and one of several rounds, about an eighth of what is usual for small networks.
SMALL, LONGER = 3e7, 3e8
ACTIVATIONS = ["relu", "leaky_relu", "abs", "tanh", "sigmoid", "gelu", "hard_swish"]


def mlp(rng: np.random.Generator, *widths: int, activation: str = "relu") -> Network:
    weights = [rng.standard_normal((m, n)) / np.sqrt(n) for n, m in itertools.pairwise(widths)]
    return Network.mlp(weights, [0.3 * rng.standard_normal(len(w)) for w in weights], activation)


def random_region(rng: np.random.Generator, inputs: int) -> Region:
    """Balls, boxes with inputs that are fixed or hardly move, and balls cut by these, of all sizes and far away."""
    center = rng.standard_normal(inputs) * 10.0 ** rng.integers(-3, 4)
    radius = 10.0 ** rng.uniform(-6, 3)
    width = radius * 10.0 ** rng.uniform(-3, 0.5, inputs) * (rng.uniform(size=inputs) < 0.7)
    low = center - width * rng.uniform(0, 1, inputs)
    box = Box(low, low + width)
    kind = int(rng.integers(3))
    return [Ball(center, radius), box, Ball(np.clip(center, box.low, box.high), radius, box)][kind]


def lies_in(region: Region, x: Array, x_prime: Array) -> bool:
    return region.contains(x) and region.contains(x_prime)


# ---------------------------------------------------------------- the domain


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_projections_are_nearest_points(seed: int) -> None:
    """The obtuse angle criterion at points of the region, on the map's own coordinates."""
    rng = np.random.default_rng(seed)
    network = mlp(rng, 4, 5, 2)
    region = random_region(rng, 4)
    place = Place.of(region, 4)
    assert region.contains(place.anchor)
    searched = LocalMap(BlockMap(network.stacked, reduce=False), place)
    if not searched.inputs:
        return
    domain = place.domain(searched)
    points = rng.standard_normal((8, searched.inputs)) * domain.reach * 10.0 ** rng.uniform(-1, 1, (8, 1))
    nearest = domain.project(points)
    tiny = 1e-7 * domain.reach
    assert norms(domain.project(nearest) - nearest) == pytest.approx(0.0, abs=tiny)
    assert np.all(nearest <= domain.high) and np.all(nearest >= domain.low)
    assert np.all(norms(nearest - domain.center) <= domain.radius * (1 + 1e-12))
    others = domain.project(rng.standard_normal((20, searched.inputs)) * domain.reach)
    scale = domain.reach * (domain.reach + norms(points))
    for point, near, size in zip(points, nearest, scale, strict=True):
        assert np.max((others - near) @ (point - near)) <= 1e-6 * size


@settings(max_examples=100, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_chords_end_where_the_region_does(seed: int) -> None:
    rng = np.random.default_rng(seed)
    region = random_region(rng, 4)
    place = Place.of(region, 4)
    searched = LocalMap(BlockMap(mlp(rng, 4, 5, 2).stacked, reduce=False), place)
    if not searched.inputs:
        return
    domain = place.domain(searched)
    points = domain.start(rng, searched.inputs, np.full(6, 0.3 * domain.reach))
    directions = unit(rng.standard_normal(points.shape))
    least, most = domain.chords(points, directions)
    tiny = 1e-6 * domain.reach
    for ends, beyond in ((least, -1), (most, 1)):
        inside = points + ends[:, None] * directions
        assert norms(domain.project(inside) - inside) == pytest.approx(0.0, abs=tiny)
        outside = points + (ends + beyond * 1e-2 * domain.reach)[:, None] * directions
        assert np.all(norms(domain.project(outside) - outside) > 0)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), reduced=st.booleans())
def test_local_maps_are_the_network_around_the_anchor(seed: int, reduced: bool) -> None:
    rng = np.random.default_rng(seed)
    network = mlp(rng, 6, 3, 4, 2)
    fixed = rng.uniform(size=6) < 0.5
    center = rng.standard_normal(6)
    region = Ball(center, 0.5) if reduced else Box(center - ~fixed, center + ~fixed)
    place = Place.of(region, 6)
    assert place.round == reduced
    for whole in (BlockMap(network.stacked, reduce=reduced), GraphMap(network)):
        searched = LocalMap(whole, place)
        rows = 0.1 * rng.standard_normal((5, searched.inputs))
        points = searched.lift(rows)
        assert np.all(points[:, ~place.moving] == place.anchor[~place.moving])
        outputs, values = network(points), searched.values(rows)
        assert values - values[:1] == pytest.approx(outputs - outputs[:1], abs=1e-10)
        assert searched.coordinates(points[0]) == pytest.approx(rows[0], abs=1e-10)


# ---------------------------------------------------------------- inside, and never above


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(ACTIVATIONS), unrolled=st.booleans())
def test_both_inputs_lie_in_the_region(seed: int, activation: str, unrolled: bool) -> None:
    rng = np.random.default_rng(seed)
    network = mlp(rng, 4, 6, 5, 3, activation=activation)
    region = random_region(rng, 4)
    found = attained_lower_bound(network.stacked if unrolled else network, region=region, operations=SMALL, effort=0)
    assert lies_in(region, found.x, found.x_prime)
    low, high = region.box(4)
    assert np.all(found.x[low == high] == found.x_prime[low == high])
    assert found.lower <= network.stacked.neurons * 1e6
    if found.lower:
        assert found.lower <= evaluate_ratio(network.stacked, found.x, found.x_prime) * (1 + 1e-9)


@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(ACTIVATIONS))
def test_never_above_a_dense_sampling_of_one_input(seed: int, activation: str) -> None:
    """The constant on an interval is the largest slope there: at the kinks' pieces, or on a fine grid."""
    rng = np.random.default_rng(seed)
    network = mlp(rng, 1, 8, 6, 2, activation=activation)
    low = rng.uniform(-3, 3)
    high = low + 10.0 ** rng.uniform(-2, 0.7)
    grid = np.linspace(low, high, 20001)[:, None]
    slopes = norms(np.diff(network(grid), axis=0)) / np.diff(grid[:, 0])
    steepest = np.max([np.linalg.norm(network.stacked.jacobian(x)) for x in grid[::50]])
    largest = max(float(np.max(slopes)), float(steepest))
    # what the grid may miss: a piece between two of its points
    missed = np.max(
        [np.linalg.norm(network.stacked.jacobian(x)) for x in _between_kinks(network, low, high)], initial=0
    )
    for region in (Box(np.array([low]), np.array([high])), Ball(np.array([0.5 * low + 0.5 * high]), (high - low) / 2)):
        found = attained_lower_bound(network, region=region, operations=SMALL)
        assert lies_in(region, found.x, found.x_prime)
        assert found.lower <= max(largest, missed) * (1 + 1e-6)
        assert found.lower >= 0.99 * largest


def _between_kinks(network: Network, low: float, high: float) -> list[Array]:
    """Middles of the intervals between sign changes of preactivations, found on a fine grid by linear interpolation."""
    form = network.stacked
    grid = np.linspace(low, high, 20001)
    places = [low, high]
    for values in form._forward(grid[:, None])[1]:
        before, after = values[:-1], values[1:]
        row, column = np.nonzero(np.signbit(after) != np.signbit(before))
        part = before[row, column] / (before[row, column] - after[row, column])
        places += list(grid[row] + part * (grid[row + 1] - grid[row]))
    ends = np.unique(places)
    return [np.array([middle]) for middle in 0.5 * ends[1:] + 0.5 * ends[:-1]]


@pytest.mark.parametrize("activation", ["relu", "abs", "tanh"])
@pytest.mark.parametrize("seed", range(3))
def test_two_inputs_attain_what_a_grid_sees(activation: str, seed: int) -> None:
    rng = np.random.default_rng(seed)
    network = mlp(rng, 2, 10, 8, 3, activation=activation)
    center = rng.standard_normal(2)
    side = np.linspace(-0.5, 0.5, 81)
    grid = center + np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    jacobians = np.array([np.linalg.norm(network.stacked.jacobian(x), 2) for x in grid])
    in_ball = np.linalg.norm(grid - center, axis=1) <= 0.5
    half = Box(center - [0.5, 0.0], center + 0.5)
    for region, seen in (
        (Box(center - 0.5, center + 0.5), np.ones(len(grid), dtype=bool)),
        (Ball(center, 0.5), in_ball),
        (Ball(center, 0.5, half), in_ball & np.array([half.contains(x) for x in grid])),
    ):
        found = attained_lower_bound(network, region=region, operations=LONGER)
        assert lies_in(region, found.x, found.x_prime)
        assert found.lower >= (1 - 1e-3) * np.max(jacobians[seen])


# ---------------------------------------------------------------- thin, tiny and huge


@pytest.mark.parametrize("activation", ["relu", "tanh"])
def test_a_tiny_ball_far_away(activation: str) -> None:
    """The difference of the inputs has few digits there, but the quotient is of the inputs as they are."""
    rng = np.random.default_rng(3)
    weights = [rng.standard_normal((8, 5)), rng.standard_normal((3, 8))]
    center = 1e3 * rng.standard_normal(5)
    network = Network.mlp(weights, [0.1 * rng.standard_normal(8) - weights[0] @ center, None], activation)
    region = Ball(center, 1e-6)
    norm = np.linalg.norm(network.stacked.jacobian(center), 2)
    found = attained_lower_bound(network.stacked, region=region, operations=SMALL)
    assert lies_in(region, found.x, found.x_prime)
    assert found.lower == pytest.approx(norm, rel=1e-4)
    ratio = np.linalg.norm(found.x - found.x_prime)
    assert 0 < ratio <= 2e-6


def test_a_ball_smaller_than_the_distance_of_floats() -> None:
    network = mlp(np.random.default_rng(0), 3, 5, 2)
    found = attained_lower_bound(network, region=Ball(np.ones(3), 1e-30), operations=SMALL)
    assert found.lower == 0 and np.all(found.x == 1) and np.all(found.x_prime == 1)


def test_a_huge_region_is_searched_where_the_kinks_are() -> None:
    network = mlp(np.random.default_rng(1), 6, 12, 3)
    everywhere = attained_lower_bound(network, operations=3e8).lower
    for region in (Ball(np.zeros(6), 1e9), Box(-1e9 * np.ones(6), 1e9 * np.ones(6))):
        assert attained_lower_bound(network, region=region, operations=3e8).lower >= 0.95 * everywhere


def test_a_box_that_is_one_point_or_one_line() -> None:
    network = mlp(np.random.default_rng(2), 3, 6, 2)
    point = np.array([0.1, -0.2, 0.3])
    found = attained_lower_bound(network, region=Box(point, point), operations=SMALL)
    assert found.lower == 0 and np.all(found.x == point)
    line = Box(point, point + [0.0, 0.5, 0.0])
    found = attained_lower_bound(network, region=line, operations=SMALL)
    slopes = [np.linalg.norm(network.stacked.jacobian(point + [0.0, t, 0.0])[:, 1]) for t in np.linspace(0, 0.5, 501)]
    assert lies_in(line, found.x, found.x_prime)
    assert np.max(slopes) * (1 - 1e-9) <= found.lower


def test_a_ball_that_touches_its_box() -> None:
    """The center lies outside of the box and X is a thin cap of the ball."""
    network = mlp(np.random.default_rng(4), 3, 6, 2)
    region = Ball(np.zeros(3), 1.0, Box(np.array([0.999, -2.0, -2.0]), 2 * np.ones(3)))
    found = attained_lower_bound(network, region=region, operations=SMALL)
    assert lies_in(region, found.x, found.x_prime) and found.lower > 0
    norm = np.linalg.norm(network.stacked.jacobian(np.array([0.9995, 0.0, 0.0])), 2)
    assert found.lower >= 0.9 * norm


# ---------------------------------------------------------------- given points


@settings(max_examples=40, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_pair_at_a_point_reaches_the_norm_there(seed: int) -> None:
    rng = np.random.default_rng(seed)
    form = mlp(rng, 5, 7, 6, 3).stacked
    center = rng.standard_normal(5)
    fixed = rng.uniform(size=5) < 0.3
    moving = np.flatnonzero(~fixed) if not np.all(fixed) else np.arange(5)
    width = np.where(np.isin(np.arange(5), moving), 0.3, 0.0)
    point = center + 0.3 * width * rng.uniform(-1, 1, 5)
    for region in (Box(center - width, center + width), Ball(center, 0.3, Box(center - width, center + width))):
        jacobian = form.jacobian(point)[:, moving]
        _, values, right = np.linalg.svd(jacobian)
        direction = np.zeros(5)
        direction[moving] = 3.0 * right[0]
        found = pair_at(form, region, point, direction)
        assert lies_in(region, found.x, found.x_prime)
        near = min(float(np.min(np.abs(z), initial=1.0)) for z in form._forward(point[None])[1])
        if near > 1e-3:
            assert found.lower >= values[0] * (1 - 1e-12)


def test_a_pair_at_the_edge_of_the_region() -> None:
    """A corner of a box, and a point of a sphere with a tangential direction: the point has to be moved inward."""
    form = mlp(np.random.default_rng(5), 2, 6, 2).stacked
    corner = np.array([1.0, 1.0])
    direction = np.array([1.0, -1.0])
    slope = np.linalg.norm(form.jacobian(corner - 1e-9) @ direction) / np.sqrt(2)
    square = Box(np.zeros(2), np.ones(2))
    for region in (square, Ball(np.zeros(2), np.sqrt(2.0)), Ball(np.zeros(2), 1.4, square)):
        found = pair_at(form, region, corner, direction)
        assert lies_in(region, found.x, found.x_prime)
        assert found.lower >= slope * (1 - 1e-9)


def test_improve_starts_at_the_points() -> None:
    form = mlp(np.random.default_rng(6), 4, 12, 10, 3).stacked
    region = Box(-np.ones(4), np.ones(4))
    rng = np.random.default_rng(0)
    points = list(rng.uniform(-1, 1, (5, 4)))
    there = max(np.linalg.norm(form.jacobian(p), 2) for p in points)
    found = improve(form, region, points)
    assert lies_in(region, found.x, found.x_prime)
    assert found.lower >= there * (1 - 1e-9)
    again = improve(form, region, points)
    assert again.lower == found.lower and np.array_equal(again.x, found.x)
    with pytest.raises(ValueError, match="at least one"):
        improve(form, region, [])
    with pytest.raises(ValueError, match="reads 4 numbers, not 3"):
        improve(form, region, [np.zeros(3)])
    with pytest.raises(ValueError, match="reads 4 numbers, not 3"):
        pair_at(form, region, np.zeros(4), np.zeros(3))
    assert pair_at(form, region, np.zeros(4), np.zeros(4)).lower == 0


# ---------------------------------------------------------------- the front door


@pytest.mark.parametrize("unrolled", [False, True])
def test_pairs_of_outputs(unrolled: bool) -> None:
    network = mlp(np.random.default_rng(7), 4, 8, 5)
    region = Ball(np.zeros(4), 0.5)
    given = network.stacked if unrolled else network
    found = attained_lower_bound(given, region=region, output_pair=(3, 1), operations=SMALL)
    outputs = network(np.stack([found.x, found.x_prime]))
    margin = outputs[:, 3] - outputs[:, 1]
    apart = float(np.linalg.norm(found.x - found.x_prime))
    quotient = abs(margin[0] - margin[1]) / apart
    rounding = 1e-14 / apart  # of these outputs, which the proved value does not have
    assert lies_in(region, found.x, found.x_prime)
    assert abs(found.lower - quotient) <= 1e-9 * quotient + rounding
    everywhere = attained_lower_bound(given, output_pair=(3, 1), operations=SMALL)
    assert everywhere.lower >= found.lower * (1 - 1e-6)
    for pair, message in (((3, 3), "named twice"), ((0, 5), "does not exist")):
        with pytest.raises(ValueError, match=message):
            attained_lower_bound(given, output_pair=pair)
    with pytest.raises(ValueError, match="choose one"):
        attained_lower_bound(given, output_pair=(0, 1), output_rows=[0])


def test_all_inputs_is_what_there_was() -> None:
    network = mlp(np.random.default_rng(8), 5, 9, 3)
    without, stated = attained_lower_bound(network), attained_lower_bound(network, region=AllInputs())
    assert without.lower == stated.lower and np.array_equal(without.x, stated.x)


def test_same_seed_same_pair() -> None:
    network = mlp(np.random.default_rng(9), 6, 10, 8, 3)
    region = Ball(np.zeros(6), 0.7, Box(-0.3 * np.ones(6), np.ones(6)))
    first, second = (attained_lower_bound(network, 5, region=region, operations=SMALL) for _ in range(2))
    assert first.lower == second.lower
    assert np.array_equal(first.x, second.x) and np.array_equal(first.x_prime, second.x_prime)


def test_regions_of_another_size_are_refused() -> None:
    network = mlp(np.random.default_rng(0), 3, 4, 2)
    for region in (Ball(np.zeros(2), 1.0), Box(np.zeros(2), np.ones(2))):
        with pytest.raises(ValueError, match="2 entries; the network reads 3"):
            attained_lower_bound(network, region=region)


def test_a_convolutional_network_is_searched_as_a_graph() -> None:
    rng = np.random.default_rng(10)
    graph = Graph((1, 14, 14))
    value = graph.add(Conv2d(rng.standard_normal((8, 1, 3, 3)), rng.standard_normal(8), padding=(1, 1, 1, 1)), 0)
    value = graph.add(relu(), value)
    value = graph.add(Conv2d(rng.standard_normal((8, 8, 3, 3)) / 9, None, (2, 2), (1, 1, 1, 1)), value)
    flat = graph.rearrange(graph.add(relu(), value), np.ravel)
    network = graph.network(graph.add(Dense(rng.standard_normal((3, graph.shape(flat)[0]))), flat))
    center = rng.uniform(0, 1, 196)
    region = Ball(center, 0.2, Box(np.zeros(196), np.ones(196)))
    found = attained_lower_bound(network, region=region, operations=3e9)
    assert "stacked" not in vars(network)
    assert lies_in(region, found.x, found.x_prime)
    slopes = GraphMap(network).slopes(center[None])
    jacobian = GraphMap(network).back(np.eye(3), lambda group, rows: rows * slopes[group])
    assert found.lower >= np.linalg.norm(jacobian, 2)

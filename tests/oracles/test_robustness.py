"""Exact radii and least margins beside searches, a second oracle of one input, and cases that are known."""

from __future__ import annotations

from fractions import Fraction
from math import inf, sqrt

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import linprog

from tests.oracles.enumeration import Domain
from tests.oracles.networks import Layer, PiecewiseNetwork, random_network
from tests.oracles.robustness import LeastMargin, Nearest, Norm, margins, nearest_of_another_class
from tests.oracles.simplex import largest_point
from tests.oracles.units import UNITS

Array = np.ndarray
NORMS: tuple[Norm, ...] = ("l2", "linf")
QUICK = (0, 3, 4, 5, 6, 7)
SEEDS = [seed if seed in QUICK else pytest.param(seed, marks=pytest.mark.slow) for seed in range(60)]


def classifier(seed: int, inputs: int | None = None) -> PiecewiseNetwork:
    """A random network of at least two outputs."""
    network = random_network(seed, inputs=inputs)
    random = np.random.default_rng([seed, 5])
    count = int(random.integers(2, 5))
    weight = random.standard_normal((count, network.weight.shape[1]))
    return PiecewiseNetwork(network.layers, weight, 0.3 * random.standard_normal(count))


def sample(network: PiecewiseNetwork, seed: int) -> tuple[Array, int]:
    """An input with few digits, and its class."""
    center = np.round(np.random.default_rng([seed, 3]).standard_normal(network.inputs) * 64) / 64
    return center, int(np.argmax(network.network()(center[None])[0]))


def length(points: Array, center: Array, norm: Norm) -> Array:
    return np.linalg.norm(points - center, axis=-1, ord=2 if norm == "l2" else inf)


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("seed", SEEDS)
def test_the_nearest_point_has_another_class_and_no_nearer_one_has(seed: int, norm: Norm) -> None:
    network = classifier(seed)
    center, label = sample(network, seed)
    within = None if seed % 3 else (center - 0.5, center + np.arange(1, network.inputs + 1) / 4)
    found = nearest_of_another_class(network, center, label, norm, within)
    random = np.random.default_rng(seed)
    step = random.standard_normal((3000, network.inputs))
    step /= length(step, 0 * center, norm)[:, None]
    distance = float(found)
    points = center + step * (min(distance, 100.0) * random.uniform(0, 1, (3000, 1)) ** 0.2)
    points = points if within is None else np.clip(points, *within)
    values = network.network()(points)
    rivals = np.max(np.delete(values, label, axis=1), axis=1)
    assert np.all(values[:, label] > rivals - 1e-9)
    if found.point is None or found.measure is None:
        return
    steps = [abs(a - Fraction(float(c))) for a, c in zip(found.point, center)]
    assert found.measure == (sum(d * d for d in steps) if norm == "l2" else max(steps))
    least = min(margins(network, found.point, label))
    assert least == 0 if found.measure else least <= 0
    assert within is None or all(a <= x <= b for a, x, b in zip(within[0], found.point, within[1]))


def test_ties_at_the_center_have_the_distance_zero() -> None:
    network = PiecewiseNetwork((), np.array([[1.0], [1.0]]), np.zeros(2))
    found = nearest_of_another_class(network, np.array([0.5]), 0)
    assert float(found) == 0.0
    assert not found.is_beyond(0.0)


@pytest.mark.parametrize("norm", NORMS)
def test_a_linear_classifier_has_the_distance_of_its_hyperplane(norm: Norm) -> None:
    """Two classes, 3 x1 + 4 x2 - 1 apart: the point (1, 2) is 10 / 5 away, and 10 / 7 in the maximum norm."""
    network = PiecewiseNetwork((), np.array([[3.0, 4.0], [0.0, 0.0]]), np.array([-1.0, 0.0]))
    found = nearest_of_another_class(network, np.array([1.0, 2.0]), 0, norm)
    assert found.measure == (4 if norm == "l2" else Fraction(10, 7))
    exact = Fraction(2) if norm == "l2" else Fraction(10, 7)
    assert not found.is_beyond(exact) and found.is_beyond(exact - Fraction(1, 10**30))


def test_a_class_that_only_touches_the_label_counts() -> None:
    """f_0 = |x|, f_1 = 0: they are equal at zero only, where no open set of another class is near."""
    network = PiecewiseNetwork((Layer(np.eye(1), np.zeros(1), UNITS["abs"]),), np.array([[1.0], [0.0]]), np.zeros(2))
    for norm in NORMS:
        assert nearest_of_another_class(network, np.array([0.75]), 0, norm).measure == Fraction(3, 4) ** (
            2 if norm == "l2" else 1
        )


def test_no_other_class_is_infinitely_far() -> None:
    first = Layer(np.eye(2), np.zeros(2), UNITS["relu"])
    network = PiecewiseNetwork((first,), np.array([[1.0, 0.0], [0.0, 0.0]]), np.array([1.0, 0.0]))
    for norm in NORMS:
        found = nearest_of_another_class(network, np.array([1.0, -1.0]), 0, norm)
        assert found == Nearest(norm, None, None) and float(found) == inf and found.is_beyond(1e30)


@pytest.mark.parametrize("seed", range(8))
def test_both_norms_agree_with_the_roots_of_one_input(seed: int) -> None:
    network = classifier(seed, inputs=1)
    center, label = sample(network, seed)
    found = [nearest_of_another_class(network, center, label, norm) for norm in NORMS]
    grid = np.linspace(-60, 60, 60001)[:, None]
    values = network.network()(grid)
    wrong = grid[np.max(np.delete(values, label, axis=1), axis=1) >= values[:, label]]
    nearest = float(np.abs(wrong - center).min()) if len(wrong) else inf
    assert float(found[0]) == pytest.approx(float(found[1]), rel=1e-12)
    assert float(found[0]) == pytest.approx(nearest, abs=3e-3) or (nearest == inf and float(found[0]) > 50)


def regions(network: PiecewiseNetwork, center: Array, seed: int) -> list[Domain]:
    random = np.random.default_rng([seed, 17])
    size = 10.0 ** random.uniform(-1, 0.7)
    ends = tuple((center - size * random.uniform(0.2, 1)).tolist()), tuple((center + size).tolist())
    ball = tuple(center.tolist()), float(size)
    return [Domain(*ends), Domain(None, None, *ball), Domain(*ends, *ball)]


def inside(domain: Domain, random: np.random.Generator, inputs: int) -> Array:
    """Random points, many of them at the border."""
    if domain.center is None or domain.radius is None:
        low, high = np.array(domain.low), np.array(domain.high)
        return low + np.clip(random.uniform(-0.5, 1.5, (4000, inputs)), 0, 1) * (high - low)
    step = random.standard_normal((4000, inputs))
    step *= domain.radius * np.clip(random.uniform(0, 2, (4000, 1)), 0, 1) / np.linalg.norm(step, axis=1, keepdims=True)
    points = np.array(domain.center) + step * (1 - 1e-15)
    return points if domain.low is None else np.clip(points, np.array(domain.low), np.array(domain.high))


@pytest.mark.parametrize("seed", SEEDS)
def test_least_margins_are_below_all_margins_and_near_one(seed: int) -> None:
    network = classifier(seed)
    center, label = sample(network, seed)
    other = (label + 1) % len(network.weight)
    for domain in regions(network, center, seed):
        least = LeastMargin(network, domain, label, other)
        low, high = least.interval
        assert low <= high <= low + Fraction(1, 10**12) * max(1, abs(low))
        assert least.exceeds(low - Fraction(1, 10**15)) and not least.exceeds(high)
        values = network.network()(inside(domain, np.random.default_rng(seed), network.inputs))
        found = float(np.min(values[:, label] - values[:, other]))
        assert found >= float(low) - 1e-9
        if network.inputs <= 2:
            spread = float(np.max(values[:, label] - values[:, other])) - found
            assert found <= float(high) + 0.05 * spread + 1e-9


def test_the_least_margin_of_a_ball_is_a_root() -> None:
    """x1 + x2 on the unit ball is at least -2^(1/2)."""
    network = PiecewiseNetwork((), np.array([[1.0, 1.0], [0.0, 0.0]]), np.zeros(2))
    low, high = LeastMargin(network, Domain(center=(0.0, 0.0), radius=1.0), 0, 1).interval
    assert low <= -Fraction(sqrt(2)) + Fraction(1, 10**15) and float(high) == pytest.approx(-sqrt(2), rel=1e-11)


small = st.integers(-5, 5)


@given(data=st.data(), count=st.integers(1, 4))
def test_a_largest_point_is_optimal(data: st.DataObject, count: int) -> None:
    row = st.lists(small, min_size=count, max_size=count)
    rows = data.draw(st.lists(st.tuples(row, st.integers(0, 6)), max_size=8))
    objective = [*data.draw(row), data.draw(small)]
    bounds = [([sign * (j == k) for j in range(count)], 7) for k in range(count) for sign in (1, -1)]
    matrix = [[*coefficients, constant] for coefficients, constant in rows + bounds]
    found = largest_point(objective, matrix)
    assert all(sum(a * x for a, x in zip(r, [*found, 1])) >= 0 for r in matrix)
    numbers = np.array(matrix, dtype=float)
    best = linprog(-np.array(objective[:-1], float), -numbers[:, :-1], numbers[:, -1], bounds=(None, None))
    assert float(sum(a * x for a, x in zip(objective, [*found, 1]))) == pytest.approx(
        objective[-1] - best.fun, abs=1e-8
    )


def test_an_objective_that_grows_for_ever_has_no_largest_point() -> None:
    with pytest.raises(ArithmeticError, match="no largest value"):
        largest_point([1, 0], [[1, 0]])

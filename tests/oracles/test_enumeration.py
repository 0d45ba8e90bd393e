"""The enumeration beside constants that are known, a second oracle, and the values of the networks themselves."""

from __future__ import annotations

from fractions import Fraction
from math import comb, sqrt
from pathlib import Path

import numpy as np
import pytest
from scipy.io import loadmat

from tests.oracles.enumeration import Domain, exact_constant, linear_cells
from tests.oracles.networks import Layer, PiecewiseNetwork, random_network, three_directions
from tests.oracles.norms import Jacobian, root
from tests.oracles.one_input import squared_constant
from tests.oracles.units import UNITS

ABSOLUTE_VALUE = [
    1.2413605265794627, 1.0132462130014432, 1.394113802729269, 1.4222400839381222, 1.108953194180276,
    1.0253532365164328, 1.597172033142249, 1.5174101382462266, 1.1836813659435557, 0.9190077644007674,
    1.0307095688330985, 1.0288798917655695, 1.0487124646097885, 0.9902642075662339, 1.0758018000891523,
    1.0225255380306448, 1.0058372567490192, 1.0014888910446786, 1.045035776482385, 1.4231353638590234,
]  # fmt: skip


#: Seed 10 is of twelve clipped neurons and has 6284 cells.
SEEDS = [seed if seed != 10 else pytest.param(seed, marks=pytest.mark.slow) for seed in range(25)]


def mlp(weights: list[np.ndarray], biases: list[np.ndarray], unit: str = "relu") -> PiecewiseNetwork:
    layers = tuple(Layer(w, b, UNITS[unit]) for w, b in zip(weights[:-1], biases))
    return PiecewiseNetwork(layers, weights[-1], biases[-1])


def stored(folder: Path, name: str, key: str) -> PiecewiseNetwork:
    weights = [np.asarray(w, float) for w in loadmat(folder / f"exlipbab/{name}_weights.mat")[key].ravel()]
    found = loadmat(folder / f"exlipbab/{name}_biases.mat")
    biases = next(value for key, value in found.items() if not key.startswith("_")).ravel()
    return mlp(weights, [np.asarray(b, float).ravel() for b in biases])


def test_flat_patterns_do_not_count() -> None:
    """All three neurons on would be 3; no input has that, and the rest gives the root of 7."""
    constant = exact_constant(three_directions())
    assert constant.cells == 6
    low, high = constant.interval
    assert float(low) == pytest.approx(sqrt(7), rel=1e-12) and float(high) == pytest.approx(sqrt(7), rel=1e-12)


@pytest.mark.parametrize("number", [0, 1, pytest.param(2, marks=pytest.mark.slow), 19])
def test_published_constants_of_one_input(number: int, shared_networks: Path) -> None:
    network = stored(shared_networks, f"absolute_value_relu_{number:02}", "W")
    low, high = exact_constant(network).interval
    assert float(low) == pytest.approx(ABSOLUTE_VALUE[number], rel=1e-13)
    second = root(squared_constant(network))
    assert low <= second[1] and second[0] <= high


def test_published_constant_of_iris(shared_networks: Path) -> None:
    constant = exact_constant(stored(shared_networks, "iris_4x6x6x3_relu", "weights"))
    assert float(constant) == pytest.approx(11.634355134114875, rel=1e-13)


@pytest.mark.parametrize("unit", sorted(UNITS))
@pytest.mark.parametrize("seed", range(6))
def test_two_oracles_agree(unit: str, seed: int) -> None:
    network = random_network(seed, kind=unit, inputs=1)
    for low, high in ((None, None), (-0.75, 1.5), (0.125, 0.126)):
        domain = Domain() if low is None or high is None else Domain((low,), (high,))
        constant, second = exact_constant(network, domain), root(squared_constant(network, low, high))
        least, most = constant.interval
        assert least <= second[1] and second[0] <= most, (low, high)
        assert constant.is_at_least(second[0] * (1 - Fraction(1, 10**9)))
        assert constant.is_at_most(second[1])


@pytest.mark.parametrize("seed", SEEDS)
def test_cells_have_the_jacobian_of_the_values(seed: int) -> None:
    """From a cell's point, a step so short that it stays in the cell moves the exact value by the Jacobian's step."""
    network = random_network(seed)
    random = np.random.default_rng(seed)
    found = list(linear_cells(network))
    for cell, forms in found[:: 1 + len(found) // 50]:
        point = cell.fractions
        step = [Fraction(float(a)) for a in random.standard_normal(network.inputs)]
        while any(sum(a * (x + d) for a, x, d in zip(row, point, step)) + row[-1] <= 0 for row in cell.rows):
            step = [d / 2 for d in step]
        value, moved = network(point), network([x + d for x, d in zip(point, step)])
        for k, row in enumerate(forms.numbers):
            assert sum(int(a) * x for a, x in zip(row, [*point, 1])) == value[k] * 2**forms.exponent
            assert sum(int(a) * d for a, d in zip(row, step)) == (moved[k] - value[k]) * 2**forms.exponent


@pytest.mark.parametrize("seed", SEEDS)
def test_no_pair_is_above_the_constant_and_the_network_is_that_of_sdpcert(seed: int) -> None:
    network = random_network(seed)
    constant = float(exact_constant(network).interval[1])
    random = np.random.default_rng(seed)
    theirs = network.network()
    x = random.standard_normal((500, network.inputs)) * 10.0 ** random.uniform(-1, 1, (500, 1))
    d = random.standard_normal(x.shape) * 10.0 ** random.uniform(-3, 0, (500, 1))
    moved = np.linalg.norm(theirs(x + d) - theirs(x), axis=1)
    assert np.all(moved <= constant * np.linalg.norm(d, axis=1) * (1 + 1e-9) + 1e-10)
    for point in x[:5]:
        value = [float(y) for y in network([Fraction(float(a)) for a in point])]
        assert theirs(point) == pytest.approx(value, rel=1e-10, abs=1e-10)


@pytest.mark.parametrize("biases", [False, True])
def test_one_layer_has_the_cells_of_the_formula(biases: bool) -> None:
    random = np.random.default_rng(5)
    for inputs, neurons in ((1, 4), (2, 6), (3, 7), (4, 6)):
        weight, bias = random.standard_normal((neurons, inputs)), random.standard_normal(neurons)
        network = mlp([weight, random.standard_normal((1, neurons))], [bias if biases else 0 * bias, np.zeros(1)])
        general = sum(comb(neurons, k) for k in range(inputs + 1))
        central = 2 * sum(comb(neurons - 1, k) for k in range(inputs))
        assert exact_constant(network).cells == (general if biases else central)


@pytest.mark.parametrize("seed", range(12))
def test_neurons_that_say_nothing_change_nothing(seed: int) -> None:
    """Zero, equal and split neurons: the function is the same, and so is the constant."""
    random = np.random.default_rng(seed)
    first, second, last = (random.standard_normal(shape) for shape in ((3, 2), (3, 3), (2, 3)))
    biases = [random.standard_normal(3) * (seed % 2) for _ in range(2)]
    plain = exact_constant(mlp([first, second, last], [*biases, np.zeros(2)]))
    wider = np.vstack([first, first[:1], np.zeros((1, 2))])
    halves = np.hstack([second, second[:, :1] / 2, random.standard_normal((3, 1))])
    halves[:, 0] /= 2
    more = mlp([wider, halves, last], [np.append(biases[0], [biases[0][0], -1.0]), biases[1], np.zeros(2)])
    constant = exact_constant(more)
    assert constant.cells == plain.cells
    assert [j.entries for j in constant.candidates] == [j.entries for j in plain.candidates]


@pytest.mark.parametrize("size", [2, 3, 4])
def test_sorting_by_itself_has_the_constant_one(size: int) -> None:
    unit = UNITS["maxmin" if size == 2 else f"group sort {size}"]
    network = PiecewiseNetwork((Layer(np.eye(size), np.zeros(size), unit),), np.eye(size), np.zeros(size))
    constant = exact_constant(network)
    assert constant.is_at_most(1) and constant.is_at_least(1)
    assert constant.cells == [1, 2, 6, 24][size - 1]


def domains(inputs: int, seed: int) -> list[Domain]:
    random = np.random.default_rng([seed, inputs])
    center = random.standard_normal(inputs)
    low, high = center - random.uniform(0.1, 2, inputs), center + random.uniform(0.1, 2, inputs)
    fixed = high.copy()
    fixed[0] = low[0]
    ends, ball = (tuple(low), tuple(high)), (tuple(center), float(random.uniform(0.2, 1.5)))
    found = [Domain(*ends), Domain(None, None, *ball), Domain(*ends, *ball)]
    return [*found, Domain(tuple(low), tuple(fixed))] if inputs > 1 else found


def inside(domain: Domain, random: np.random.Generator, count: int, inputs: int) -> np.ndarray:
    """Random points of a domain, many of them near its border."""
    if domain.center is None or domain.radius is None:
        share = np.clip(random.uniform(-0.1, 1.1, (count, inputs)), 0, 1)
        return np.array(domain.low) + share * (np.array(domain.high) - np.array(domain.low))
    step = random.standard_normal((count, inputs))
    lengths = np.clip(random.uniform(0, 1.2, (count, 1)), 0, 1) * domain.radius
    x = np.array(domain.center) + step / np.linalg.norm(step, axis=1, keepdims=True) * lengths
    return x if domain.low is None else np.clip(x, np.array(domain.low), np.array(domain.high))


@pytest.mark.parametrize("seed", range(16))
def test_local_constants_are_those_of_the_slopes_that_points_have(seed: int) -> None:
    """Jacobians at thousands of points of a region are at most the constant, and in two dimensions they reach it."""
    network = random_network(seed, inputs=1 + seed % 3)
    everywhere = exact_constant(network)
    random = np.random.default_rng(seed)
    for domain in domains(network.inputs, seed):
        constant = exact_constant(network, domain)
        assert everywhere.is_at_least(constant.interval[0])
        x = inside(domain, random, 4000, network.inputs)
        y = network.network()(x)
        pairs = random.integers(len(x), size=(2, 4000))
        pairs[1, :2000] = np.argsort(np.argsort(x[:, -1]))[pairs[0, :2000]]
        moved = np.linalg.norm(y[pairs[0]] - y[pairs[1]], axis=1)
        apart = np.linalg.norm(x[pairs[0]] - x[pairs[1]], axis=1)
        assert np.all(moved <= float(constant.interval[1]) * apart * (1 + 1e-9) + 1e-10)
        for point in constant.points:  # what attains it lies in the region
            free = iter(point)
            ends = zip(domain.low, domain.high) if domain.low and domain.high else None
            full = [Fraction(a) if a == b else next(free) for a, b in ends] if ends else list(free)
            if domain.low and domain.high:
                assert all(a <= x <= b for a, x, b in zip(domain.low, full, domain.high))
            if domain.center and domain.radius:
                assert sum((a - Fraction(c)) ** 2 for a, c in zip(full, domain.center)) < Fraction(domain.radius) ** 2


def test_a_small_ball_has_the_slope_of_its_center_and_a_large_one_all_slopes() -> None:
    network = random_network(3, biases=False, kind="relu", inputs=2)
    center = (0.3, -0.7)
    one = exact_constant(network, Domain(center=center, radius=1e-9))
    assert one.cells == 1
    around = exact_constant(network, Domain(center=(0.0, 0.0), radius=1e-9))  # all cones reach zero
    assert around.interval == exact_constant(network).interval


def test_a_ball_that_only_touches_a_cell_does_not_count_it() -> None:
    """relu(x) on a ball that ends at zero is zero, and one that passes it has slope one."""
    network = PiecewiseNetwork((Layer(np.eye(1), np.zeros(1), UNITS["relu"]),), np.eye(1), np.zeros(1))
    assert exact_constant(network, Domain(center=(-1.0,), radius=1.0)).is_at_most(0)
    assert exact_constant(network, Domain(center=(-1.0,), radius=1.0000000001)).is_at_least(1)


def test_norms_are_decided_exactly() -> None:
    """The norm of (3, 4) is 5, and of ((1, 1), (1, -1)) the root of two: neither more nor less."""
    five = Jacobian(((Fraction(3), Fraction(4)),))
    assert five.norm_is_at_most(Fraction(5)) and not five.norm_is_below(Fraction(5))
    assert not five.norm_is_at_most(5 - Fraction(1, 10**30))
    square = Jacobian(((Fraction(1), Fraction(1)), (Fraction(1), Fraction(-1))))
    low, high = root(Fraction(2))
    assert square.norm_is_at_most(high) and square.norm_is_below(high) and not square.norm_is_at_most(low)

"""The closed form of absolute values: exact dominance, exact constants of nonnegative networks, its refusals."""

from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError
from sdpcert.network import Network
from sdpcert.network.activations import activation_by_name
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.solvers import Budget, Solution, absolute, interior_point, product
from sdpcert.solvers.perron import subinvariant

#: Slopes around zero, where the scaling proves the bound |J|, and slopes of one sign.
AROUND = [(0.0, 1.0), (-1.0, 1.0), (-0.25, 1.125), (-0.5, 0.0), (-0.75, 0.5), (0.0, 0.3)]
ONE_SIGN = [(0.01, 1.0), (0.5, 0.75), (-1.0, -0.125)]


def graph(seed: int, slopes: list[tuple[float, float]], radius: float = 0.0, density: float = 0.7) -> StackedForm:
    """A random reduced form with skips and zeros, weights of any sign or (even seeds) nonnegative."""
    rng = np.random.default_rng(seed)
    sizes = [int(k) for k in rng.integers(1, 5, len(slopes) + 2)]
    blocks = {}
    for to in range(1, len(sizes)):
        for source in range(to):
            if source == to - 1 or rng.random() < 0.3:
                weights = rng.standard_normal((sizes[to], sizes[source])) * 2.0 ** rng.integers(-6, 6)
                weights[rng.random(weights.shape) > density] = 0.0
                blocks[to, source] = Block(np.abs(weights) if seed % 2 == 0 else weights, radius)
    groups = []
    for size, (low, high) in zip(sizes[1:-1], slopes, strict=True):
        zero = np.zeros(size)
        groups.append(Group(activation_by_name("relu"), (size,), np.arange(size), zero + low, zero + high, zero))
    return StackedForm(sizes[0], sizes[-1], tuple(groups), blocks, np.zeros(sizes[-1])).reduced()


def chain(weights: list[np.ndarray]) -> StackedForm:
    """The form of a chain of ReLU layers, as it is."""
    groups = []
    for size in (len(w) for w in weights[:-1]):
        zero = np.zeros(size)
        groups.append(Group(activation_by_name("relu"), (size,), np.arange(size), zero, zero + 1, zero))
    blocks = {(k + 1, k): Block(w) for k, w in enumerate(weights)}
    return StackedForm(weights[0].shape[1], len(weights[-1]), tuple(groups), blocks, np.zeros(len(weights[-1])))


def exactly_dominant(form: StackedForm, solution: Solution) -> bool:
    """Whether diag(a) M diag(a) is diagonally dominant for all weights within the radii, in rational arithmetic."""
    assert solution.vector is not None
    sizes = form.sizes[:-1]
    offsets = [0, *itertools.accumulate(sizes)]
    order = offsets[-1]
    M = [[Fraction(0)] * order for _ in range(order)]
    unsure = [[Fraction(0)] * order for _ in range(order)]
    for j in range(form.inputs):
        M[j][j] = Fraction(solution.rho)
    for to in range(1, form.output_row + 1):
        at_output = to == form.output_row
        for i in range(form.outputs if at_output else sizes[to]):
            row = {}
            for s, block in form.row(to).items():
                for j in range(sizes[s]):
                    row[offsets[s] + j] = (Fraction(block.weights[i, j]), Fraction(block.radius))
            square = -(Fraction(2) ** (-2 * solution.exponent))
            if not at_output:
                t = Fraction(float(solution.multipliers[to - 1][i]))
                alpha, beta = (Fraction(float(end[i])) for end in (form.groups[to - 1].alpha, form.groups[to - 1].beta))
                own, square = offsets[to] + i, 2 * t * alpha * beta
                M[own][own] += 2 * t
                for j, (w, r) in row.items():
                    for a, b in ((own, j), (j, own)):
                        M[a][b] -= t * (alpha + beta) * w
                        unsure[a][b] += t * abs(alpha + beta) * r
            for (j, (v, p)), (k, (w, q)) in itertools.product(row.items(), repeat=2):
                M[j][k] += square * v * w
                unsure[j][k] += abs(square) * (p * abs(w) + q * abs(v) + p * q)
    a = [Fraction(float(x)) for x in solution.vector]
    assert len(a) == order and min(a) > 0
    return all(
        (M[i][i] - unsure[i][i]) * a[i] >= sum((abs(M[i][j]) + unsure[i][j]) * a[j] for j in range(order) if j != i)
        for i in range(order)
    )


def dense(form: StackedForm, solution: Solution) -> np.ndarray:
    """M at the point, brought to a unit diagonal."""
    condition = Condition(form, reduce=False)
    lift = 4.0 ** (solution.exponent - condition.exponent)
    t = [np.ldexp(t, -2 * e) * lift for t, e in zip(solution.multipliers, condition.scaling.neurons, strict=True)]
    matrix = condition.matrix(np.concatenate([[solution.rho * lift], *t]))
    matrix = matrix.dense() if hasattr(matrix, "dense") else matrix
    size = np.sqrt(np.maximum(matrix.diagonal(), 1e-300))
    return matrix / np.outer(size, size)


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    slopes=st.lists(st.sampled_from(AROUND), min_size=1, max_size=5),
    radius=st.sampled_from([0.0, 0.0, 1e-9, 0.125]),
)
def test_vector_makes_the_matrix_dominant_exactly(seed: int, slopes: list[tuple[float, float]], radius: float) -> None:
    form = graph(seed, slopes, radius)
    if form.groups:
        assert exactly_dominant(form, absolute(form))


@settings(max_examples=40)
@given(
    seed=st.integers(0, 2**32 - 1),
    slopes=st.lists(st.sampled_from(AROUND + ONE_SIGN), min_size=1, max_size=4),
)
def test_slopes_of_one_sign(seed: int, slopes: list[tuple[float, float]]) -> None:
    """The point without a vector is feasible; the one by scaling is not below it and dominant."""
    form = graph(seed, slopes)
    if not form.groups:
        return
    plain, scaled = absolute(form), absolute(form, by_scaling=True)
    kept = all(not np.any(g.alpha * g.beta > 0) for g in form.groups)
    assert (plain.vector is not None) == kept
    assert scaled.bound >= plain.bound * (1 - 1e-12)
    assert np.linalg.eigvalsh(dense(form, plain))[0] > -1e-12
    assert exactly_dominant(form, scaled)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**31).map(lambda k: 2 * k), depth=st.integers(1, 4))
def test_nonnegative_networks_are_exact(seed: int, depth: int) -> None:
    form = graph(seed, [(0.0, 1.0)] * depth)
    if not form.groups:
        return
    point = absolute(form)
    sources = [np.eye(form.inputs)]
    for to in range(1, form.output_row + 1):
        sources.append(np.sum([block.weights @ sources[s] for s, block in form.row(to).items()], axis=0))
    assert point.bound == pytest.approx(np.linalg.norm(sources[-1], 2), rel=1e-12)
    assert point.bound * (1 - 1e-11) <= point.dual <= point.bound
    solved = interior_point(form, "neuron", Budget())
    assert point.bound <= solved.bound * (1 + 1e-9) and point.bound >= solved.dual * (1 - 1e-9)


@settings(max_examples=25)
@given(seed=st.integers(0, 2**32 - 1), slopes=st.lists(st.sampled_from(AROUND), min_size=1, max_size=3))
def test_dual_is_below_the_optimum(seed: int, slopes: list[tuple[float, float]]) -> None:
    form = graph(seed, slopes)
    if form.groups:
        point, solved = absolute(form), interior_point(form, "neuron", Budget())
        assert point.dual <= solved.bound * (1 + 1e-9)
        assert solved.dual <= point.bound * (1 + 1e-9)


@pytest.mark.parametrize(
    ("layers", "exact"),
    [
        (2, 0.737256981258),
        (5, 0.338155580679),
        (10, 0.564352391283),
        (20, 3.07695300058),
        (30, 0.00728680535142),
        (50, 0.0384850655271),
        (75, 0.809324771782),
        (100, 0.0300171552617),
    ],
)
def test_networks_of_the_eclipse_benchmark(layers: int, exact: float) -> None:
    """Drawn as the published benchmark draws them, with NumPy's legacy generator: nonnegative weights."""
    generator = np.random.RandomState(7 * 80 + 13 * layers)
    sizes, weights = [4] + [80] * (layers - 1) + [1], []
    for columns, rows in itertools.pairwise(sizes):
        norm, weight = generator.uniform(0.4, 1.8), generator.rand(rows, columns)
        weights.append(norm * weight / np.linalg.norm(weight, 2))
        generator.rand(rows)
    point = absolute(chain(weights))
    assert point.bound == pytest.approx(exact, rel=2e-11)
    assert point.dual == pytest.approx(exact, rel=1e-10)


def test_absolute_values_may_be_far_below_the_product() -> None:
    """Layers that hand a value on to other neurons each time: the product of norms knows nothing of directions."""
    first, second = np.diag([8.0, -1.0]), np.diag([1.0, 8.0])
    form = chain([first, second, np.diag([1.0, -1.0])])
    assert absolute(form).bound == pytest.approx(8) and product(form).bound == pytest.approx(64)


def test_numbers_of_any_size() -> None:
    """Layers from 2^-300 to 2^300 in turn: every group is scaled by itself."""
    rng = np.random.default_rng(0)
    weights = [np.ldexp(np.abs(rng.standard_normal((4, 4))), e) for e in (300, -300, 150, -140)]
    form = chain(weights)
    point = absolute(form)
    unit = np.linalg.multi_dot([np.ldexp(w, -e) for w, e in zip(weights, (300, -300, 150, -140), strict=True)][::-1])
    assert point.bound == pytest.approx(np.ldexp(np.linalg.norm(unit, 2), 10), rel=1e-12)
    assert exactly_dominant(form, point)


@pytest.mark.filterwarnings("error")
def test_numbers_that_float64_does_not_hold_are_refused() -> None:
    weights = [np.full((2, 2), 1e-200), np.full((2, 2), 1e-200), np.full((2, 2), 1.0)]
    with pytest.raises(SolverError, match="magnitudes"):
        absolute(chain(weights))


def test_a_neuron_that_no_input_moves_is_named() -> None:
    form = chain([np.array([[1.0], [0.0]]), np.ones((1, 2))])
    with pytest.raises(SolverError, match=r"neuron 1 of group 1 .* reduce the form first"):
        absolute(form)
    assert absolute(form.reduced()).bound == pytest.approx(1)


def test_a_constant_network_has_the_bound_zero() -> None:
    assert absolute(chain([np.zeros((2, 3)), np.ones((1, 2))]).reduced()).bound == 0


@given(seed=st.integers(0, 2**32 - 1), rows=st.integers(1, 6), columns=st.integers(1, 6), blocks=st.integers(1, 3))
def test_perron_vectors_of_connected_blocks(seed: int, rows: int, columns: int, blocks: int) -> None:
    """Blocks of different norms, one of them a copy of another: every coordinate keeps to the largest eigenvalue."""
    rng = np.random.default_rng(seed)
    part = rng.random((rows, columns)) * (rng.random((rows, columns)) < 0.6)
    matrix = np.kron(np.diag(rng.choice([1.0, 0.25, 1e-8], blocks)), part)
    matrix = matrix[rng.permutation(len(matrix))][:, rng.permutation(matrix.shape[1])]
    vector = subinvariant(matrix)
    assert np.all(vector > 0)
    assert np.max(matrix.T @ (matrix @ vector) / vector) <= np.linalg.norm(matrix, 2) ** 2 * (1 + 1e-12)


def test_nearly_separate_blocks_of_equal_norm() -> None:
    """Two eigenvalues that float64 hardly tells apart: power iteration alone would never end."""
    for link in (1e-4, 1e-9, 1e-14, 1e-18):
        matrix = np.kron(np.eye(2), np.ones((2, 2))) + np.diag([0.0, link, 0.0], 1)
        vector = subinvariant(matrix)
        quotient = np.max(matrix.T @ (matrix @ vector) / vector)
        assert quotient <= np.linalg.norm(matrix, 2) ** 2 * (1 + 1e-11)


def test_tanh_with_biases_does_not_attain_it() -> None:
    """docs/mathematics.md, Theorem 23: tanh(tanh x + 2) moves by 0.138, its closed form is 1."""
    network = Network.mlp([np.ones((1, 1))] * 3, [np.zeros(1), np.full(1, 2.0), np.zeros(1)], "tanh")
    x = np.linspace(-3, 3, 100_001)[:, None]
    steepest = float(np.max(np.abs(np.diff(network(x)[:, 0])) / np.diff(x[:, 0])))
    assert steepest == pytest.approx(0.138, abs=1e-3)
    assert absolute(network.stacked).bound == pytest.approx(1)
    assert sdpcert.certify(network, method="product").upper == pytest.approx(1)

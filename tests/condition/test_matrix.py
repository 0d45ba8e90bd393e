"""The condition as an operator against the dense matrices of its definition, and its dual sweep."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.arithmetic.arrays import Arrays, NumpyArrays, TorchArrays
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.dual import feasible_dual_value
from sdpcert.condition.inequality import Inequality, Metric
from sdpcert.condition.matrix import Condition
from sdpcert.condition.scaling import equilibrate, reduce_input
from sdpcert.condition.whole import WholeInequality
from sdpcert.network.activations import relu
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.solvers.forward import forward_multipliers
from sdpcert.solvers.schur import adjoint_of_product, schur_complement

Array = np.ndarray
SLOPES = [(0.0, 1.0), (0.1, 1.0), (-1.0, 1.0), (-0.2, 1.1), (0.0, 0.25), (0.5, 2.0), (-2.0, -0.3)]


def random_form(seed: int, inputs: int | None = None, scale: float = 0.0) -> StackedForm:
    """Groups of one to four neurons with slopes of their own, skips at random, scales 10^(-scale) to 10^scale."""
    rng = np.random.default_rng(seed)
    depth = int(rng.integers(1, 5))
    inputs = int(rng.integers(1, 5)) if inputs is None else inputs
    sizes = [inputs, *(int(k) for k in rng.integers(1, 5, depth)), int(rng.integers(1, 4))]
    mixed = rng.random() < 0.6
    groups, blocks = [], {}
    for to in range(1, depth + 2):
        for source in range(to):
            if source == to - 1 or rng.random() < 0.4:
                weights = rng.standard_normal((sizes[to], sizes[source]))
                blocks[to, source] = Block(weights * 10.0 ** rng.uniform(-scale, scale))
        if to <= depth:
            picks = [SLOPES[k] for k in rng.integers(0, len(SLOPES) if mixed else 1, sizes[to])]
            alpha, beta = (np.array([p[k] for p in picks]) for k in (0, 1))
            groups.append(Group(relu(), (sizes[to],), np.arange(sizes[to]), alpha, beta, np.zeros(sizes[to])))
    return StackedForm(sizes[0], sizes[-1], tuple(groups), blocks, np.zeros(sizes[-1]))


class Dense:
    """K, F and the matrices A_0 = E0, A_i = sum p q' + q p' of a condition's (scaled, reduced) network."""

    def __init__(self, condition: Condition) -> None:
        to_numpy = condition.arrays.numpy
        n, n0 = condition.order, condition.inputs
        self.alpha, self.beta = to_numpy(condition.alpha), to_numpy(condition.beta)
        K = np.zeros((n - n0, n))
        for (to, source), block in condition.blocks.items():
            rows, columns = condition.slices[to], condition.slices[source]
            K[rows.start - n0 : rows.stop - n0, columns] = to_numpy(block)
        outputs = max(len(b) for b in condition.output_blocks.values())
        self.F = np.zeros((outputs, n))
        for source, block in condition.output_blocks.items():
            self.F[:, condition.slices[source]] = to_numpy(block)
        each = []
        for i in range(n - n0):
            e = np.eye(n)[n0 + i]
            p, q = e - self.alpha[i] * K[i], e - self.beta[i] * K[i]
            each.append(np.outer(p, q) + np.outer(q, p))
        E0 = np.diag((np.arange(n) < n0).astype(float))
        if condition.per_group:
            each = [sum(each[rows], np.zeros((n, n))) for rows in condition.rows[1:]]
        self.terms = [E0, *each]
        self.K = K

    def linear(self, y: Array) -> Array:
        return np.tensordot(y, np.array(self.terms), axes=1)


def in_blocks(condition: Condition, arrays: Arrays, matrix: Array) -> BlockMatrix:
    """The blocks of a dense matrix where M may have some, nothing elsewhere."""
    slices, found = condition.elimination.slices, BlockMatrix.zeros(arrays, condition.elimination)
    for j, later in enumerate(condition.elimination.later):
        for i in (j, *later):
            found.entries[i, j] = arrays.asarray(matrix[slices[i], slices[j]])
    return found


def positive(rng: np.random.Generator, n: int) -> Array:
    root = rng.standard_normal((n, n))
    return root @ root.T + 0.1 * np.eye(n)


def libraries() -> list[str]:
    return ["numpy", "torch"]


def arrays_named(name: str) -> Arrays:
    if name == "numpy":
        return NumpyArrays()
    pytest.importorskip("torch")
    return TorchArrays("cpu")


@pytest.mark.parametrize("library", libraries())
@pytest.mark.parametrize("multipliers", ["neuron", "layer"])
@given(seed=st.integers(0, 2**32 - 1), wide=st.booleans())
@settings(max_examples=40)
def test_operators_are_those_of_the_definition(library: str, multipliers: str, seed: int, wide: bool) -> None:
    arrays = arrays_named(library)
    condition = Condition(random_form(seed, 30 if wide else None), multipliers, arrays)
    rng = np.random.default_rng(seed)
    dense, n = Dense(condition), condition.order
    y = rng.standard_normal(condition.variables)
    X, S, U = positive(rng, n), positive(rng, n), rng.standard_normal((n, n))

    def same(actual: Array, expected: Array | list[float]) -> None:
        np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-11 * n)

    linear = arrays.numpy(condition.linear(arrays.asarray(y)).dense())
    same(linear, dense.linear(y))
    same(linear, linear.T)
    matrix = arrays.numpy(condition.matrix(arrays.asarray(y)).dense())
    same(matrix, dense.linear(y) - dense.F.T @ dense.F)

    found = schur_complement(condition, arrays.asarray(X), arrays.asarray(S))
    adjoint = arrays.numpy(found.dual)
    same(adjoint, [np.sum(t * X) for t in dense.terms])
    same(arrays.numpy(found.inverse), [np.sum(t * S) for t in dense.terms])
    same(arrays.numpy(condition.adjoint_of_selected(in_blocks(condition, arrays, X))), adjoint)
    assert float(np.sum(linear * X)) == pytest.approx(float(y @ adjoint), rel=1e-9, abs=1e-9 * n)

    part = U.T @ S
    product = arrays.numpy(adjoint_of_product(condition, arrays.asarray(U), arrays.asarray(S)))
    same(product, [np.sum(t * (part + part.T) / 2) for t in dense.terms])

    direction = condition.linear(arrays.asarray(y))
    times = arrays.numpy(direction.times(arrays.asarray(U)))
    same(times, linear @ U)

    schur = np.triu(arrays.numpy(found.matrix))
    schur = schur + np.triu(schur, 1).T  # the upper part is made
    exact = np.array([[np.trace(a @ X @ b @ S) for b in dense.terms] for a in dense.terms])
    # The search direction uses the symmetric part of X A S.
    np.testing.assert_allclose(schur, (exact + exact.T) / 2, rtol=1e-9, atol=1e-9 * np.abs(exact).max())
    unit = np.diag(schur) ** -0.5
    assert np.linalg.eigvalsh(unit[:, None] * schur * unit).min() > -1e-9

    assert float(condition.dual_value(arrays.asarray(X))) == pytest.approx(float(np.sum(dense.F.T @ dense.F * X)))


@pytest.mark.parametrize("multipliers", ["neuron", "layer"])
@given(seed=st.integers(0, 2**32 - 1), wide=st.booleans())
def test_whole_matrices_are_those_of_the_blocks(multipliers: str, seed: int, wide: bool) -> None:
    condition = Condition(random_form(seed, 30 if wide else None), multipliers)
    check_whole(condition, np.random.default_rng(seed), lambda root: root)


@given(seed=st.integers(0, 2**32 - 1), metric=st.booleans())
def test_whole_matrices_of_complex_blocks(seed: int, metric: bool) -> None:
    """Complex rows as those of a frequency, with a second metric that each coordinate has a variable of."""
    rng = np.random.default_rng(seed)

    def drawn(*shape: int) -> Array:
        return rng.standard_normal(shape) + 1j * rng.standard_normal(shape)

    slopes = (rng.choice([0.0, -0.2], 5), rng.choice([1.0, 0.7], 5))
    metrics = [Metric(slice(0, 2), 0, np.ones((1, 2)))]
    metrics += [Metric(slice(5, 7), 6, None, -1.0)] if metric else []
    output = {} if metric else {2: drawn(2, 2)}
    part = Inequality(
        NumpyArrays(), [2, 3, 2], {(1, 0): drawn(3, 2), (2, 1): drawn(2, 3)}, output, slopes, metrics, 8, 1
    )
    check_whole(part, rng, lambda root: root + 1j * rng.standard_normal(root.shape))


def check_whole(part: Inequality, rng: np.random.Generator, filled: Callable[[Array], Array]) -> None:
    """The matrices and the Schur complement of an inequality as a whole are those by blocks and panels."""
    whole, n = WholeInequality(part), part.order
    y = rng.standard_normal(part.variables)
    roots = [filled(rng.standard_normal((n, n))) for _ in range(3)]
    X, S = (root @ root.conj().T + 0.1 * np.eye(n) for root in roots[:2])

    def same(actual: Array, expected: Array) -> None:
        np.testing.assert_allclose(actual, expected, rtol=1e-11, atol=1e-11 * n * max(np.abs(expected).max(), 1.0))

    same(whole.linear(y), part.linear(y).dense())
    same(whole.matrix(y), part.matrix(y).dense())
    joint = whole.joint(X, S)
    schur, dual, inverse = whole.schur(joint)
    expected = schur_complement(part, X, S)
    same(np.triu(schur), np.triu(expected.matrix))
    same(schur, schur.T)
    same(dual, expected.dual)
    same(inverse, expected.inverse)
    same(whole.adjoint_of_product(roots[2], joint), adjoint_of_product(part, roots[2], S))


@pytest.mark.parametrize("multipliers", ["neuron", "layer"])
@given(seed=st.integers(0, 2**32 - 1))
def test_spread_and_gather_are_adjoint(multipliers: str, seed: int) -> None:
    condition = Condition(random_form(seed), multipliers)
    rng = np.random.default_rng(seed)
    y, values = rng.standard_normal(condition.variables), rng.standard_normal(condition.neurons)
    assert condition.spread(y) @ values == pytest.approx(y[1:] @ condition.gather(values))


def matrix_of(form: StackedForm, rho: float, multipliers: list[Array], exponent: int) -> Array:
    """M of the format document, dense in float64."""
    sizes = form.sizes[:-1]
    bounds = np.concatenate([[0], np.cumsum(sizes)])
    n = int(bounds[-1])
    M = np.zeros((n, n))
    M[: form.inputs, : form.inputs] = rho * np.eye(form.inputs)
    for to in range(1, form.output_row + 1):
        size = form.sizes[to]
        K = np.zeros((size, n))
        for source, block in form.row(to).items():
            K[:, bounds[source] : bounds[source + 1]] = block.weights
        if to == form.output_row:
            K = np.ldexp(K, -exponent)
            M -= K.T @ K
            continue
        group, E = form.groups[to - 1], np.eye(n)[bounds[to] : bounds[to + 1]]
        P, Q = E - group.alpha[:, None] * K, E - group.beta[:, None] * K
        part = P.T @ (multipliers[to - 1][:, None] * Q)
        M += part + part.T
    return M


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.0, 6.0]))
def test_multipliers_go_back_to_the_original_network(seed: int, scale: float) -> None:
    """The scaled matrix is congruent to that of the original network by powers of two: equal, entry by entry."""
    form = random_form(seed, inputs=1, scale=scale)
    condition = Condition(form)
    rng = np.random.default_rng(seed)
    y = np.exp(rng.standard_normal(condition.variables))
    _, scaling = equilibrate(form)
    original = matrix_of(form, y[0], condition.multipliers(y), scaling.output)
    units = np.concatenate(
        [np.zeros(1), *(np.full(g.size, a) for g, a in zip(form.groups, scaling.neurons, strict=True))]
    )
    congruent = np.ldexp(original, -(units[:, None] + units).astype(int))
    scaled = condition.matrix(y).dense()
    size = np.sqrt(np.abs(scaled.diagonal()) + np.abs(condition.constant.diagonal()) + y[0])
    assert np.max(np.abs(congruent - scaled) / np.outer(size, size)) < 1e-9


@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.0, 6.0, 30.0]))
def test_equilibrate_is_exact_and_brings_maps_to_unit_size(seed: int, scale: float) -> None:
    form = random_form(seed, scale=scale)
    blocks, scaling = equilibrate(form)
    exponents = [0, *scaling.neurons, -scaling.output]
    for (to, source), block in form.blocks.items():
        back = np.ldexp(blocks[to, source], exponents[source] - exponents[to])
        np.testing.assert_array_equal(back, block.weights)
    for to in range(1, form.output_row + 1):
        largest = max(np.linalg.norm(blocks[to, s], 2) for s in range(to) if (to, s) in blocks)
        assert 0.2 < largest < 10
    assert scaling.lipschitz(1.5) == 1.5 * 2.0**scaling.output
    given_multipliers = [np.ones(g.size) for g in form.groups]
    for got, exponent in zip(scaling.multipliers(given_multipliers), scaling.neurons, strict=True):
        np.testing.assert_array_equal(got, 4.0**exponent)


@given(seed=st.integers(0, 2**32 - 1))
def test_reduced_input_has_the_same_gram_matrix(seed: int) -> None:
    form = random_form(seed, inputs=40)
    blocks = {key: b.weights for key, b in form.blocks.items()}
    rng = np.random.default_rng(seed)
    for key in blocks:  # some rows that do not read the input
        if key[1] == 0:
            blocks[key] = blocks[key] * (rng.random((len(blocks[key]), 1)) < 0.7)
    reduced, inputs = reduce_input(blocks, 40)
    readers = sorted(k for k in blocks if k[1] == 0)
    before = np.concatenate([blocks[k] for k in readers])
    after = np.concatenate([reduced[k] for k in readers])
    np.testing.assert_allclose(after @ after.T, before @ before.T, atol=1e-11)
    assert inputs == after.shape[1] <= 40
    if np.any(before):
        assert inputs == np.any(before, axis=1).sum()
    assert all(reduced[k] is blocks[k] for k in blocks if k[1] != 0)


# ---------------------------------------------------------------- dual points and feasible starts


def sweep(condition: Condition, dense: Dense, factor: Array) -> Array:
    """Rows y_j of a dual point: every neuron (or group) projected onto its ball, from the definition."""
    Y = factor / np.linalg.norm(factor[: condition.inputs])
    n0 = condition.inputs
    for rows in condition.rows[1:]:
        own = slice(rows.start + n0, rows.stop + n0)
        V = dense.K[rows, : own.start] @ Y[: own.start]
        centre = (dense.alpha[rows] + dense.beta[rows])[:, None] / 2 * V
        radius = (dense.beta[rows] - dense.alpha[rows]) / 2 * np.linalg.norm(V, axis=1)
        away = Y[own] - centre
        length = np.linalg.norm(away, axis=1)
        if condition.per_group:
            length, radius = np.linalg.norm(length), np.linalg.norm(radius)
            away = away * (radius / length if length > radius else 1.0)
        else:
            away = away * np.where(length > radius, radius / np.where(length > 0, length, 1), 1.0)[:, None]
        Y[own] = centre + away
    return Y


@pytest.mark.parametrize("multipliers", ["neuron", "layer"])
@given(seed=st.integers(0, 2**32 - 1), scale=st.sampled_from([0.0, 5.0]))
def test_dual_sweep_gives_feasible_points_below_every_bound(multipliers: str, seed: int, scale: float) -> None:
    condition = Condition(random_form(seed, scale=scale), multipliers)
    dense, rng = Dense(condition), np.random.default_rng(seed)
    factor = rng.standard_normal((condition.order, condition.order)) * 10.0 ** rng.uniform(-2, 2, (condition.order, 1))
    value = feasible_dual_value(condition, [factor])
    Y = sweep(condition, dense, factor.copy())
    X = Y @ Y.T
    assert np.trace(X[: condition.inputs, : condition.inputs]) == pytest.approx(1, rel=1e-12)
    length = np.linalg.norm(Y, axis=1)
    size = float(np.sum(np.square(length)) + np.sum(np.square(np.abs(dense.K) @ length)))
    for term in dense.terms[1:]:
        assert np.sum(term * X) <= 1e-14 * size
    assert value == pytest.approx(float(np.sum(np.square(dense.F @ Y))), rel=1e-7, abs=1e-300)
    # Weak duality against the closed form's point, which is feasible.
    each, rho = forward_multipliers([Condition(random_form(seed, scale=scale))], 0.4)
    assert value <= rho * (1 + 1e-9)
    assert np.all(each > 0)


@given(
    seed=st.integers(0, 2**32 - 1),
    scale=st.sampled_from([0.0, 5.0]),
    wide=st.booleans(),
    theta=st.sampled_from([0.2, 0.4, 0.49]),
)
def test_closed_form_start_is_strictly_feasible(seed: int, scale: float, wide: bool, theta: float) -> None:
    condition = Condition(random_form(seed, 30 if wide else None, scale))
    multipliers, rho = forward_multipliers([condition], theta)
    y = 1.5 * rho * np.concatenate([[1.0], multipliers])
    matrix = condition.matrix(y).dense()
    size = np.sqrt(matrix.diagonal())
    assert np.linalg.eigvalsh(matrix / np.outer(size, size)).min() > 0


def test_dual_value_of_nothing_is_zero() -> None:
    condition = Condition(random_form(3))
    assert feasible_dual_value(condition, [np.zeros((condition.order, condition.order))]) == 0
    assert feasible_dual_value(condition, [np.full((condition.order, condition.order), np.nan)]) == 0

"""The forward recursion by blocks is the dense one, and costs what the network is wide."""

from __future__ import annotations

import itertools
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.condition.conditions import stages
from sdpcert.condition.frequency import FrequencyCondition
from sdpcert.condition.inequality import Inequality
from sdpcert.condition.matrix import Condition
from sdpcert.network.activations import activation_by_name
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.solvers import closed_form, product
from sdpcert.solvers.forward import forward_multipliers
from tests.network.torus_networks import random_torus

SLOPES = [(0.0, 1.0), (-1.0, 1.0), (0.25, 1.0), (-0.25, 1.125), (0.5, 2.0)]


def form_of(sizes: list[int], blocks: dict[tuple[int, int], Block], slopes: list[tuple[float, float]]) -> StackedForm:
    groups = []
    for size, (low, high) in zip(sizes[1:-1], slopes, strict=True):
        zero = np.zeros(size)
        groups.append(Group(activation_by_name("relu"), (size,), np.arange(size), zero + low, zero + high, zero))
    return StackedForm(sizes[0], sizes[-1], tuple(groups), blocks, np.zeros(sizes[-1]))


def normal_chain(layers: int, width: int) -> StackedForm:
    """A chain as the ECLipsE benchmark draws it today: 4 inputs, normal weights, spectral norms in [0.4, 1.8]."""
    generator = np.random.RandomState(7 * width + 13 * layers)
    sizes, blocks = [4] + [width] * (layers - 1) + [1], {}
    for k, (columns, rows) in enumerate(itertools.pairwise(sizes)):
        norm, weight = generator.uniform(0.4, 1.8), generator.randn(rows, columns)
        blocks[k + 1, k] = Block(norm * weight / np.linalg.norm(weight, 2))
    return form_of(sizes, blocks, [(0.0, 1.0)] * (layers - 1))


def dense_recursion(part: Inequality, theta: float) -> tuple[np.ndarray, float]:
    """Multipliers and rho of `forward_multipliers` without blocks, one multiplier a group."""
    K = np.zeros((part.neurons, part.order), dtype=complex)
    for (to, s), block in part.blocks.items():
        K[part.rows[to], part.slices[s]] = block
    measured = [np.eye(part.order)[metric.coordinates] for metric in part.metrics if metric.sign < 0]
    F = np.concatenate([*measured, np.zeros((0, part.order))]).astype(complex)
    if part.output_blocks:
        F = np.zeros((len(next(iter(part.output_blocks.values()))), part.order), dtype=complex)
        for s, block in part.output_blocks.items():
            F[:, part.slices[s]] = block
    X = np.zeros((part.order, part.order), dtype=complex)
    X[: part.inputs, : part.inputs] = np.eye(part.inputs)
    multipliers = np.zeros(part.neurons)
    for g in range(1, len(part.slices)):
        rows, own, before = part.rows[g], part.slices[g], part.slices[g].start
        width, total = part.beta[rows] - part.alpha[rows], part.alpha[rows] + part.beta[rows]
        share = theta * 2 / (1 + np.abs(total / width))
        sources = {s for to, s in part.blocks if to == g}
        later = {s for to, s in part.blocks if to > g} | set(part.output_blocks)
        if sources & later:
            share = np.minimum(share, theta)
        A = K[rows, :before] @ np.linalg.solve(X[:before, :before], K[rows, :before].conj().T)
        t = 2 * share[np.argmax(width)] / np.linalg.eigvalsh(width[:, None] * A * width)[-1]
        multipliers[rows] = t
        X[own, own] += 2 * t * np.eye(own.stop - own.start)
        X[own, :before] -= t * total[:, None] * K[rows, :before]
        X[:before, own] = X[own, :before].conj().T
        square = 2 * t * part.alpha[rows] * part.beta[rows]
        X[:before, :before] += (square[:, None] * K[rows, :before]).conj().T @ K[rows, :before]
    return multipliers, float(np.linalg.eigvalsh(F @ np.linalg.solve(X, F.conj().T))[-1])


@settings(max_examples=60)
@given(
    seed=st.integers(0, 2**32 - 1),
    slopes=st.lists(st.sampled_from(SLOPES), min_size=1, max_size=7),
    skips=st.sampled_from([0.0, 0.2, 0.6]),
    theta=st.sampled_from([0.2, 0.4]),
)
def test_blocks_change_nothing(seed: int, slopes: list[tuple[float, float]], skips: float, theta: float) -> None:
    rng = np.random.default_rng(seed)
    sizes = [int(k) for k in rng.integers(1, 7, len(slopes) + 2)]
    blocks = {}
    for to in range(1, len(sizes)):
        sources = [s for s in range(to) if rng.random() < skips] or [int(rng.integers(max(to - 2, 0), to))]
        blocks |= {(to, s): Block(rng.standard_normal((sizes[to], sizes[s]))) for s in sources}
    condition = Condition(form_of(sizes, blocks, slopes))
    multipliers, rho = forward_multipliers([condition], theta)
    expected, least = dense_recursion(condition, theta)
    assert multipliers == pytest.approx(expected, rel=1e-8)
    assert rho == pytest.approx(least, rel=1e-8, abs=1e-300)


@settings(max_examples=10, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_one_frequency_is_a_network_of_complex_weights(seed: int) -> None:
    condition = FrequencyCondition(random_torus(seed))
    for part in stages(condition)[0]:
        multipliers, rho = forward_multipliers([part], 0.4)
        expected, least = dense_recursion(part, 0.4)
        assert multipliers == pytest.approx(expected, rel=1e-9)
        assert rho == pytest.approx(least, rel=1e-9, abs=1e-300)


@pytest.mark.parametrize(
    ("layers", "bound"), [(5, 0.184074), (10, 0.0623067), (20, 0.00236841), (30, 1.78198e-4), (100, 1.175290043e-9)]
)
def test_relu_chains_are_eclipse_fast(layers: int, bound: float) -> None:
    """Values of ECLipsE-Fast in plain NumPy; at 100 layers the product of norms is 44.2."""
    assert closed_form(normal_chain(layers, 80)).bound == pytest.approx(bound, rel=1e-9 if layers == 100 else 3e-6)


def test_memory_and_digits_do_not_depend_on_depth() -> None:
    """What the recursion holds of a chain is one group's block; the layers of 2^-20 and 2^20 change nothing."""
    rng, size = np.random.default_rng(0), 48
    weights = [rng.standard_normal((size, size)) / 8 for _ in range(161)]
    held = []
    for layers in (20, 160):
        sizes, slopes = [size] * (layers + 2), [(0.0, 1.0)] * layers
        condition = Condition(
            form_of(sizes, {(k + 1, k): Block(w) for k, w in enumerate(weights[: layers + 1])}, slopes)
        )
        tracemalloc.start()
        forward_multipliers([condition], 0.4)
        held.append(tracemalloc.get_traced_memory()[1] - 40 * 8 * size * layers)
        tracemalloc.stop()
    assert held[1] < 2 * held[0]
    blocks = {(k + 1, k): Block(np.ldexp(w, 20 * (-1) ** k)) for k, w in enumerate(weights)}
    scaled = closed_form(form_of([size] * 162, blocks, [(0.0, 1.0)] * 160))
    plain = closed_form(
        form_of([size] * 162, {(k + 1, k): Block(w) for k, w in enumerate(weights)}, [(0.0, 1.0)] * 160)
    )
    assert scaled.bound == pytest.approx(np.ldexp(plain.bound, 20), rel=1e-12)


def test_a_wide_chain_is_below_its_product() -> None:
    """Groups above the order from which on Lanczos takes over."""
    rng = np.random.default_rng(0)
    blocks = {(k + 1, k): Block(rng.standard_normal((400, 400)) / 40) for k in range(3)}
    form = form_of([400] * 4, blocks, [(0.0, 1.0), (-1.0, 1.0)])
    assert closed_form(form).bound < product(form).bound
    norms = [np.linalg.norm(block.weights, 2) for block in blocks.values()]
    assert product(form).bound == pytest.approx(np.prod(norms), rel=1e-12)

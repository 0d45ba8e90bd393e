"""The condition over frequencies against the unrolled one, which a different code path solves."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.condition.dual import feasible_dual_value
from sdpcert.condition.frequency import FrequencyCondition, Head
from sdpcert.network.activations import relu
from sdpcert.network.embedding import embed
from sdpcert.network.torus import Taps, TorusForm, TorusGroup
from sdpcert.solvers import Budget, interior_point
from sdpcert.solvers.primal_dual import minimise
from sdpcert.solvers.working_set import FrequencyWatch, solve_frequencies
from tests.network.torus_networks import random_convolutional, random_torus, unrolled


def bound_of(condition: FrequencyCondition, y: np.ndarray) -> float:
    return float(np.ldexp(np.sqrt(y[0]), condition.exponent))


@pytest.mark.parametrize("method", ["neuron", "layer"])
@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=12, deadline=None)
def test_frequency_optimum_is_the_unrolled_optimum(method: str, seed: int) -> None:
    form = random_torus(seed)
    condition = FrequencyCondition(form, method)
    point = minimise(condition, Budget())
    dense = interior_point(unrolled(form), method, Budget())
    assert point.status == "optimal" and dense.status == "optimal"
    assert bound_of(condition, point.y) == pytest.approx(dense.bound, rel=1e-6)
    assert point.dual <= bound_of(condition, point.y) * (1 + 1e-12)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=5, deadline=None)
def test_the_working_set_reaches_the_optimum_of_all_frequencies(seed: int) -> None:
    form = random_torus(seed)
    form = type(form)((9, 8), form.inputs, form.outputs, form.groups, form.blocks)
    solved = solve_frequencies(form, "neuron", Budget())
    whole = FrequencyCondition(form, "neuron")
    point = minimise(whole, Budget())
    assert solved.bound == pytest.approx(bound_of(whole, point.y), rel=1e-6)
    assert not FrequencyWatch(solved.condition).broken(solved.point.y)
    assert not FrequencyWatch(whole).broken(point.y, form.frequencies)
    assert solved.frequencies <= len(form.frequencies)


@given(seed=st.integers(0, 2**32 - 1))
@settings(max_examples=8, deadline=None)
def test_front_and_head_together_are_above_the_unrolled_optimum_and_below_one_after_the_other(seed: int) -> None:
    network = random_convolutional(seed)
    embedding = embed(network)
    if not embedding.output_group or embedding.head is None or network.stacked.reduced().neurons > 300:
        return
    head = embedding.head.stacked.reduced()
    form = embedding.form
    together = solve_frequencies(
        form, "neuron", Budget(), head=Head(head, embedding.output_index // form.cells, embedding.output_group)
    )
    front = solve_frequencies(form, "neuron", Budget())
    behind = (
        interior_point(head, "neuron", Budget()).bound if head.neurons else np.linalg.norm(head.blocks[1, 0].weights, 2)
    )
    exact = interior_point(network.stacked.reduced(), "neuron", Budget())
    assert together.bound >= exact.dual * (1 - 1e-9)
    assert together.bound <= front.bound * behind * (1 + 1e-6)


@given(seed=st.integers(0, 2**32 - 1), share=st.floats(0.1, 10))
@settings(max_examples=30, deadline=None)
def test_any_dual_matrices_give_a_lower_bound(seed: int, share: float) -> None:
    form = random_torus(seed)
    condition = FrequencyCondition(form)
    rng = np.random.default_rng(seed)
    factors = []
    for part in condition.inequalities:
        factor = rng.standard_normal((part.order, part.order)) * share ** rng.standard_normal((part.order, 1))
        factors.append(factor + 1j * rng.standard_normal(factor.shape) if part.like is not None else factor)
    value = feasible_dual_value(condition, factors)
    point = minimise(FrequencyCondition(form), Budget())
    bound = np.ldexp(np.sqrt(value), condition.exponent)
    assert bound <= np.ldexp(np.sqrt(point.y[0]), point.exponent) * (1 + 1e-9)


def _on_torus(sizes: list[tuple[int, int, int]], inputs: int, torus: int, seed: int) -> TorusForm:
    """A chain of circular convolutions on a square torus: (channels out, side of the kernel, exponent of the scale)."""
    rng, groups, blocks = np.random.default_rng(seed), [], {}
    for number, (out, side, scale) in enumerate(sizes, start=1):
        offsets = np.array([(a, b) for a in range(side) for b in range(side)])
        weights = rng.standard_normal((side * side, out, inputs)) * 2.0**scale / np.sqrt(side * side * inputs)
        blocks[number, number - 1] = Taps(offsets, weights)
        if number < len(sizes):
            shape = (out, torus, torus)
            groups.append(TorusGroup(relu(), np.zeros(out), np.ones(out), np.zeros(shape), np.ones(shape)))
        inputs = out
    return TorusForm((torus, torus), blocks[1, 0].shape[1], inputs, tuple(groups), blocks)


@pytest.mark.parametrize("seed", [0, 5])
def test_the_run_does_not_stall_where_frequencies_come_and_go(seed: int):
    """A frequency that rho hardly meets may rule the multipliers; where it left by its share of rho alone, its return
    stopped every step, and where it joined near its boundary the run was given up.
    """
    form = _on_torus([(4, 3, 0)] * 9 + [(2, 3, 0)], 3, 8, seed)
    solved = solve_frequencies(form, "neuron", Budget(1e-6))
    assert solved.point.status == "optimal"
    assert solved.bound - solved.point.dual <= 2e-6 * solved.bound


@pytest.mark.parametrize("size", [1e-4, 1e-6, 1e-12, 1e-40])
def test_neurons_that_read_next_to_nothing_do_not_stall_the_run(size: float):
    form = _on_torus([(3, 2, 0), (4, 2, 0), (2, 1, 0)], 2, 5, 1)
    blocks = dict(form.blocks)
    for key in ((1, 0), (2, 1)):
        weights = blocks[key].weights.copy()
        weights[:, 1] *= size
        blocks[key] = replace(blocks[key], weights=weights)
    solved = solve_frequencies(replace(form, blocks=blocks), "neuron", Budget(1e-6))
    assert solved.point.status == "optimal"
    dense = [np.random.default_rng(k).standard_normal((7, 7)) for k in range(3)]
    dense[0][2], dense[1][5] = dense[0][2] * size, dense[1][5] * size
    certificate = sdpcert.certify(sdpcert.Network.mlp(dense), method="neuron")
    assert certificate.solver_status == "optimal"
    assert certificate.gap <= 2e-6

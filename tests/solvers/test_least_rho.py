"""The least rho by blocks is that of the dense matrix."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.condition.elimination import Elimination
from sdpcert.condition.matrix import Condition
from sdpcert.network.activations import activation_by_name
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.solvers.forward import forward_multipliers
from sdpcert.solvers.least_rho import least_rho

SLOPES = [(0.0, 1.0), (-1.0, 1.0), (0.25, 1.0)]


def graph(seed: int, skips: float) -> StackedForm:
    """A random form with skips and groups of slopes of several kinds."""
    rng = np.random.default_rng(seed)
    count = int(rng.integers(1, 7))
    sizes = [int(k) for k in rng.integers(1, 7, count + 2)]
    blocks, groups = {}, []
    for to in range(1, count + 2):
        for source in range(to):
            if source == to - 1 or rng.random() < skips:
                blocks[to, source] = Block(rng.standard_normal((sizes[to], sizes[source])))
    for size in sizes[1:-1]:
        low, high = SLOPES[rng.integers(len(SLOPES))]
        zero = np.zeros(size)
        groups.append(Group(activation_by_name("relu"), (size,), np.arange(size), zero + low, zero + high, zero))
    return StackedForm(sizes[0], sizes[-1], tuple(groups), blocks, np.zeros(sizes[-1]))


@pytest.mark.parametrize("smallest", [0, 8, 1000])
@settings(max_examples=40)
@given(seed=st.integers(0, 2**32 - 1), skips=st.sampled_from([0.0, 0.3]))
def test_least_rho_is_where_the_dense_matrix_is_singular(smallest: int, seed: int, skips: float) -> None:
    of = Elimination.of
    with pytest.MonkeyPatch.context() as patch:  # blocks that small networks do not have otherwise
        patch.setattr(Elimination, "of", staticmethod(lambda sources, pattern: of(sources, pattern, smallest)))
        condition = Condition(graph(seed, skips))
        each, rho = forward_multipliers([condition], 0.4)
        rng = np.random.default_rng(seed)
        given_ = 1.5 * rho * each * rng.uniform(0.95, 1.1, len(each))
        found = least_rho(condition, given_)
        matrix = condition.matrix(np.concatenate([[0.0], given_])).dense()
    n0 = condition.inputs
    hidden = matrix[n0:, n0:]
    if np.linalg.eigvalsh(hidden)[0] <= 1e-9 * np.linalg.norm(hidden, 2):
        return
    complement = matrix[:n0, n0:] @ np.linalg.solve(hidden, matrix[n0:, :n0]) - matrix[:n0, :n0]
    assert found == pytest.approx(max(np.linalg.eigvalsh(complement)[-1], 0.0), rel=1e-9, abs=1e-12)


def test_multipliers_that_leave_the_neurons_indefinite_have_none() -> None:
    condition = Condition(graph(3, 0.0))
    assert least_rho(condition, np.zeros(condition.neurons)) == np.inf
    assert least_rho(condition, np.full(condition.neurons, np.nan)) == np.inf

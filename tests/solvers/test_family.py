"""Multipliers in families, against the dense solver with one multiplier per group."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.certificate.proof import ProofProblem
from sdpcert.network import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.family import layer_optimum, minimise_family
from sdpcert.solvers.native import interior_point
from sdpcert.solvers.solution import Budget, Progress

Array = np.ndarray


def chain(seed: int, activation: str = "relu") -> StackedForm:
    """A chain of three to five layers of a few neurons."""
    rng = np.random.default_rng(seed)
    sizes = [int(k) for k in rng.integers(2, 9, int(rng.integers(4, 7)))]
    weights = [rng.standard_normal((b, a)) / a**0.5 for a, b in itertools.pairwise(sizes)]
    return Network.mlp(weights, None, activation).stacked.reduced()


@given(seed=st.integers(0, 2**32 - 1), activation=st.sampled_from(["relu", "tanh", "leaky_relu"]))
@settings(max_examples=12, deadline=None)
def test_one_multiplier_a_group_has_the_optimum_of_the_dense_solver(seed: int, activation: str) -> None:
    form = chain(seed, activation)
    dense = interior_point(form, "layer", Budget(1e-8))
    found = layer_optimum(form, Budget(1e-6))
    assert found.bound >= dense.dual * (1 - 1e-9)
    assert found.dual <= dense.bound * (1 + 1e-9)
    if found.status == "optimal":
        assert found.bound == pytest.approx(dense.bound, rel=3e-6)
    assert ProofProblem(form, found.exponent).prove(found.rho, found.multipliers) is not None


@pytest.mark.parametrize("seed", [0, 1, 2, 4, 6, 7])
def test_the_bound_and_the_dual_bound_enclose_the_optimum_closely(seed: int) -> None:
    form = chain(seed)
    found, dense = layer_optimum(form, Budget(1e-8)), interior_point(form, "layer", Budget(1e-9))
    assert found.bound == pytest.approx(dense.bound, rel=1e-7)
    assert found.bound * (1 - 1e-7) <= found.dual <= dense.bound * (1 + 1e-9)


def test_forty_layers_are_no_harder() -> None:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((12, 12)) / 5 for _ in range(40)]
    lines: list[Progress] = []
    found = layer_optimum(Network.mlp(weights).stacked.reduced(), Budget(1e-6, report=lines.append))
    assert found.status == "optimal"
    assert len(lines) <= 40


def test_the_optimum_is_reached() -> None:
    found = layer_optimum(chain(0), Budget(1e-6))
    assert found.status == "optimal"
    assert found.dual >= (1 - 3e-6) * found.bound


def test_every_neuron_a_direction_is_the_condition_of_neurons() -> None:
    form = chain(3)
    each = [list(np.eye(group.size)) for group in form.groups]
    layers = layer_optimum(form, Budget(1e-6))
    found = minimise_family(form, each, Budget(1e-6), layers)
    dense = interior_point(form, "neuron", Budget(1e-8))
    assert dense.dual * (1 - 1e-9) <= found.bound <= layers.bound * (1 + 1e-6)
    assert found.dual == 0


def test_what_is_interrupted_is_a_point() -> None:
    form = chain(5)

    def stop(line: Progress) -> None:
        if line.iteration == 2:
            raise KeyboardInterrupt

    found = layer_optimum(form, Budget(1e-6, report=stop))
    assert found.status == "interrupted"
    assert ProofProblem(form, found.exponent).prove(found.rho, found.multipliers) is not None

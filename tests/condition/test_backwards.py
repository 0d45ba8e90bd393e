"""A network and the one that reads it backwards have the same feasible points."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdpcert.certificate.proof import ProofProblem
from sdpcert.condition.backwards import backwards, is_smaller_backwards, multipliers_forwards
from sdpcert.condition.matrix import Condition
from sdpcert.network.activations import leaky_relu, relu, sigmoid
from sdpcert.network.affine import Dense, Sum
from sdpcert.network.graph import Graph, Network
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers import SOLVERS
from sdpcert.solvers.primal_dual import minimise
from sdpcert.solvers.solution import Budget
from sdpcert.solvers.work import Shape

Array = np.ndarray


def with_skips(inputs: int, width: int, outputs: int, seed: int, direct: bool) -> StackedForm:
    """Two groups, the second with slopes up to 1/4, read from the input, from each other and by the output."""
    draw = np.random.default_rng(seed).standard_normal
    graph = Graph((inputs,))
    one = graph.add(relu(), graph.add(Dense(draw((width, inputs)), None), 0))
    read = graph.add(Dense(draw((width + 1, width)), None), one)
    again = graph.add(Dense(draw((width + 1, inputs)), None), 0)
    two = graph.add(sigmoid(), graph.add(Sum((1, 1)), read, again))
    ends = [graph.add(Dense(draw((outputs, k)), None), v) for k, v in ((width, one), (width + 1, two))]
    if direct:
        ends.append(graph.add(Dense(draw((outputs, inputs)), None), 0))
    return graph.network(graph.add(Sum((1,) * len(ends)), *ends)).stacked.reduced()


def condition_matrix(form: StackedForm, rho: float, multipliers: tuple[Array, ...], exponent: int) -> Array:
    """M written out."""
    ends = np.cumsum([0, form.inputs, *(g.size for g in form.groups)])
    whole = np.zeros((ends[-1] - form.inputs + form.outputs, ends[-1]))
    for (to, source), block in form.blocks.items():
        first = ends[to] - form.inputs
        whole[first : first + len(block.weights), ends[source] : ends[source + 1]] = block.weights
    rows, output = whole[: ends[-1] - form.inputs], np.ldexp(whole[ends[-1] - form.inputs :], -exponent)
    own, slopes = np.eye(ends[-1])[form.inputs :], np.concatenate([g.beta for g in form.groups])
    half = own.T @ (np.concatenate(multipliers)[:, None] * (own - slopes[:, None] * rows))
    return half + half.T + rho * np.diag(np.arange(ends[-1]) < form.inputs) - output.T @ output


@given(
    st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.integers(0, 9), st.booleans(), st.integers(-2, 2),
    st.floats(0.1, 100.0),
)  # fmt: skip
@settings(max_examples=60, deadline=None)
def test_points_are_feasible_both_ways_or_neither(
    inputs: int, width: int, outputs: int, seed: int, direct: bool, exponent: int, rho: float
) -> None:
    form = with_skips(inputs, width, outputs, seed, direct)
    turned = backwards(form)
    drawn = tuple(10.0 ** np.random.default_rng(seed).uniform(-1, 2, g.size) for g in turned.groups)
    there = condition_matrix(turned, rho, drawn, exponent)
    here = condition_matrix(form, rho, multipliers_forwards(rho, drawn, exponent), exponent)
    assert np.sum(np.linalg.eigvalsh(there) < 0) == np.sum(np.linalg.eigvalsh(here) < 0)


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("direct", [False, True])
def test_the_solver_turns_wide_inputs_and_finds_the_same_optimum(method: str, direct: bool) -> None:
    form = with_skips(20, 12, 2, 0, direct)
    assert is_smaller_backwards(form)
    condition = Condition(form, method)
    point = minimise(condition, Budget(1e-8))
    solution = SOLVERS["native"](form, method, Budget(1e-8))
    assert solution.bound == pytest.approx(np.ldexp(np.sqrt(point.y[0]), point.exponent), rel=1e-8)
    assert solution.bound * (1 - 1e-8) <= solution.dual <= solution.bound
    proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    assert proof is not None
    assert np.ldexp(np.sqrt(proof.rho), proof.exponent) == pytest.approx(solution.bound, rel=1e-8)


@pytest.mark.parametrize("direct", [False, True])
def test_the_shape_that_is_solved_is_that_of_the_network_backwards(direct: bool) -> None:
    form = with_skips(20, 12, 2, 0, direct)
    shape, turned = Shape.solved(form), Condition(backwards(form))
    assert shape.order == turned.order < 0.9 * Condition(form).order
    assert shape.weights == sum(block.size for block in turned.blocks.values())
    assert shape.elimination.slices == turned.elimination.slices
    assert shape.elimination.later == turned.elimination.later


def test_nothing_is_turned_that_gains_nothing_or_has_other_slopes() -> None:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((9, 30)), rng.standard_normal((2, 9))]
    assert is_smaller_backwards(Network.mlp(weights).stacked.reduced())
    assert not is_smaller_backwards(Network.mlp(weights, None, leaky_relu(0.1)).stacked.reduced())
    assert not is_smaller_backwards(Network.mlp([w.T for w in reversed(weights)]).stacked.reduced())
    form = with_skips(3, 9, 2, 0, False)
    assert not is_smaller_backwards(form)
    assert Shape.solved(form).sizes == Shape.of(form).sizes

"""Estimates: they grow with the network, know its structure, and measure the machine only where that pays."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdpcert import Network
from sdpcert.arithmetic import pace
from sdpcert.arithmetic.pace import ASSUMED, Pace, measured
from sdpcert.certify.ladder import estimate_layers
from sdpcert.condition.matrix import Condition
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers import work
from sdpcert.solvers.effort import estimate, estimate_of_shape
from sdpcert.solvers.segments import estimate_sweep
from sdpcert.solvers.work import Shape, Work

METHODS = pytest.mark.parametrize("method", ["neuron", "layer"])


def mlp(*sizes: int) -> StackedForm:
    rng = np.random.default_rng(0)
    return Network.mlp([rng.standard_normal((b, a)) for a, b in itertools.pairwise(sizes)]).stacked.reduced()


@METHODS
@given(width=st.integers(1, 300), depth=st.integers(1, 30))
def test_estimates_grow_with_width_and_depth(method: str, width: int, depth: int) -> None:
    def at(width: int, depth: int) -> tuple[float, float]:
        shape = Shape.chain([width] * (depth + 1))
        effort = estimate_of_shape(shape, shape.neurons if method == "neuron" else depth, ASSUMED)
        return effort.seconds, effort.memory

    own = at(width, depth)
    assert all(more > less for more, less in zip(at(2 * width, depth), own, strict=True))
    assert all(more > less for more, less in zip(at(width, 2 * depth), own, strict=True))


@given(products=st.floats(0, 1e12), entries=st.floats(0, 1e12), python=st.floats(0, 1e3))
def test_a_faster_machine_takes_no_longer(products: float, entries: float, python: float) -> None:
    done = Work(products, entries, python)
    faster = Pace(2 * ASSUMED.products, 2 * ASSUMED.entries)
    assert python <= done.at(faster) <= done.at(ASSUMED)
    assert (done + done).at(ASSUMED) == pytest.approx((done * 2).at(ASSUMED))


@METHODS
@pytest.mark.parametrize("sizes", [(5, 30, 20, 3), (300, 40, 40, 10), (4, 200, 200, 200, 1)])
def test_the_shape_is_that_of_the_condition(method: str, sizes: tuple[int, ...]) -> None:
    form = mlp(*sizes)
    shape, condition = Shape.of(form), Condition(form, method)
    assert shape.order == condition.order and shape.neurons == condition.neurons
    assert shape.weights == sum(block.size for block in condition.blocks.values())
    assert shape.elimination.slices == condition.elimination.slices
    assert shape.elimination.later == condition.elimination.later


def test_a_chain_is_cheaper_than_a_dense_network_of_its_order() -> None:
    deep, wide = Shape.chain([40] * 26), Shape.chain([20, 1020])
    assert deep.order == wide.order
    assert deep.proof().at(ASSUMED) < 0.2 * wide.proof().at(ASSUMED)
    assert deep.memory(25) < deep.memory(1000) < wide.memory(1020)


def test_blocks_and_sweeps_need_memory_that_grows_with_the_depth() -> None:
    short, long = mlp(4, *[40] * 20, 1), mlp(4, *[40] * 40, 1)
    for rung in (estimate_layers, estimate_sweep):
        assert rung(short).memory < rung(long).memory < 3 * rung(short).memory
    assert estimate(long, "neuron", ASSUMED).memory > 3 * estimate(short, "neuron", ASSUMED).memory


def test_small_networks_do_not_pay_for_the_pace(monkeypatch: pytest.MonkeyPatch) -> None:
    def unwanted() -> Pace:
        raise AssertionError("the machine was measured")

    monkeypatch.setattr(work, "measured", unwanted)
    assert estimate(mlp(10, 64, 10), "neuron").seconds < 1
    with pytest.raises(AssertionError, match="measured"):
        estimate(mlp(4, *[80] * 9, 1), "neuron")


def test_the_pace_is_measured_once() -> None:
    found = measured()
    assert found.products > 0 and found.entries > 0
    assert measured() is found and pace.measured() is found


def test_memory_is_that_of_eight_matrices_where_the_blocks_are_few() -> None:
    shape = Shape.chain([4, *[80] * 60])
    assert shape.memory(shape.neurons) < 8 * 8.0 * shape.order**2

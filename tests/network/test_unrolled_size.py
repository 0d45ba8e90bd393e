"""What unrolling takes is known before it is done, and dense layers need no identity matrix."""

from __future__ import annotations

import tracemalloc

import numpy as np
import pytest

from sdpcert.network.activations import relu
from sdpcert.network.affine import Dense, Rearrange
from sdpcert.network.graph import Graph, Network
from sdpcert.network.stacking import memory_limited
from sdpcert.network.unrolled_size import unrolled_bytes
from tests.oracles import large_networks


def peak_of(network: Network) -> int:
    tracemalloc.start()
    try:
        _ = network.stacked
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    "network",
    [
        large_networks.residual_cifar((4, 8), side=16, hidden=50),
        large_networks.pooled_mnist(3, 3, 14, 30),
        large_networks.bias_field(8, 12, (4, 8)),
        Network.mlp([np.ones((40, 700)), np.eye(40), np.ones((3, 40))]),
    ],
)
def test_the_estimate_is_about_the_peak(network: Network) -> None:
    estimated, peak = unrolled_bytes(network), peak_of(network)
    assert peak / 2 <= estimated + 2e6 <= 8 * peak + 2e6


def test_a_dense_layer_reads_the_columns_of_what_was_moved() -> None:
    rng = np.random.default_rng(0)
    graph, weight = Graph((2, 3, 4)), rng.standard_normal((5, 20))
    weight[0, 0] = -0.0
    flat = graph.add(Rearrange(rng.permutation(24)[:20]), graph.add(Rearrange(np.arange(24)), 0))
    hidden = graph.add(relu(), graph.add(Dense(weight, rng.standard_normal(5)), flat))
    again = graph.add(Rearrange(np.array([1, -1, 0, 4])), hidden)
    network = graph.network(graph.add(Dense(rng.standard_normal((3, 4))), again))
    form, x = network.stacked, rng.standard_normal((7, 2, 3, 4))
    np.testing.assert_allclose(form.evaluate(x.reshape(7, -1)), network(x), atol=1e-12)
    assert form.is_exact and not np.any(np.signbit(form.blocks[1, 0].weights[form.blocks[1, 0].weights == 0]))


def test_a_wide_input_takes_no_square_of_its_width() -> None:
    graph = Graph((1, 100, 200))
    flat = graph.add(Rearrange(np.arange(20_000)), 0)
    network = graph.network(graph.add(Dense(np.ones((2, 20_000))), flat))
    assert peak_of(network) < 20e6 and unrolled_bytes(network) < 20e6


def test_what_does_not_fit_is_refused_with_its_size() -> None:
    network = large_networks.bias_field(4, 8, (2, 3))
    with memory_limited(1e4), pytest.raises(ValueError, match="memory_limit"):
        _ = network.stacked
    with memory_limited(1e9):
        assert network.stacked.neurons

"""Networks that are proved part by part: never above the product of norms with comparisons of constant 1."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.certify.binding import check_with_network
from sdpcert.certify.cut import cuts, prove_cut, with_rows
from sdpcert.network import piecewise
from sdpcert.network.activations import relu
from sdpcert.network.affine import Concat, Dense, Rearrange, Sum
from sdpcert.network.graph import Graph, Network


def chain(
    depth: int, width: int = 6, seed: int = 0, activation: str = "maxmin", orthogonal: bool = False
) -> tuple[Network, float]:
    """A chain of dense layers and the product of their norms."""
    rng = np.random.default_rng(seed)
    weights = [rng.standard_normal((width, width)) for _ in range(depth)]
    if orthogonal:
        weights = [np.linalg.qr(w)[0] for w in weights]
    return Network.mlp(weights, activation=activation), float(np.prod([np.linalg.norm(w, 2) for w in weights]))


@pytest.mark.parametrize("activation", ["maxmin", "relu", "abs", "tanh"])
@pytest.mark.parametrize("depth", [1, 2, 5, 12])
def test_the_product_over_parts_is_the_product_of_norms(depth: int, activation: str) -> None:
    network, norms = chain(depth, activation=activation)
    found = prove_cut(network, np.inf)
    assert found is not None
    assert norms * (1 - 1e-9) <= found.upper <= norms * (1 + 1e-8)
    assert prove_cut(network, norms * 0.999) is None


def test_cuts_are_values_that_everything_passes_through() -> None:
    network, _ = chain(3)
    values = cuts(network)
    assert values[0] == 0 and values[-1] == network.output and len(values) == 6
    graph = Graph((4,))
    hidden = graph.add(relu(), graph.add(Dense(np.eye(4)), 0))
    skipped = graph.add(Sum(), 0, hidden)
    network = graph.network(graph.add(Dense(np.ones((2, 4))), skipped))
    assert cuts(network) == [0, skipped, network.output]


@pytest.mark.parametrize("rows", [None, [2], [0, 3]])
def test_a_certificate_of_parts_binds_to_its_network(tmp_path: Path, rows: list[int] | None) -> None:
    network, norms = chain(8, orthogonal=True)
    certificate = sdpcert.certify(network, "product", output_rows=rows)
    assert certificate.status == "proved" and len(certificate.parts) > 1
    assert certificate.lower <= certificate.upper <= norms * (1 + 1e-8)
    path = tmp_path / "c.json"
    certificate.save(path)
    assert check_with_network(path, network).ok
    assert not check_with_network(path, chain(8, seed=1, orthogonal=True)[0]).ok
    assert sdpcert.Certificate.load(path).upper == certificate.upper


def test_some_outputs_are_another_network() -> None:
    network, _ = chain(2)
    points = np.random.default_rng(1).standard_normal((5, 6))
    np.testing.assert_array_equal(with_rows(network, [4, 1])(points), network(points)[:, [4, 1]])
    assert with_rows(network, None) is network


def group_sort(graph: Graph, value: int) -> int:
    """Four entries sorted by a network of comparisons."""
    for first, second in (([0, 2], [1, 3]), ([0, 1], [2, 3]), ([1], [2])):
        value = piecewise.sorted_pairs(graph, value, np.array(first), np.array(second))
    return value


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(["maxmin", "public", "sort", "pool"]))
def test_no_bound_is_above_the_product_with_comparisons_of_constant_one(seed: int, kind: str) -> None:
    rng, graph, value, norms = np.random.default_rng(seed), Graph((4,)), 0, 1.0
    for _ in range(int(rng.integers(2, 5))):
        weight = rng.standard_normal((4, graph.shape(value)[0])) * 10.0 ** rng.uniform(-2, 2)
        norms *= float(np.linalg.norm(weight, 2))
        value = graph.add(Dense(weight), value)
        a, b = (graph.add(Rearrange(np.arange(k, k + 2)), value) for k in (0, 2))
        if kind == "maxmin":
            value = piecewise.maxmin(graph, value)
        elif kind == "public":
            value = graph.add(Concat(0), piecewise.maximum(graph, a, b), piecewise.minimum(graph, a, b))
        elif kind == "sort":
            value = group_sort(graph, value)
        else:
            value = piecewise.maximum(graph, a, b)
    network = graph.network(value)
    for method in ("product", "layer", "neuron"):
        certificate = sdpcert.certify(network, method)
        assert certificate.status == "proved"
        assert certificate.lower <= certificate.upper <= norms * (1 + 1e-6)


def test_deep_comparisons_are_the_product_where_nothing_else_is_proved() -> None:
    network, norms = chain(24, width=6, seed=3)
    certificate = sdpcert.certify(network)
    assert certificate.status == "proved" and certificate.upper <= norms * (1 + 1e-6)

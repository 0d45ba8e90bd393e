"""Sorting as a network of comparators."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import sdpcert
from sdpcert.network import Graph
from sdpcert.network.sorting import sorted_along


@settings(max_examples=30)
@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=3), axis=st.integers(0, 2), ascending=st.booleans())
def test_entries_are_sorted_along_an_axis(shape: list[int], axis: int, ascending: bool) -> None:
    axis %= len(shape)
    graph = Graph(tuple(shape))
    network = graph.network(sorted_along(graph, 0, axis, ascending))
    values = np.random.default_rng(len(shape)).integers(-3, 4, (6, *shape)).astype(float)
    expected = np.sort(values if ascending else -values, axis=axis + 1)
    assert np.array_equal(network(values), expected if ascending else -expected)


def test_sorting_does_not_enlarge_a_bound() -> None:
    graph = Graph((4,))
    certificate = sdpcert.certify(graph.network(sorted_along(graph, 0, 0)), method="product", effort=0.1)
    assert 1 - 1e-9 <= certificate.lower <= certificate.upper <= 1 + 1e-6

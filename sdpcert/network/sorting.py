"""Sorting as a network of comparators, each of which is one ReLU neuron with linear feed-through (`piecewise.py`)."""

from __future__ import annotations

from functools import cache

import numpy as np

from sdpcert.network.nodes import GraphBuilder
from sdpcert.network.piecewise import sorted_pairs


@cache
def sorting_network(size: int) -> tuple[tuple[tuple[int, int], ...], ...]:
    """Stages of disjoint pairs (i, j), i < j, which sort any `size` numbers if the smaller one always goes to i.

    Batcher's merge exchange (Knuth, The Art of Computer Programming 3, section 5.2.2, algorithm M) for any size:
    t (t + 1) / 2 stages with t the logarithm of the size, rounded up.
    """
    stages = []
    top = 1 << max((size - 1).bit_length() - 1, 0)
    p = top
    while p > 0 and size > 1:
        q, r, d = top, 0, p
        while True:
            stages.append(tuple((i, i + d) for i in range(size - d) if i & p == r))
            if q == p:
                break
            d, q, r = q - p, q // 2, p
        p //= 2
    return tuple(stages)


def sorted_along(graph: GraphBuilder, value: int, axis: int, ascending: bool = True) -> int:
    """The value with its entries sorted along an axis; sorting the channels of an image keeps it an image."""
    shape = graph.shape(value)
    indices = np.moveaxis(np.arange(int(np.prod(shape))).reshape(shape), axis, 0)
    for stage in sorting_network(shape[axis]):
        first, second = (indices[[pair[end] for pair in stage]] for end in range(2))
        if axis:
            first, second = first.ravel(), second.ravel()
        value = sorted_pairs(graph, value, first, second, ascending)
    return value

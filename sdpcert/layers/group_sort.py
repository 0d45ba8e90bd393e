"""GroupSort of any size: groups of channels sorted upwards, certified exactly as a network of comparators.

Sorting two numbers is one ReLU neuron with linear feed-through whose multiplier 1 proves the constant 1 (see
`activations.py`), and a sorting network is a chain of stages of such pairs. This is at least as tight as the published
constraint for GroupSort, which uses only that sorting preserves norm and sum.
"""

from __future__ import annotations

import numpy as np
from torch import Tensor

from sdpcert.layers.elementwise import STRICT, Nonexpansive
from sdpcert.layers.linear import check_sizes
from sdpcert.network import piecewise
from sdpcert.network.graph import Graph
from sdpcert.network.sorting import sorting_network


class GroupSort(Nonexpansive):
    """Groups of `size` neighbouring channels sorted upwards; MaxMin is size 2 (Anil, Lucas, Grosse 2019).

    Inputs and outputs (batch, channels, ...). Raises ValueError if `size` does not divide the channels.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        check_sizes(size=size)
        self.size = size

    def forward(self, inputs: Tensor) -> Tensor:
        """Sort."""
        self._check(inputs.shape[1])
        return inputs.unflatten(1, (-1, self.size)).sort(dim=2).values.flatten(1, 2)

    def squared_constant(self) -> float:
        """One, and what makes every stage of the sorting network strict."""
        return (1 + 2 * STRICT) ** len(sorting_network(self.size))

    def add_to(self, graph: Graph, value: int) -> int:
        """One ReLU neuron per comparator."""
        shape = graph.shape(value)
        self._check(shape[0])
        channels = np.arange(int(np.prod(shape))).reshape(-1, self.size, *shape[1:])
        for stage in sorting_network(self.size):
            first, second = (channels[:, [pair[end] for pair in stage]].reshape(-1, *shape[1:]) for end in range(2))
            value = piecewise.sorted_pairs(graph, value, first, second)
        return value

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float]:
        """One per stage, which carries what the stages after it are strict by."""
        stages = len(sorting_network(self.size))
        return [downstream * (1 + 2 * STRICT) ** (stages - k) * (1 + STRICT) for k in range(1, stages + 1)]

    def extra_repr(self) -> str:
        return str(self.size)

    def _check(self, channels: int) -> None:
        if channels % self.size:
            raise ValueError(f"{type(self).__name__} cannot make groups of {self.size} of {channels} channels")


class FullSort(GroupSort):
    """All of `channels` channels sorted upwards.

    Inputs and outputs (batch, channels, ...). Raises ValueError for another number of channels.
    """

    def __init__(self, channels: int) -> None:
        check_sizes(channels=channels)
        super().__init__(channels)

    def _check(self, channels: int) -> None:
        if channels != self.size:
            raise ValueError(f"this FullSort sorts {self.size} channels, not {channels}")

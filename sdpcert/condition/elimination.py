"""The order in which the blocks of a sparse matrix are eliminated, and the blocks that this fills.

The matrix of a chain is block tridiagonal and fills nothing. Any pattern of blocks is possible; eliminating a block
connects those that it is connected with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Neighbouring blocks are treated as one up to this order: smaller ones cost more calls than they save operations.
SMALLEST = 128
#: Another order than the natural one has to save this share of the operations.
WORTHWHILE = 0.8


@dataclass(frozen=True, eq=False)
class Elimination(ShortRepr):
    """Blocks in the order of elimination: their coordinates, and for each the later ones that it is connected with.

    Coordinates are numbered as sources are: the input, then group after group. `place` has for each source the block
    that it is part of; `fill` counts the pairs of blocks that are connected by elimination alone.
    """

    slices: tuple[slice, ...]
    later: tuple[tuple[int, ...], ...]
    place: tuple[int, ...]
    fill: int = 0

    @staticmethod
    def of(sources: Sequence[slice], pattern: Iterable[tuple[int, int]], smallest: int = SMALLEST) -> Elimination:
        """From the coordinates of the sources, and the pairs of them where the matrix is not zero.

        The order is that of the sources, or by least degree if that saves much. Blocks of up to `smallest` coordinates
        are joined with their neighbours.
        """
        merged: list[slice] = []
        place = []
        for piece in sources:
            size = piece.stop - piece.start
            if merged and merged[-1].stop - merged[-1].start + size <= smallest:
                merged[-1] = slice(merged[-1].start, piece.stop)
            else:
                merged.append(piece)
            place.append(len(merged) - 1)
        connected: list[set[int]] = [set() for _ in merged]
        for a, b in pattern:
            if place[a] != place[b]:
                connected[place[a]].add(place[b])
                connected[place[b]].add(place[a])
        natural = _eliminated(merged, place, connected, range(len(merged)))
        if natural.fill == 0:
            return natural
        other = _eliminated(merged, place, connected, _by_least_degree(merged, connected))
        return other if other.operations < WORTHWHILE * natural.operations else natural

    @property
    def order(self) -> int:
        """Number of rows of the matrix."""
        return sum(s.stop - s.start for s in self.slices)

    @cached_property
    def sizes(self) -> tuple[int, ...]:
        """Number of rows of each block."""
        return tuple(s.stop - s.start for s in self.slices)

    @cached_property
    def permutation(self) -> Array:
        """The coordinates in the order of elimination."""
        return np.concatenate([np.zeros(0, dtype=int), *(np.arange(s.start, s.stop) for s in self.slices)])

    def within(self, block: int, coordinates: slice) -> slice:
        """Where in a block some of its coordinates are."""
        first = self.slices[block].start
        return slice(coordinates.start - first, coordinates.stop - first)

    @property
    def is_natural(self) -> bool:
        """Whether blocks are eliminated in the order of their coordinates."""
        return all(a.start < b.start for a, b in zip(self.slices, self.slices[1:], strict=False))

    @property
    def operations(self) -> float:
        """Multiplications of a Cholesky factorisation."""
        below = (float(sum(self.sizes[i] for i in later)) for later in self.later)
        return sum(n**3 / 3 + n * n * rest + n * rest**2 for n, rest in zip(self.sizes, below, strict=True))

    @property
    def entries(self) -> int:
        """Entries of the blocks of a factor."""
        return sum(n * (n + sum(self.sizes[i] for i in later)) for n, later in zip(self.sizes, self.later, strict=True))


def _eliminated(
    merged: Sequence[slice], place: Sequence[int], connected: Sequence[set[int]], order: Iterable[int]
) -> Elimination:
    """The elimination in a given order of the merged blocks."""
    order = list(order)
    number = {block: position for position, block in enumerate(order)}
    later = [{number[b] for b in connected[block] if number[b] > position} for position, block in enumerate(order)]
    filled = 0
    for own in later:
        ordered = sorted(own)
        for position, first in enumerate(ordered):
            new = set(ordered[position + 1 :]) - later[first]
            filled += len(new)
            later[first] |= new
    return Elimination(
        tuple(merged[block] for block in order),
        tuple(tuple(sorted(own)) for own in later),
        tuple(number[block] for block in place),
        filled,
    )


def _by_least_degree(merged: Sequence[slice], connected: Sequence[set[int]]) -> list[int]:
    """Always the block next that is connected with the fewest coordinates."""
    sizes = [s.stop - s.start for s in merged]
    graph = {block: set(partners) for block, partners in enumerate(connected)}
    order = []
    while graph:
        block = min(graph, key=lambda b: (sum(sizes[p] for p in graph[b]), b))
        partners = graph.pop(block)
        for partner in partners:
            graph[partner] |= partners
            graph[partner] -= {block, partner}
        order.append(block)
    return order

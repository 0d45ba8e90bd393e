"""A symmetric matrix in the blocks of a network, known with a bound of the error of every entry."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdpcert.arithmetic.arrays import NumpyArrays
from sdpcert.arithmetic.exact import Total
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.elimination import Elimination

Array = np.ndarray


class BlockTotal:
    """`entries[i, j]`, i >= j, has the rows of block i and the columns of block j, in the order of elimination.

    Those of (j, i) are the transpose; blocks that are left out are zero without an error. `sources` are the coordinates
    of the input and of each group.
    """

    def __init__(self, elimination: Elimination, sources: Sequence[slice], diagonal: Array) -> None:
        self.elimination, self.sources = elimination, sources
        self.entries = {(j, j): Total(np.diag(diagonal[own])) for j, own in enumerate(elimination.slices)}

    def add(self, a: int, b: int, term: Total) -> None:
        """Add to the rows of source a and the columns of source b, and the transpose if a is not b."""
        i, j = self.elimination.place[a], self.elimination.place[b]
        if i < j:
            i, j, a, b, term = j, i, b, a, term.transposed
        rows, columns = self._within(i, a), self._within(j, b)
        shape = self.elimination.sizes[i], self.elimination.sizes[j]
        entry = self.entries.get((i, j))
        if entry is None:
            if term.high.shape == shape:
                self.entries[i, j] = term
                return
            entry = self.entries[i, j] = Total(np.zeros(shape))
        entry.part(rows, columns).add_total(term)
        if i == j and a != b:
            entry.part(columns, rows).add_total(term.transposed)

    def _within(self, block: int, source: int) -> slice:
        first, own = self.elimination.slices[block].start, self.sources[source]
        return slice(own.start - first, own.stop - first)

    def rounded(self) -> BlockMatrix:
        """The matrix in float64."""
        entries = {key: total.high + total.low for key, total in self.entries.items()}
        return BlockMatrix(NumpyArrays(), self.elimination, np.zeros(self.elimination.order), entries)

    @property
    def is_finite(self) -> bool:
        """Whether all entries are numbers."""
        return all(bool(np.all(np.isfinite(total.high + total.low))) for total in self.entries.values())

    def is_zero(self, coordinates: Array) -> bool:
        """Whether the rows of some coordinates (a mask) are zero without an error."""
        slices = self.elimination.slices
        for (i, j), total in self.entries.items():
            for kind in (total.high + total.low, total.error):
                if np.any(kind[coordinates[slices[i]]]) or np.any(kind[:, coordinates[slices[j]]]):
                    return False
        return True

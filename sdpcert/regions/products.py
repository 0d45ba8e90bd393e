"""Products of rows with the blocks of a stacked form, sparse where that is faster."""

from __future__ import annotations

from functools import cached_property
from weakref import WeakKeyDictionary

import numpy as np
from scipy import sparse

from sdpcert.arithmetic import blas
from sdpcert.network.stacked import Block

Array = np.ndarray
#: A product with a sparse block of this share of entries takes as long as a dense one (measured: 5 to 10 %).
DENSEST = 0.05
#: Smaller blocks are dense.
SMALLEST = 50_000


class Operator:
    """One block (rows of a group, coordinates of a source), and the products that bounds take with it."""

    def __init__(self, block: Block) -> None:
        weights = block.weights
        self.weights = weights
        self.uncertain = None if block.low is None else np.abs(block.low)
        if block.radius > 0:
            doubt = np.where(block.moving, block.radius, 0.0)
            self.uncertain = doubt if self.uncertain is None else self.uncertain + doubt
        self.is_sparse = weights.size >= SMALLEST and bool(np.count_nonzero(weights) <= DENSEST * weights.size)

    @cached_property
    def _by_source(self) -> sparse.csr_array:
        return sparse.csr_array(self.weights.T)

    @cached_property
    def _by_row(self) -> sparse.csr_array:
        return sparse.csr_array(self.weights)

    def back(self, rows: Array) -> Array:
        """`rows @ weights`: from coefficients of preactivations to coefficients of the source."""
        if self.is_sparse:
            return np.asarray(self._by_source @ np.ascontiguousarray(rows.T)).T
        return blas.product(rows, self.weights)

    def size(self, reach: Array) -> Array:
        """`|weights| @ reach` for values of at most this magnitude; infinite ones count where weights are not zero."""
        finite = np.isfinite(reach)
        sizes = abs(self._by_row) if self.is_sparse else np.abs(self.weights)
        total = np.asarray(sizes @ np.where(finite, reach, 0.0))
        return total if np.all(finite) else np.where(np.any(self._moving(~finite), axis=1), np.inf, total)

    def doubt(self, reach: Array) -> Array | float:
        """Bounds of what uncertain weights do to preactivations, for values of at most this magnitude."""
        return 0.0 if self.uncertain is None else self.uncertain @ np.where(np.isfinite(reach), reach, 0.0)

    def _moving(self, columns: Array) -> Array:
        moving = self.weights[:, columns] != 0
        return moving if self.uncertain is None else moving | (self.uncertain[:, columns] != 0)


_MADE: WeakKeyDictionary[Block, Operator] = WeakKeyDictionary()


def operator(block: Block) -> Operator:
    """The operator of a block, made once."""
    made = _MADE.get(block)
    if made is None:
        made = _MADE[block] = Operator(block)
    return made

"""Hermitian matrices that are zero outside of the blocks of a network."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sdpcert.arithmetic.arrays import Arrays
from sdpcert.condition.elimination import Elimination

Matrix = Any


class BlockMatrix:
    """The Hermitian matrix `diag(own) + blocks`.

    Blocks are numbered in the order of elimination; `entries[i, j]`, i >= j, are the rows of block i and the columns of
    block j, and those of (j, i) their adjoint. Blocks (j, j) are Hermitian, and missing where the matrix is diagonal.
    """

    def __init__(
        self, arrays: Arrays, elimination: Elimination, own: Matrix, entries: dict[tuple[int, int], Matrix]
    ) -> None:
        self.arrays, self.elimination, self.own, self.entries = arrays, elimination, own, entries

    @staticmethod
    def zeros(arrays: Arrays, elimination: Elimination) -> BlockMatrix:
        """The matrix of zeros."""
        return BlockMatrix(arrays, elimination, arrays.zeros(elimination.order), {})

    def add(self, sources: list[slice], a: int, b: int, values: Matrix, scale: float = 1.0) -> None:
        """Add `scale * values` to the rows of source a and the columns of source b, and the adjoint if a is not b.

        `sources` are the coordinates of all sources. For a = b the values have to be Hermitian.
        """
        i, j = self.elimination.place[a], self.elimination.place[b]
        if i < j:
            i, j, a, b, values = j, i, b, a, values.conj().T
        rows, columns = self.elimination.within(i, sources[a]), self.elimination.within(j, sources[b])
        whole = self.elimination.sizes[i], self.elimination.sizes[j]
        if (i, j) not in self.entries:
            if values.shape == whole:
                self.entries[i, j] = scale * values
                return
            self.entries[i, j] = self.arrays.zeros(*whole, like=values)
        entry = self.entries[i, j]
        entry[rows, columns] += values if scale == 1.0 else scale * values
        if i == j and a != b:
            entry[columns, rows] += (values if scale == 1.0 else scale * values).conj().T

    def add_matrix(self, other: BlockMatrix, scale: float = 1.0) -> None:
        """Add a multiple of a matrix with the same elimination, in place."""
        self.own = self.own + scale * other.own
        for key, entry in other.entries.items():
            if key in self.entries:
                self.entries[key] = self.entries[key] + scale * entry
            else:
                self.entries[key] = scale * entry

    def plus(self, other: BlockMatrix, scale: float = 1.0) -> BlockMatrix:
        """The sum with a multiple of another matrix."""
        result = BlockMatrix(self.arrays, self.elimination, self.own, dict(self.entries))
        result.add_matrix(other, scale)
        return result

    def with_diagonal(self, more: Matrix) -> BlockMatrix:
        """The sum with a diagonal matrix."""
        return BlockMatrix(self.arrays, self.elimination, self.own + more, self.entries)

    def times_scalar(self, scale: float) -> BlockMatrix:
        """The multiple of the matrix."""
        entries = {key: entry * scale for key, entry in self.entries.items()}
        return BlockMatrix(self.arrays, self.elimination, self.own * scale, entries)

    def scaled(self, unit: Matrix) -> BlockMatrix:
        """`D M D` with D the diagonal matrix of the real numbers `unit`."""
        slices = self.elimination.slices
        entries = {(i, j): unit[slices[i]][:, None] * entry * unit[slices[j]] for (i, j), entry in self.entries.items()}
        return BlockMatrix(self.arrays, self.elimination, self.own * unit * unit, entries)

    def diagonal(self) -> Matrix:
        """The diagonal, real."""
        result = self.own + 0.0
        for j, own in enumerate(self.elimination.slices):
            if (j, j) in self.entries:
                result[own] += self.entries[j, j].diagonal().real
        return result

    def block(self, i: int, j: int) -> Matrix | None:
        """The block of rows i and columns j, i >= j, with the diagonal; None if it is zero."""
        entry = self.entries.get((i, j))
        if i != j:
            return entry
        own = self.own[self.elimination.slices[j]]
        size = len(own)
        like = next(iter(self.entries.values()), own)
        result = self.arrays.zeros(size, size, like=like) if entry is None else self.arrays.contiguous(entry) + 0.0
        result.reshape(-1)[:: size + 1] += own
        return result

    def part(self, sources: list[slice], a: int, b: int) -> Matrix | None:
        """The rows of source a and the columns of source b without `own`; None if they are zero."""
        i, j = self.elimination.place[a], self.elimination.place[b]
        turned = i < j
        if turned:
            i, j, a, b = j, i, b, a
        entry = self.entries.get((i, j))
        if entry is None:
            return None
        found = entry[self.elimination.within(i, sources[a]), self.elimination.within(j, sources[b])]
        return found.conj().T if turned else found

    def _halves(self) -> Iterator[tuple[slice, slice, Matrix]]:
        """Rows, columns and entries of all blocks, those above the diagonal included."""
        slices = self.elimination.slices
        for (i, j), entry in self.entries.items():
            yield slices[i], slices[j], entry
            if i != j:
                yield slices[j], slices[i], entry.conj().T

    def apply(self, vector: Matrix) -> Matrix:
        """The product with a vector."""
        # Complex blocks make a real vector complex.
        like = next(iter(self.entries.values()), self.own)
        result = self.arrays.zeros(len(vector), like=like) + self.own * vector
        slices = self.elimination.slices
        for (i, j), entry in self.entries.items():
            result[slices[i]] += self.arrays.apply(entry, vector[slices[j]])
            if i != j:  # the adjoint without a copy of the block
                result[slices[j]] += self.arrays.apply(entry.T, vector[slices[i]].conj()).conj()
        return result

    def times(self, right: Matrix) -> Matrix:
        """The product with a dense matrix."""
        result = self.own[:, None] * right
        for rows, columns, entry in self._halves():
            self.arrays.add_product(result[rows], entry, right[columns])
        return result

    def inner(self, other: Matrix | BlockMatrix) -> Any:
        """`Re sum_ij self_ij conj(other_ij)`, the other matrix Hermitian, dense or in the same blocks: a number where
        the arrays are.
        """
        if isinstance(other, BlockMatrix):
            return self._inner_in_blocks(other)
        total = (self.own * other.diagonal().real).sum()
        slices = self.elimination.slices
        for (i, j), entry in self.entries.items():
            total += (1 if i == j else 2) * self.arrays.inner(entry, other[slices[i], slices[j]])
        return total

    def _inner_in_blocks(self, other: BlockMatrix) -> Any:
        total = (self.own * other.diagonal()).sum()
        for (i, j), entry in self.entries.items():
            match = other.entries.get((i, j))
            if match is not None:
                total += (1 if i == j else 2) * self.arrays.inner(entry, match)
            if i == j:
                total += (other.own[self.elimination.slices[j]] * entry.diagonal().real).sum()
        return total

    def dense(self) -> Matrix:
        """All entries."""
        order = self.elimination.order
        result = self.arrays.zeros(order, order, like=next(iter(self.entries.values()), None))
        for rows, columns, entry in self._halves():
            result[rows, columns] = entry
        result.reshape(-1)[:: order + 1] += self.own
        return result

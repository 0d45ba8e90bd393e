"""Cholesky factors that follow the blocks of the network.

The matrix of a chain is block tridiagonal, so its factor is block bidiagonal and products with its inverse cost as
much as the network is wide, not as it is deep. Any pattern of blocks is possible; eliminating a block connects those
that it is connected with.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from sdpcert.arithmetic.arrays import Arrays

Matrix = Any
#: Neighbouring blocks are treated as one up to this order: smaller ones cost more calls than they save operations.
SMALLEST = 128


@dataclass(frozen=True, eq=False)
class Elimination:
    """The order of elimination: the coordinates of each block, and for each the later blocks that it is connected
    with.
    """

    slices: tuple[slice, ...]
    later: tuple[tuple[int, ...], ...]

    @staticmethod
    def of(slices: list[slice], pattern: Iterable[tuple[int, int]]) -> Elimination:
        """From blocks of coordinates in order and the pairs of blocks where the matrix is not zero."""
        merged: list[slice] = []
        place = []
        for piece in slices:
            size = piece.stop - piece.start
            if merged and merged[-1].stop - merged[-1].start + size <= SMALLEST:
                merged[-1] = slice(merged[-1].start, piece.stop)
            else:
                merged.append(piece)
            place.append(len(merged) - 1)
        connected: list[set[int]] = [set() for _ in merged]
        for a, b in pattern:
            low, high = sorted((place[a], place[b]))
            if low != high:
                connected[low].add(high)
        for j, partners in enumerate(connected):
            ordered = sorted(partners)
            for position, a in enumerate(ordered):
                connected[a].update(ordered[position + 1 :])
            connected[j] = set(ordered)
        return Elimination(tuple(merged), tuple(tuple(sorted(c)) for c in connected))


@dataclass(frozen=True, eq=False)
class Factor:
    """`M = L L*` with L in blocks: `diagonal[j]` lower triangular, `below[j][i]` the block of rows i and columns j."""

    arrays: Arrays
    elimination: Elimination
    diagonal: tuple[Matrix, ...]
    below: tuple[dict[int, Matrix], ...]

    @staticmethod
    def of(arrays: Arrays, elimination: Elimination, matrix: Matrix) -> Factor | None:
        """The factor of a Hermitian matrix, or None if it is not positive definite."""
        slices = elimination.slices
        updated: dict[tuple[int, int], Matrix] = {}
        diagonal, below = [], []
        for j, own in enumerate(slices):
            pivot = updated.pop((j, j), None)
            factor = arrays.cholesky(arrays.contiguous(matrix[own, own] if pivot is None else pivot))
            if factor is None:
                return None
            column: dict[int, Matrix] = {}
            for i in elimination.later[j]:
                entry = updated.pop((i, j), None)
                entry = matrix[slices[i], own] if entry is None else entry
                column[i] = arrays.triangular_solve(factor, entry.conj().T).conj().T
            for position, i in enumerate(elimination.later[j]):
                for k in elimination.later[j][: position + 1]:
                    if (i, k) not in updated:
                        updated[i, k] = matrix[slices[i], slices[k]] + 0.0
                    arrays.add_product(updated[i, k], column[i], column[k].conj().T, -1.0)
            diagonal.append(factor)
            below.append(column)
        return Factor(arrays, elimination, tuple(diagonal), tuple(below))

    def forward(self, right: Matrix) -> Matrix:
        """Solve `L x = right` for a matrix."""
        result = self.arrays.contiguous(right) + 0.0
        for j, own in enumerate(self.elimination.slices):
            part = self.arrays.triangular_solve(self.diagonal[j], result[own])
            result[own] = part
            for i, block in self.below[j].items():
                self.arrays.add_product(result[self.elimination.slices[i]], block, part, -1.0)
        return result

    def backward(self, right: Matrix) -> Matrix:
        """Solve `L* x = right` for a matrix."""
        result = self.arrays.contiguous(right) + 0.0
        for j in range(len(self.diagonal) - 1, -1, -1):
            own = self.elimination.slices[j]
            part = result[own]
            for i, block in self.below[j].items():
                self.arrays.add_product(part, block.conj().T, result[self.elimination.slices[i]], -1.0)
            result[own] = self.arrays.triangular_solve(self.diagonal[j], part, adjoint=True)
        return result

    def solve(self, right: Matrix) -> Matrix:
        """`M^-1 right` for a matrix."""
        return self.backward(self.forward(right))

    def inverse(self) -> Matrix:
        """`M^-1`, dense, by the recursion from the last block to the first."""
        arrays, slices = self.arrays, self.elimination.slices
        order = slices[-1].stop
        result = arrays.zeros(order, order, like=self.diagonal[0])
        for j in range(len(slices) - 1, -1, -1):
            own = slices[j]
            small = arrays.triangular_inverse(self.diagonal[j])
            if own.stop < order:
                later = slice(own.stop, order)
                row = result[own, later]
                for i, block in self.below[j].items():
                    arrays.add_product(row, block.conj().T, result[slices[i], later], -1.0)
                if self.below[j]:
                    row = arrays.triangular_solve(self.diagonal[j], row, adjoint=True)
                    result[own, later] = row
                    result[later, own] = row.conj().T
            corner = arrays.contiguous(small)
            for i, block in self.below[j].items():
                arrays.add_product(corner, block.conj().T, result[slices[i], own], -1.0)
            corner = arrays.triangular_solve(self.diagonal[j], corner, adjoint=True)
            result[own, own] = 0.5 * (corner + corner.conj().T)
        return result

"""Cholesky factors that follow the blocks of the network.

The factor of a chain is block bidiagonal, and products with its inverse cost as much as the network is wide, not as it
is deep. So does the selected inverse, the blocks of the inverse where the factor has some (Takahashi's recursion).
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from typing import Any

from sdpcert.arithmetic.arrays import Arrays
from sdpcert.arithmetic.unseen import HOLDS, Unseen
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.elimination import Elimination
from sdpcert.running.short_repr import ShortRepr

Matrix = Any


@dataclass(frozen=True, eq=False)
class Factor(ShortRepr):
    """`M = L L*` with rows and columns in the order of elimination, L in blocks.

    `diagonal[j]` is lower triangular, `below[j][i]` the block of rows i and columns j. What is `attempted` is one only
    if `holds` is true.
    """

    arrays: Arrays
    elimination: Elimination
    diagonal: tuple[Matrix, ...]
    below: tuple[dict[int, Matrix], ...]
    holds: Unseen[bool] = field(default=HOLDS, repr=False)

    @staticmethod
    def of(matrix: BlockMatrix) -> Factor | None:
        """The factor of a matrix, or None if it is not positive definite."""
        factor = Factor.attempted(matrix)
        # A factor that is one goes to other processes: nothing in it is a function without a name.
        return replace(factor, holds=HOLDS) if factor is not None and factor.holds.seen(matrix.arrays) else None

    @staticmethod
    def attempted(matrix: BlockMatrix) -> Factor | None:
        """What is the factor of a matrix if its `holds` is true, without a look at numbers of a device; None where it
        is known that there is none.
        """
        arrays, elimination = matrix.arrays, matrix.elimination
        like = next(iter(matrix.entries.values()), None)
        updated: dict[tuple[int, int], Matrix] = {}
        diagonal, below, holds = [], [], []

        def started(i: int, k: int) -> Matrix:
            entry = matrix.block(i, k)
            if entry is None:
                return arrays.zeros(elimination.sizes[i], elimination.sizes[k], like=like)
            return entry if i == k else entry + 0.0

        for j, later in enumerate(elimination.later):
            pivot = updated.pop((j, j), None)
            attempt = arrays.attempt_cholesky(arrays.contiguous(started(j, j) if pivot is None else pivot))
            if attempt is None:
                return None
            factor, sound = attempt
            column: dict[int, Matrix] = {}
            for i in later:
                entry = updated.pop((i, j), None)
                entry = matrix.entries.get((i, j)) if entry is None else entry
                if entry is not None:
                    column[i] = arrays.triangular_solve(factor, entry.conj().T).conj().T
            for position, i in enumerate(later):
                for k in later[: position + 1]:
                    if i not in column or k not in column:
                        continue
                    if (i, k) not in updated:
                        updated[i, k] = started(i, k)
                    arrays.add_product(updated[i, k], column[i], column[k].conj().T, -1.0)
            diagonal.append(factor)
            below.append(column)
            holds.append(sound)
        return Factor(arrays, elimination, tuple(diagonal), tuple(below), Unseen.all_of(holds).then(all))

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

    def log_determinant(self) -> float:
        """The logarithm of the determinant of M."""
        total = 0.0
        for block in self.diagonal:
            total += 2 * float(self.arrays.log(block.diagonal().real).sum())
        return total

    def inverse(self) -> Matrix:
        """`M^-1`, dense, by the recursion from the last block to the first."""
        arrays = self.arrays
        bounds = [0]
        for size in self.elimination.sizes:
            bounds.append(bounds[-1] + size)
        slices, order = [slice(a, b) for a, b in itertools.pairwise(bounds)], bounds[-1]
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
        if self.elimination.is_natural:
            return result
        natural = arrays.zeros(order, order, like=result)
        for own, place in zip(slices, self.elimination.slices, strict=True):
            for other, column in zip(slices, self.elimination.slices, strict=True):
                natural[place, column] = result[own, other]
        return natural

    def selected_inverse(self) -> BlockMatrix:
        """The blocks of `M^-1` where L has blocks, all others left out."""
        arrays, elimination = self.arrays, self.elimination
        entries: dict[tuple[int, int], Matrix] = {}
        for j in range(len(elimination.slices) - 1, -1, -1):
            factor, later = self.diagonal[j], elimination.later[j]
            for i in later:
                # Of the rows of later blocks: S_ij = -(sum of S_ik L_kj) L_jj^-1.
                total = arrays.zeros(elimination.sizes[i], elimination.sizes[j], like=factor)
                for k, block in self.below[j].items():
                    inverse = entries[i, k] if i >= k else entries[k, i].conj().T
                    arrays.add_product(total, inverse, block, -1.0)
                entries[i, j] = arrays.triangular_solve(factor, total.conj().T, adjoint=True).conj().T
            corner = arrays.contiguous(arrays.triangular_inverse(factor))
            for k, block in self.below[j].items():
                arrays.add_product(corner, block.conj().T, entries[k, j], -1.0)
            corner = arrays.triangular_solve(factor, corner, adjoint=True)
            entries[j, j] = 0.5 * (corner + corner.conj().T)
        return BlockMatrix(arrays, elimination, arrays.zeros(elimination.order), entries)

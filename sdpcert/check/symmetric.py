"""Symmetric matrices of integers, and what a factor of one leaves to be diagonally dominant.

Whatever does not lead to acceptance raises `Rejected`; there is no `assert`, since `python -O` removes those.
"""

from __future__ import annotations

from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from .integers import Rows, add_squares, fixed, fraction_bits, missing_dominance, products
from .reading import Rejected


@dataclass(frozen=True)
class Factor:
    """2^(2 precision) D M D is about L L' with D = diag(2^(-scaling)); row i of L is stored from column start[i] on.

    Rows and columns are in the order of the matrix.
    """

    precision: int
    scaling: list[int]
    start: list[int]
    rows: list[list[int]]


class SymmetricMatrix:
    """The lower triangle of 2^bits M."""

    def __init__(self, rows: Rows | None, bits: int) -> None:
        self._rows, self.bits = rows, bits

    def each(self) -> Iterator[dict[int, int]]:
        """The rows, one after the other."""
        return iter(self.held())

    def held(self) -> Rows:
        """All rows."""
        return self._rows or []

    def allowances(self, scales: list[int]) -> list[int]:
        """For each row i the sum over all j of 2^bits eps_ij scales_j, eps_ij what entry (i, j) may change."""
        return [0] * len(scales)

    def missing(self, factor: Factor) -> tuple[list[int], int]:
        """What the rows of E = 2^(2q) D M D - L L' lack for diagonal dominance, whatever the entries change.

        Returns what each row lacks as integers, above zero if it does, and their fraction bits.
        """
        highest = max(factor.scaling, default=0)
        shifts = [highest - d for d in factor.scaling]
        # 2^extra E is an integer matrix, and all its powers of two are left shifts.
        common = 2 * factor.precision - self.bits - 2 * highest
        extra = max(0, -common)
        common += extra

        def rows() -> Iterator[dict[int, int]]:
            both = zip(self.each(), products(factor.rows, factor.rows, factor.start), strict=True)
            for i, (entries, product) in enumerate(both):
                row = {j: x << (common + shifts[i] + shifts[j]) for j, x in entries.items()}
                for j, x in enumerate(product, factor.start[i]):  # elsewhere in the row L L' is zero
                    row[j] = row.get(j, 0) - (x << extra)
                yield row

        sums = self.allowances([1 << shift for shift in shifts])
        return missing_dominance(rows(), [x << (common + shift) for x, shift in zip(sums, shifts, strict=True)]), extra

    def missing_after_scaling(self, scales: list[int]) -> list[int]:
        """What the rows of diag(a) M diag(a), over a_i 2^bits each, lack for diagonal dominance; a are the scales."""
        lacking = self.allowances(scales)
        for i, (row, own) in enumerate(zip(self.each(), scales, strict=True)):
            for j, entry in row.items():
                if i == j:
                    lacking[i] -= entry * own
                else:
                    size = abs(entry)
                    lacking[i] += size * scales[j]
                    lacking[j] += size * own
        return lacking


class Gram:
    """G G' for a matrix G of integers over 2^bits, given by its rows."""

    def __init__(self, gathered: list[list[int]], bits: int) -> None:
        self.gathered, self.bits, self.size = gathered, bits, len(gathered)
        self.rows: Rows = [defaultdict(int) for _ in range(self.size)]
        columns = zip(*gathered, strict=True)
        add_squares(self.rows, (([(i, x) for i, x in enumerate(column) if x], 1) for column in columns))

    def allowances(self, shifts: list[int]) -> list[int]:
        """For each row the sum of what entries of the scaled matrix may change, times 2^(2 bits)."""
        return [0] * self.size

    def missing(self, scaling: list[int], factor: array[float]) -> tuple[list[int], int]:
        """What the rows of R R' - G G', scaled by 2^(-c_i) as columns are too, lack for diagonal dominance.

        Returns what each row lacks as integers, above zero if it does, and their fraction bits.
        """
        m, factor_bits = self.size, max(self.bits, fraction_bits(factor))
        more = 2 * (factor_bits - self.bits)
        # Multiplying by 2^(2 max c) makes every power of two in the scaling a left shift.
        highest = max(scaling, default=0)
        shifts = [highest - c for c in scaling]
        factor_rows = [[fixed(x, factor_bits) for x in factor[i * m : (i + 1) * m]] for i in range(m)]

        def rows() -> Iterator[dict[int, int]]:
            for i, row in enumerate(products(factor_rows, factor_rows, [0] * m)):
                gram = self.rows[i]
                yield {j: x - (gram.get(j, 0) << more) << (shifts[i] + shifts[j]) for j, x in enumerate(row)}

        allowances = [x << more for x in self.allowances(shifts)]
        return missing_dominance(rows(), allowances), 2 * factor_bits + 2 * highest


def check_dominant(lacking: list[int], name: str) -> None:
    """Raise `Rejected` if a row of a matrix lacks something for diagonal dominance."""
    for row, lack in enumerate(lacking):
        if lack > 0:
            raise Rejected(f"{name} is not diagonally dominant in row {row}")

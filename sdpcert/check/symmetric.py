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
    """2^(2 precision) D M D is about L L' with D = diag(2^(-scaling)); row i of L is stored from column start[i] on."""

    precision: int
    scaling: list[int]
    start: list[int]
    rows: list[list[int]]


class SymmetricMatrix:
    """The lower triangle of 2^bits M."""

    def __init__(self, rows: Rows, bits: int) -> None:
        self.rows, self.bits = rows, bits

    def allowances(self, shifts: list[int]) -> list[int]:
        """For each row i the sum over all j of 2^bits eps_ij 2^(shift of j), eps_ij what entry (i, j) may change."""
        return [0] * len(shifts)

    def missing(self, factor: Factor, keep: bool = True) -> tuple[list[int], int]:
        """What the rows of E = 2^(2q) D M D - L L' lack for diagonal dominance, whatever the entries change.

        Returns what each row lacks as integers, above zero if it does, and their fraction bits. Unless `keep`, the
        matrix is used up.
        """
        highest = max(factor.scaling, default=0)
        shifts = [highest - d for d in factor.scaling]
        # 2^extra E is an integer matrix, and all its powers of two are left shifts.
        common = 2 * factor.precision - self.bits - 2 * highest
        extra = max(0, -common)
        common += extra

        def rows() -> Iterator[dict[int, int]]:
            for i, product in enumerate(products(factor.rows, factor.rows, factor.start)):
                row = {j: x << (common + shifts[i] + shifts[j]) for j, x in self.rows[i].items()}
                if not keep:
                    self.rows[i].clear()
                for j, x in enumerate(product, factor.start[i]):  # elsewhere in the row L L' is zero
                    row[j] = row.get(j, 0) - (x << extra)
                yield row

        allowances = [x << (common + shift) for x, shift in zip(self.allowances(shifts), shifts, strict=True)]
        return missing_dominance(rows(), allowances), extra


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

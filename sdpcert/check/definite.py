"""Proofs that a symmetric matrix is positive semidefinite, without a factor from a file.

A factor is sought in floating point and needs no trust: rounded to integers, it has to leave a diagonally dominant rest
in exact arithmetic. What a row of the rest lacks is taken off the diagonal before the next factorisation. A wide input
is replaced by a factor of its Gram matrix in the same way.
"""

from __future__ import annotations

import math
import operator
from array import array
from collections.abc import Sequence

from .inequality import Inequality, InputGram
from .inequality_matrix import MatrixOfInequality
from .integers import Rows
from .reading import Rejected
from .symmetric import Factor, Gram, SymmetricMatrix

PRECISION = 60  # fraction bits of the factors
ATTEMPTS = 6
#: What is taken off the diagonal first, times the square root of the order: some rounding errors of float64.
FIRST_SHIFT = 8 * 2.0**-53
#: How much more is added to a matrix that has no factor.
GROWTH = 8.0
#: How much more is taken off than what a row lacked, beside `FIRST_SHIFT`: what float64 does not see changes nothing.
MARGIN = 2.0


def prove(inequality: Inequality, sources: Sequence[int] | None = None) -> None:
    """Prove that the matrix is positive semidefinite for all weights within their radii; raise `Rejected`.

    The order of the sources decides how many entries a factor has.
    """
    rows_of_input = sum(block.rows for block in inequality.blocks if block.source == 0)
    if rows_of_input < inequality.sizes[0]:
        inequality = with_smaller_input(inequality)
    order = None if sources is None else inequality.ordered(sources)
    prove_semidefinite(MatrixOfInequality(inequality, order), "M")


def prove_semidefinite(matrix: SymmetricMatrix, name: str) -> None:
    """Prove that a symmetric matrix is positive semidefinite, whatever its entries may change; raise `Rejected`."""
    sought = Sought(matrix.held(), matrix.bits, -1)
    for _ in range(ATTEMPTS):
        rows = sought.factor()
        if rows is None:
            break
        factor = Factor(PRECISION, sought.scaling, sought.start, rows)
        lacking, bits = matrix.missing(factor)
        if max(lacking, default=0) <= 0:
            return
        sought.take_off(lacking, bits + 2 * PRECISION)
    raise Rejected(f"{name} is not proved positive semidefinite")


def with_smaller_input(inequality: Inequality) -> Inequality:
    """The inequality with an input of as many numbers as rows read it, whose bound is at least that of this one."""
    gram = InputGram(inequality.blocks)
    return inequality.reading(gram.replaced(square_factor(gram)), gram.size)


def square_factor(gram: Gram) -> array[float]:
    """A square matrix R, row major, for which R R' - G G' is positive semidefinite; raises `Rejected` if none is found.

    For every x there is an x~ with R x~ = G x that is not longer.
    """
    sought = Sought(gram.rows, 2 * gram.bits, 1)
    for _ in range(2 * ATTEMPTS):
        rows = sought.factor()
        if rows is None:  # rows that depend on each other: rounding made a pivot negative
            sought.shifts = [GROWTH * shift for shift in sought.shifts]
            continue
        weights = array("d")
        for scale, start, row in zip(sought.scaling, sought.start, rows, strict=True):
            own = [to_float(x, scale - PRECISION) for x in row]
            weights.extend([0.0] * start + own + [0.0] * (gram.size - start - len(own)))
        if not all(map(math.isfinite, weights)):
            break
        lacking, bits = gram.missing(sought.scaling, weights)
        if max(lacking, default=0) <= 0:
            return weights
        sought.take_off(lacking, bits)
    raise Rejected("no factor of the input is found")


class Sought:
    """A factor of a symmetric matrix, scaled so that its diagonal is near one, with something added to the diagonal.

    `rows` has the lower triangle times 2^bits. What is added is -`shift` (sign -1) or +`shift` (sign 1).
    """

    def __init__(self, rows: Rows, bits: int, sign: int) -> None:
        self.sign = sign
        diagonal = [max(row.get(i, 0), 0) for i, row in enumerate(rows)]
        self.scaling = [(x.bit_length() - bits) // 2 if x else 0 for x in diagonal]
        self.start = [min((j for j, x in row.items() if x), default=i) for i, row in enumerate(rows)]
        self.rows = [self._scaled(i, row, bits) for i, row in enumerate(rows)]
        first = FIRST_SHIFT * math.sqrt(len(rows))
        self.shifts = [first if row[-1] else 0.0 for row in self.rows]

    def _scaled(self, i: int, row: dict[int, int], bits: int) -> list[float]:
        found = [0.0] * (i + 1 - self.start[i])
        for j, x in row.items():
            if x:
                found[j - self.start[i]] = to_float(x, -bits - self.scaling[i] - self.scaling[j])
        return found

    def take_off(self, lacking: list[int], bits: int) -> None:
        """Make up for what rows lacked, integers over 2^bits."""
        more = (MARGIN * to_float(x, -bits) + FIRST_SHIFT if x > 0 else 0.0 for x in lacking)
        self.shifts = list(map(operator.add, self.shifts, more))

    def factor(self) -> list[list[int]] | None:
        """The rows of a Cholesky factor from their first entry on, times 2^PRECISION; None if there is none."""
        found: list[list[float]] = []
        for i, (row, first) in enumerate(zip(self.rows, self.start, strict=True)):
            own: list[float] = []
            for j in range(first, i):
                left, right = own, found[j]
                if self.start[j] > first:
                    left = own[self.start[j] - first :]
                elif self.start[j] < first:
                    right = right[first - self.start[j] :]
                pivot = found[j][-1]
                own.append((row[j - first] - sum(map(operator.mul, left, right))) / pivot if pivot else 0.0)
            pivot = row[-1] + self.sign * self.shifts[i] - sum(map(operator.mul, own, own))
            if not 0 <= pivot < math.inf or (pivot == 0.0 and any(row)):
                return None
            own.append(math.sqrt(pivot))
            found.append(own)
        unit = 2.0**PRECISION
        if not all(math.isfinite(x) for row in found for x in row):
            return None
        return [[round(x * unit) for x in row] for row in found]


def to_float(number: int, exponent: int) -> float:
    """number times 2^exponent, roughly; infinite if it is too large."""
    excess = max(number.bit_length() - 64, 0)
    try:
        return math.ldexp(number >> excess, exponent + excess)
    except OverflowError:
        return math.inf if number > 0 else -math.inf

"""The matrix inequality of a stacked form, and proofs that its matrix is positive semidefinite.

All numbers are Python integers: one number of fraction bits for all weights, one for all slopes, one for all
multipliers. Whatever does not lead to acceptance raises `Rejected`; there is no `assert`, since `python -O` removes
those.
"""

from __future__ import annotations

import operator
from array import array
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from .blocks import Block, Matrix
from .integers import Rows, add_squares, fixed, fraction_bits, missing_dominance, products
from .reading import Rejected

#: The blocks that feed one group, and their weights as integers.
Inward = list[tuple[Matrix, list[int]]]


@dataclass(frozen=True)
class Inequality:
    """M(rho, lambda) >= 0 for one stacked form.

    Args:
        sizes: of the input, of each group, of the output.
        alpha: least slopes, one array for each group.
        beta: greatest slopes.
        multipliers: one array for each group.
        rho: the factor of the input's norm.
        exponent: s; the output's rows count 4^(-s) times.
        blocks: increasing in (target, source).
    """

    sizes: list[int]
    alpha: Sequence[array[float]]
    beta: Sequence[array[float]]
    multipliers: Sequence[array[float]]
    rho: float
    exponent: int
    blocks: Sequence[Matrix]

    def offsets(self) -> list[int]:
        """The first coordinate of the input, of each group, and beyond the last."""
        found = [0]
        for size in self.sizes[:-1]:
            found.append(found[-1] + size)
        return found

    def reading(self, blocks: Sequence[Matrix], inputs: int) -> Inequality:
        """The inequality with other blocks and another number of inputs."""
        return replace(self, sizes=[inputs, *self.sizes[1:]], blocks=blocks)


@dataclass(frozen=True)
class Factor:
    """2^(2 precision) D M D is about L L' with D = diag(2^(-scaling)); row i of L is stored from column start[i] on."""

    precision: int
    scaling: list[int]
    start: list[int]
    rows: list[list[int]]


class MatrixOfInequality:
    """The lower triangle of 2^bits M, and what the radii of the weights may change.

    Radii share the fraction bits of the weights, so that each allowance has the bits of the term of M it belongs to.
    """

    def __init__(self, inequality: Inequality) -> None:
        self.inequality = inequality
        self.offsets = inequality.offsets()
        self.weight_bits = max((block.needed_bits() for block in inequality.blocks), default=0)
        self.slope_bits = max(map(fraction_bits, [*inequality.alpha, *inequality.beta]), default=0)
        self.multiplier_bits = max(map(fraction_bits, inequality.multipliers), default=0)
        square_bits = self.multiplier_bits + 2 * self.slope_bits + 2 * self.weight_bits
        self.output_bits = 2 * self.weight_bits + 2 * inequality.exponent
        self.bits = max(fraction_bits([inequality.rho]), square_bits, self.output_bits)
        self.rows = self._rows()

    def _inward(self, target: int) -> Inward:
        blocks = [block for block in self.inequality.blocks if block.target == target]
        return [(block, block.fixed(self.weight_bits)) for block in blocks]

    def _factors(self, target: int) -> tuple[list[int], list[int]]:
        """The factors of -(e_i k_i' + k_i e_i') and of k_i k_i', one of each for each row k_i that feeds `target`."""
        inequality, size = self.inequality, self.inequality.sizes[target]
        if target == len(inequality.sizes) - 1:
            return [0] * size, [-1 << (self.bits - self.output_bits)] * size
        linear_bits = self.multiplier_bits + self.slope_bits + self.weight_bits
        square_bits = self.multiplier_bits + 2 * self.slope_bits + 2 * self.weight_bits
        linear, square = [], []
        for arrays in zip(inequality.alpha[target - 1], inequality.beta[target - 1], strict=True):
            low, high = (fixed(slope, self.slope_bits) for slope in arrays)
            multiplier = fixed(inequality.multipliers[target - 1][len(linear)], self.multiplier_bits)
            linear.append(multiplier * (low + high) << (self.bits - linear_bits))
            square.append(2 * multiplier * low * high << (self.bits - square_bits))
        return linear, square

    def _rows(self) -> Rows:
        inequality, offsets = self.inequality, self.offsets
        matrix: Rows = [defaultdict(int) for _ in range(offsets[-1])]
        for j in range(inequality.sizes[0]):
            matrix[j][j] = fixed(inequality.rho, self.bits)
        for target in range(1, len(inequality.sizes)):
            inward, terms = self._inward(target), []
            linear, square = self._factors(target)
            for i in range(inequality.sizes[target]):
                if target < len(inequality.sizes) - 1:
                    multiplier = fixed(inequality.multipliers[target - 1][i], self.multiplier_bits)
                    matrix[offsets[target] + i][offsets[target] + i] += 2 * multiplier << (
                        self.bits - self.multiplier_bits
                    )
                if not (linear[i] or square[i]):
                    continue
                row = [
                    (offsets[block.source] + c, x)
                    for block, entries in inward
                    for c, x in enumerate(entries[i * block.columns : (i + 1) * block.columns])
                    if x
                ]
                if linear[i]:
                    neuron = matrix[offsets[target] + i]
                    for j, x in row:  # j belongs to an earlier group, so (i, j) is in the lower triangle
                        neuron[j] -= linear[i] * x
                if square[i]:
                    terms.append((row, square[i]))
            add_squares(matrix, terms)
        return matrix

    def allowances(self, shifts: list[int]) -> list[int]:
        """For each row i the sum over all j of 2^bits eps_ij 2^(shift of j)."""
        found = [0] * len(shifts)
        for target in range(1, len(self.inequality.sizes)):
            if any(block.fixed_radius(self.weight_bits) for block in self.inequality.blocks if block.target == target):
                self._add_allowances(found, shifts, self._inward(target), *self._factors(target))
        return found

    def _add_allowances(
        self, allowances: list[int], shifts: list[int], inward: Inward, linear: list[int], square: list[int]
    ) -> None:
        """Add what the uncertain weights into one group or the output contribute.

        With A_j the sum over i of |square_i k_ij|, the formulas of the format description, summed over the column,
        need only sums over whole sources: of the scales 2^shift and of the scaled A_l. So it costs no more than reading
        the weights.
        """
        offsets = self.offsets
        first = offsets[inward[0][0].target] if any(linear) else 0
        all_linear = sum(abs(x) << shifts[first + i] for i, x in enumerate(linear) if x)
        all_square = sum(map(abs, square))
        radii, scales, columns, all_columns = [], [], [], 0
        for block, entries in inward:
            span = range(offsets[block.source], offsets[block.source] + block.columns)
            sums = [0] * block.columns
            for i, factor in enumerate(square):
                if factor:
                    for c, x in enumerate(entries[i * block.columns : (i + 1) * block.columns]):
                        sums[c] += abs(factor * x)
            radii.append(block.fixed_radius(self.weight_bits))
            scales.append(sum(1 << shifts[j] for j in span))
            columns.append(sums)
            all_columns += sum(total << shifts[j] for total, j in zip(sums, span, strict=True))
        all_radii = sum(map(operator.mul, radii, scales))
        for i, factor in enumerate(linear):
            if factor:  # entries (i, j) of neuron i
                allowances[first + i] += abs(factor) * all_radii
        for (block, _), radius, sums in zip(inward, radii, columns, strict=True):
            for c, total in enumerate(sums):  # entries (j, i), then entries (j, l)
                allowances[offsets[block.source] + c] += (
                    radius * (all_linear + all_columns + all_square * all_radii) + total * all_radii
                )

    def missing(self, factor: Factor, keep: bool = True) -> tuple[list[int], int]:
        """What the rows of E = 2^(2q) D M D - L L' lack for diagonal dominance, for all weights within their radii.

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


class InputGram:
    """G G' for G all blocks that read the input, which R R' has to dominate if R is to stand for G."""

    def __init__(self, blocks: Sequence[Matrix]) -> None:
        self.blocks = blocks
        self.readers = [block for block in blocks if block.source == 0]
        self.size = sum(block.rows for block in self.readers)
        self.inputs = self.readers[0].columns if self.readers else 0
        self.bits = max((block.needed_bits() for block in self.readers), default=0)
        self.gathered = [x for block in self.readers for x in block.fixed(self.bits)]  # G, row major
        self.rows: Rows = [defaultdict(int) for _ in range(self.size)]
        columns = (self.gathered[k :: self.inputs] for k in range(self.inputs))
        add_squares(self.rows, (([(i, x) for i, x in enumerate(column) if x], 1) for column in columns))

    def allowances(self, shifts: list[int]) -> list[int]:
        """For each row the sum of what the radii may change in the scaled matrix, times 2^(2 bits)."""
        found = [0] * self.size
        radii = [radius for block in self.readers for radius in [block.fixed_radius(self.bits)] * block.rows]
        if any(radii):
            sums = [sum(map(abs, self.gathered[i * self.inputs : (i + 1) * self.inputs])) for i in range(self.size)]
            all_radii = sum(map(operator.lshift, radii, shifts))
            all_sums = sum(map(operator.lshift, sums, shifts))
            for i, shift in enumerate(shifts):
                allowance = radii[i] * (all_sums + self.inputs * all_radii) + sums[i] * all_radii
                found[i] = allowance << shift
        return found

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

    def replaced(self, factor: array[float]) -> list[Matrix]:
        """All blocks, those that read the input with their rows of R."""
        found: list[Matrix] = []
        row, m = 0, self.size
        for block in self.blocks:
            if block.source == 0:
                found.append(Block(block.target, 0, block.rows, m, 0.0, factor[row * m : (row + block.rows) * m]))
                row += block.rows
            else:
                found.append(block)
        return found


def check_dominant(lacking: list[int], name: str) -> None:
    """Raise `Rejected` if a row of a matrix lacks something for diagonal dominance."""
    for row, lack in enumerate(lacking):
        if lack > 0:
            raise Rejected(f"{name} is not diagonally dominant in row {row}")

"""The matrix inequality of a stacked form.

All numbers are Python integers: one number of fraction bits for all weights, one for all slopes, one for all
multipliers.
"""

from __future__ import annotations

import operator
from array import array
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from .blocks import Block, Matrix
from .integers import Rows, add_squares, fixed, fraction_bits
from .symmetric import Gram, SymmetricMatrix

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


class MatrixOfInequality(SymmetricMatrix):
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
        super().__init__(self._rows(), self.bits)

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


class InputGram(Gram):
    """G G' for G all blocks that read the input, which R R' has to dominate if R is to stand for G."""

    def __init__(self, blocks: Sequence[Matrix]) -> None:
        self.blocks = blocks
        self.readers = [block for block in blocks if block.source == 0]
        self.inputs = self.readers[0].columns if self.readers else 0
        bits = max((block.needed_bits() for block in self.readers), default=0)
        gathered = [x for block in self.readers for x in block.fixed(bits)]  # row major
        rows = [gathered[i : i + self.inputs] for i in range(0, len(gathered), max(self.inputs, 1))]
        super().__init__(rows, bits)

    def allowances(self, shifts: list[int]) -> list[int]:
        found = [0] * self.size
        radii = [radius for block in self.readers for radius in [block.fixed_radius(self.bits)] * block.rows]
        if any(radii):
            sums = [sum(map(abs, row)) for row in self.gathered]
            all_radii = sum(map(operator.lshift, radii, shifts))
            all_sums = sum(map(operator.lshift, sums, shifts))
            for i, shift in enumerate(shifts):
                allowance = radii[i] * (all_sums + self.inputs * all_radii) + sums[i] * all_radii
                found[i] = allowance << shift
        return found

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

"""The condition of one stacked form: its network, its multipliers, and the proof that its matrix is semidefinite.

1. `read` turns the file's objects into checked values: every limit is compared before an array is unpacked, and the
   hash and the bound with what they are made of;
2. `check_input_factor` proves, if the file has one, that a smaller input may stand for the real one;
3. `build_matrix` derives the matrix M of the condition from the weights and the multipliers;
4. `check_factor` proves that M is positive semidefinite: 2^(2q) D M D - L L' is diagonally dominant.

All numbers of steps 2 to 4 are Python integers: one number of fraction bits for all weights, one for all slopes, one
for all multipliers. Whatever does not lead to acceptance raises `Rejected`; there is no `assert`, since `python -O`
removes those.
"""

from __future__ import annotations

import hashlib
import operator
import struct
from array import array
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .groups import read_multipliers, read_slopes
from .integers import Rows, add_squares, check_dominance, fixed, fraction_bits, products
from .reading import MAX_FILE_BYTES, Rejected, constant, integer, items, little_endian, members, real, values

MAX_COORDINATES = 20_000
MAX_FACTOR_ENTRIES = 10**8
MAX_WEIGHTS = 10**8


@dataclass(frozen=True)
class Block:
    """One weight matrix of the network."""

    target: int  # the group that it feeds, number of groups plus 1 for the output
    source: int  # the group that it reads, 0 for the input
    rows: int  # size of the target
    columns: int  # size of the source
    radius: float  # how far each true weight may be from the stored one
    weights: array[float]  # row major
    low: array[float] | None = None  # what is added to the weights, None if nothing is

    def numbers(self) -> array[float]:
        """Return all floats of the block: their fraction bits are those of the stored weights and of the radius."""
        return self.weights + array("d", [self.radius]) + (self.low or array("d"))

    def fixed(self, bits: int) -> list[int]:
        """Return the stored weights times 2^bits, row major; a low part is added exactly."""
        high = [fixed(x, bits) if x else 0 for x in self.weights]
        return high if self.low is None else [x + fixed(y, bits) for x, y in zip(high, self.low, strict=True)]


@dataclass(frozen=True)
class Stacked:
    """Everything in a condition that matters to the proof; types, lengths, ranges and the hash are already checked."""

    sizes: list[int]  # of the input, of each group, of the output
    activations: list[str]  # one name per group, for people
    alpha: list[array[float]]  # one array per group; index 0 is group 1
    beta: list[array[float]]
    multipliers: list[array[float]]
    blocks: list[Block]  # increasing in (target, source)
    sha256: str
    rho: float
    exponent: int  # s
    precision: int  # q
    scaling: list[int]  # d
    start: list[int]  # for row i of L the column of its first stored entry
    factor: list[list[int]]  # row i of L from start[i] to i
    input_scaling: list[int] | None  # c, None if there is no input factor
    input_weights: array[float] | None  # R


# ---------------------------------------------------------------- reading the condition


def read(upper: float, network: Any, multipliers: Any, proof: Any) -> Stacked:
    """Return the checked content of a condition whose bound `upper` is already read."""
    # Sizes first: every limit is compared before an array is unpacked.
    inputs, outputs, groups, blocks, sha256 = members(network, "network", "inputs outputs groups blocks sha256")
    groups = items(groups, "network.groups", 0, MAX_COORDINATES)
    blocks = items(blocks, "network.blocks", 0, MAX_FILE_BYTES)
    groups = [members(group, f"group {g}", "size activation alpha beta") for g, group in enumerate(groups, 1)]
    sizes = [integer(inputs, "network.inputs", 1, 10**7)]
    sizes += [integer(group[0], f"size of group {g}", 1, 10**6) for g, group in enumerate(groups, 1)]
    sizes += [integer(outputs, "network.outputs", 1, 10**7)]
    last = len(groups) + 1

    doubled = any(type(block) is dict and "low" in block for block in blocks)
    blocks = [
        members(block, f"blocks[{b}]", "to from radius weights" + " low" * (type(block) is dict and "low" in block))
        for b, block in enumerate(blocks)
    ]
    previous = (0, 0)
    total = rows_of_input = 0
    for b, (target, source, _, _, *low) in enumerate(blocks):
        integer(target, f"blocks[{b}].to", 1, last)
        integer(source, f"blocks[{b}].from", 0, target - 1)
        if (target, source) <= previous:
            raise Rejected(f"blocks[{b}] is a duplicate or out of order")
        previous = (target, source)
        total += sizes[target] * sizes[source] * (1 + len(low))
        rows_of_input += sizes[target] if source == 0 else 0

    kind, precision, scaling, start, factor, input_factor = members(
        proof, "proof", "kind precision scaling start factor input_factor"
    )
    constant(kind, "proof.kind", "diagonal-dominance")
    precision = integer(precision, "proof.precision", 1, 200)
    coordinates = sum(sizes[:last])
    if input_factor is not None:
        coordinates += rows_of_input - sizes[0]
        total += rows_of_input**2
    if coordinates > MAX_COORDINATES:
        raise Rejected(f"more than {MAX_COORDINATES} coordinates")
    if total > MAX_WEIGHTS:
        raise Rejected(f"more than {MAX_WEIGHTS} weights")

    # The network and its hash.
    name = b"sdpcert-network-2" if doubled else b"sdpcert-network-1"
    digest = hashlib.sha256(name + struct.pack("<3q", sizes[0], sizes[-1], len(groups)))
    activations, alpha, beta = read_slopes(groups, digest)
    matrices = []
    for b, (target, source, radius, weights, *low) in enumerate(blocks):
        radius = real(radius, f"blocks[{b}].radius", 0.0)
        weights = values(weights, f"blocks[{b}].weights", "d", sizes[target] * sizes[source])
        digest.update(struct.pack("<qqd", target, source, radius) + little_endian(weights))
        low = values(low[0], f"blocks[{b}].low", "d", sizes[target] * sizes[source]) if low else None
        if doubled:
            digest.update(struct.pack("<q", low is not None) + (b"" if low is None else little_endian(low)))
        matrices.append(Block(target, source, sizes[target], sizes[source], radius, weights, low))
    if sha256 != digest.hexdigest():
        raise Rejected("network.sha256 is not the hash of the network")

    rho, lambdas, exponent = read_multipliers(multipliers, sizes[1:-1], upper)

    # The proof: row i of L is stored from column start[i] to its diagonal.
    scaling = values(scaling, "proof.scaling", "q", coordinates, -4000, 4000).tolist()
    start = values(start, "proof.start", "q", coordinates, low=0).tolist()
    if any(first > i for i, first in enumerate(start)):
        raise Rejected("proof.start has a column beyond the diagonal")
    entries = sum(i + 1 - first for i, first in enumerate(start))
    if entries > MAX_FACTOR_ENTRIES:
        raise Rejected(f"more than {MAX_FACTOR_ENTRIES} entries of L")
    flat = values(factor, "proof.factor", "q", entries).tolist()
    factor, position = [], 0
    for i, first in enumerate(start):
        factor.append(flat[position : position + i + 1 - first])
        position += i + 1 - first
    input_scaling = input_weights = None
    if input_factor is not None:
        input_scaling, input_weights = members(input_factor, "proof.input_factor", "scaling weights")
        input_scaling = values(input_scaling, "input_factor.scaling", "q", rows_of_input, -4000, 4000).tolist()
        input_weights = values(input_weights, "input_factor.weights", "d", rows_of_input**2)

    return Stacked(
        sizes, activations, alpha, beta, lambdas, matrices, sha256, rho, exponent, precision,
        scaling, start, factor, input_scaling, input_weights,
    )  # fmt: skip


# ---------------------------------------------------------------- the proof


def check_input_factor(blocks: list[Block], scaling: list[int], factor: array[float]) -> list[Block]:
    """Prove R R' - G G' positive semidefinite, G all blocks that read the input; return the blocks with R for G."""
    m = len(scaling)
    readers = [block for block in blocks if block.source == 0]
    bits = max([fraction_bits(factor)] + [fraction_bits(b.numbers()) for b in readers])
    difference: Rows = [defaultdict(int) for _ in range(m)]
    inputs = readers[0].columns if readers else 0
    gathered = [x for block in readers for x in block.fixed(bits)]  # G, row major
    columns = (gathered[k::inputs] for k in range(inputs))
    add_squares(difference, (([(i, x) for i, x in enumerate(column) if x], -1) for column in columns))
    factor_rows = [[fixed(x, bits) for x in factor[i * m : (i + 1) * m]] for i in range(m)]
    for i, row in enumerate(products(factor_rows, factor_rows, [0] * m)):
        for j, x in enumerate(row):
            difference[i][j] += x

    # Multiplying by 2^(2 max c) makes every power of two in the scaling a left shift.
    shifts = [max(scaling) - c for c in scaling] if scaling else []
    allowances = [0] * m
    if any(block.radius for block in readers):
        radii = []  # one per row of G, and below the sums of absolute values
        for block in readers:
            radii += [fixed(block.radius, bits)] * block.rows
        sums = [sum(map(abs, gathered[i * inputs : (i + 1) * inputs])) for i in range(m)]
        all_radii = sum(map(operator.lshift, radii, shifts))
        all_sums = sum(map(operator.lshift, sums, shifts))
        for i, shift in enumerate(shifts):
            allowance = radii[i] * (all_sums + inputs * all_radii) + sums[i] * all_radii
            allowances[i] = allowance << shift
    scaled = ({j: x << (shifts[i] + shifts[j]) for j, x in row.items()} for i, row in enumerate(difference))
    check_dominance(scaled, allowances, "R R' - G G' of the input factor")

    replaced, row = [], 0
    for block in blocks:
        if block.source == 0:
            part = factor[row * m : (row + block.rows) * m]
            replaced.append(Block(block.target, 0, block.rows, m, 0.0, part))
            row += block.rows
        else:
            replaced.append(block)
    return replaced


def build_matrix(condition: Stacked, blocks: list[Block], shifts: list[int]) -> tuple[Rows, list[int], int]:
    """Derive the matrix of the condition from the weights and the multipliers.

    Returns the lower triangle of 2^bits M, for each row i the sum over all j of 2^bits eps_ij 2^(shift of j), and bits.
    """
    groups = len(condition.alpha)
    offsets = [0, len(shifts) - sum(condition.sizes[1:-1])]  # first coordinate of the input, of group 1, ...
    for size in condition.sizes[1:-1]:
        offsets.append(offsets[-1] + size)

    # Radii share the fraction bits of the weights, so that each eps term has the bits of the term of M it belongs to.
    weight_bits = max((fraction_bits(block.numbers()) for block in blocks), default=0)
    slope_bits = max(map(fraction_bits, condition.alpha + condition.beta), default=0)
    multiplier_bits = max(map(fraction_bits, condition.multipliers), default=0)
    linear_bits = multiplier_bits + slope_bits + weight_bits
    square_bits = multiplier_bits + 2 * slope_bits + 2 * weight_bits
    output_bits = 2 * weight_bits + 2 * condition.exponent
    bits = max(fraction_bits([condition.rho]), square_bits, output_bits)

    matrix: Rows = [defaultdict(int) for _ in shifts]
    allowances = [0] * len(shifts)
    for j in range(offsets[1]):
        matrix[j][j] = fixed(condition.rho, bits)
    for target in range(1, groups + 2):
        inward = [(block, block.fixed(weight_bits)) for block in blocks if block.target == target]
        # The factors of -(e_i k_i' + k_i e_i') and of k_i k_i', one per row.
        linear, square, terms = [], [], []
        for i in range(condition.sizes[target]):
            if target > groups:
                linear.append(0)
                square.append(-1 << (bits - output_bits))
            else:
                slopes = condition.alpha[target - 1][i], condition.beta[target - 1][i]
                low, high = (fixed(slope, slope_bits) for slope in slopes)
                multiplier = fixed(condition.multipliers[target - 1][i], multiplier_bits)
                linear.append(multiplier * (low + high) << (bits - linear_bits))
                square.append(2 * multiplier * low * high << (bits - square_bits))
                matrix[offsets[target] + i][offsets[target] + i] += 2 * multiplier << (bits - multiplier_bits)
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
        if any(block.radius for block, _ in inward):
            add_allowances(allowances, shifts, offsets, inward, linear, square, weight_bits)
    return matrix, allowances, bits


def add_allowances(
    allowances: list[int], shifts: list[int], offsets: list[int], inward: list[tuple[Block, list[int]]],
    linear: list[int], square: list[int], bits: int,
) -> None:  # fmt: skip
    """Add to the allowances, the row sums of eps, what the uncertain weights into one group or the output contribute.

    `linear` and `square` have for each row i the factors of its entries k_ij and of products of two of them. With A_j
    the sum over i of |square_i k_ij|, the formulas of the format description, summed over the column, need only sums
    over whole sources: of the scales 2^shift and of the scaled A_l. So it costs no more than reading the weights.
    """
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
        radii.append(fixed(block.radius, bits))
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


def check_factor(condition: Stacked, matrix: Rows, allowances: list[int], bits: int, shifts: list[int]) -> None:
    """Prove that E = 2^(2q) D M D - L L' is diagonally dominant for all weights within radii; clears the matrix."""
    # 2^extra E is an integer matrix, and all its powers of two are left shifts.
    common = 2 * condition.precision - bits - 2 * max(condition.scaling, default=0)
    extra = max(0, -common)
    common += extra

    def rows() -> Iterator[dict[int, int]]:
        for i, product in enumerate(products(condition.factor, condition.factor, condition.start)):
            row = {j: x << (common + shifts[i] + shifts[j]) for j, x in matrix[i].items()}
            matrix[i].clear()
            for j, x in enumerate(product, condition.start[i]):  # elsewhere in the row L L' is zero
                row[j] = row.get(j, 0) - (x << extra)
            yield row

    check_dominance(
        rows(), [x << (common + shift) for x, shift in zip(allowances, shifts, strict=True)], "the residue E"
    )


def prove(condition: Stacked) -> None:
    """Replay the proof of a condition; raise `Rejected` if it is not one."""
    blocks = condition.blocks
    if condition.input_scaling is not None and condition.input_weights is not None:
        blocks = check_input_factor(blocks, condition.input_scaling, condition.input_weights)
    highest = max(condition.scaling, default=0)
    shifts = [highest - d for d in condition.scaling]
    matrix, allowances, bits = build_matrix(condition, blocks, shifts)
    check_factor(condition, matrix, allowances, bits, shifts)

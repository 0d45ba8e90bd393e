"""The matrix of a quadratic function of an ellipsoid's coordinates y and of undecided neurons z, in integers.

Rows of preactivations become columns: for each coordinate its coefficients in all rows. Where y has more entries than
there are rows it is replaced by a shorter vector that is not longer.
"""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .affine import AffineRows
from .backward import Coefficients
from .definite import square_factor
from .facts import Polynomial
from .integers import Rows, fixed, fraction_bits, products
from .symmetric import Gram, SymmetricMatrix

#: Bits of the constant that are kept.
CONSTANT_BITS = 160

#: A neuron: its group (from 1) and its index there.
Place = tuple[int, int]


@dataclass(frozen=True)
class Columns:
    """For each coordinate its coefficients in all rows, over 2^bits: those of y, of the neurons z, and the constants.

    `neurons` has the coordinate of each neuron that occurs; `inputs` is the number of those of y.
    """

    columns: list[list[int]]
    bits: int
    inputs: int
    neurons: dict[Place, int]

    @staticmethod
    def of(
        blocks: Sequence[AffineRows], undecided: Sequence[list[int]], polynomials: dict[Place, Polynomial]
    ) -> Columns:
        """The columns of the rows of all blocks; those of neurons that occur nowhere are left out."""
        inputs, neurons = _inputs(blocks), _neurons(blocks, undecided, polynomials)
        parts = [inputs, *neurons.values(), _stacked([rows.constants for rows in blocks])]
        bits = max(part.bits for part in parts)
        columns = [column for part in parts for column in part.with_bits(bits).columns]
        first = len(inputs.columns)
        return Columns(columns, bits, first, {place: first + k for k, place in enumerate(neurons)})


def quadratic_matrix(
    polynomials: dict[Place, Polynomial], read: dict[int, list[int]], blocks: Sequence[AffineRows],
    undecided: Sequence[list[int]], constant: Fraction, ball: Fraction,
) -> SymmetricMatrix:  # fmt: skip
    """Twice the matrix over (y, z, 1) of `constant` + the polynomials without their constants + `ball |y|^2`.

    `read` has the neurons of each group whose preactivations occur, `blocks` their rows, `undecided` the neurons of
    each group that z consists of.
    """
    found = Columns.of(blocks, undecided, polynomials)
    columns, bits, last = found.columns, found.bits, len(found.columns) - 1
    used = [polynomials[group, neuron] for group, neurons in read.items() for neuron in neurons]
    own = [found.neurons.get((group, neuron), last) for group, neurons in read.items() for neuron in neurons]
    # The entries are integers over 2^total, coefficients of polynomials over 2^weight_bits.
    weight_bits = max(_bits(ball), *(max(map(_bits, p[1:])) for p in polynomials.values()))
    constant_bits = CONSTANT_BITS + constant.denominator.bit_length() - abs(constant.numerator).bit_length()
    total = max(weight_bits + 2 * bits, constant_bits)
    weight_bits = total - 2 * bits
    matrix: Rows = [defaultdict(int) for _ in columns]
    _add_squares(matrix, columns, [_scaled(polynomial.vv, weight_bits + 1) for polynomial in used])
    linear = [_scaled(polynomial.v, weight_bits) for polynomial in used]
    for j, column in enumerate(columns):
        matrix[last][j] += sum(map(operator.mul, linear, column)) << bits + (j == last)
    for row, (i, polynomial) in enumerate(zip(own, used, strict=True)):
        factor = _scaled(polynomial.vz, weight_bits)
        if factor:
            for j, column in enumerate(columns):
                if column[row]:
                    matrix[max(i, j)][min(i, j)] += factor * column[row] << bits + (i == j)
    for place, i in found.neurons.items():
        polynomial = polynomials.get(place, Polynomial())
        matrix[i][i] += _scaled(polynomial.zz, weight_bits + 1) << 2 * bits
        matrix[last][i] += _scaled(polynomial.z, weight_bits) << 2 * bits
    for j in range(found.inputs):
        matrix[j][j] += _scaled(ball, weight_bits + 1) << 2 * bits
    matrix[last][last] += (2 * constant.numerator << total) // constant.denominator
    return SymmetricMatrix(matrix, total)


def _inputs(blocks: Sequence[AffineRows]) -> Coefficients:
    """The coefficients of y in all rows; if there are fewer rows, those of a y with as many entries as there are."""
    stacked = _stacked([rows.inputs for rows in blocks])
    rows = list(map(list, zip(*stacked.columns, strict=True)))
    used = [i for i, row in enumerate(rows) if any(row)]
    if len(stacked.columns) <= len(used):
        return stacked
    weights = square_factor(Gram([rows[i] for i in used], stacked.bits))
    bits = fraction_bits(weights)
    columns = [[0] * len(rows) for _ in used]
    for j, column in enumerate(columns):
        for i, x in zip(used, weights[j :: len(used)], strict=True):
            column[i] = fixed(x, bits)
    return Coefficients(bits, columns)


def _neurons(
    blocks: Sequence[AffineRows], undecided: Sequence[list[int]], polynomials: dict[Place, Polynomial]
) -> dict[Place, Coefficients]:
    """The coefficients of all neurons z that occur somewhere, each one column for all rows."""
    counts = [len(rows.constants.columns[0]) for rows in blocks]
    found: dict[Place, Coefficients] = {}
    for group, neurons in enumerate(undecided, 1):
        parts = []
        for rows, count in zip(blocks, counts, strict=True):
            none = Coefficients(0, [[0] * count for _ in neurons])
            parts.append(rows.neurons.get(group, none))
        stacked = _stacked(parts)
        for neuron, column in zip(neurons, stacked.columns, strict=True):
            place = group, neuron
            if any(column) or polynomials.get(place, Polynomial()).reads_activation:
                found[place] = Coefficients(stacked.bits, [column])
    return found


def _stacked(parts: Sequence[Coefficients]) -> Coefficients:
    """The rows of all parts, which have the same columns."""
    bits = max(part.bits for part in parts)
    together = zip(*(part.with_bits(bits).columns for part in parts), strict=True)
    return Coefficients(bits, [[x for column in columns for x in column] for columns in together])


def _add_squares(matrix: Rows, columns: Sequence[Sequence[int]], weights: Sequence[int]) -> None:
    """Add the sum of weight v v' over the rows v, given by their columns."""
    used = [row for row, weight in enumerate(weights) if weight]
    right = [[column[row] for row in used] for column in columns]
    left = [[weights[row] * column[row] for row in used] for column in columns]
    for target, row in zip(matrix, products(left, right, [0] * len(columns)), strict=True):
        for j, x in enumerate(row):
            if x:
                target[j] += x


def _bits(number: Fraction) -> int:
    """Fraction bits of a fraction whose denominator is a power of two."""
    return number.denominator.bit_length() - 1


def _scaled(number: Fraction, bits: int) -> int:
    """A fraction times 2^bits, which is an integer."""
    return number.numerator << bits - _bits(number)

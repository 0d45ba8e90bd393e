"""One matrix inequality M(y) >= 0 of a condition, as an operator that solvers work with.

With p_i = e_i - alpha_i k_i* and q_i = e_i - beta_i k_i* the matrix is `diag(metric variables) + sum_i lambda_i (p_i
q_i* + q_i p_i*) - F* F`. It is real for a network of dense layers and complex for one frequency of a convolutional
network. Every neuron enters with rank two, so the Schur complement of an interior-point method is a sum of
elementwise products of matrices of the order of the neurons (docs/architecture.md). Products with K follow the blocks
of the network.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sdpcert.arithmetic.arrays import Arrays
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.elimination import Elimination

Matrix = Any


@dataclass(frozen=True, eq=False)
class Metric:
    """Variables on the diagonal: entry j of `coordinates` is `sign * sum_k share[k, j] y[first + k]`.

    `share` of None gives every coordinate a variable of its own.
    """

    coordinates: slice
    first: int
    share: Matrix | None
    sign: float = 1.0

    @property
    def variables(self) -> slice:
        """The variables that take part."""
        size = self.coordinates.stop - self.coordinates.start if self.share is None else len(self.share)
        return slice(self.first, self.first + size)


class Inequality:
    """A matrix inequality in `variables` variables y.

    Coordinates are those of the sources, of `sizes` entries: the input, then groups of neurons. `blocks[to, source]`
    are the rows K of group `to`, `output[source]` those of F. Neuron variables begin at y[first]: one per neuron, or
    one per group with `per_group`.
    """

    def __init__(
        self,
        arrays: Arrays,
        sizes: list[int],
        blocks: dict[tuple[int, int], Matrix],
        output: dict[int, Matrix],
        slopes: tuple[np.ndarray, np.ndarray],
        metrics: list[Metric],
        variables: int,
        first: int = 1,
        per_group: bool = False,
    ) -> None:
        self.arrays, self.variables, self.first, self.per_group = arrays, variables, first, per_group
        self.inputs = sizes[0]
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        self.order = int(offsets[-1])
        self.neurons = self.order - self.inputs
        self.slices = [slice(int(a), int(b)) for a, b in itertools.pairwise(offsets)]
        self.rows = [slice(s.start - self.inputs, s.stop - self.inputs) for s in self.slices]
        self.group_sizes = sizes[1:]
        self.alpha, self.beta = arrays.asarray(slopes[0]), arrays.asarray(slopes[1])
        self.from_zero, self.to_one = not np.any(slopes[0]), bool(np.all(slopes[1] == 1))
        self.blocks = {key: arrays.asarray(w) for key, w in blocks.items()}
        self.output_blocks = {source: arrays.asarray(w) for source, w in output.items()}
        self.metrics = metrics
        kinds = [*self.blocks.values(), *self.output_blocks.values()]
        self.like = next((w for w in kinds if np.iscomplexobj(w) or "complex" in str(w.dtype)), None)
        self.constant = BlockMatrix.zeros(arrays, self.elimination)  # F* F
        self._add_squares(self.constant, self.output_blocks)

    def rescale_output(self, shift: int) -> None:
        """Divide the output by a power of two: F becomes `2**-shift F`."""
        self.output_blocks = {s: w * 2.0**-shift for s, w in self.output_blocks.items()}
        self.constant = self.constant.times_scalar(2.0 ** (-2 * shift))

    # -- variables -----------------------------------------------------------------------------------------------------

    @property
    def own(self) -> slice:
        """The variables of this inequality's neurons."""
        return slice(self.first, self.first + (len(self.group_sizes) if self.per_group else self.neurons))

    def spread(self, y: Matrix) -> Matrix:
        """One multiplier per neuron from the variables."""
        mine = y[self.own]
        if not self.per_group:
            return mine
        spread = self.arrays.zeros(self.neurons)
        for k, rows in enumerate(self.rows[1:]):
            spread[rows] = mine[k]
        return spread

    def metric(self, y: Matrix) -> Matrix:
        """What the metric variables put on the diagonal of M."""
        diagonal = self.arrays.zeros(self.order)
        for metric in self.metrics:
            value = y[metric.variables]
            if metric.share is not None:
                value = self.arrays.apply(metric.share.T, value)
            diagonal[metric.coordinates] += metric.sign * value
        return diagonal

    def gather(self, values: Matrix) -> Matrix:
        """Sum of a quantity over the neurons of each variable (the adjoint of `spread`), along the first axis."""
        if not self.per_group:
            return values
        sums = self.arrays.zeros(len(self.group_sizes), *values.shape[1:])
        for k, rows in enumerate(self.rows[1:]):
            sums[k] = values[rows].sum(0)
        return sums

    # -- the matrix ----------------------------------------------------------------------------------------------------

    def linear(self, y: Matrix) -> BlockMatrix:
        """M(y) + F*F."""
        weight = self.spread(y)
        matrix = BlockMatrix.zeros(self.arrays, self.elimination)
        matrix.own = self.metric(y)
        matrix.own[self.inputs :] += 2 * weight
        mixed = -weight * (self.alpha + self.beta)
        for (to, source), block in self.blocks.items():
            matrix.add(self.slices, to, source, mixed[self.rows[to]][:, None] * block)
        if not self.from_zero:
            square = 2 * weight * self.alpha * self.beta
            for to in range(1, len(self.slices)):
                self._add_squares(matrix, {s: w for (t, s), w in self.blocks.items() if t == to}, square[self.rows[to]])
        return matrix

    def _add_squares(self, matrix: BlockMatrix, row: dict[int, Matrix], weight: Matrix | None = None) -> None:
        """Add `row* diag(weight) row` for the blocks of one row, by source."""
        for s, left in row.items():
            weighted = left if weight is None else weight[:, None] * left
            for t, right in row.items():
                if t <= s:
                    matrix.add(self.slices, s, t, self.arrays.product(weighted.conj().T, right))

    def matrix(self, y: Matrix) -> BlockMatrix:
        """M(y)."""
        matrix = self.linear(y)
        matrix.add_matrix(self.constant, -1.0)
        return matrix

    @cached_property
    def _pattern(self) -> set[tuple[int, int]]:
        """Pairs of sources whose block of M is not zero."""
        pairs = set(self.blocks)
        rows = [] if self.from_zero else [[s for t, s in self.blocks if t == to] for to in range(1, len(self.slices))]
        for row in [*rows, list(self.output_blocks)]:
            pairs |= {(s, t) for s in row for t in row if t < s}
        return pairs

    @cached_property
    def elimination(self) -> Elimination:
        """The blocks of M, in an order of elimination."""
        return Elimination.of(self.slices, self._pattern)

    # -- products and adjoints -----------------------------------------------------------------------------------------

    def times_k(self, matrix: Matrix) -> Matrix:
        """`K @ matrix`: rows of neurons, columns as given."""
        result = self.arrays.zeros(self.neurons, matrix.shape[1], like=matrix)
        for (to, source), block in self.blocks.items():
            self.arrays.add_product(result[self.rows[to]], block, matrix[self.slices[source]])
        return result

    def adjoint_of_selected(self, inverse: BlockMatrix) -> Matrix:
        """`<A_j, S>` for every variable j from the blocks of a Hermitian matrix S on the pattern of M."""
        values = self.arrays.zeros(self.variables)
        diagonal = inverse.diagonal()
        each = diagonal[self.inputs :] + 0.0
        for to in range(1, len(self.slices)):
            rows, row = self.rows[to], {s: w for (t, s), w in self.blocks.items() if t == to}
            sums = self.alpha[rows] + self.beta[rows]
            for s, block in row.items():
                met = inverse.part(self.slices, to, s)
                if met is not None:
                    each[rows] -= sums * self.arrays.row_dots(block, met)
                if self.from_zero:
                    continue
                product = self.alpha[rows] * self.beta[rows]
                for t, other in row.items():
                    met = inverse.part(self.slices, s, t)
                    if met is not None:
                        seen = self.arrays.product(block, met)
                        each[rows] += product * self.arrays.row_dots(seen, other)
        values[self.own] += self.gather(2 * each)
        self.add_metrics(values, diagonal)
        return values

    def shared(self, metric: Metric, values: Matrix) -> Matrix:
        """Sums over the coordinates of each variable of a metric, along the first axis."""
        if metric.share is None:
            return values
        if values.ndim == 1:
            return self.arrays.apply(metric.share, values)
        return self.arrays.product(metric.share, values)

    def add_metrics(self, values: Matrix, diagonal: Matrix) -> None:
        """Add the `<A_j, X>` of metric variables, from the real diagonal of X."""
        for metric in self.metrics:
            values[metric.variables] += metric.sign * self.shared(metric, diagonal[metric.coordinates])

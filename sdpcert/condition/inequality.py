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
from sdpcert.condition.factor import Elimination, Factor

Matrix = Any


@dataclass(eq=False)
class Products:
    """A Hermitian matrix X with what the inequality needs of it: K X, and K X K* restricted to neurons."""

    matrix: Matrix
    rows: Matrix
    both: Matrix | None


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
        self.constant = arrays.zeros(self.order, self.order, like=self.like)  # F* F
        for s, left in self.output_blocks.items():
            for t, right in self.output_blocks.items():
                self.constant[self.slices[s], self.slices[t]] = arrays.product(left.conj().T, right)

    def rescale_output(self, shift: int) -> None:
        """Divide the output by a power of two: F becomes `2**-shift F`."""
        self.output_blocks = {s: w * 2.0**-shift for s, w in self.output_blocks.items()}
        self.constant = self.constant * 2.0 ** (-2 * shift)

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

    def gather(self, values: Matrix) -> Matrix:
        """Sum of a quantity over the neurons of each variable (the adjoint of `spread`), along the first axis."""
        if not self.per_group:
            return values
        sums = self.arrays.zeros(len(self.group_sizes), *values.shape[1:])
        for k, rows in enumerate(self.rows[1:]):
            sums[k] = values[rows].sum(0)
        return sums

    # -- the matrix ----------------------------------------------------------------------------------------------------

    def linear(self, y: Matrix) -> Matrix:
        """M(y) + F*F as a dense matrix."""
        weight = self.spread(y)
        matrix = self.arrays.zeros(self.order, self.order, like=self.like)
        diagonal = matrix.reshape(-1)[:: self.order + 1]
        diagonal[self.inputs :] = 2 * weight
        for metric in self.metrics:
            value = y[metric.variables]
            if metric.share is not None:
                value = self.arrays.apply(metric.share.T, value)
            diagonal[metric.coordinates] += metric.sign * value
        mixed = weight * (self.alpha + self.beta)
        for (to, source), block in self.blocks.items():
            part = -mixed[self.rows[to]][:, None] * block
            matrix[self.slices[to], self.slices[source]] += part
            matrix[self.slices[source], self.slices[to]] += part.conj().T
        if not self.from_zero:
            square = 2 * weight * self.alpha * self.beta
            for (to, s), left in self.blocks.items():
                weighted = square[self.rows[to]][:, None] * left
                for (other, t), right in self.blocks.items():
                    if other == to:
                        self.arrays.add_product(matrix[self.slices[s], self.slices[t]], weighted.conj().T, right)
        return matrix

    def matrix(self, y: Matrix) -> Matrix:
        """M(y), dense."""
        return self.linear(y) - self.constant

    def factor(self, matrix: Matrix) -> Factor | None:
        """The Cholesky factor of a matrix with the pattern of M, or None if it is not positive definite."""
        return Factor.of(self.arrays, self._elimination, matrix)

    def linear_times(self, direction: Matrix, right: Matrix) -> Matrix:
        """`direction @ right` for a `direction` made by `linear`, block by block where blocks are zero."""
        if len(self.slices) <= 2:
            return self.arrays.product(direction, right)
        diagonal = direction.reshape(-1)[:: self.order + 1]
        if self.from_zero:
            result = diagonal[:, None] * right
        else:
            result = self.arrays.zeros(*right.shape, like=right)
        for a, b in self._pattern:
            block = direction[self.slices[a], self.slices[b]]
            self.arrays.add_product(result[self.slices[a]], block, right[self.slices[b]])
        return result

    @cached_property
    def _pattern(self) -> list[tuple[int, int]]:
        """Pairs of sources whose block of M + F*F is not zero; diagonal blocks that are diagonal matrices are left
        out.
        """
        pairs = set() if self.from_zero else {(k, k) for k in range(len(self.slices))}
        for to, source in self.blocks:
            pairs |= {(to, source), (source, to)}
            if not self.from_zero:
                pairs |= {(source, t) for (other, t) in self.blocks if other == to}
        return sorted(pairs)

    @cached_property
    def _elimination(self) -> Elimination:
        read = list(self.output_blocks)
        return Elimination.of(self.slices, [*self._pattern, *((a, b) for a in read for b in read)])

    # -- adjoints and the Schur complement -----------------------------------------------------------------------------

    def times_k(self, matrix: Matrix) -> Matrix:
        """`K @ matrix`: rows of neurons, columns as given."""
        result = self.arrays.zeros(self.neurons, matrix.shape[1], like=matrix)
        for (to, source), block in self.blocks.items():
            self.arrays.add_product(result[self.rows[to]], block, matrix[self.slices[source]])
        return result

    def products(self, matrix: Matrix, both: bool = True) -> Products:
        """What `adjoint` and `schur` need of a Hermitian matrix."""
        rows = self.times_k(matrix)
        return Products(matrix, rows, self.times_k(rows.conj().T) if both else None)

    def adjoint(self, given: Products) -> Matrix:
        """`<A_j, X>` for every variable j: 2 Re p_i* X q_i summed over its neurons, and its diagonal entries."""
        n0 = self.inputs
        values = self.arrays.zeros(self.variables)
        diagonal = given.matrix.diagonal().real
        mixed = given.rows[:, n0:].diagonal().real
        each = diagonal[n0:] - (self.alpha + self.beta) * mixed
        if not self.from_zero:
            assert given.both is not None
            each = each + self.alpha * self.beta * given.both.diagonal().real
        values[self.own] += self.gather(2 * each)
        for metric in self.metrics:
            values[metric.variables] += metric.sign * self._share(metric, diagonal[metric.coordinates])
        return values

    def _share(self, metric: Metric, values: Matrix) -> Matrix:
        """Sums over the coordinates of each metric variable, along the first axis."""
        if metric.share is None:
            return values
        if values.ndim == 1:
            return self.arrays.apply(metric.share, values)
        return self.arrays.product(metric.share, values)

    def adjoint_of_product(self, left: Matrix, right: Products) -> Matrix:
        """The adjoint at the Hermitian part of `left* right.matrix`, without forming the product."""
        n0, dots = self.inputs, self.arrays.row_dots
        left = self.arrays.contiguous(left.conj().T)
        own, other = left[n0:], right.matrix[n0:]
        values = self.arrays.zeros(self.variables)
        left_rows = self.times_k(left)
        each = 2 * dots(own, other) - (self.alpha + self.beta) * (dots(own, right.rows) + dots(left_rows, other))
        if not self.from_zero:
            each = each + 2 * self.alpha * self.beta * dots(left_rows, right.rows)
        values[self.own] += self.gather(each)
        for metric in self.metrics:
            part = dots(left[metric.coordinates], right.matrix[metric.coordinates])
            values[metric.variables] += metric.sign * self._share(metric, part)
        return values

    def _quadratics(self, given: Products) -> tuple[Matrix, Matrix, Matrix]:
        """P X P*, P X Q*, Q X Q* on neurons."""
        own = given.matrix[self.inputs :, self.inputs :]
        mixed = given.rows[:, self.inputs :]
        beta_mixed = mixed if self.to_one else self.beta[:, None] * mixed
        p_q = own - beta_mixed.conj().T
        q_q = p_q - beta_mixed
        q_q += given.both if self.to_one else self.beta[:, None] * given.both * self.beta
        if self.from_zero:
            return own, p_q, q_q
        alpha_mixed = self.alpha[:, None] * mixed
        p_p = own - alpha_mixed - alpha_mixed.conj().T + self.alpha[:, None] * given.both * self.alpha
        return p_p, p_q - alpha_mixed + self.alpha[:, None] * given.both * self.beta, q_q

    def schur(self, dual: Products, inverse: Products) -> Matrix:
        """`Re tr(A_i X A_j S)` over the variables, with X the dual matrix and S the inverse of M."""
        matched, n0 = self.arrays.matched, self.inputs
        schur = self.arrays.zeros(self.variables, self.variables)
        x_pp, x_pq, x_qq = self._quadratics(dual)
        s_pp, s_pq, s_qq = self._quadratics(inverse)
        crossed = matched((x_pq, self.arrays.contiguous(s_pq.conj().T)))
        each = matched((x_pp, s_qq), (x_qq, s_pp)) + crossed + crossed.T
        schur[self.own, self.own] = self.gather(self.gather(each).T)
        for metric in self.metrics:
            columns = metric.coordinates
            x, s = dual.matrix[n0:, columns], inverse.matrix[n0:, columns]
            kx, ks = dual.rows[:, columns], inverse.rows[:, columns]
            border = 2 * matched((x, s)) - (self.alpha + self.beta)[:, None] * matched((x, ks), (kx, s))
            if not self.from_zero:
                border = border + (2 * self.alpha * self.beta)[:, None] * matched((kx, ks))
            shared = metric.sign * self._share(metric, self.arrays.contiguous(self.gather(border).T))
            schur[metric.variables, self.own] += shared
            schur[self.own, metric.variables] += shared.T
            for other in self.metrics:
                part = matched((dual.matrix[columns, other.coordinates], inverse.matrix[columns, other.coordinates]))
                part = self._share(other, self.arrays.contiguous(self._share(metric, part).T)).T
                schur[metric.variables, other.variables] += metric.sign * other.sign * part
        return schur

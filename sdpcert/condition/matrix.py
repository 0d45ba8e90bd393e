"""The condition M(rho, lambda) >= 0 of a network as an operator that solvers work with.

With p_i = e_i - alpha_i k_i and q_i = e_i - beta_i k_i the matrix is `rho E0 + sum_i lambda_i (p_i q_i' + q_i p_i') -
F'F`, of the order of inputs plus neurons. Every neuron enters with rank two, so the Schur complement of an
interior-point method is a sum of elementwise products of matrices of the order of the neurons (reference: DESIGN.md
section 1; derived in docs/architecture.md). Products with K follow the blocks of the network.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sdpcert.arrays import Arrays, NumpyArrays
from sdpcert.condition.scaling import Scaling, equilibrate, reduce_input
from sdpcert.network.stacked import StackedForm

Matrix = Any


@dataclass(eq=False)
class Products:
    """A symmetric matrix X with what the condition needs of it: K X, and K X K' restricted to neurons."""

    matrix: Matrix
    rows: Matrix
    both: Matrix | None


class Condition:
    """The condition of a network at unit scale, in the variables y = (rho, multipliers).

    `multipliers` is "neuron" (one variable a neuron) or "layer" (one a group). `scaling` maps back to the original
    network. The order of the matrix is `order`, the number of variables `variables`.
    """

    def __init__(self, form: StackedForm, multipliers: str = "neuron", arrays: Arrays | None = None) -> None:
        self.arrays = arrays or NumpyArrays()
        blocks, self.scaling = equilibrate(form)
        blocks, self.inputs = reduce_input(blocks, form.inputs)
        sizes = [self.inputs, *(g.size for g in form.groups)]
        self.offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(int)
        self.order = int(self.offsets[-1])
        self.neurons = self.order - self.inputs
        self.slices = [slice(int(a), int(b)) for a, b in zip(self.offsets, self.offsets[1:], strict=False)]
        self.rows = [slice(s.start - self.inputs, s.stop - self.inputs) for s in self.slices]
        asarray = self.arrays.asarray
        none = np.zeros(0)
        self.alpha = asarray(np.concatenate([none, *(g.alpha for g in form.groups)]))
        self.beta = asarray(np.concatenate([none, *(g.beta for g in form.groups)]))
        self.from_zero = bool((self.alpha == 0).all())
        self.nonnegative_binds = bool((self.alpha * self.beta > 0).any())
        self.output = form.output_row
        self.blocks = {key: asarray(w) for key, w in blocks.items() if key[0] != self.output}
        self.output_blocks = {source: asarray(w) for (to, source), w in blocks.items() if to == self.output}
        self.constant = self.arrays.zeros(self.order, self.order)  # F'F
        for s, left in self.output_blocks.items():
            for t, right in self.output_blocks.items():
                self.constant[self.slices[s], self.slices[t]] = left.T @ right
        self.group_sizes = sizes[1:]
        self.per_group = multipliers == "layer"
        self.variables = 1 + (len(self.group_sizes) if self.per_group else self.neurons)

    # -- variables -----------------------------------------------------------------------------------------------------

    def spread(self, y: Matrix) -> Matrix:
        """One multiplier a neuron from the variables."""
        if not self.per_group:
            return y[1:]
        spread = self.arrays.zeros(self.neurons)
        for k, rows in enumerate(self.rows[1:]):
            spread[rows] = y[1 + k]
        return spread

    def gather(self, values: Matrix) -> Matrix:
        """Sum of a quantity over the neurons of each variable (the adjoint of `spread`)."""
        if not self.per_group:
            return values
        sums = self.arrays.zeros(len(self.group_sizes))
        for k, rows in enumerate(self.rows[1:]):
            sums[k] = values[rows].sum()
        return sums

    # -- the matrix ----------------------------------------------------------------------------------------------------

    def linear(self, y: Matrix) -> Matrix:
        """`rho E0 + sum_i lambda_i (p_i q_i' + q_i p_i')` as a dense matrix."""
        weight = self.spread(y)
        matrix = self.arrays.zeros(self.order, self.order)
        diagonal = matrix.reshape(-1)[:: self.order + 1]
        diagonal[: self.inputs] = y[0]
        diagonal[self.inputs :] = 2 * weight
        mixed = weight * (self.alpha + self.beta)
        for (to, source), block in self.blocks.items():
            part = -mixed[self.rows[to]][:, None] * block
            matrix[self.slices[to], self.slices[source]] += part
            matrix[self.slices[source], self.slices[to]] += part.T
        if not self.from_zero:
            square = 2 * weight * self.alpha * self.beta
            for (to, s), left in self.blocks.items():
                weighted = square[self.rows[to]][:, None] * left
                for (other, t), right in self.blocks.items():
                    if other == to:
                        matrix[self.slices[s], self.slices[t]] += self.arrays.product(weighted.T, right)
        return matrix

    def matrix(self, y: Matrix) -> Matrix:
        """M(y), dense."""
        return self.linear(y) - self.constant

    def linear_times(self, direction: Matrix, right: Matrix) -> Matrix:
        """`direction @ right` for a `direction` made by `linear`, block by block where blocks are zero."""
        if len(self.slices) <= 3:
            return self.arrays.product(direction, right)
        diagonal = direction.reshape(-1)[:: self.order + 1]
        result = diagonal[:, None] * right if self.from_zero else self.arrays.zeros(*right.shape)
        for a, b in self._pattern:
            block = direction[self.slices[a], self.slices[b]]
            result[self.slices[a]] += self.arrays.product(block, right[self.slices[b]])
        return result

    @cached_property
    def _pattern(self) -> list[tuple[int, int]]:
        """Pairs of sources whose block of M is not zero; diagonal blocks that are diagonal matrices are left out."""
        pairs = set() if self.from_zero else {(k, k) for k in range(len(self.slices))}
        for to, source in self.blocks:
            pairs |= {(to, source), (source, to)}
            if not self.from_zero:
                pairs |= {(source, t) for (other, t) in self.blocks if other == to}
        return sorted(pairs)

    # -- adjoints and the Schur complement -----------------------------------------------------------------------------

    def times_k(self, matrix: Matrix) -> Matrix:
        """`K @ matrix`: rows of neurons, columns as given."""
        result = self.arrays.zeros(self.neurons, matrix.shape[1])
        for (to, source), block in self.blocks.items():
            result[self.rows[to]] += self.arrays.product(block, matrix[self.slices[source]])
        return result

    def products(self, matrix: Matrix, both: bool = True) -> Products:
        """What `adjoint` and `schur` need of a symmetric matrix."""
        rows = self.times_k(matrix)
        return Products(matrix, rows, self.times_k(rows.T) if both else None)

    def adjoint(self, given: Products) -> Matrix:
        """`(tr(E0 X), 2 p_i' X q_i summed over each variable's neurons)`."""
        n0 = self.inputs
        values = self.arrays.zeros(self.variables)
        values[0] = given.matrix[:n0, :n0].diagonal().sum()
        own = given.matrix[n0:, n0:].diagonal()
        mixed = given.rows[:, n0:].diagonal()
        each = own - (self.alpha + self.beta) * mixed
        if not self.from_zero:
            assert given.both is not None
            each = each + self.alpha * self.beta * given.both.diagonal()
        values[1:] = self.gather(2 * each)
        return values

    def adjoint_of_product(self, left: Matrix, right: Products) -> Matrix:
        """The adjoint at the symmetric part of `left.T @ right.matrix`, without forming the product."""
        n0 = self.inputs
        left = self.arrays.contiguous(left.T)
        values = self.arrays.zeros(self.variables)
        values[0] = (left[:n0] * right.matrix[:n0]).sum()
        left_rows = self.times_k(left)
        p_left, q_left = left[n0:] - self.alpha[:, None] * left_rows, left[n0:] - self.beta[:, None] * left_rows
        p_right, q_right = self._sides(right)
        values[1:] = self.gather((p_left * q_right).sum(1) + (q_left * p_right).sum(1))
        return values

    def _sides(self, given: Products) -> tuple[Matrix, Matrix]:
        own = given.matrix[self.inputs :]
        p = own if self.from_zero else own - self.alpha[:, None] * given.rows
        return p, own - self.beta[:, None] * given.rows

    def _quadratics(self, given: Products) -> tuple[Matrix, Matrix, Matrix]:
        """P X P', P X Q', Q X Q' on neurons."""
        own = given.matrix[self.inputs :, self.inputs :]
        mixed = given.rows[:, self.inputs :]
        beta_mixed = self.beta[:, None] * mixed
        beta_both = self.beta[:, None] * given.both * self.beta
        q_q = own - beta_mixed - beta_mixed.T + beta_both
        p_q = own - beta_mixed.T
        if self.from_zero:
            return own, p_q, q_q
        alpha_mixed = self.alpha[:, None] * mixed
        p_p = own - alpha_mixed - alpha_mixed.T + self.alpha[:, None] * given.both * self.alpha
        return p_p, p_q - alpha_mixed + self.alpha[:, None] * given.both * self.beta, q_q

    def schur(self, dual: Products, inverse: Products) -> Matrix:
        """`tr(A_i X A_j S)` over the variables, with X the dual matrix and S the inverse of M."""
        n0 = self.inputs
        x_pp, x_pq, x_qq = self._quadratics(dual)
        s_pp, s_pq, s_qq = self._quadratics(inverse)
        crossed = x_pq * s_pq.T
        each = x_pp * s_qq + x_qq * s_pp + crossed + crossed.T
        x_p, x_q = self._sides(dual)
        s_p, s_q = self._sides(inverse)
        border = (x_p[:, :n0] * s_q[:, :n0]).sum(1) + (x_q[:, :n0] * s_p[:, :n0]).sum(1)
        schur = self.arrays.zeros(self.variables, self.variables)
        schur[0, 0] = (dual.matrix[:n0, :n0] * inverse.matrix[:n0, :n0]).sum()
        schur[0, 1:] = schur[1:, 0] = self.gather(border)
        if self.per_group:
            for i, rows in enumerate(self.rows[1:]):
                for j, columns in enumerate(self.rows[1:]):
                    schur[1 + i, 1 + j] = each[rows, columns].sum()
        else:
            schur[1:, 1:] = each
        return schur

    # -- results -------------------------------------------------------------------------------------------------------

    def dual_value(self, dual: Matrix) -> Matrix:
        """`<F'F, X>`."""
        return (self.constant * dual).sum()

    def multipliers(self, y: Matrix) -> list[np.ndarray]:
        """Per group, the multipliers of the original network (before scaling)."""
        spread = self.arrays.numpy(self.spread(y))
        return self.scaling.multipliers([spread[rows] for rows in self.rows[1:]])


__all__ = ["Condition", "Products", "Scaling"]

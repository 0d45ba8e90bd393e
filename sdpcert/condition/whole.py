"""A small inequality as whole matrices of NumPy: the operator of `inequality.py` in a few products, and no blocks.

Below an order of about a hundred a call from Python costs more than the zeros that blocks leave out.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.condition.inequality import Inequality

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Joint:
    """Two Hermitian matrices, the dual matrix X and the inverse S of M, side by side: arrays have a row, which of the
    two, and a column. `rows` is K X and K S, `both` is K X K* and K S K*.
    """

    matrices: Array
    rows: Array
    both: Array


class WholeInequality:
    """The whole rows K and the whole matrix F*F of an inequality, as they are when it is made."""

    def __init__(self, part: Inequality) -> None:
        self.part = part
        kind = np.dtype(float if part.like is None else complex)
        self.rows = np.zeros((part.neurons, part.order), dtype=kind)
        for (to, source), block in part.blocks.items():
            self.rows[part.rows[to], part.slices[source]] = block
        self.adjoint_rows = np.ascontiguousarray(self.rows.conj().T)
        self.constant = part.constant.dense()
        self.sums, self.product = part.alpha + part.beta, part.alpha * part.beta
        self.mixed = np.zeros((part.order, part.order), dtype=kind)
        self.mixed[part.inputs :] = -self.sums[:, None] * self.rows

    def linear(self, y: Array) -> Array:
        """M(y) + F*F."""
        part = self.part
        neurons, diagonal = np.zeros(part.order), part.metric(y)
        neurons[part.inputs :] = weight = part.spread(y)
        half = neurons[:, None] * self.mixed
        result = half + half.conj().T
        if not part.from_zero:
            result += blas.product(self.adjoint_rows, (2 * weight * self.product)[:, None] * self.rows)
        diagonal += 2 * neurons
        result.reshape(-1)[:: part.order + 1] += diagonal
        return result

    def matrix(self, y: Array) -> Array:
        """M(y)."""
        result = self.linear(y)
        result -= self.constant
        return result

    def joint(self, dual: Array, inverse: Array) -> Joint:
        """The products of K with the dual matrix and the inverse of M."""
        n, count = self.part.order, self.part.neurons
        matrices = np.empty((n, 2, n), dtype=dual.dtype)
        matrices[:, 0], matrices[:, 1] = dual, inverse
        rows = blas.product(self.rows, matrices.reshape(n, 2 * n)).reshape(count, 2, n)
        both = blas.product(rows.reshape(2 * count, n), self.adjoint_rows).reshape(count, 2, count)
        return Joint(matrices, rows, both)

    def schur(self, joint: Joint) -> tuple[Array, Array, Array]:
        """`Re tr(A_i X A_j S)` over the variables, and the `<A_j, X>` and `<A_j, S>`."""
        part = self.part
        p_p, p_q, q_q = self._quadratics(joint)
        crossed = _matched(p_q[:, 0], p_q[:, 1].conj().T)
        each = _matched(p_p[:, 0], q_q[:, 1])
        each += _matched(q_q[:, 0], p_p[:, 1])
        each += crossed
        each += crossed.T
        schur = np.zeros((part.variables, part.variables))
        schur[part.own, part.own] = part.gather(part.gather(each).T)
        self._add_borders(schur, joint)
        values = np.zeros((2, part.variables))
        for k in (0, 1):
            values[k, part.own] = part.gather(2 * np.real(p_q[:, k].diagonal()))
            part.add_metrics(values[k], np.real(joint.matrices[:, k].diagonal()))
        return schur, values[0], values[1]

    def _quadratics(self, joint: Joint) -> tuple[Array, Array, Array]:
        """P X P*, P X Q*, Q X Q* on neurons, and the same of S."""
        part, n0 = self.part, self.part.inputs
        own, mixed = joint.matrices[n0:, :, n0:], joint.rows[:, :, n0:]
        beta_mixed = mixed if part.to_one else part.beta[:, None, None] * mixed
        p_q = own - beta_mixed.transpose(2, 1, 0).conj()
        q_q = p_q - beta_mixed
        q_q += joint.both if part.to_one else part.beta[:, None, None] * joint.both * part.beta
        if part.from_zero:
            return own, p_q, q_q
        alpha_mixed = part.alpha[:, None, None] * mixed
        alpha_both = part.alpha[:, None, None] * joint.both
        p_p = own - alpha_mixed
        p_q += alpha_both * part.beta
        p_q -= alpha_mixed
        p_p -= alpha_mixed.transpose(2, 1, 0).conj()
        p_p += alpha_both * part.alpha
        return p_p, p_q, q_q

    def _add_borders(self, schur: Array, joint: Joint) -> None:
        """The rows and columns of metric variables."""
        part, n0 = self.part, self.part.inputs
        for metric in part.metrics:
            columns = metric.coordinates
            x, s = joint.matrices[n0:, 0, columns], joint.matrices[n0:, 1, columns]
            kx, ks = joint.rows[:, 0, columns], joint.rows[:, 1, columns]
            border = 2 * _matched(x, s) - self.sums[:, None] * (_matched(x, ks) + _matched(kx, s))
            if not part.from_zero:
                border += (2 * self.product)[:, None] * _matched(kx, ks)
            sums = metric.sign * part.shared(metric, part.gather(border).T)
            schur[metric.variables, part.own] += sums
            schur[part.own, metric.variables] += sums.T
            for other in part.metrics:
                values = _matched(*(joint.matrices[columns, k, other.coordinates] for k in (0, 1)))
                values = part.shared(other, part.shared(metric, values).T).T
                schur[metric.variables, other.variables] += metric.sign * other.sign * values

    def adjoint_of_product(self, left: Array, joint: Joint) -> Array:
        """`<A_j, V>` for every variable j, V the Hermitian part of `left* S`."""
        part, n0 = self.part, self.part.inputs
        mine, other, other_rows = left.conj().T, joint.matrices[:, 1], joint.rows[:, 1]
        mine_rows, own = blas.product(self.rows, mine), mine[n0:]
        each = 2 * _dots(own, other[n0:]) - self.sums * (_dots(own, other_rows) + _dots(mine_rows, other[n0:]))
        if not part.from_zero:
            each += 2 * self.product * _dots(mine_rows, other_rows)
        values = np.zeros(part.variables)
        values[part.own] = part.gather(each)
        part.add_metrics(values, _dots(mine, other))
        return values


def _matched(left: Array, right: Array) -> Array:
    """`Re left_ij conj(right_ij)`."""
    if left.dtype == float:
        return left * right
    return np.real(left * right.conj())


def _dots(left: Array, right: Array) -> Array:
    """`Re sum_j left_ij conj(right_ij)` for every row i."""
    if left.dtype == float:
        return np.einsum("ij,ij->i", left, right)
    return np.real(np.einsum("ij,ij->i", left, right.conj()))

"""The Schur complement of one inequality, a panel of rows at a time.

`A_j = p_j q_j* + q_j p_j*` has rank two, so `Re tr(A_i X A_j S)`, with X the dual matrix and S the inverse of M, is a
sum of elementwise products of P X P*, P X Q*, Q X P* and Q X Q* and the same of S. Only the entries right of the
diagonal are made, and what a panel needs of K X and K X K* is made for it alone: whole, they would be two more matrices
of the order of the neurons for X and two for S.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sdpcert.condition.inequality import Inequality, Metric

Matrix = Any


@dataclass(frozen=True, eq=False)
class Schur:
    """What one inequality adds to the Schur complement (right of the diagonal; borders of metric variables are whole),
    and the `<A_j, X>` and `<A_j, S>`.
    """

    matrix: Matrix
    dual: Matrix
    inverse: Matrix


@dataclass(frozen=True, eq=False)
class Rows:
    """A panel: the rows of some neurons of one group, numbered among the neurons."""

    group: int
    rows: slice


def panels(part: Inequality) -> list[Rows]:
    """The rows of all neurons in panels."""
    return [
        Rows(group, slice(own.start + piece.start, own.start + piece.stop))
        for group, own in enumerate(part.rows)
        if group > 0
        for piece in part.arrays.panels(own.stop - own.start)
    ]


def rows_times(part: Inequality, panel: Rows, right: Matrix, columns: slice) -> Matrix:
    """A panel's rows of `K @ right`, in some of the columns."""
    own = part.rows[panel.group]
    rows = slice(panel.rows.start - own.start, panel.rows.stop - own.start)
    result = part.arrays.zeros(rows.stop - rows.start, columns.stop - columns.start, like=right)
    for (to, source), block in part.blocks.items():
        if to == panel.group:
            part.arrays.add_product(result, block[rows], right[part.slices[source], columns])
    return result


def schur_complement(part: Inequality, dual: Matrix, inverse: Matrix) -> Schur:
    """From the dual matrix X and the inverse S of M, both whole."""
    arrays, size = part.arrays, part.variables
    found = Schur(arrays.zeros(size, size), arrays.zeros(size), arrays.zeros(size))
    for matrix, values in ((dual, found.dual), (inverse, found.inverse)):
        part.add_metrics(values, matrix.diagonal().real)
    assembly = _Assembly(part, dual, inverse, found)
    if part.per_group:  # panels of one group add to the same entries
        for panel in panels(part):
            assembly.add(panel)
    else:
        arrays.each(assembly.add, panels(part))
    for metric in part.metrics:
        for other in part.metrics:
            place = metric.coordinates, other.coordinates
            values = part.shared(metric, arrays.matched((dual[place], inverse[place])))
            values = part.shared(other, arrays.contiguous(values.T)).T
            found.matrix[metric.variables, other.variables] += metric.sign * other.sign * values
    return found


@dataclass(frozen=True, eq=False)
class _Assembly:
    """Adds a panel's share of the result: with a variable for each neuron it is that of no other panel."""

    part: Inequality
    dual: Matrix
    inverse: Matrix
    found: Schur

    def add(self, panel: Rows) -> None:
        part, rows = self.part, panel.rows
        size = rows.stop - rows.start
        x_pp, x_pq, x_qp, x_qq = self._quadratics(panel, self.dual)
        s_pp, s_pq, s_qp, s_qq = self._quadratics(panel, self.inverse)
        for values, matrix in ((self.found.dual, x_pq), (self.found.inverse, s_pq)):
            self._add_vector(values, panel, 2 * matrix[:, :size].diagonal().real)
        each = part.arrays.matched((x_pp, s_qq), (x_qq, s_pp), (x_pq, s_qp), (x_qp, s_pq))
        if part.per_group:
            self._add_sums(panel, each)
        else:
            first = part.own.start
            own = slice(first + rows.start, first + rows.stop)
            self.found.matrix[own, own.start : part.own.stop] += each
        for metric in part.metrics:
            self._add_border(panel, metric)

    def _add_vector(self, values: Matrix, panel: Rows, each: Matrix) -> None:
        first = self.part.own.start
        if self.part.per_group:
            values[first + panel.group - 1] += each.sum()
        else:
            values[first + panel.rows.start : first + panel.rows.stop] += each

    def _add_sums(self, panel: Rows, each: Matrix) -> None:
        """Sums over groups; what is right of the panel's square within its own group counts for what is below."""
        part, start = self.part, panel.rows.start
        size = panel.rows.stop - start
        place = part.own.start + panel.group - 1
        line = self.found.matrix[place]
        line[place] += each[:, :size].sum() + 2 * each[:, size : part.rows[panel.group].stop - start].sum()
        for group in range(panel.group + 1, len(part.rows)):
            later = part.rows[group]
            line[part.own.start + group - 1] += each[:, later.start - start : later.stop - start].sum()

    def _quadratics(self, panel: Rows, matrix: Matrix) -> tuple[Matrix, Matrix, Matrix, Matrix]:
        """P Z P*, P Z Q*, Q Z P*, Q Z Q* of a matrix Z: the panel's rows, and the columns from its first neuron on."""
        part = self.part
        rows, later = panel.rows, slice(panel.rows.start, part.neurons)
        coordinates = slice(part.inputs + rows.start, part.inputs + rows.stop)
        own = matrix[coordinates, part.inputs + rows.start :]
        first = min([part.inputs + rows.start, *(part.slices[s].start for to, s in part.blocks if to >= panel.group)])
        times = rows_times(part, panel, matrix, slice(first, part.order))
        left = times[:, part.inputs + rows.start - first :]
        right = self._times_adjoint(panel, matrix[coordinates], 0)
        both = self._times_adjoint(panel, times, first)
        alpha, beta = part.alpha[rows][:, None], part.beta[rows][:, None]
        alpha_later, beta_later = part.alpha[later], part.beta[later]
        if part.from_zero:
            if not part.to_one:
                right *= beta_later
                both *= beta_later
                left = beta * left
                both *= beta
            p_q = own - right
            q_p = own - left
            both += p_q
            both -= left
            return own, p_q, q_p, both
        alpha_left, beta_left = alpha * left, beta * left
        alpha_both, beta_both = alpha * both, beta * both
        p_p = own - alpha_left - alpha_later * (right - alpha_both)
        p_q = own - alpha_left - beta_later * (right - alpha_both)
        q_p = own - beta_left - alpha_later * (right - beta_both)
        q_q = own - beta_left - beta_later * (right - beta_both)
        return p_p, p_q, q_p, q_q

    def _times_adjoint(self, panel: Rows, left: Matrix, first: int) -> Matrix:
        """`left @ K*` in the columns from the panel's first neuron on; `left` has the columns from `first` on."""
        part, start = self.part, panel.rows.start
        result = part.arrays.zeros(len(left), part.neurons - start, like=left)
        for (to, source), block in part.blocks.items():
            if to < panel.group:
                continue
            own, read = part.rows[to], part.slices[source]
            begin = max(own.start, start)
            into = result[:, begin - start : own.stop - start]
            columns = left[:, read.start - first : read.stop - first]
            part.arrays.add_product(into, columns, block[begin - own.start :].conj().T)
        return result

    def _add_border(self, panel: Rows, metric: Metric) -> None:
        part, rows, columns = self.part, panel.rows, metric.coordinates
        coordinates = slice(part.inputs + rows.start, part.inputs + rows.stop)
        matched = part.arrays.matched
        x, s = self.dual[coordinates, columns], self.inverse[coordinates, columns]
        kx, ks = (rows_times(part, panel, matrix, columns) for matrix in (self.dual, self.inverse))
        alpha, beta = part.alpha[rows][:, None], part.beta[rows][:, None]
        border = 2 * matched((x, s)) - (alpha + beta) * matched((x, ks), (kx, s))
        if not part.from_zero:
            border = border + 2 * alpha * beta * matched((kx, ks))
        sums = metric.sign * part.shared(metric, part.arrays.contiguous(border.T))
        found, first = self.found.matrix, part.own.start
        if part.per_group:
            own = slice(first + panel.group - 1, first + panel.group)
            sums = sums.sum(1)[:, None]
        else:
            own = slice(first + rows.start, first + rows.stop)
        found[metric.variables, own] += sums
        found[own, metric.variables] += sums.T


def adjoint_of_product(part: Inequality, left: Matrix, right: Matrix) -> Matrix:
    """`<A_j, V>` for every variable j, V the Hermitian part of `left* right` with Hermitian `right`."""
    arrays = part.arrays
    values, whole = arrays.zeros(part.variables), slice(0, part.order)

    def neurons(panel: Rows) -> Matrix:
        own = slice(part.inputs + panel.rows.start, part.inputs + panel.rows.stop)
        mine, other = arrays.contiguous(left[:, own].conj().T), right[own]
        times = rows_times(part, panel, left.conj().T, whole)
        other_times = rows_times(part, panel, right, whole)
        alpha, beta = part.alpha[panel.rows], part.beta[panel.rows]
        dots = arrays.row_dots
        each = 2 * dots(mine, other) - (alpha + beta) * (dots(mine, other_times) + dots(times, other))
        return each if part.from_zero else each + 2 * alpha * beta * dots(times, other_times)

    cut = panels(part)
    for panel, each in zip(cut, arrays.each(neurons, cut), strict=True):
        if part.per_group:
            values[part.own.start + panel.group - 1] += each.sum()
        else:
            values[part.own.start + panel.rows.start : part.own.start + panel.rows.stop] += each
    for metric in part.metrics:
        mine = arrays.contiguous(left[:, metric.coordinates].conj().T)
        values[metric.variables] += metric.sign * part.shared(metric, arrays.row_dots(mine, right[metric.coordinates]))
    return values

"""What the condition says of the sources between two groups, once the multipliers of all others are known.

Cut a network after some group. The sources before the cut that later rows read separate the two sides. With the
multipliers of the head, the least value of `rho |x|^2 + sum_i 2 lambda_i (z_i - alpha_i v_i) (z_i - beta_i v_i)` over
everything else is a quadratic form X of the separating sources; with those of the tail, the largest value of `|y|^2`
minus the same sum is another one, Y. The condition holds if the forms of head and tail exist and X - Y >= 0. Each
group costs one Cholesky factorisation of the order of its neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.blas import cholesky, product, triangular_solve
from sdpcert.arithmetic.spectra import spectral_norm
from sdpcert.condition.scaling import Scaling, equilibrate, reduce_input
from sdpcert.network.stacked import StackedForm

Array = np.ndarray
#: By how much of its diagonal a form of the tail is raised until it has a Cholesky factor: that is on the safe side.
LIFTS = (0.0, 2.0**-46, 2.0**-42, 2.0**-36, 2.0**-30)


@dataclass(frozen=True, eq=False)
class SeparatorForm:
    """The quadratic form `matrix` of the values of some `sources`, one after the other."""

    sources: tuple[int, ...]
    matrix: Array


class Rows:
    """The rows of a network at unit scale, source by source; `sizes` are those of the sources.

    The scale is that of `condition.scaling`, with a wide input replaced by an equivalent narrow one.
    """

    def __init__(self, form: StackedForm, exponent: int) -> None:
        blocks, scaling = equilibrate(form)
        blocks, inputs = reduce_input(blocks, form.inputs)
        self.scaling: Scaling = scaling
        self.groups = len(form.groups)
        self.sizes = [inputs, *(g.size for g in form.groups)]
        self.alpha = [np.zeros(0), *(g.alpha for g in form.groups)]
        self.beta = [np.zeros(0), *(g.beta for g in form.groups)]
        self.rows: list[dict[int, Array]] = [{} for _ in range(self.groups + 2)]
        for (to, source), weights in sorted(blocks.items()):
            shift = scaling.output - exponent if to == form.output_row else 0
            self.rows[to][source] = np.ldexp(weights, shift)
        self.last_reader = [
            max((t for t, row in enumerate(self.rows) if s in row), default=0) for s in range(self.groups + 1)
        ]

    def joined(self, to: int, sources: tuple[int, ...]) -> Array:
        """One row of the network from the values of `sources` together."""
        row = self.rows[to]
        return np.concatenate([row[s] if s in row else np.zeros((self._height(to), self.sizes[s])) for s in sources], 1)

    def _height(self, to: int) -> int:
        return len(next(iter(self.rows[to].values())))

    def slices(self, sources: tuple[int, ...]) -> dict[int, Array]:
        """The coordinates of each of some sources that are joined."""
        ends = np.cumsum([0, *(self.sizes[s] for s in sources)])
        return {s: np.arange(ends[k], ends[k + 1]) for k, s in enumerate(sources)}

    # -- from the input ------------------------------------------------------------------------------------------------

    def input_form(self) -> SeparatorForm:
        """The form before the first group, for rho = 1."""
        return SeparatorForm((0,), np.eye(self.sizes[0]))

    def with_head(self, given: SeparatorForm, g: int, t: Array) -> SeparatorForm | None:
        """The form after group g with multipliers t (for rho = 1), or None if there is none."""
        alpha, beta = self.alpha[g], self.beta[g]
        reading = self.joined(g, given.sources)
        before = given.matrix
        square = 2 * t * alpha * beta
        if np.any(square):
            before = before + product(reading.T * square, reading)
        mixed = (t * (alpha + beta))[:, None] * reading
        places = self.slices(given.sources)
        kept = tuple(s for s in given.sources if self.last_reader[s] > g)
        gone = np.concatenate([places[s] for s in given.sources if s not in kept] or [np.zeros(0, int)])
        rest = np.concatenate([places[s] for s in kept] or [np.zeros(0, int)])
        factor = cholesky(before[np.ix_(gone, gone)])
        if factor is None:
            return None
        coupling = np.concatenate([before[np.ix_(gone, rest)], -mixed[:, gone].T], 1)
        half = triangular_solve(factor, coupling)
        matrix = -product(half.T, half)
        size = len(rest)
        matrix[:size, :size] += before[np.ix_(rest, rest)]
        matrix[size:, :size] -= mixed[:, rest]
        matrix[:size, size:] -= mixed[:, rest].T
        matrix[size:, size:] += np.diag(2 * t)
        return SeparatorForm((*kept, g), matrix)

    def gain(self, given: SeparatorForm) -> float:
        """The least rho for which the output fits the form that all groups leave; infinite if there is none."""
        factor = cholesky(given.matrix)
        if factor is None:
            return float("inf")
        return spectral_norm(triangular_solve(factor, self.joined(self.groups + 1, given.sources).T)) ** 2

    # -- from the output -----------------------------------------------------------------------------------------------

    def output_form(self) -> SeparatorForm:
        """The form after the last group: the square of the output."""
        sources = tuple(sorted(self.rows[self.groups + 1]))
        output = self.joined(self.groups + 1, sources)
        return SeparatorForm(sources, product(output.T, output))

    def with_tail(self, given: SeparatorForm, g: int, t: Array) -> SeparatorForm | None:
        """The form before group g with multipliers t, of the sources that it and later rows read, or None if there is
        none.
        """
        alpha, beta = self.alpha[g], self.beta[g]
        sources = tuple(sorted({*given.sources, *self.rows[g]} - {g}))
        reading, places, old = self.joined(g, sources), self.slices(sources), self.slices(given.sources)
        both = [s for s in sources if s in old]
        after = np.concatenate([places[s] for s in both] or [np.zeros(0, int)])
        before = np.concatenate([old[s] for s in both] or [np.zeros(0, int)])
        own = old.get(g, np.zeros(0, int))
        factor = cholesky(np.diag(2 * t) - given.matrix[np.ix_(own, own)])
        if factor is None:
            return None
        coupling = (t * (alpha + beta))[:, None] * reading
        coupling[:, after] += given.matrix[np.ix_(own, before)]
        half = triangular_solve(factor, coupling)
        matrix = product(half.T, half)
        matrix[np.ix_(after, after)] += given.matrix[np.ix_(before, before)]
        square = 2 * t * alpha * beta
        if np.any(square):
            matrix -= product(reading.T * square, reading)
        return SeparatorForm(sources, matrix)


def root(form: SeparatorForm) -> Array | None:
    """A matrix G with `G' G` equal to the form, or above it by rounding alone; None if it is not semidefinite."""
    diagonal = form.matrix.diagonal()
    largest = float(diagonal.max(initial=0.0))
    if not 0 < largest < np.inf:
        return None
    unit = np.sqrt(np.maximum(diagonal, 2.0**-100 * largest))
    scaled = form.matrix / unit[:, None] / unit
    for lift in LIFTS:
        factor = cholesky(scaled + lift * np.eye(len(scaled)))
        if factor is not None:
            return np.ascontiguousarray(factor.T) * unit
    return None

"""The forward recursion: a feasible point of the condition, group after group, that needs no solving.

Its cost follows the blocks of the network: of the factor it keeps what later rows still read, for a chain the block of
one group. For chains of ReLU layers it is ECLipsE-Fast.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sdpcert.arithmetic.blas import cholesky, triangular_solve
from sdpcert.arithmetic.blas import product as multiply
from sdpcert.arithmetic.spectra import largest_gram_eigenvalue
from sdpcert.condition.conditions import Conditions, stages
from sdpcert.condition.inequality import Inequality
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.solution import Solution

Array = np.ndarray
#: A neuron whose reading is this small beside the largest of its group counts as one that reads nothing.
SMALLEST_READING = 2.0**-40
#: Neurons of a group whose readings differ by less than this factor (in squares) start from one multiplier.
ALIKE = 16.0
#: The smallest theta that the search of a start tries.
SMALLEST_THETA = 2.0**-10
#: Where the search of the best theta ends; the golden section.
FINEST_THETA, GOLDEN = 0.03, (5**0.5 - 1) / 2
#: The largest share of the room that a group takes: all of it would leave a singular matrix.
LARGEST_SHARE = 1 - 2e-7


def closed_form(form: StackedForm, theta: float = 0.5) -> Solution:
    """The point of the forward recursion (ECLipsE-Fast for chains of ReLU layers).

    For chains whose groups have one slope interval each it is not above the product of norms, up to what
    `LARGEST_SHARE` costs.
    """
    condition = Condition(form, "neuron")
    multipliers, rho = forward_multipliers([condition], theta)
    rho *= 1 + 1e-9
    y = np.concatenate([[rho], rho * multipliers])
    return Solution(rho, tuple(condition.multipliers(y)), condition.scaling.output, 0.0, 0, "closed form")


def lowest_form(form: StackedForm) -> Solution:
    """The point of the forward recursion whose groups take the share of their room that gives about the least bound.

    Never above `closed_form`; a few passes through the network.
    """
    return closed_form(form, lowest_share(Condition(form, "neuron")))


def strictly_feasible(condition: Conditions, theta: float = 0.4, room: float = 1.5) -> Array:
    """A point y well inside of every inequality.

    The output of the condition is rescaled by the power of two that brings rho to order one, so that tolerances mean
    something at any depth. Raises `SolverError` if float64 cannot hold the point.
    """
    y = np.zeros(condition.variables)
    amount = 1.0
    for number, stage in enumerate(reversed(stages(condition))):
        multipliers, rho = _lowest(stage, theta)
        if not (np.isfinite(rho) and rho > 0 and np.all(np.isfinite(multipliers))):
            raise SolverError("the closed-form start is not finite: the weights span too many orders of magnitude")
        if number == 0:
            shift = int(np.round(np.log2(rho) / 2))
            condition.rescale_output(shift)
            rho *= 2.0 ** (-2 * shift)
        amount *= room * rho
        first = stage[0]
        if first.per_group:
            multipliers = np.array([multipliers[rows][0] for rows in first.rows[1:]])
        y[first.own] = amount * multipliers
        for part in stage:
            for metric in part.metrics:
                if metric.sign > 0:
                    y[metric.variables] = amount
    return y


def lowest_share(condition: Inequality) -> float:
    """The theta, not below 1/2, for which `forward_multipliers` has about the least rho.

    The recursion with 1/2 leaves the most room to the next group along the one direction that its rows read most. All
    other directions have room left, and that adds up with depth: for a hundred layers of normal weights the best theta
    is 0.7, with the bound of 1/2 over thousands. A golden section search, as rho falls and then rises.
    """

    def rho(theta: float) -> float:
        found = forward_multipliers([condition], theta)[1]
        return found if found > 0 else np.inf

    low, high = 0.5, 1.0
    inner, outer = high - GOLDEN * (high - low), low + GOLDEN * (high - low)
    known = {theta: rho(theta) for theta in (low, inner, outer)}
    while high - low > FINEST_THETA:
        if known[inner] <= known[outer]:
            high, outer = outer, inner
            inner = new = high - GOLDEN * (high - low)
        else:
            low, inner = inner, outer
            outer = new = low + GOLDEN * (high - low)
        known[new] = rho(new)
    return min(known, key=known.__getitem__)


def _lowest(stage: Sequence[Inequality], theta: float) -> tuple[Array, float]:
    """`forward_multipliers` with theta halved, or doubled while no share is above theta, as long as that lowers rho.

    Rows that read many sources leave them room. Slopes far from zero beside their width may take more than what is
    optimal for one neuron after another, because layers turn.
    """
    first, each = stage[0], not stage[0].per_group
    numpy = first.arrays.numpy
    largest = float(np.max(_share(numpy(first.alpha), numpy(first.beta)), initial=1e-3))
    best = forward_multipliers(stage, theta, each)
    for factor in (0.5, 2.0):
        tried, lower = factor * theta, True
        while lower and tried > SMALLEST_THETA and tried * largest <= theta:
            other = forward_multipliers(stage, tried, each)
            lower = other[1] < best[1]
            best, tried = (other if lower else best), tried * factor
    return best


def _share(alpha: Array, beta: Array) -> Array:
    """The share of the room that a group takes, over theta: see `forward_multipliers`."""
    return 2 / (1 + np.abs(alpha + beta) / (beta - alpha))


def forward_multipliers(stage: Sequence[Inequality], theta: float, each: bool = False) -> tuple[Array, float]:
    """Multipliers from a forward recursion over the groups, and the bound's square rho that goes with them.

    With X the matrix of the groups before g, A = K_g X^-1 K_g*, W the widths `beta_i - alpha_i` and T the multipliers
    of group g, the groups up to g are positive definite if `W A W T` has eigenvalues below 2. The recursion takes
    the share `2 theta / (1 + |alpha_i + beta_i| / (beta_i - alpha_i))` of that, 0 < theta <= 1/2. For a single neuron,
    theta = 1/2 makes what is left for the next group, `2 t - (alpha + beta)^2 t^2 / (1 / A + 2 alpha beta t)`, largest;
    for slopes from 0 to 1 it is the closed form of ECLipsE-Fast. Of a source that a later row reads as well, the share
    is at most theta. All neurons of a group have one multiplier, or with `each` one of their own, larger for rows that
    read much less than others (`_own_scale`).

    Returns the multipliers per neuron for rho = 1 without output and the least rho that they then allow, the output
    being F z or, where a metric variable measures it, those coordinates: (rho t, rho) is the point. Both are infinite
    if float64 does not hold them.
    """
    recursions = [_Recursion(part) for part in stage]
    first = stage[0]
    multipliers = np.zeros(first.neurons)
    beta, alpha = first.arrays.numpy(first.beta), first.arrays.numpy(first.alpha)
    for g in range(1, len(first.slices)):
        rows = first.rows[g]
        width = beta[rows] - alpha[rows]
        share = np.minimum(theta * _share(alpha[rows], beta[rows]), LARGEST_SHARE)
        if _read_again(first, g):
            share = np.minimum(share, theta)
        if not each:  # the widest neurons take most of the room
            share = share[[np.argmax(width)]]
        halves = [r.read(g, width) for r in recursions]
        scale = _own_scale(halves) if each else np.ones(1)
        largest = max(largest_gram_eigenvalue(np.sqrt(scale)[:, None] * half) for half in halves)
        if not np.isfinite(largest):
            return np.full(first.neurons, np.inf), np.inf
        multipliers[rows] = 2 * share * scale / largest if largest > 0 else 1.0
        if not all(r.extend(g, multipliers[rows]) for r in recursions):
            return np.full(first.neurons, np.inf), np.inf
    return multipliers, max(r.gain() for r in recursions)


def _read_again(part: Inequality, g: int) -> bool:
    """Whether a row after that of group g reads a source of it."""
    own = {s for to, s in part.blocks if to == g}
    return any(to > g and s in own for to, s in part.blocks) or not own.isdisjoint(part.output_blocks)


def _own_scale(halves: Sequence[Array]) -> Array:
    """How much larger than that of its group's strongest reader each neuron's multiplier is to be.

    That is one over its diagonal entry in A, which is the square of a row of `halves`, beside the largest; 1 for
    neurons within `ALIKE` of it, and for one that reads nothing.
    """
    diagonal = np.max([np.square(np.abs(half)).sum(axis=1) for half in halves], axis=0)
    top = float(diagonal.max(initial=0.0))
    if not 0 < top < np.inf:
        return np.ones(len(diagonal))
    return np.maximum(1.0, top / ALIKE / np.where(diagonal > SMALLEST_READING * top, diagonal, top))


class _Recursion:
    """The Cholesky factor of one inequality's matrix (rho = 1, no output), grown source by source.

    `rows[j]` is the factor's row of source j in one array, from the columns of source `first[j]` on to its own. Columns
    and rows before the first source that a later row reads are forgotten.
    """

    def __init__(self, part: Inequality) -> None:
        self.part, numpy = part, part.arrays.numpy
        self.alpha, self.beta = numpy(part.alpha), numpy(part.beta)
        self.kind = np.dtype(complex if part.like is not None else float)
        self.incoming: list[dict[int, Array]] = [{} for _ in part.slices]
        for (to, s), block in part.blocks.items():
            self.incoming[to][s] = block
        self.output = self._measured()
        self.needed = self._first_needed()
        self.rows: list[Array] = [np.eye(part.inputs, dtype=self.kind)]
        self.first, self.forgotten = [0], 0
        self.blocks: dict[int, Array] = {}
        self.half = np.zeros((0, 0))

    def _measured(self) -> dict[int, Array]:
        """The blocks that rho measures: those of F, and the identity on coordinates that metric variables measure."""
        part, numpy = self.part, self.part.arrays.numpy
        parts = [{s: numpy(block) for s, block in part.output_blocks.items()}]
        for metric in part.metrics:
            if metric.sign < 0:
                at = np.arange(metric.coordinates.start, metric.coordinates.stop)
                every = {s: np.arange(own.start, own.stop) for s, own in enumerate(part.slices)}
                parts.append({s: (at[:, None] == own) * 1.0 for s, own in every.items() if np.isin(own, at).any()})
        parts = [part for part in parts if part]
        sources = sorted({s for part in parts for s in part})
        columns = [own.stop - own.start for own in part.slices]
        heights = [len(next(iter(part.values()))) for part in parts]
        return {
            s: np.concatenate([p[s] if s in p else np.zeros((h, columns[s])) for p, h in zip(parts, heights)])
            for s in sources
        }

    def _first_needed(self) -> list[int]:
        """For each source the first that a row after it reads, or the number of sources if there is none."""
        count = len(self.part.slices)
        needed, first = [count] * count, min(self.output, default=count)
        for g in range(count - 1, -1, -1):
            needed[g] = first
            first = min([first, *self.incoming[g]])
        return needed

    def read(self, g: int, width: Array) -> Array:
        """H with `H H* = W K_g X^-1 K_g* W`, W the widths of the slope intervals."""
        self.blocks = {s: self.part.arrays.numpy(block) for s, block in self.incoming[g].items()}
        self.half = self._forward(self.blocks, g, len(width))
        return self.half * width[:, None]

    def _forward(self, blocks: dict[int, Array], end: int, height: int) -> Array:
        """`K L^-*` for the rows with these blocks, its columns from their first source on up to those of `end`."""
        slices = self.part.slices
        start = min(blocks, default=end)
        offset, stop = (slices[k].start if k < len(slices) else self.part.order for k in (start, end))
        half = np.zeros((height, stop - offset), dtype=self.kind)
        reached: list[int] = []
        for j in range(start, end):
            own = half[:, slices[j].start - offset : slices[j].stop - offset]
            if j in blocks:
                own[:] = blocks[j]
            since = max(start, self.first[j])
            if reached and reached[-1] >= since:
                before = half[:, slices[since].start - offset : slices[j].start - offset]
                skipped = self._columns(j, since)
                factor = self.rows[j][:, skipped : skipped + before.shape[1]]
                multiply(before, factor.conj().T, own, -1.0)
            elif j not in blocks:
                continue
            own[:] = _solve_right(self._corner(j), own)
            reached.append(j)
        return half

    def _corner(self, j: int) -> Array:
        """The diagonal block of the factor."""
        row = self.rows[j]
        return row[:, row.shape[1] - len(row) :]

    def extend(self, g: int, t: Array) -> bool:
        """Add group g with multipliers t; whether the matrix is positive definite with it."""
        own = self.part.rows[g]
        coupling = -(t * (self.alpha[own] + self.beta[own]))[:, None]
        square = 2 * t * self.alpha[own] * self.beta[own]
        if np.any(square):
            if not self._add_square(g, square):
                return False
            self.half = self._forward(self.blocks, g, len(t))
        spent = coupling * self.half
        factor = cholesky(np.diag(2 * t) - multiply(spent, spent.conj().T))
        if factor is None:
            return False
        self.rows.append(np.concatenate([spent, factor], axis=1))
        self.first.append(min(self.blocks, default=g))
        self._forget(min(self.needed[g], g))
        return True

    def _add_square(self, g: int, weight: Array) -> bool:
        """Add `K_g* diag(weight) K_g` to the matrix of the sources before g; whether it stays positive definite.

        The factor changes from the first source on that group g reads.
        """
        slices, start = self.part.slices, min(self.blocks, default=g)
        offset, size = slices[start].start, slices[g].start - slices[start].start
        at = [slice(own.start - offset, own.stop - offset) for own in slices[:g]]
        factor = np.zeros((size, size), dtype=self.kind)
        for j in range(start, g):
            since = max(start, self.first[j])
            factor[at[j], at[since].start : at[j].stop] = self.rows[j][:, self._columns(j, since) :]
        matrix = multiply(factor, factor.conj().T)
        for s, left in self.blocks.items():
            for u, right in self.blocks.items():
                matrix[at[s], at[u]] += (weight[:, None] * left).conj().T @ right
        changed = cholesky(matrix)
        if changed is None:
            return False
        for j in range(start, g):
            since = start if j in self.blocks else max(start, self.first[j])
            row = changed[at[j], at[since].start : at[j].stop]
            before = self.rows[j][:, : max(self._columns(j, start), 0)]
            self.rows[j] = np.concatenate([before, row], axis=1)
            self.first[j] = min(self.first[j], since)
        return True

    def _columns(self, j: int, source: int) -> int:
        """How many columns of row j come before those of a source."""
        return self.part.slices[source].start - self.part.slices[self.first[j]].start

    def _forget(self, first: int) -> None:
        """Drop what lies before a source."""
        for j in range(self.forgotten, len(self.rows)):
            if j < first:
                self.rows[j], self.forgotten = np.zeros((0, 0)), j + 1
            elif self.first[j] < first:
                self.rows[j] = np.array(self.rows[j][:, self._columns(j, first) :])
                self.first[j] = first

    def gain(self) -> float:
        """The least rho for which the output fits: the largest eigenvalue of `F X^-1 F*`."""
        height = len(next(iter(self.output.values()), np.zeros((0, 0))))
        return largest_gram_eigenvalue(self._forward(self.output, len(self.part.slices), height))


def _solve_right(factor: Array, right: Array) -> Array:
    """`right factor^-*`."""
    return triangular_solve(factor, right.conj().T).conj().T if factor.size else right

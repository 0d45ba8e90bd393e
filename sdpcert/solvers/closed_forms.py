"""Points of the condition that need no solving: the product of norms, and the forward recursion.

Both are points of the same matrix inequality, so both are proved like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy import linalg

from sdpcert.arithmetic.blas import cholesky
from sdpcert.arithmetic.spectra import largest_eigenvalue, spectral_norm
from sdpcert.condition.conditions import Conditions, stages
from sdpcert.condition.inequality import Inequality
from sdpcert.condition.matrix import Condition
from sdpcert.condition.scaling import equilibrate
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


class Slopes(Protocol):
    """A group of neurons with the ends of their slope intervals."""

    @property
    def alpha(self) -> Array:
        """Lower ends."""
        ...

    @property
    def beta(self) -> Array:
        """Upper ends."""
        ...

    @property
    def size(self) -> int:
        """Number of entries."""
        ...


def product(form: StackedForm, inflation: float = 0.0, uncertainty: float = 0.0) -> Solution:
    """The product of the layers' norms (each times 1 + `inflation`), with multipliers that make it a point of the
    condition.

    Forward, `l_g = m_g sum_s |K_gs| l_s` bounds how much group g can move, m_g being its largest absolute slope; for
    a chain that is the product of norms. Backward, with Cauchy's inequality weighted by the terms of these sums, `c_g
    |z_g|^2` is needed of group g; the multiplier `c_g m_i / (beta_i - alpha_i)` provides it, m_i the neuron's largest
    absolute slope.
    """
    blocks, scaling = equilibrate(form)
    norms = {key: spectral_norm(weights) * (1 + inflation) for key, weights in blocks.items()}
    shifts = (0, *scaling.neurons, -scaling.output)
    for (to, s), block in form.blocks.items():
        spread = uncertainty * sum(block.weights.shape) * block.radius
        norms[to, s] += float(np.ldexp(spread, shifts[to] - shifts[s]))
    rho, multipliers = product_multipliers(norms, form.groups)
    original = tuple(scaling.multipliers(multipliers))
    return Solution(rho, original, scaling.output, 0.0, 0, "closed form")


def product_multipliers(norms: dict[tuple[int, int], float], groups: Sequence[Slopes]) -> tuple[float, list[Array]]:
    """The square of the product bound, and multipliers (an array per group), from the norms of all blocks.

    See `product`; `norms[to, source]` bounds the block from source to row, `len(groups) + 1` being the output.
    """
    output_row = len(groups) + 1
    slopes = [float(np.max(np.maximum(np.abs(g.alpha), np.abs(g.beta)))) for g in groups]
    reach = [1.0]  # how far each source can move when the input moves by one
    for to in range(1, output_row + 1):
        incoming = sum(norm * reach[s] for (row, s), norm in norms.items() if row == to)
        reach.append(incoming * (slopes[to - 1] if to < output_row else 1.0))
    needed = [0.0] * len(reach)
    multipliers = [np.zeros(g.size) for g in groups]
    for to in range(output_row, 0, -1):
        if reach[to] == 0:
            continue
        amount, incoming = 1.0, reach[to]
        if to < output_row:
            group, slope = groups[to - 1], slopes[to - 1]
            own = np.maximum(np.abs(group.alpha), np.abs(group.beta))
            multipliers[to - 1] = needed[to] * own / (group.beta - group.alpha)
            amount, incoming = needed[to] * slope**2, reach[to] / slope
        for (row, s), norm in norms.items():
            if row == to and reach[s] > 0:
                needed[s] += amount * norm * incoming / reach[s]
    return needed[0], multipliers


def closed_form(form: StackedForm, theta: float = 0.5 - 1e-7) -> Solution:
    """The point of the forward recursion (ECLipsE-Fast for chains of ReLU layers).

    For chains whose groups have one slope interval each it is not above the product of norms, up to what theta below
    1/2 costs.
    """
    condition = Condition(form, "neuron")
    multipliers, rho = forward_multipliers([condition], theta)
    rho *= 1 + 1e-9
    y = np.concatenate([[rho], rho * multipliers])
    return Solution(rho, tuple(condition.multipliers(y)), condition.scaling.output, 0.0, 0, "closed form")


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
    the share `2 theta / (1 + |alpha_i + beta_i| / (beta_i - alpha_i))` of that, 0 < theta < 1/2. For a single neuron,
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
        share = theta * _share(alpha[rows], beta[rows])
        if _read_again(first, g):
            share = np.minimum(share, theta)
        if not each:  # the widest neurons take most of the room
            share = share[[np.argmax(width)]]
        grams = [r.read(g, width) for r in recursions]
        scale = _own_scale(grams) if each else np.ones(1)
        half = np.sqrt(scale)
        largest = max(largest_eigenvalue(half[:, None] * gram * half) for gram in grams)
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


def _own_scale(grams: Sequence[Array]) -> Array:
    """How much larger than that of its group's strongest reader each neuron's multiplier is to be.

    That is one over its diagonal entry beside the largest; 1 for neurons within `ALIKE` of it, and for one that reads
    nothing.
    """
    diagonal = np.max([np.real(gram.diagonal()) for gram in grams], axis=0)
    top = float(diagonal.max(initial=0.0))
    if not 0 < top < np.inf:
        return np.ones(len(diagonal))
    return np.maximum(1.0, top / ALIKE / np.where(diagonal > SMALLEST_READING * top, diagonal, top))


class _Recursion:
    """The Cholesky factor of one inequality's matrix (rho = 1, no output), grown group by group."""

    def __init__(self, part: Inequality) -> None:
        self.part, numpy = part, part.arrays.numpy
        self.alpha, self.beta = numpy(part.alpha), numpy(part.beta)
        self.blocks = {key: numpy(w) for key, w in part.blocks.items()}
        kind = complex if part.like is not None else float
        self.factor = np.zeros((part.order, part.order), dtype=kind)
        self.matrix = None if part.from_zero else np.zeros((part.order, part.order), dtype=kind)
        inputs = np.arange(part.inputs)
        for target in (self.factor, self.matrix):
            if target is not None:
                target[inputs, inputs] = 1.0
        self.incoming = self.half = np.zeros((0, 0))

    def read(self, g: int, width: Array) -> Array:
        """`W K_g X^-1 K_g* W`, W the widths of the slope intervals."""
        part, own = self.part, self.part.slices[g]
        before = own.start
        sources = [s for (to, s) in self.blocks if to == g]
        self.incoming = np.zeros((own.stop - before, before), dtype=self.factor.dtype)
        for s in sources:
            self.incoming[:, part.slices[s]] = self.blocks[g, s]
        start = min((part.slices[s].start for s in sources), default=before)
        self.half = np.zeros_like(self.incoming)
        self.half[:, start:] = _solve_right(self.factor[start:before, start:before], self.incoming[:, start:])
        weighted = self.half[:, start:] * width[:, None]
        return weighted @ weighted.conj().T

    def extend(self, g: int, t: Array) -> bool:
        """Add group g with multipliers t; whether the matrix is positive definite with it."""
        part, own = self.part, self.part.slices[g]
        before, rows = own.start, part.rows[g]
        coupling = -(t * (self.alpha[rows] + self.beta[rows]))[:, None]
        square = 2 * t * self.alpha[rows] * self.beta[rows]
        if self.matrix is not None:
            self.matrix[own, :before] = coupling * self.incoming
            self.matrix[own, own] = np.diag(2 * t)
        if self.matrix is not None and np.any(square):
            self.matrix[:before, :before] += (square[:, None] * self.incoming).conj().T @ self.incoming
            lower = np.tril(self.matrix[: own.stop, : own.stop])
            changed, factor = slice(0, own.stop), cholesky(lower + np.tril(lower, -1).conj().T)
        else:
            self.factor[own, :before] = coupling * self.half
            spent = self.factor[own, :before]
            changed, factor = own, cholesky(np.diag(2 * t) - spent @ spent.conj().T)
        if factor is None:
            return False
        self.factor[changed, changed] = factor
        return True

    def gain(self) -> float:
        """The least rho for which the output fits: the largest eigenvalue of `F X^-1 F*`."""
        part, numpy = self.part, self.part.arrays.numpy
        measured = [m.coordinates for m in part.metrics if m.sign < 0]
        count = sum(c.stop - c.start for c in measured)
        count = max([len(w) for w in part.output_blocks.values()] + [count, 1])
        output = np.zeros((count, part.order), dtype=self.factor.dtype)
        for s, block in part.output_blocks.items():
            output[:, part.slices[s]] = numpy(block)
        row = 0
        for c in measured:
            size = c.stop - c.start
            output[row : row + size, c] = np.eye(size)
            row += size
        half = _solve_right(self.factor, output)
        return spectral_norm(half) ** 2


def _solve_right(factor: Array, right: Array) -> Array:
    """`right factor^-*`."""
    if not factor.size:
        return right
    return linalg.solve_triangular(factor, right.conj().T, lower=True, check_finite=False).conj().T

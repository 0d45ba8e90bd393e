"""Points of the condition that need no solving: the product of norms, and the forward recursion.

Both are points of the same matrix inequality, so both are proved like any other.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from scipy import linalg

from sdpcert.condition.conditions import Conditions, stages
from sdpcert.condition.inequality import Inequality
from sdpcert.condition.matrix import Condition
from sdpcert.condition.scaling import equilibrate
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.solution import Solution, SolverError

Array = np.ndarray
#: Neurons that read less than this share of what the largest of their group does, squared, are faint; and by how much
#: their multipliers may be above the others' at the start.
FAINT, LARGEST_FACTOR = 1e-4, 1e12


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
    norms = {key: float(np.linalg.norm(weights, 2)) * (1 + inflation) for key, weights in blocks.items()}
    shifts = (0, *scaling.neurons, -scaling.output)
    for (to, s), block in form.blocks.items():
        spread = uncertainty * sum(block.weights.shape) * block.radius
        norms[to, s] += float(np.ldexp(spread, shifts[to] - shifts[s]))
    rho, multipliers = product_multipliers(norms, form.groups)
    original = tuple(scaling.multipliers(multipliers))
    return Solution(rho, original, scaling.output, 0.0, 0, "closed form")


def product_multipliers(norms: dict[tuple[int, int], float], groups: Sequence[Slopes]) -> tuple[float, list[Array]]:
    """The square of the product bound and multipliers, one a neuron by group, from the norms of all blocks.

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
    """The point of the forward recursion (ECLipsE-Fast for chains of ReLU layers), never worse than the product for
    chains.
    """
    condition = Condition(form, "neuron")
    multipliers, rho = forward_multipliers([condition], theta)
    rho *= 1 + 1e-9
    y = np.concatenate([[rho], rho * multipliers])
    return Solution(rho, tuple(condition.multipliers(y)), condition.scaling.output, 0.0, 0, "closed form")


def strictly_feasible(condition: Conditions, theta: float = 0.4, room: float = 1.5) -> Array:
    """A point y well inside of every inequality.

    The output of the condition is rescaled by the power of two that brings rho to order one, so that tolerances mean
    something at any depth. Raises `SolverError` where float64 cannot hold the point.
    """
    y = np.zeros(condition.variables)
    amount = 1.0
    for number, stage in enumerate(reversed(stages(condition))):
        multipliers, rho = forward_multipliers(stage, theta, faint=not stage[0].per_group)
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


def forward_multipliers(stage: Sequence[Inequality], theta: float, faint: bool = False) -> tuple[Array, float]:
    """Multipliers from a forward recursion over the groups, and the bound's square rho that goes with them.

    Group g gets `t_i = 2 theta / ((beta_i - alpha_i)^2 s)` with s the largest eigenvalue of `K_g X^-1 K_g*` over the
    inequalities of the stage, X the matrix of the groups before it; 0 < theta < 1 keeps it strictly feasible, theta =
    1/2 is the closed form of ECLipsE-Fast. Returns the multipliers per neuron for rho = 1 without output and the
    least rho that they then allow, the output being F z or, where a metric variable measures it, those coordinates:
    (rho t, rho) is the point.

    With `faint`, neurons that read next to nothing get more: their optimal multipliers are orders of magnitude above
    the others', and a Newton step no more than doubles them.
    """
    recursions = [_Recursion(part) for part in stage]
    first = stage[0]
    multipliers = np.zeros(first.neurons)
    beta, alpha = first.arrays.numpy(first.beta), first.arrays.numpy(first.alpha)
    for g in range(1, len(first.slices)):
        rows = first.rows[g]
        width = beta[rows] - alpha[rows]
        largest = max(r.read(g, width) for r in recursions)
        multipliers[rows] = 2 * theta / largest if largest > 0 else 1.0
        if faint and largest > 0:
            weight = _weights(np.max([r.energies(width) for r in recursions], axis=0))
            if np.any(weight > 1):
                largest = max(r.read(g, width * np.sqrt(weight)) for r in recursions)
                multipliers[rows] = 2 * theta * weight / largest
        for r in recursions:
            r.extend(g, multipliers[rows])
    return multipliers, max(r.gain() for r in recursions)


def _weights(energies: Array) -> Array:
    """Factors of the multipliers of neurons from the squares of what they read: of the order that the optimum has, one
    over its root, where that is far below the largest.
    """
    share = energies / np.max(energies)
    faint = (share > 0) & (share < FAINT)
    return np.where(faint, np.minimum(np.where(faint, share, 1.0) ** -0.5, LARGEST_FACTOR), 1.0)


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

    def read(self, g: int, width: Array) -> float:
        """Largest eigenvalue of `W K_g X^-1 K_g* W`, W the widths of the slope intervals."""
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
        return float(np.linalg.eigvalsh(weighted @ weighted.conj().T)[-1])

    def energies(self, width: Array) -> Array:
        """The diagonal of the matrix that `read` looked at last, with W the widths given."""
        return np.square(np.abs(self.half)).sum(axis=1) * width**2

    def extend(self, g: int, t: Array) -> None:
        """Add group g with multipliers t."""
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
            self.factor[: own.stop, : own.stop] = np.linalg.cholesky(lower + np.tril(lower, -1).conj().T)
        else:
            self.factor[own, :before] = coupling * self.half
            spent = self.factor[own, :before]
            self.factor[own, own] = np.linalg.cholesky(np.diag(2 * t) - spent @ spent.conj().T)

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
        return float(np.linalg.norm(half, 2) ** 2)


def _solve_right(factor: Array, right: Array) -> Array:
    """`right factor^-*`."""
    if not factor.size:
        return right
    return linalg.solve_triangular(factor, right.conj().T, lower=True, check_finite=False).conj().T

"""Points of the condition that need no solving: the product of norms, and the forward recursion.

Both are points of the same matrix inequality, so both are proved like any other.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from sdpcert.condition.matrix import Condition
from sdpcert.condition.scaling import equilibrate
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.solution import Solution

Array = np.ndarray


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
    slopes = [float(np.max(np.maximum(np.abs(g.alpha), np.abs(g.beta)))) for g in form.groups]
    reach = [1.0]  # how far each source can move when the input moves by one
    for to in range(1, form.output_row + 1):
        incoming = sum(norm * reach[s] for (row, s), norm in norms.items() if row == to)
        reach.append(incoming * (slopes[to - 1] if to < form.output_row else 1.0))
    needed = [0.0] * len(reach)
    multipliers = [np.zeros(g.size) for g in form.groups]
    for to in range(form.output_row, 0, -1):
        if reach[to] == 0:
            continue
        amount, incoming = 1.0, reach[to]
        if to < form.output_row:
            group, slope = form.groups[to - 1], slopes[to - 1]
            own = np.maximum(np.abs(group.alpha), np.abs(group.beta))
            multipliers[to - 1] = needed[to] * own / (group.beta - group.alpha)
            amount, incoming = needed[to] * slope**2, reach[to] / slope
        for (row, s), norm in norms.items():
            if row == to and reach[s] > 0:
                needed[s] += amount * norm * incoming / reach[s]
    original = tuple(scaling.multipliers(multipliers))
    return Solution(needed[0], original, scaling.output, 0.0, 0, "closed form")


def closed_form(form: StackedForm, theta: float = 0.5 - 1e-7) -> Solution:
    """The point of the forward recursion (ECLipsE-Fast for chains of ReLU layers), never worse than the product for
    chains.
    """
    condition = Condition(form, "neuron")
    multipliers, rho = forward_multipliers(condition, theta)
    rho *= 1 + 1e-9
    y = np.concatenate([[rho], rho * multipliers])
    return Solution(rho, tuple(condition.multipliers(y)), condition.scaling.output, 0.0, 0, "closed form")


def forward_multipliers(condition: Condition, theta: float) -> tuple[Array, float]:
    """Multipliers from a forward recursion over the groups, and the bound's square rho that goes with them.

    Group g gets `t_i = 2 theta / ((beta_i - alpha_i)^2 s)` with s the largest eigenvalue of `K_g X^-1 K_g'`, X the
    matrix of the groups before it; 0 < theta < 1 keeps it strictly feasible, theta = 1/2 is the closed form of
    ECLipsE-Fast. Returns the multipliers per neuron for rho = 1 without output and the least rho that they then
    allow: (rho t, rho) is the point.
    """
    arrays = condition.arrays
    alpha, beta = arrays.numpy(condition.alpha), arrays.numpy(condition.beta)
    blocks = {key: arrays.numpy(w) for key, w in condition.blocks.items()}
    n = condition.order
    matrix = np.zeros((n, n))
    matrix[: condition.inputs, : condition.inputs] = np.eye(condition.inputs)
    factor = np.zeros((n, n))
    factor[: condition.inputs, : condition.inputs] = np.eye(condition.inputs)
    multipliers = np.zeros(condition.neurons)
    for g in range(1, len(condition.slices)):
        own, rows = condition.slices[g], condition.rows[g]
        before = own.start
        incoming = np.zeros((own.stop - before, before))
        for (to, s), block in blocks.items():
            if to == g:
                incoming[:, condition.slices[s]] = block
        first = min((condition.slices[s].start for (to, s) in blocks if to == g), default=before)
        half = np.zeros_like(incoming)
        half[:, first:] = linalg.solve_triangular(
            factor[first:before, first:before], incoming[:, first:].T, lower=True, check_finite=False
        ).T
        width = beta[rows] - alpha[rows]
        weighted = half * width[:, None]
        largest = float(np.linalg.eigvalsh(weighted @ weighted.T)[-1])
        t = np.full(own.stop - before, 2 * theta / largest if largest > 0 else 1.0)
        multipliers[rows] = t
        coupling = -(t * (alpha[rows] + beta[rows]))[:, None]
        square = 2 * t * alpha[rows] * beta[rows]
        matrix[own, :before] = coupling * incoming
        matrix[own, own] = np.diag(2 * t)
        if np.any(square):
            matrix[:before, :before] += (square[:, None] * incoming).T @ incoming
            factor[: own.stop, : own.stop] = _cholesky_of_lower(matrix[: own.stop, : own.stop])
        else:
            factor[own, :before] = coupling * half
            factor[own, own] = np.linalg.cholesky(np.diag(2 * t) - factor[own, :before] @ factor[own, :before].T)
    output = np.zeros((max((len(w) for w in condition.output_blocks.values()), default=1), n))
    for s, block in condition.output_blocks.items():
        output[:, condition.slices[s]] = arrays.numpy(block)
    half = linalg.solve_triangular(factor, output.T, lower=True, check_finite=False)
    return multipliers, float(np.linalg.norm(half, 2) ** 2)


def _cholesky_of_lower(matrix: Array) -> Array:
    return linalg.cholesky(np.tril(matrix) + np.tril(matrix, -1).T, lower=True, check_finite=False)

"""The product of the layers' norms as a point of the condition, for any slopes and any graph of blocks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np

from sdpcert.arithmetic.spectra import spectral_norm
from sdpcert.condition.scaling import equilibrate
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.solution import Solution

Array = np.ndarray


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
    rows: list[dict[int, float]] = [{} for _ in range(output_row + 1)]
    for (to, s), norm in norms.items():
        rows[to][s] = norm
    reach = [1.0]  # how far each source can move when the input moves by one
    for to in range(1, output_row + 1):
        incoming = sum(norm * reach[s] for s, norm in rows[to].items())
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
        for s, norm in rows[to].items():
            if reach[s] > 0:
                needed[s] += amount * norm * incoming / reach[s]
    return needed[0], multipliers

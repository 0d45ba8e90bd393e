"""A wide input replaced by a smaller one: a square factor of the rows that read it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.arithmetic.blas import cholesky, product
from sdpcert.arithmetic.exact import Total, add_product
from sdpcert.certificate.dominance import dominance
from sdpcert.network.stacked import StackedForm
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class InputFactor(ShortRepr):
    """R with R R' - G G' positive semidefinite, G the rows that read the input, and the row scaling of that proof."""

    weights: Array
    scaling: Array


def factor_input(form: StackedForm) -> InputFactor | None:
    """A square factor that replaces an input wider than the rows that read it, or None if that saves nothing."""
    readers = [form.blocks[key] for key in sorted(form.blocks) if key[1] == 0]
    if not readers or form.inputs <= sum(len(b.weights) for b in readers):
        return None
    stacked = np.concatenate([b.weights for b in readers])
    lows = None
    if any(b.low is not None for b in readers):
        lows = np.concatenate([np.zeros_like(b.weights) if b.low is None else b.low for b in readers])
    radius = np.concatenate([np.full(len(b.weights), b.radius) for b in readers])
    size = np.sqrt(np.square(stacked if lows is None else np.abs(stacked) + np.abs(lows)).sum(axis=1))
    active = size > 0
    scaling = np.where(active, np.frexp(np.where(active, size, 1.0))[1], 0)
    if not np.all(np.isfinite(size)) or not all(b.finite for b in readers):
        return None
    unit = np.ldexp(stacked, -scaling[:, None])
    gram = Total(np.zeros((len(unit), len(unit))))
    add_product(gram, unit, unit, sign=-1.0)
    rows = np.abs(unit).sum(axis=1)
    lower = None if lows is None else np.ldexp(lows, -scaling[:, None])
    if lower is not None:
        cross = product(lower, unit.T)
        spread = product(np.abs(lower), np.abs(unit).T)
        spread = spread * ((form.inputs + 4) * 2.0**-52) + form.inputs * np.finfo(float).tiny * np.outer(active, active)
        gram.add(-(cross + cross.T), spread + spread.T + 2.0**-52 * np.abs(cross + cross.T))
        gram.error += product(np.abs(lower), np.abs(lower).T) * (1 + form.inputs * 2.0**-51)
        rows = rows + np.abs(lower).sum(axis=1)
    scaled_radius = np.ldexp(radius, -scaling)
    allowances = (
        scaled_radius * rows.sum() + scaled_radius.sum() * rows + form.inputs * scaled_radius * scaled_radius.sum()
    )
    allowances[(radius > 0) | ((rows > 0) & bool(np.any(radius > 0)))] += np.finfo(float).tiny  # none of them vanishes
    lost = np.any(np.ldexp(unit, scaling[:, None]) != stacked)
    if lost or (lower is not None and np.any(np.ldexp(lower, scaling[:, None]) != lows)):
        allowances[active] += form.inputs * 2.0**-1000  # what the scaling lost
    allowances *= 1 + 1e-10
    if not np.all(np.isfinite(allowances)) or not error_bound.is_exact(allowances[~active]):
        return None
    core = -(gram.high + gram.low)[np.ix_(active, active)]
    shift = 8 * 2.0**-53 * len(core) ** 0.5 + 2 * float(np.max(allowances))
    for _ in range(6):
        factor = np.zeros_like(gram.high)
        lower = cholesky(core + shift * np.eye(len(core)))
        if lower is not None:
            factor[np.ix_(active, active)] = lower
            total = Total(gram.high)
            total.low, total.error = gram.low.copy(), gram.error.copy()
            add_product(total, factor, factor)
            missing = dominance(*total.value(), allowances)
            if missing <= 0:
                return InputFactor(np.ldexp(factor, scaling[:, None]), scaling)
            shift += 1.25 * missing
        else:
            shift *= 4
    return None

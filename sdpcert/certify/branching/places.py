"""Where the interval of a neuron may be divided."""

from __future__ import annotations

import numpy as np

from sdpcert.regions.state import State

Array = np.ndarray


def places(state: State, number: int) -> Array:
    """Where each neuron of a group may be split: at the kink inside of its interval that is nearest to the middle, or
    in the middle of a smooth one; NaN where it may not.
    """
    group, low, high = state.form.groups[number - 1], state.low[number - 1], state.high[number - 1]
    with np.errstate(invalid="ignore"):
        middle = np.where(np.isfinite(low) & np.isfinite(high), low + (high - low) / 2, np.nan)
        if not group.is_piecewise_linear:
            return np.where((low < middle) & (middle < high), middle, np.nan)
        found, nearest = np.full(group.size, np.nan), np.full(group.size, np.inf)
        for kink in group.activation.kinks:
            at = group.per_neuron(kink)
            distance = np.where(np.isnan(middle), 0.0, np.abs(at - middle))
            nearer = (low < at) & (at < high) & (distance < nearest)
            found, nearest = np.where(nearer, at, found), np.where(nearer, distance, nearest)
    return found

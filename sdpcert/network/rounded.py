"""Merging affine layers in float64, the rounding bounded: the rule of certificates that have no low parts.

It is kept so that such files still bind to their networks; `doubled.py` is the rule of today.
"""

from __future__ import annotations

import numpy as np

from sdpcert.network.affine import AffineLayer
from sdpcert.network.known import UNIT_ROUNDOFF, Known


def merge_rounded(layer: AffineLayer, given: list[Known]) -> Known:
    """The layer applied to coefficients (source, *shape) of its arguments, in float64; low parts count as errors."""
    high = [g.high for g in given]
    result = layer.linear(*high)
    error = layer.rounding(high, result)
    inherited = [g.error if g.low is None else g.error + np.abs(g.low) for g in given]
    if any(np.any(e) for e in inherited):
        uncertain = [np.broadcast_to(e, h.shape) for e, h in zip(inherited, high, strict=True)]
        spread = layer.magnitude(*uncertain) * (1 + (layer.terms + 2) * 2 * UNIT_ROUNDOFF)
        spread = spread + np.where(layer.reached(uncertain), np.finfo(float).tiny, 0.0)
        error = spread * (1 + layer.coefficient_error) + error
    return Known(result, None, error).normalised()

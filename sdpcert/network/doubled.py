"""Merging affine layers in doubled precision: the coefficients of a product as high + low with an error of 2^-100.

Each kind of layer merges what is given in its own way (`AffineLayer.merge`); if the result is a float64 there is no
low part and no error. What the errors of the arguments become is the same for all kinds, and is found here.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sdpcert.arithmetic.error_bound import bounds
from sdpcert.arithmetic.norms import row_norms_up
from sdpcert.network.affine import AffineLayer
from sdpcert.network.known import SLACK, UNDERFLOW, Known


def merge_doubled(layer: AffineLayer, given: list[Known]) -> Known:
    """The layer applied to coefficients (source, *shape) of its arguments, in doubled precision.

    Errors are bounded twice: entry by entry, where absolute coefficients let them grow, and in norm, which grows by the
    norms of the layers only and keeps deep networks of bounded layers exact enough.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        result = layer.merge(given).normalised()
        if layer.coefficient_error:
            relative = layer.coefficient_error * (1 + 2.0**-50)
            sizes = [np.abs(g.high) * relative + np.where(g.high != 0, UNDERFLOW, 0.0) for g in given]
            result = Known(result.high, result.low, result.error + layer.spread(sizes))
        return _with_inherited(layer, given, result)


def _with_inherited(layer: AffineLayer, given: list[Known], result: Known) -> Known:
    """The result, whose error is what the layer itself lost, with what the errors of its arguments become."""
    if not any(g.uncertain for g in given):
        return result
    inherited = layer.spread([g.errors for g in given]) * (1 + layer.coefficient_error)
    error = bounds((result.errors + inherited) * SLACK)
    together = layer.joint_norm([_norm(layer, g.high.shape[1:]) * g.norms for g in given])
    tiny = UNDERFLOW * float(np.sqrt(result.high[0].size)) if len(result.high) else 0.0
    norm = np.minimum(bounds((together + result.norms + tiny) * SLACK), row_norms_up(error))
    rows = norm.reshape(-1, *[1] * (error.ndim - 1))
    return Known(result.high, result.low, np.where(error == 0, 0.0, np.minimum(error, rows)), norm)


@lru_cache(maxsize=1)  # the sources of one layer come one after the other
def _norm(layer: AffineLayer, shape: tuple[int, ...]) -> float:
    return layer.norm_bound(shape)

"""Merging affine layers in float64, the rounding bounded: the rule of certificates that have no low parts.

It is kept so that such files still bind to their networks; `doubled.py` is the rule of today.
"""

from __future__ import annotations

import numpy as np

from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Rearrange, Sum
from sdpcert.network.known import Known

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53


def merge_rounded(layer: AffineLayer, given: list[Known]) -> Known:
    """The layer applied to coefficients (source, *shape) of its arguments, in float64; low parts count as errors."""
    result = layer.linear(*(g.high for g in given))
    return Known(result, None, _error(layer, given, result)).normalised()


def _error(layer: AffineLayer, known: list[Known], result: Array) -> Array | float:
    """Bound, entry by entry, the difference between the computed and the exact coefficients of one source."""
    given = [k.high for k in known]
    inherited = [k.error if k.low is None else k.error + np.abs(k.low) for k in known]
    spread: Array | float = 0.0
    if any(np.any(e) for e in inherited):
        uncertain = [np.broadcast_to(e, g.shape) for e, g in zip(inherited, given, strict=True)]
        spread = layer.magnitude(*uncertain) * (1 + (layer.terms + 2) * 2 * UNIT_ROUNDOFF)
        spread = spread + np.where(reached(layer, uncertain), np.finfo(float).tiny, 0.0)
    if isinstance(layer, Rearrange | Concat):
        return spread
    if isinstance(layer, Sum):
        return spread + _rounding_of_sum(layer, given)
    if layer.coefficient_error == 0 and all(moves_entries(g) for g in given) and not rounds_by_wrapping(layer, given):
        return spread + underflow_of_moves(layer, given, result)
    terms = layer.terms + 2
    relative = terms * UNIT_ROUNDOFF / (1 - terms * UNIT_ROUNDOFF) + layer.coefficient_error
    bound = layer.magnitude(*map(np.abs, given)) * (1 + 2 * relative)
    underflow = np.where(reached(layer, given), layer.terms * np.finfo(float).smallest_subnormal, 0.0)
    return spread * (1 + layer.coefficient_error) + relative * bound + underflow


def _rounding_of_sum(layer: Sum, given: list[Array]) -> Array:
    """What `layer.linear` loses on the given terms, in its order of summation (each loss is a float64: Knuth)."""
    total, lost = layer.signs[0] * given[0], np.zeros_like(given[0])
    for sign, values in zip(layer.signs[1:], given[1:], strict=True):
        term, before = sign * values, total
        total = before + term
        back = total - before
        lost += np.abs((before - (total - back)) + (term - back))
    return lost * (1 + len(given) * 2 * UNIT_ROUNDOFF)


def rounds_by_wrapping(layer: AffineLayer, given: list[Array]) -> bool:
    """Whether a circular kernel larger than the image has taps that meet on one pixel with a sum that is rounded."""
    if not (isinstance(layer, Conv2d) and layer.circular):
        return False
    height, width = given[0].shape[2:]
    sums: dict[tuple[int, int], Array] = {}
    for y in range(layer.kernel.shape[2]):
        for x in range(layer.kernel.shape[3]):
            place = (y * layer.dilation[0] % height, x * layer.dilation[1] % width)
            tap = layer.kernel[:, :, y, x]
            if place in sums:
                before, total = sums[place], sums[place] + tap
                back = total - before
                if np.any((before - (total - back)) + (tap - back)):  # Knuth: what the addition lost
                    return True
                tap = total
            sums[place] = tap
    return False


def moves_entries(coefficients: Array) -> bool:
    """Whether each source coordinate reaches at most one entry, with a power of two: then products are exact."""
    flat = coefficients.reshape(len(coefficients), -1)
    if np.count_nonzero(flat) > len(flat) or np.any(np.count_nonzero(flat, axis=1) > 1):
        return False
    values = np.abs(flat[flat != 0])
    return bool(np.all(np.frexp(values)[0] == 0.5)) and bool(np.all((values >= 2.0**-100) & (values <= 2.0**100)))


def underflow_of_moves(layer: AffineLayer, given: list[Array], result: Array) -> Array | float:
    """What products with powers of two below one can lose: they are exact unless the product is subnormal."""
    if all(np.all((g == 0) | (np.abs(g) >= 1)) for g in given):
        return 0.0
    lost = reached(layer, given) & (np.abs(result) < np.finfo(float).tiny)
    return np.where(lost, np.finfo(float).smallest_subnormal, 0.0)


def reached(layer: AffineLayer, given: list[Array]) -> Array:
    """The entries that a nonzero entry reaches with a nonzero coefficient, whatever underflows."""
    return layer.magnitude(*((g != 0).astype(float) for g in given)) != 0

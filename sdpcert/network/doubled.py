"""Merging affine layers in doubled precision: the coefficients of a product as high + low with an error of 2^-100.

Sums are split by TwoSum, scalings by TwoProduct, products of matrices and convolutions by slices of so few bits that
float64 multiplies them without rounding (`sdpcert.arithmetic.exact`). Where the result is a float64 there is no low
part and no error. Rows are brought to unit size by powers of two first, so the range of float64 does not matter until
the result is stored in it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from sdpcert.arithmetic.error_bound import bounds
from sdpcert.arithmetic.exact import UNIT_ROUNDOFF, slices, two_product, two_sum
from sdpcert.network.affine import AffineLayer, Concat, Conv2d, Dense, Rearrange, Scale, Sum
from sdpcert.network.known import Known, row_norms
from sdpcert.network.norms import norm_bound
from sdpcert.network.rounded import merge_rounded, moves_entries, reached, rounds_by_wrapping, underflow_of_moves

Array = np.ndarray
#: Entries of the coefficients that are worked on at once.
CHUNK = 2**21
#: What one product may lose by underflow, with room.
UNDERFLOW = 2.0**-1070
#: Room for the rounding of error bounds, which are sums of nonnegative numbers.
SLACK = 1 + 1e-9


def merge_doubled(layer: AffineLayer, given: list[Known]) -> Known:
    """The layer applied to coefficients (source, *shape) of its arguments, in doubled precision.

    Errors are bounded twice: entry by entry, where absolute coefficients let them grow, and in norm, which grows by the
    norms of the layers only and keeps deep networks of bounded layers exact enough.
    """
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        if isinstance(layer, Rearrange | Concat):
            result = _moved(layer, given)
        elif isinstance(layer, Sum):
            result = _added(layer, given)
        elif isinstance(layer, Scale):
            result = _scaled(layer, given[0])
        elif isinstance(layer, Dense | Conv2d):
            result = _multiplied(layer, given[0])
        else:
            return merge_rounded(layer, given)
        result = result.normalised()
        if layer.coefficient_error:
            relative = layer.coefficient_error * (1 + 2.0**-50)
            sizes = [np.abs(g.high) * relative + np.where(g.high != 0, UNDERFLOW, 0.0) for g in given]
            result = Known(result.high, result.low, result.error + _magnitude(layer, sizes))
        return _with_inherited(layer, given, result)


def _magnitude(layer: AffineLayer, spread: list[Array]) -> Array:
    """A bound of what changes of the arguments by so much do to the result; nothing where none arrives."""
    bound = layer.magnitude(*spread)
    if isinstance(layer, Rearrange | Concat):
        return bound
    growth = (1 + (max(layer.terms, len(spread)) + 4) * 2 * UNIT_ROUNDOFF) * SLACK
    return bound * growth + np.where(reached(layer, spread), (layer.terms + len(spread)) * UNDERFLOW, 0.0)


def _with_inherited(layer: AffineLayer, given: list[Known], result: Known) -> Known:
    """The result, whose error is what the layer itself lost, with what the errors of its arguments become."""
    if not any(g.uncertain for g in given):
        return result
    inherited = _magnitude(layer, [g.errors for g in given]) * (1 + layer.coefficient_error)
    error = bounds((result.errors + inherited) * SLACK)
    norms = [_gain(layer, g.high.shape[1:]) * g.norms for g in given]
    together = np.sqrt(sum(np.square(n) for n in norms)) if isinstance(layer, Concat) else sum(norms)
    tiny = UNDERFLOW * float(np.sqrt(result.high[0].size)) if len(result.high) else 0.0
    norm = np.minimum(bounds((together + result.norms + tiny) * SLACK), row_norms(error))
    rows = norm.reshape(-1, *[1] * (error.ndim - 1))
    return Known(result.high, result.low, np.where(error == 0, 0.0, np.minimum(error, rows)), norm)


@lru_cache(maxsize=1)  # the sources of one layer come one after the other
def _gain(layer: AffineLayer, shape: tuple[int, ...]) -> float:
    return norm_bound(layer, shape)


def _moved(layer: Rearrange | Concat, given: list[Known]) -> Known:
    """Entries that change their places."""
    low = None
    if any(g.low is not None for g in given):
        low = layer.linear(*(np.zeros_like(g.high) if g.low is None else g.low for g in given))
    return Known(layer.linear(*(g.high for g in given)), low)


def _added(layer: Sum, given: list[Known]) -> Known:
    total = Known(layer.signs[0] * given[0].high, _times(given[0].low, layer.signs[0]))
    for sign, term in zip(layer.signs[1:], given[1:], strict=True):
        total = _plus(total, Known(sign * term.high, _times(term.low, sign)))
    return total


def _times(low: Array | None, sign: int) -> Array | None:
    return None if low is None else sign * low


def _plus(a: Known, b: Known) -> Known:
    """The sum, with what even the low part loses in the error: nothing where it is a sum of two float64."""
    high, low = two_sum(a.high, b.high)
    error = a.error + b.error
    for other in (a.low, b.low):
        if other is not None:
            low, lost = two_sum(low, other)
            error = error + np.abs(lost)
    high, low = two_sum(high, low)
    return Known(high, low, error * SLACK if np.any(error) else 0.0)


def _scaled(layer: Scale, given: Known) -> Known:
    """Products of mantissas, which neither overflow nor underflow, and their powers of two at the end."""
    factor, power = np.frexp(np.broadcast_to(np.asarray(layer.factor, dtype=float), given.high.shape[1:]))
    mantissa, own = np.frexp(given.high)
    result = Known(*two_product(mantissa, factor))
    if given.low is not None:
        low = np.ldexp(given.low, -own)
        lost = np.where(np.ldexp(low, own) == given.low, 0.0, UNDERFLOW)
        product, rest = two_product(low, factor)
        lost = lost + np.where((np.abs(product) < 2.0**-900) & (low != 0), UNDERFLOW, 0.0)
        result = _plus(result, Known(product, rest, lost))
    return _raised(result, own + power)


def _raised(given: Known, power: Array) -> Known:
    """Times powers of two, with what becomes subnormal in the error."""
    high = np.ldexp(given.high, power)
    small = (np.abs(high) < np.finfo(float).tiny) & (given.high != 0)
    low = None
    if given.low is not None:
        low = np.ldexp(given.low, power)
        small |= (np.abs(low) < np.finfo(float).tiny) & (given.low != 0)
    error: Array | float = 0.0
    if given.uncertain:  # a bound that is not zero does not become zero
        error = np.ldexp(given.error, power) * SLACK + np.where(np.asarray(given.error) != 0, UNDERFLOW, 0.0)
    if np.any(small):
        error = error + np.where(small, UNDERFLOW, 0.0)
    return Known(high, low, error)


def _multiplied(layer: Dense | Conv2d, given: Known) -> Known:
    """A dense layer or a convolution, on some source coordinates at a time."""
    if given.low is None and moves_entries(given.high) and not rounds_by_wrapping(layer, [given.high]):
        high = layer.linear(given.high)
        return Known(high, None, underflow_of_moves(layer, [given.high], high))
    kernel = _Sliced.of(layer)
    size = max(int(np.prod(given.high.shape[1:])), int(np.prod(layer.output_shape(given.high.shape[1:]))))
    step = max(CHUNK // size, 1)
    parts = []
    for first in range(0, len(given.high), step):
        rows = slice(first, first + step)
        parts.append(_product(kernel, Known(given.high[rows], None if given.low is None else given.low[rows])))
    if not parts:
        return Known(layer.linear(given.high))
    high = np.concatenate([p.high for p in parts])
    low = np.concatenate([np.zeros_like(p.high) if p.low is None else p.low for p in parts])
    error = np.concatenate([p.errors for p in parts]) if any(p.uncertain for p in parts) else 0.0
    return Known(high, low, error)


@dataclass(frozen=True, eq=False)
class _Sliced:
    """A layer whose coefficients, row by row of unit size, are cut into slices: `parts` (largest first) and `rest`.

    `unit` is all of them. `power` has the rows' powers of two, shaped to broadcast against outputs; `bare` is the layer
    without its offset, `lost` whether the powers of two lost anything.
    """

    bare: Dense | Conv2d
    unit: Array
    parts: list[Array]
    rest: Array
    power: Array
    lost: bool

    @staticmethod
    def of(layer: Dense | Conv2d) -> _Sliced:
        """Cut the coefficients of a layer."""
        coefficients = layer.weight if isinstance(layer, Dense) else layer.kernel
        rows = coefficients.reshape(len(coefficients), -1)
        power = np.frexp(np.max(np.abs(rows), axis=1, initial=0.0))[1]
        unit = np.ldexp(rows, -power[:, None])
        lost = bool(np.any(np.ldexp(unit, power[:, None]) != rows))
        parts, rest = slices(unit, max(layer.terms, 1))
        bare = replace(layer, bias=None)
        shape = (-1,) if isinstance(layer, Dense) else (-1, 1, 1)
        give = [p.reshape(coefficients.shape) for p in (*parts, rest)]
        return _Sliced(bare, unit.reshape(coefficients.shape), give[:-1], give[-1], power.reshape(shape), lost)

    def with_coefficients(self, coefficients: Array) -> Dense | Conv2d:
        """The layer with other coefficients."""
        if isinstance(self.bare, Dense):
            return replace(self.bare, weight=coefficients)
        return replace(self.bare, kernel=coefficients)

    def apply(self, coefficients: Array, values: Array) -> Array | None:
        """The layer with these coefficients on a batch; None where that is zero."""
        if not np.any(coefficients) or not np.any(values):
            return None
        return self.with_coefficients(coefficients).linear(values)


def _product(kernel: _Sliced, given: Known) -> Known:
    """The layer on a batch that is known as high + low."""
    layer, inner = kernel.bare, max(kernel.bare.terms, 1)
    batch = (-1, *[1] * (given.high.ndim - 1))
    flat = given.high.reshape(len(given.high), -1)
    power = np.frexp(np.max(np.abs(flat), axis=1, initial=0.0))[1]
    unit = np.ldexp(flat, -power[:, None])
    lost = kernel.lost or bool(np.any(np.ldexp(unit, power[:, None]) != flat))
    pieces, remainder = slices(unit, inner)
    a = [p.reshape(given.high.shape) for p in (*pieces, remainder)]
    b = [*kernel.parts, kernel.rest]
    total: Known | None = None
    for i, j in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
        total = _accumulated(total, kernel.apply(b[j], a[i]), 0.0)
    # What is left is of relative size 2^-60, and so is its magnitude: rounding it is far below the low part.
    mask = None
    rounding = (inner + 4) * 2 * UNIT_ROUNDOFF
    pairs = [(b[1], a[2] + a[3]), (b[2] + b[3], a[1] + (a[2] + a[3])), (b[3], a[0]), (b[0], a[3])]
    if given.low is not None:
        low = np.ldexp(given.low.reshape(flat.shape), -power[:, None])
        lost |= bool(np.any(np.ldexp(low, power[:, None]) != given.low.reshape(flat.shape)))
        pairs.append((kernel.unit, low.reshape(given.high.shape)))
    for coefficients, values in pairs:
        term = kernel.apply(coefficients, values)
        if term is not None:
            mask = reached(layer, [given.nonzero]) if mask is None else mask
            error = _size(coefficients, layer) * _largest(values).reshape(batch) * rounding + inner * UNDERFLOW
            total = _accumulated(total, term, np.where(mask, error * SLACK, 0.0))
    if total is None:
        total = Known(np.zeros((len(flat), *layer.output_shape(given.high.shape[1:]))))
    if lost:
        mask = reached(layer, [given.nonzero]) if mask is None else mask
        total = Known(total.high, total.low, total.error + np.where(mask, inner * UNDERFLOW, 0.0))
    return _raised(total, power.reshape(batch) + kernel.power)


def _accumulated(total: Known | None, term: Array | None, error: Array | float) -> Known | None:
    if term is None:
        return total
    return Known(term, None, error) if total is None else _plus(total, Known(term, None, error))


def _size(coefficients: Array, layer: Dense | Conv2d) -> Array:
    """Sums of absolute values of the rows, shaped to broadcast against outputs."""
    rows = np.abs(coefficients.reshape(len(coefficients), -1)).sum(axis=1) * SLACK
    return rows if isinstance(layer, Dense) else rows.reshape(-1, 1, 1)


def _largest(values: Array) -> Array:
    return np.max(np.abs(values.reshape(len(values), -1)), axis=1, initial=0.0)

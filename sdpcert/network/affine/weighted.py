"""Layers with a matrix of weights for every output channel, multiplied in doubled precision.

Products are cut into slices of so few bits that float64 multiplies and adds them without rounding
(`sdpcert.arithmetic.exact`). Rows are brought to unit size by powers of two first, so the range of float64 does not
matter until the result is stored in it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from sdpcert.arithmetic.exact import slices
from sdpcert.network.affine.layer import AffineLayer, Array
from sdpcert.network.known import SLACK, UNDERFLOW, UNIT_ROUNDOFF, Known, are_moves, underflow_of_moves

#: Entries of the coefficients that are worked on at once.
CHUNK = 2**21


class Weighted(AffineLayer):
    """A layer whose every output channel has a row of weights, which it multiplies with what it reads."""

    @property
    @abstractmethod
    def rows(self) -> Array:
        """The weights by output channel, of shape (channels, weights)."""

    @abstractmethod
    def with_rows(self, rows: Array) -> Self:
        """The layer with other weights and without offset."""

    @abstractmethod
    def by_channel(self, values: Array) -> Array:
        """One number for each output channel, shaped to broadcast against outputs."""

    def absolute(self) -> Self:
        return self.with_rows(np.abs(self.rows))

    def merge(self, given: Sequence[Known]) -> Known:
        """Some source coordinates at a time."""
        (known,) = given
        shape = known.high.shape[1:]
        if known.low is None and are_moves(known.high) and not self.adds_coefficients(shape):
            high = self.linear(known.high)
            return Known(high, None, underflow_of_moves([known.high], high, self.reached))
        sliced = _Sliced.of(self)
        step = max(CHUNK // max(int(np.prod(shape)), int(np.prod(self.output_shape(shape)))), 1)
        parts = []
        for first in range(0, len(known.high), step):
            chunk = slice(first, first + step)
            parts.append(sliced(Known(known.high[chunk], None if known.low is None else known.low[chunk])))
        if not parts:
            return Known(self.linear(known.high))
        high = np.concatenate([p.high for p in parts])
        low = np.concatenate([np.zeros_like(p.high) if p.low is None else p.low for p in parts])
        error = np.concatenate([p.errors for p in parts]) if any(p.uncertain for p in parts) else 0.0
        return Known(high, low, error)


@dataclass(frozen=True, eq=False)
class _Sliced:
    """A layer whose weights, row by row of unit size, are cut into slices: `parts` (largest first) and `rest`.

    `unit` is all of them. `power` has the rows' powers of two, shaped to broadcast against outputs; `lost` says whether
    the powers of two lost anything.
    """

    layer: Weighted
    unit: Array
    parts: list[Array]
    rest: Array
    power: Array
    lost: bool

    @staticmethod
    def of(layer: Weighted) -> _Sliced:
        """Cut the weights of a layer."""
        rows = layer.rows
        power = np.frexp(np.max(np.abs(rows), axis=1, initial=0.0))[1]
        unit = np.ldexp(rows, -power[:, None])
        lost = bool(np.any(np.ldexp(unit, power[:, None]) != rows))
        parts, rest = slices(unit, max(layer.terms, 1))
        return _Sliced(layer, unit, parts, rest, layer.by_channel(power), lost)

    def apply(self, rows: Array, values: Array) -> Array | None:
        """The layer with these weights on a batch; None if that is zero."""
        if not np.any(rows) or not np.any(values):
            return None
        return self.layer.with_rows(rows).linear(values)

    def __call__(self, given: Known) -> Known:
        """The layer on a batch that is known as high + low."""
        layer, inner = self.layer, max(self.layer.terms, 1)
        batch = (-1, *[1] * (given.high.ndim - 1))
        flat = given.high.reshape(len(given.high), -1)
        power = np.frexp(np.max(np.abs(flat), axis=1, initial=0.0))[1]
        unit = np.ldexp(flat, -power[:, None])
        lost = self.lost or bool(np.any(np.ldexp(unit, power[:, None]) != flat))
        pieces, remainder = slices(unit, inner)
        a = [p.reshape(given.high.shape) for p in (*pieces, remainder)]
        b = [*self.parts, self.rest]
        total: Known | None = None
        for i, j in ((0, 0), (0, 1), (1, 0), (1, 1), (0, 2), (2, 0)):
            total = _accumulated(total, self.apply(b[j], a[i]), 0.0)
        # What is left is of relative size 2^-60, and so is its magnitude: rounding it is far below the low part.
        mask = None
        rounding = (inner + 4) * 2 * UNIT_ROUNDOFF
        pairs = [(b[1], a[2] + a[3]), (b[2] + b[3], a[1] + (a[2] + a[3])), (b[3], a[0]), (b[0], a[3])]
        if given.low is not None:
            low = np.ldexp(given.low.reshape(flat.shape), -power[:, None])
            lost |= bool(np.any(np.ldexp(low, power[:, None]) != given.low.reshape(flat.shape)))
            pairs.append((self.unit, low.reshape(given.high.shape)))
        for rows, values in pairs:
            term = self.apply(rows, values)
            if term is not None:
                mask = layer.reached([given.nonzero]) if mask is None else mask
                size = layer.by_channel(np.abs(rows).sum(axis=1) * SLACK)
                error = size * _largest(values).reshape(batch) * rounding + inner * UNDERFLOW
                total = _accumulated(total, term, np.where(mask, error * SLACK, 0.0))
        if total is None:
            total = Known(np.zeros((len(flat), *layer.output_shape(given.high.shape[1:]))))
        if lost:
            mask = layer.reached([given.nonzero]) if mask is None else mask
            total = Known(total.high, total.low, total.error + np.where(mask, inner * UNDERFLOW, 0.0))
        return total.raised(power.reshape(batch) + self.power)


def _accumulated(total: Known | None, term: Array | None, error: Array | float) -> Known | None:
    if term is None:
        return total
    return Known(term, None, error) if total is None else total.plus(Known(term, None, error))


def _largest(values: Array) -> Array:
    return np.max(np.abs(values.reshape(len(values), -1)), axis=1, initial=0.0)

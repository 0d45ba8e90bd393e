"""Matrices of filters on the coarse lattice, as affine layers are brought to the torus.

A value of level (sy, sx) has every sy-th row and sx-th column of the input's lattice; on the coarsest lattice its
pixels of one cell are P = total stride / level phases an axis, channels of their own (c, py, px), row major. A layer
is then a matrix of finite filters: a dictionary from the offset of a cell to a matrix.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.errors import NotInvariant as NotInvariant

Array = np.ndarray
Filters = dict[tuple[int, int], Array]
UNIT_ROUNDOFF = 2.0**-53


@dataclass(frozen=True)
class Pixels:
    """The pixels that a layer reads: its stride, the least and the largest coordinate per axis, whether it wraps."""

    stride: tuple[int, int]
    lowest: tuple[int, int]
    highest: tuple[int, int]
    circular: bool = False


@dataclass(frozen=True, eq=False)
class Stencil:
    """A layer as picks: output channel o at pixel q gets `weight * input[channel, q * stride + shift]`, summed over
    taps.
    """

    pixels: Pixels
    taps: dict[tuple[int, int], Array] = field(repr=False)

    def filters(self, phases_in: tuple[int, int], phases_out: tuple[int, int]) -> Filters:
        """The filters between coarse channels."""
        result: Filters = {}
        for (dy, dx), weight in self.taps.items():
            out, channels = weight.shape
            for qy in range(phases_out[0]):
                for qx in range(phases_out[1]):
                    ty, tx = qy * self.pixels.stride[0] + dy, qx * self.pixels.stride[1] + dx
                    cell = (ty // phases_in[0], tx // phases_in[1])
                    shape = (out, *phases_out, channels, *phases_in)
                    matrix = result.setdefault(cell, np.zeros(shape))
                    matrix[:, qy, qx, :, ty % phases_in[0], tx % phases_in[1]] += weight
        size_in, size_out = int(np.prod(phases_in)), int(np.prod(phases_out))
        return {o: m.reshape(m.shape[0] * size_out, m.shape[3] * size_in) for o, m in result.items()}


def per_channel(values: Array | float, shape: tuple[int, ...]) -> Array:
    """One value for each channel from something that broadcasts against an image; raises `NotInvariant`."""
    full = np.broadcast_to(np.asarray(values, dtype=float), shape)
    if np.any(full != full[:, :1, :1]):
        raise NotInvariant("its coefficients differ over the image")
    return full[:, 0, 0]


class Carried(Protocol):
    """Filters from a source to a value, with a bound of the error of their entries, as an embedding carries them."""

    @property
    def filters(self) -> Filters:
        """The filters by cell, in float64."""
        ...

    @property
    def error(self) -> float:
        """How far every entry may be from the true one."""
        ...

    @property
    def is_identity(self) -> bool:
        """Whether the map is exactly the identity."""
        ...

    def after(self, left: Filters, uncertainty: float = 0.0) -> Carried:
        """`left` applied to this, `uncertainty` being the relative one of its entries."""
        ...

    def plus(self, other: Any, sign: float) -> Carried:
        """The sum with another of the same kind times `sign`."""
        ...

    def placed(self, rows: int, first: int) -> Carried:
        """The outputs as those from number `first` on of `rows`."""
        ...

    def wrapped(self, torus: tuple[int, int]) -> Carried:
        """The filters on a torus, where offsets that differ by a turn are one."""
        ...


@dataclass(frozen=True, eq=False)
class Combination:
    """Filters merged in float64, as certificates from before doubled precision had them."""

    filters: Filters
    error: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "error", error_bound.largest(self.error))

    @property
    def is_identity(self) -> bool:
        """Whether the map is exactly the identity."""
        if self.error or set(self.filters) != {(0, 0)}:
            return False
        matrix = self.filters[0, 0]
        return matrix.shape[0] == matrix.shape[1] and np.array_equal(matrix, np.eye(len(matrix)))

    def after(self, left: Filters, uncertainty: float = 0.0) -> Combination:
        """`left` applied to this, with the rounding of the products and the relative uncertainty of `left`."""
        if self.is_identity:
            largest = error_bound.largest(*map(np.abs, left.values())) if uncertainty else 0.0
            return Combination(left, error_bound.up(uncertainty * largest))
        result: Filters = {}
        size: Filters = {}
        for (a, b), first in left.items():
            for (c, d), second in self.filters.items():
                cell = (a + c, b + d)
                change, bound = first @ second, np.abs(first) @ np.abs(second)
                result[cell] = result[cell] + change if cell in result else change
                size[cell] = size[cell] + bound if cell in size else bound
        largest = error_bound.largest(*size.values())
        rows = sum(np.abs(m).sum(axis=1) for m in left.values()) if left else np.zeros(1)
        inherited = 0.0
        if self.error > 0 and np.any(rows):
            inherited = self.error * error_bound.largest(rows) * (1 + uncertainty)
            inherited += np.finfo(float).tiny  # however small the product, what is uncertain stays so
        exact = all(picks(m) for m in left.values()) and len(left) == 1 and uncertainty == 0
        terms = len(left) * len(self.filters) + next(iter(self.filters.values())).shape[0] + 4
        rounding = 0.0 if exact else (2 * terms * UNIT_ROUNDOFF + uncertainty) * largest
        if _smallest(left) * _smallest(self.filters) < 2.0**-900:
            rounding += terms * np.finfo(float).smallest_subnormal
        return Combination(result, error_bound.up(inherited + rounding))

    def plus(self, other: Combination, sign: float) -> Combination:
        """The sum with another combination times `sign`."""
        result = dict(self.filters)
        rounding = 0.0
        for cell, matrix in other.filters.items():
            if cell not in result:
                result[cell] = sign * matrix
                continue
            both = (result[cell] != 0) & (matrix != 0)
            result[cell] = result[cell] + sign * matrix
            if np.any(both):
                rounding = error_bound.largest(rounding, UNIT_ROUNDOFF * np.abs(result[cell][both]))
        return Combination(result, error_bound.up(self.error + other.error + rounding))

    def placed(self, rows: int, first: int) -> Combination:
        """The outputs as those from number `first` on of `rows`."""
        placed = {}
        for cell, matrix in self.filters.items():
            placed[cell] = np.zeros((rows, matrix.shape[1]))
            placed[cell][first : first + len(matrix)] = matrix
        return Combination(placed, self.error)

    def wrapped(self, torus: tuple[int, int]) -> Combination:
        """The filters on a torus, where offsets that differ by a turn are one."""
        cells: Filters = {}
        rounding = 0.0
        for (a, b), matrix in self.filters.items():
            if not np.any(matrix) and not self.error:
                continue
            cell = (a % torus[0], b % torus[1])
            if cell in cells:
                cells[cell] = cells[cell] + matrix
                rounding += error_bound.largest(np.abs(cells[cell])) * 2.0**-53 + self.error
            else:
                cells[cell] = matrix
        return Combination(cells, self.error + rounding)


def _smallest(filters: Filters) -> float:
    """The least absolute value but zero."""
    return min((float(np.min(np.abs(m[m != 0]), initial=np.inf)) for m in filters.values()), default=np.inf)


def picks(matrix: Array) -> bool:
    """Whether every row has one entry at most, and that a power of two."""
    values = np.abs(matrix[matrix != 0])
    return bool(np.all((matrix != 0).sum(axis=1) <= 1) and np.all(np.frexp(values)[0] == 0.5))

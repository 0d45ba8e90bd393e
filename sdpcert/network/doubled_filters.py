"""Matrices of filters whose entries are carried in doubled precision, for the torus.

Filters are stored as float64 with a radius; carried like this, the radius is what the last rounding lost, and does not
grow with the number of layers that were multiplied together.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic import error_bound
from sdpcert.network.affine import Dense, Sum
from sdpcert.network.doubled import merge_doubled
from sdpcert.network.filters import Combination, Filters, picks
from sdpcert.network.known import Known

Array = np.ndarray
Cell = tuple[int, int]


@dataclass(frozen=True, eq=False)
class DoubledCombination:
    """Filters by cell, each transposed (in, out), as `Known`."""

    parts: dict[Cell, Known]

    @staticmethod
    def of(filters: Filters) -> DoubledCombination:
        """Filters without error."""
        return DoubledCombination({cell: Known(np.ascontiguousarray(m.T)) for cell, m in filters.items()})

    @property
    def filters(self) -> Filters:
        """The filters rounded to float64."""
        return {cell: np.ascontiguousarray(k.high.T) for cell, k in self.parts.items()}

    @property
    def error(self) -> float:
        """A bound of how far each entry of `filters` is from the true one."""
        return error_bound.up(error_bound.largest(*(_distance(k) for k in self.parts.values())))

    @property
    def is_identity(self) -> bool:
        """Whether the map is exactly the identity."""
        return Combination(self.filters, self.error).is_identity

    def after(self, left: Filters, uncertainty: float = 0.0) -> DoubledCombination:
        """`left` applied to this, `uncertainty` being the relative one of its entries."""
        if not self.parts or not left:
            return DoubledCombination({})
        cells = list(self.parts)
        # One product a filter of `left`: all cells are rows of one matrix.
        rows = _joined([self.parts[cell] for cell in cells])
        size = len(rows.high) // len(cells)
        result: dict[Cell, Known] = {}
        for (a, b), first in left.items():
            product = _picked(first, rows) if not uncertainty and _is_exact_pick(first, rows) else None
            if product is None:
                product = merge_doubled(Dense(first, coefficient_error=uncertainty), [rows])
            for k, (c, d) in enumerate(cells):
                _add(result, (a + c, b + d), _rows(product, slice(k * size, (k + 1) * size)))
        return DoubledCombination(result)

    def plus(self, other: DoubledCombination, sign: float) -> DoubledCombination:
        """The sum with another combination times `sign`."""
        result = dict(self.parts)
        for cell, known in other.parts.items():
            low = None if known.low is None else sign * known.low
            _add(result, cell, Known(sign * known.high, low, known.error))
        return DoubledCombination(result)

    def wrapped(self, torus: tuple[int, int]) -> DoubledCombination:
        """The filters on a torus, where offsets that differ by a turn are one."""
        result: dict[Cell, Known] = {}
        for (a, b), known in self.parts.items():
            if np.any(known.high) or known.uncertain:
                _add(result, (a % torus[0], b % torus[1]), known)
        return DoubledCombination(result)

    def placed(self, rows: int, first: int) -> DoubledCombination:
        """The outputs as those from number `first` on of `rows`."""

        def put(array: Array) -> Array:
            full = np.zeros((len(array), rows))
            full[:, first : first + array.shape[1]] = array
            return full

        parts = {
            cell: Known(put(k.high), None if k.low is None else put(k.low), put(k.errors) if k.uncertain else 0.0)
            for cell, k in self.parts.items()
        }
        return DoubledCombination(parts)


def _add(result: dict[Cell, Known], cell: Cell, term: Known) -> None:
    result[cell] = merge_doubled(Sum(), [result[cell], term]) if cell in result else term


def _is_exact_pick(left: Array, rows: Known) -> bool:
    """Whether every row of `left` has one entry at most, a power of two, and no product leaves the normal numbers."""
    if not picks(left):
        return False
    numbers = [np.abs(a[a != 0]) for a in (left, rows.high, rows.low, rows.errors) if a is not None]
    return all(bool(np.all((a >= 2.0**-400) & (a <= 2.0**400))) for a in numbers)


def _picked(left: Array, rows: Known) -> Known:
    low = None if rows.low is None else rows.low @ left.T
    return Known(rows.high @ left.T, low, rows.errors @ np.abs(left).T if rows.uncertain else 0.0)


def _distance(known: Known) -> Array | float:
    return known.error if known.low is None else np.abs(known.low) + known.error


def _joined(known: list[Known]) -> Known:
    high = np.concatenate([k.high for k in known])
    low = None
    if any(k.low is not None for k in known):
        low = np.concatenate([np.zeros_like(k.high) if k.low is None else k.low for k in known])
    return Known(high, low, np.concatenate([k.errors for k in known]) if any(k.uncertain for k in known) else 0.0)


def _rows(known: Known, rows: slice) -> Known:
    low = None if known.low is None else known.low[rows]
    return Known(known.high[rows], low, known.errors[rows] if known.uncertain else 0.0).normalised()

"""Arrays known as high + low up to an error: what merged affine layers are carried as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.error_bound import bounds
from sdpcert.arithmetic.exact import two_sum

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Known:
    """The numbers `high + low`, entrywise up to `error`, and row by row (first axis) up to `norm` in Euclidean norm.

    `low` is None where it is zero everywhere; `error` is an array like `high`, or 0.0 where every number is exact;
    `norm` is an array with one entry a row, or None where nothing is known but the entrywise bound.
    """

    high: Array
    low: Array | None = None
    error: Array | float = 0.0
    norm: Array | None = None

    @property
    def nonzero(self) -> Array:
        """Where the stored number is not zero, as float64."""
        return (self.high != 0 if self.low is None else (self.high != 0) | (self.low != 0)).astype(float)

    @property
    def uncertain(self) -> bool:
        """Whether any entry is not exact."""
        return bool(np.any(self.error))  # something that is not a number counts as true

    @property
    def errors(self) -> Array:
        """The entrywise bounds as an array."""
        return np.broadcast_to(self.error, self.high.shape)

    @property
    def norms(self) -> Array:
        """Bounds of the rows' errors in Euclidean norm."""
        return row_norms(self.errors) if self.norm is None else self.norm

    def entries(self, places: Array) -> Known:
        """The entries of every row at some places (row major), as vectors."""

        def chosen(array: Array) -> Array:
            return array.reshape(len(array), -1)[:, places]

        low = None if self.low is None else chosen(self.low)
        return Known(chosen(self.high), low, chosen(self.errors) if self.uncertain else 0.0)

    def normalised(self) -> Known:
        """The same numbers with `high` the nearest float64 of the sum, and infinite errors where that is not finite."""
        high, low = self.high, self.low
        if low is not None:
            with np.errstate(invalid="ignore", over="ignore"):
                high, low = two_sum(high, low)
            low = low if np.any(low) else None
        sure = np.isfinite(high) if low is None else np.isfinite(high) & np.isfinite(low)
        if np.all(sure) and not np.any(self.error):
            return Known(high, low)
        error = np.where(sure, bounds(self.error), np.inf)
        return Known(high, low, error, None if self.norm is None else bounds(self.norm))


def zeros(shape: tuple[int, ...]) -> Known:
    """Zeros without doubt."""
    return Known(np.zeros(shape))


def row_norms(values: Array) -> Array:
    """Bounds of the Euclidean norms of the rows (first axis) of nonnegative numbers."""
    rows = values.reshape(len(values), -1)
    largest = np.max(rows, axis=1, initial=0.0)
    safe = np.where((largest > 0) & np.isfinite(largest), largest, 1.0)
    with np.errstate(over="ignore", invalid="ignore", under="ignore"):
        return bounds(largest * (np.sqrt(np.square(rows / safe[:, None]).sum(axis=1)) * (1 + 1e-9)))

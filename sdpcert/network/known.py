"""Arrays known as high + low up to an error: what merged affine layers are carried as."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.error_bound import bounds
from sdpcert.arithmetic.exact import two_sum
from sdpcert.arithmetic.norms import row_norms_up

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: What one product may lose by underflow, with room.
UNDERFLOW = 2.0**-1070
#: Room for the rounding of error bounds, which are sums of nonnegative numbers.
SLACK = 1 + 1e-9


@dataclass(frozen=True, eq=False)
class Known:
    """The numbers `high + low`, entrywise up to `error`, and row by row (first axis) up to `norm` in Euclidean norm.

    `low` is None if it is zero everywhere; `error` is an array like `high`, or 0.0 if every number is exact;
    `norm` is an array with one entry for each row, or None if nothing is known but the entrywise bound.
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
        return row_norms_up(self.errors) if self.norm is None else self.norm

    def entries(self, places: Array) -> Known:
        """The entries of every row at some places (row major), as vectors."""

        def chosen(array: Array) -> Array:
            return array.reshape(len(array), -1)[:, places]

        low = None if self.low is None else chosen(self.low)
        return Known(chosen(self.high), low, chosen(self.errors) if self.uncertain else 0.0)

    def plus(self, other: Known) -> Known:
        """The sum, with what even the low part loses in the error: nothing for a sum of two float64."""
        high, low = two_sum(self.high, other.high)
        error = self.error + other.error
        for term in (self.low, other.low):
            if term is not None:
                low, lost = two_sum(low, term)
                error = error + np.abs(lost)
        high, low = two_sum(high, low)
        return Known(high, low, error * SLACK if np.any(error) else 0.0)

    def raised(self, power: Array) -> Known:
        """Times powers of two, with what becomes subnormal in the error."""
        high = np.ldexp(self.high, power)
        small = (np.abs(high) < np.finfo(float).tiny) & (self.high != 0)
        low = None
        if self.low is not None:
            low = np.ldexp(self.low, power)
            small |= (np.abs(low) < np.finfo(float).tiny) & (self.low != 0)
        error: Array | float = 0.0
        if self.uncertain:  # a bound that is not zero does not become zero
            error = np.ldexp(self.error, power) * SLACK + np.where(np.asarray(self.error) != 0, UNDERFLOW, 0.0)
        if np.any(small):
            error = error + np.where(small, UNDERFLOW, 0.0)
        return Known(high, low, error)

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


def are_moves(coefficients: Array) -> bool:
    """Whether each source coordinate reaches at most one entry, with a power of two: then products are exact."""
    flat = coefficients.reshape(len(coefficients), -1)
    if np.count_nonzero(flat) > len(flat) or np.any(np.count_nonzero(flat, axis=1) > 1):
        return False
    values = np.abs(flat[flat != 0])
    return bool(np.all(np.frexp(values)[0] == 0.5)) and bool(np.all((values >= 2.0**-100) & (values <= 2.0**100)))


def underflow_of_moves(
    given: Sequence[Array], result: Array, reached: Callable[[Sequence[Array]], Array]
) -> Array | float:
    """What products with powers of two below one can lose: they are exact unless the product is subnormal.

    `reached` gives the entries that nonzero entries reach.
    """
    if all(np.all((g == 0) | (np.abs(g) >= 1)) for g in given):
        return 0.0
    lost = reached(given) & (np.abs(result) < np.finfo(float).tiny)
    return np.where(lost, np.finfo(float).smallest_subnormal, 0.0)

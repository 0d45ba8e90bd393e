"""Arrays known as high + low up to an entrywise error: what merged affine layers are carried as."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic.error_bound import bounds
from sdpcert.arithmetic.exact import two_sum

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Known:
    """The numbers `high + low`, entrywise up to `error`.

    `low` is None where it is zero everywhere; `error` is an array like `high` or one number.
    """

    high: Array
    low: Array | None = None
    error: Array | float = 0.0

    @property
    def nonzero(self) -> Array:
        """Where the stored number is not zero, as float64."""
        return (self.high != 0 if self.low is None else (self.high != 0) | (self.low != 0)).astype(float)

    @property
    def uncertain(self) -> bool:
        """Whether any entry is not exact."""
        return bool(np.any(self.error))  # something that is not a number counts as true

    def normalised(self) -> Known:
        """The same numbers with `high` the nearest float64 of the sum, and infinite errors where that is not finite."""
        high, low = self.high, self.low
        if low is not None:
            with np.errstate(invalid="ignore", over="ignore"):
                high, low = two_sum(high, low)
            low = low if np.any(low) else None
        sure = np.isfinite(high) if low is None else np.isfinite(high) & np.isfinite(low)
        error = self.error
        if not np.all(sure):
            error = np.where(sure, error, np.inf)
        return Known(high, low, bounds(error) if np.any(error) else 0.0)


def zeros(shape: tuple[int, ...]) -> Known:
    """Zeros without doubt."""
    return Known(np.zeros(shape))

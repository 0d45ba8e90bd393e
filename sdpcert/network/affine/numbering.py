"""What an affine layer may ask of a numbering of values (`sdpcert.network.value_numbers`)."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, Protocol

import numpy as np

Array = np.ndarray
#: Entries (rows) as sums of atoms (columns).
Sums = Any


class Numbering(Protocol):
    """Exact operations on entries that are written as sums of atoms.

    Where float64 would round a coefficient, or a sum gets long, the entry becomes an atom of its own.
    """

    def fresh(self, count: int) -> Sums:
        """Entries that are atoms of their own."""
        ...

    def gathered(self, given: Sequence[Sums], places: Array) -> Sums:
        """The entries at these places, counted one argument after the other; -1 stands for zero."""
        ...

    def plus(self, left: Sums, right: Sums) -> Sums:
        """The sums of two values."""
        ...

    def shifted(self, sums: Sums, shift: Array) -> Sums:
        """Every entry plus a number."""
        ...

    def scaled(self, sums: Sums, factors: Array) -> Sums:
        """Every entry times a factor."""
        ...

    def multiplied(self, weight: Array, bias: Array | None, sums: Sums) -> Sums:
        """A matrix, and a vector added, on every block of as many entries as the matrix has columns."""
        ...

    def windowed(
        self, rows: Array, bias: Array | None, geometry: Hashable, pixels: int, groups: int, sums: Sums
    ) -> Sums:
        """`pixels` entries of every output channel from its row of coefficients, in windows that `geometry` names.

        Channels of different groups read different entries.
        """
        ...

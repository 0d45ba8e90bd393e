"""What layers have in common that only move entries: nothing is rounded."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sdpcert.network.affine.layer import AffineLayer, Array, Shape
from sdpcert.network.known import Known

if TYPE_CHECKING:
    from sdpcert.network.affine.numbering import Numbering, Sums


class Moves(AffineLayer):
    """A layer whose every output entry is an entry of an argument, or zero."""

    @abstractmethod
    def places(self, *shapes: Shape) -> Array: ...

    def absolute(self) -> AffineLayer:
        return self

    @property
    def roundings(self) -> int:
        return 0

    def spread(self, changes: Sequence[Array]) -> Array:
        return self.linear(*changes)

    def rounding(self, given: Sequence[Array], result: Array) -> Array | float:
        return 0.0

    def merge(self, given: Sequence[Known]) -> Known:
        low = None
        if any(g.low is not None for g in given):
            low = self.linear(*(np.zeros_like(g.high) if g.low is None else g.low for g in given))
        return Known(self.linear(*(g.high for g in given)), low)

    def perturbation(self, given: Sequence[Array]) -> Array:
        return np.zeros_like(self.linear(*given))

    def sums(self, numbering: Numbering, given: Sequence[Sums], shapes: Sequence[Shape], shape: Shape) -> Sums:
        return numbering.gathered(given, self.places(*shapes).ravel())

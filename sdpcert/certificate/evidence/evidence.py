"""What a proof of a stacked condition consists of beside its point."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar

import numpy as np

from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


class Evidence(ShortRepr, ABC):
    """What shows a checker that M(rho, lambda) is positive semidefinite."""

    #: The arithmetic in which a checker follows it: "exact" or "floating-point".
    level: ClassVar[str]

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """The proof as the format page describes it, ready for JSON."""

    def shares(self, change: Array, reads: Array, moved: Array) -> Array | None:
        """For figures: a number for each coordinate, which add up to `xi' M xi` up to rounding; None if there are none.

        `xi` are the differences `change` of the network's input and `moved` of its neurons; `reads` are those of the
        rows that read the input, in the order of groups.
        """
        return None

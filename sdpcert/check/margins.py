"""Margins of a classifier at single points, enclosed in integers or in floating point."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from functools import cached_property

from . import forward
from .backward import IntegerNetwork
from .differences import Differences, Margin, Number
from .reading import Rejected

Margins = dict[int, Margin]
#: Ends of the last group's preactivations at a point.
Enclose = Callable[["array[float]"], tuple[Sequence[Number], Sequence[Number]]]


class Evaluation:
    """Enclosures of a network's margins at points.

    Floating point encloses each within its errors; integers decide where it leaves open what is asked.
    """

    def __init__(self, differences: Differences, exact: bool) -> None:
        self.differences, self.exact = differences, exact
        #: Whether every answer so far was in integers.
        self.all_exact = True

    def shows(self, point: array[float], label: int, wanted: Callable[[Margins], bool]) -> bool:
        """Whether the margins of a label over the other classes at a point are enclosed such that `wanted` holds."""
        if not self.exact:
            self.all_exact = False
            if wanted(self.differences.margins(label, *self._floating(point))):
                return True
        return wanted(self.differences.margins(label, *self._integers(point)))

    @cached_property
    def _integers(self) -> Enclose:
        network = IntegerNetwork(self.differences.network)
        return lambda point: forward.margins(network, point)

    @cached_property
    def _floating(self) -> Enclose:
        try:
            from . import forward_floating, network_floating, rounding  # need more than the standard library
        except ModuleNotFoundError as error:
            raise Rejected(f"its proof needs floating point: install {error.name} and check again") from None
        rounding.require_rounding_to_nearest()
        network = network_floating.FloatingNetwork(self.differences.network)

        def enclose(point: array[float]) -> tuple[list[float], list[float]]:
            low, high = forward_floating.margins(network, point)
            return low.tolist(), high.tolist()

        return enclose

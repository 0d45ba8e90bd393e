"""Groups whose neurons are norms of several preactivations: every k consecutive ones are (|v|, 0, ..., 0), v theirs.

For two runs `sum dz_i^2 <= sum dv_i^2` over such a block, by the triangle inequality: the summands that elementwise
neurons of slopes [-1, 1] have in the proof, but only their sum. So slopes and multipliers of a block have to be that.
"""

from __future__ import annotations

from array import array
from typing import Any

from .reading import Rejected, integer

KEY = "coupled"


def is_stated(group: Any) -> bool:
    """Whether a group of a file says that its neurons are norms."""
    return type(group) is dict and KEY in group


def read(value: Any, name: str, size: int) -> int:
    """Return how many consecutive neurons of a group of `size` are one block."""
    count = integer(value, f"{KEY} of {name}", 2, 10**6)
    if size % count:
        raise Rejected(f"{KEY} of {name} does not divide its size")
    return count


def check(name: str, count: int, alpha: array[float], beta: array[float], multipliers: array[float]) -> None:
    """Raise `Rejected` unless all slopes are [-1, 1], and the multipliers of every block of `count` neurons equal."""
    if any(slope != -1 for slope in alpha) or any(slope != 1 for slope in beta):
        raise Rejected(f"{name} has norms with slopes other than -1 and 1")
    for first in range(0, len(multipliers), count):
        if any(multiplier != multipliers[first] for multiplier in multipliers[first : first + count]):
            raise Rejected(f"{name} has a norm with unequal multipliers, those from neuron {first} on")

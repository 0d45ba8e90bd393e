"""The radius of one input: the largest that is proved by the constants of the pairs, or by pieces of its region.

What is taken and given can be pickled: inputs are looked at in other processes too.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import Box
from sdpcert.robustness.entry import ByConstants, Entry
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Question(ShortRepr):
    """What all inputs have in common; `radii` are those that are tried, None for the largest radius of all."""

    form: StackedForm
    norm: str
    within: Box | None
    radii: tuple[float, ...] | None
    seconds: float
    nodes: int | None


def by_constants(center: Array, label: int, radius: float, classes: int) -> Entry:
    """A right input with the radius that the constants prove."""
    others = tuple(j for j in range(classes) if j != label)
    return Entry(center, label, True, radius, (ByConstants(others),) if radius else ())

"""Ellipsoids around pieces of a region."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Semi-axes of inputs that a function hardly depends on are as if they had this share of the largest coefficient, and
#: those of inputs that are fixed have the share `FIXED` of the least axis.
LEAST_COEFFICIENT, FIXED = 1e-2, 1e-3


@dataclass(frozen=True, eq=False)
class Ellipsoid(ShortRepr):
    """All `center + scales y` with `|y|^2 <= square`; no scales stand for ones."""

    center: Array
    scales: Array | None
    square: float

    @staticmethod
    def of(state: State, scales: Array | None = None) -> Ellipsoid:
        """The region's ball, or an ellipsoid around the piece's box with semi-axes in the ratio of `scales`.

        Raises ValueError if the region has no ball and there are no scales, if it has no end, or if scales are not
        positive and finite.
        """
        if scales is None:
            sphere = state.region.sphere(state.form.inputs)
            if sphere is None:
                raise ValueError("a quadratic bound needs the ball of the region, or scales of its inputs")
            return Ellipsoid(sphere[0], None, sphere[1] ** 2)
        if not state.region.bounded:
            raise ValueError("a quadratic bound needs a region with an end in every direction")
        if not np.all(np.isfinite(scales) & (scales > 0)):
            raise ValueError("the scales of a quadratic bound have to be positive and finite")
        center = (state.box_low + state.box_high) / 2
        half = np.maximum(state.box_high - center, center - state.box_low)
        return Ellipsoid(center, scales, float(np.sum(np.square(half / scales))))

    @property
    def axes(self) -> Array | float:
        """The semi-axes."""
        return (1.0 if self.scales is None else self.scales) * np.sqrt(self.square)


def box_scales(state: State, coefficients: Array) -> Array:
    """Scales of an ellipsoid around the piece's box on which a linear function has the same ends as on the box.

    Raises ValueError if the region has no ends.
    """
    half, size = state.box_high / 2 - state.box_low / 2, np.abs(coefficients)
    if not np.all(np.isfinite(half)):
        raise ValueError("a quadratic bound needs a region with an end in every direction")
    scales = np.sqrt(half / np.maximum(size, max(LEAST_COEFFICIENT * float(size.max(initial=0.0)), 1e-300)))
    moving = scales > 0
    least = float(np.min(scales[moving])) if np.any(moving) else 1.0
    scales = np.where(moving, scales, FIXED * least)
    return scales / scales.max(initial=1e-300)

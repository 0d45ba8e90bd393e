"""Radii by the margins at an input and the constants of the pairs of classes."""

from __future__ import annotations

import numpy as np

from sdpcert.robustness.needed import Needed

Array = np.ndarray
#: Relative room for the roundings of this file and of whoever checks it.
ROOM = 2.0**-40
#: Largest radius that is stated.
LARGEST_RADIUS = 1e6


def radius_by_constants(margins: Array, rates: Array, needed: Needed) -> float:
    """The radius up to which no margin falls to what is needed; 0 if that is not proved for any.

    `margins` (classes,) are lower bounds at the input, infinite for the label; `rates` (classes,) bound how fast they
    fall, 0 for the label, infinite where nothing is known.
    """
    with np.errstate(all="ignore"):
        falls = (rates + needed.growth) * (1 + ROOM)
        left = margins - needed(0.0) - np.where(falls > 0, falls * needed.reach(0.0), 0.0)
        reach = np.where(left > 0, np.where(falls > 0, left / falls * (1 - ROOM), np.inf), 0.0)
    radius = min(float(np.min(reach)) / needed.widening * (1 - ROOM), LARGEST_RADIUS)
    return radius if radius > 0 and np.all(kept(radius, margins, rates, needed)) else 0.0


def kept(radius: float, margins: Array, rates: Array, needed: Needed) -> Array:
    """The classes (classes,) whose margins the constants keep above what is needed, the label among them."""
    with np.errstate(all="ignore"):
        lost = np.where(rates > 0, rates * needed.reach(radius), 0.0) * (1 + ROOM / 4)
        return np.asarray(margins - lost > needed(radius) * (1 + ROOM / 4))

"""Interpolation along an axis, by weights that are computed exactly and then rounded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.network.affine.dense import Dense

Array = np.ndarray
#: One rounding of a coefficient, relative, with some slack.
ROUNDED = 2.0**-52


@dataclass(frozen=True, eq=False)
class Interpolation(Dense):
    """A dense layer of interpolation weights; whoever runs it computes them from coordinates up to `reach`, rounded."""

    reach: float = 1.0

    def perturbation(self, given: Sequence[Array]) -> Array:
        """A rounded coordinate may move a neighbour in or out."""
        total = self.magnitude(*map(np.abs, given)) + np.abs(self.offset())
        return total + self.reach * np.max(np.abs(given[0]), axis=-1, keepdims=True)


def interpolation(rows: Sequence[dict[int, Fraction]], inputs: int) -> Interpolation:
    """The layer whose output k is the sum of the given weights times entries of an axis of `inputs` entries."""
    weight, exact = np.zeros((len(rows), inputs)), True
    for k, row in enumerate(rows):
        for place, number in row.items():
            weight[k, place] = float(number)
            exact = exact and Fraction(weight[k, place]) == number
    return Interpolation(weight, None, 0.0 if exact else ROUNDED, float(inputs))


def linear_weights(coordinates: Iterable[Fraction], inputs: int) -> list[dict[int, Fraction]]:
    """Linear interpolation between neighbours; outside the ends, the entry at the end."""
    rows = []
    for coordinate in coordinates:
        place = min(max(coordinate, Fraction(0)), Fraction(inputs - 1))
        low = math.floor(place)
        rows.append(_gathered([(low, 1 - (place - low)), (low + 1, place - low)], inputs))
    return rows


def cubic_weights(
    coordinates: Iterable[Fraction], inputs: int, a: Fraction = Fraction(-3, 4), exclude_outside: bool = False
) -> list[dict[int, Fraction]]:
    """Cubic convolution with the coefficient `a` over four neighbours (Keys, 1981).

    Neighbours outside the ends repeat the entry at the end, or are left out and the others scaled to a sum of one.
    """
    rows = []
    for coordinate in coordinates:
        low = math.floor(coordinate)
        taps = [(low + k, _cubic(abs(coordinate - (low + k)), a)) for k in (-1, 0, 1, 2)]
        if exclude_outside:
            taps = [(place, weight) for place, weight in taps if 0 <= place < inputs]
            total = sum(weight for _, weight in taps)
            taps = [(place, weight / total) for place, weight in taps]
        rows.append(_gathered(taps, inputs))
    return rows


def _cubic(distance: Fraction, a: Fraction) -> Fraction:
    if distance <= 1:
        return ((a + 2) * distance - (a + 3)) * distance * distance + 1
    return ((distance - 5) * distance + 8) * distance * a - 4 * a


def _gathered(taps: list[tuple[int, Fraction]], inputs: int) -> dict[int, Fraction]:
    row: dict[int, Fraction] = {}
    for place, weight in taps:
        place = min(max(place, 0), inputs - 1)
        row[place] = row.get(place, Fraction(0)) + weight
    return {place: weight for place, weight in row.items() if weight}

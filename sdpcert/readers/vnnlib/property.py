"""What a VNN-LIB file asks: boxes of inputs, and conditions on outputs that no input of the box may fulfil."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from sdpcert.regions.region import Box

Array = np.ndarray
#: Ends of an interval that contains a number.
Ends = tuple[Fraction, Fraction]


@dataclass(frozen=True)
class Constraint:
    """`sum of c Y_i <= bound` over the pairs (i, c), or `<` if it is `strict`, in rational numbers."""

    coefficients: tuple[tuple[int, Fraction], ...]
    bound: Fraction
    strict: bool = False

    def surely(self, low: Sequence[Fraction | float], high: Sequence[Fraction | float]) -> bool:
        """Whether all outputs between these ends fulfil it; ends may be infinite."""
        most: Fraction | float = Fraction(0)
        for i, c in self.coefficients:
            end = high[i] if c > 0 else low[i]
            if not isinstance(end, Fraction) and not math.isfinite(end):
                return False
            most += c * Fraction(end)
        return most < self.bound if self.strict else most <= self.bound


@dataclass(frozen=True)
class InputBox:
    """All inputs with `low <= X <= high`, entry by entry, in rational numbers.

    `open_low` and `open_high` are the entries whose end does not belong to it, as `<` and `>` say.
    """

    low: tuple[Fraction, ...]
    high: tuple[Fraction, ...]
    open_low: frozenset[int] = frozenset()
    open_high: frozenset[int] = frozenset()

    def __len__(self) -> int:
        return len(self.low)

    @property
    def outward(self) -> Box:
        """The least box of float64 ends that has all of it; raises ValueError if an end is beyond float64."""
        return Box(np.array([_down(x) for x in self.low]), np.array([-_down(-x) for x in self.high]))

    def inward(self) -> tuple[Array, Array]:
        """Largest ends of float64 within it; the lower one is above the upper one where it has no float64."""
        low, high = np.array([-_down(-x) for x in self.low]), np.array([_down(x) for x in self.high])
        for ends, exact, open_ends, way in (
            (low, self.low, self.open_low, math.inf),
            (high, self.high, self.open_high, -math.inf),
        ):
            for k in open_ends:
                if Fraction(ends[k]) == exact[k]:
                    ends[k] = math.nextafter(ends[k], way)
        return low, high

    def nearest(self, point: Array) -> tuple[Fraction, ...] | None:
        """A point of it near a given one: float64 wherever it has such numbers; None where it is found to have none."""
        low, high = self.inward()
        chosen = []
        for k, x in enumerate(point):
            if low[k] <= high[k]:
                chosen.append(Fraction(float(min(max(x, low[k]), high[k]))))
            elif self.low[k] == self.high[k]:
                chosen.append(self.low[k])
            else:
                chosen.append((self.low[k] + self.high[k]) / 2)
        return tuple(chosen) if self.contains(chosen) else None

    def contains(self, point: Sequence[Fraction]) -> bool:
        """Whether a point lies in it."""
        inside = all(a <= x <= b for a, x, b in zip(self.low, point, self.high, strict=True))
        return (
            inside
            and all(point[k] != self.low[k] for k in self.open_low)
            and all(point[k] != self.high[k] for k in self.open_high)
        )


@dataclass(frozen=True)
class Case:
    """One box of inputs with its unsafe outputs: those that fulfil all constraints of one of the `clauses`."""

    box: InputBox
    clauses: tuple[tuple[Constraint, ...], ...]

    def clause_met(self, low: Sequence[Fraction | float], high: Sequence[Fraction | float]) -> int | None:
        """The first clause that all outputs between these ends fulfil; None if there is none."""
        for k, clause in enumerate(self.clauses):
            if all(constraint.surely(low, high) for constraint in clause):
                return k
        return None


@dataclass(frozen=True)
class Property:
    """The question of a file: is there an input of one of the boxes whose outputs are unsafe?

    `cases` has a box each; `asks` is False if the file says nothing about outputs, so that it states boxes alone.
    `inputs` and `outputs` count the variables X and Y; `notes` say what a reader has to know.
    """

    source: str
    inputs: int
    outputs: int
    cases: tuple[Case, ...]
    asks: bool
    notes: tuple[str, ...] = ()

    @property
    def hull(self) -> Box:
        """The least box of float64 ends that has all boxes."""
        boxes = [case.box.outward for case in self.cases]
        return Box(np.min([b.low for b in boxes], axis=0), np.max([b.high for b in boxes], axis=0))


def _down(number: Fraction) -> float:
    """The largest float64 that is not above a number; raises ValueError if there is none."""
    try:
        near = float(number)
    except OverflowError:
        near = math.inf
    if not math.isfinite(near):
        raise ValueError("an end of the box is beyond the range of float64")
    return (math.nextafter(near, -math.inf) if Fraction(near) > number else near) + 0.0

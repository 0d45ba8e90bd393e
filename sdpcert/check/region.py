"""Regions: the sets of inputs that a claim is about."""

from __future__ import annotations

import math
import operator
from array import array
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from .reading import Rejected, members, real, text, values

MAX_INPUTS = 10**7


@dataclass(frozen=True)
class Region:
    """All inputs that lie in the box, if there is one, and in the ball, if there is one.

    Args:
        kind: "all", "box" or "ball".
        low: lower ends of the box (that of kind "box", or `within` of a ball); None if there is no box.
        high: upper ends of the box, at least the lower ones.
        center: center of the ball, None if there is no ball.
        radius: radius of the ball, positive.
    """

    kind: str
    low: array[float] | None = None
    high: array[float] | None = None
    center: array[float] | None = None
    radius: float = math.inf

    @property
    def bounded(self) -> bool:
        """Whether the region has an end in every direction."""
        return self.kind != "all"

    def ends(self) -> tuple[list[Fraction], list[Fraction]]:
        """The ends of a box around a bounded region, exact."""
        low, high = (None if end is None else list(map(Fraction, end)) for end in (self.low, self.high))
        if self.center is None:
            return low or [], high or []
        radius = Fraction(self.radius)
        below, above = ([Fraction(c) + r for c in self.center] for r in (-radius, radius))
        return (
            below if low is None else list(map(max, below, low)),
            above if high is None else list(map(min, above, high)),
        )

    def fixed(self, inputs: int) -> list[bool]:
        """For each input whether it is the same for all points of the region."""
        if self.low is None or self.high is None:
            return [False] * inputs
        return list(map(operator.eq, self.low, self.high))

    def contains(self, point: array[float]) -> bool:
        """Whether a point lies in the region, decided in rational arithmetic."""
        if self.low is not None and self.high is not None:
            inside = all(map(operator.le, self.low, point)) and all(map(operator.le, point, self.high))
            if not inside:
                return False
        return self.center is None or squared_distance(self.center, point) <= Fraction(self.radius) ** 2

    def __str__(self) -> str:
        if self.kind == "all":
            return "all inputs x, x'"
        ball = f"the ball of radius {self.radius!r}"
        box = "the box" if self.kind == "box" else "a box"
        names = ([] if self.center is None else [ball]) + ([] if self.low is None else [box])
        return f"all inputs x, x' in {' within '.join(names)}"


ALL = Region("all")


def squared_distance(one: array[float], other: array[float]) -> Fraction:
    """The square of the Euclidean distance of two points."""
    return sum(((Fraction(a) - Fraction(b)) ** 2 for a, b in zip(one, other, strict=True)), Fraction(0))


def read(value: Any, name: str, inputs: int) -> Region:
    """Return a region of `inputs` inputs."""
    (kind,) = members(value, name, "kind", closed=False)
    reader = KINDS.get(text(kind, f"{name}.kind"))
    if reader is None:
        raise Rejected(f"{name}.kind is none of {', '.join(map(repr, KINDS))}")
    return reader(value, name, inputs)


def read_all(value: Any, name: str, inputs: int) -> Region:
    """Return the region of all inputs."""
    members(value, name, "kind")
    return ALL


def read_box(value: Any, name: str, inputs: int) -> Region:
    """Return a box."""
    _, low, high = members(value, name, "kind low high")
    return Region("box", *read_ends(low, high, name, inputs))


def read_ball(value: Any, name: str, inputs: int) -> Region:
    """Return a ball, or a ball within a box that has a point inside of the ball."""
    _, center, radius, box = members(value, name, "kind center radius within")
    center = values(center, f"{name}.center", "d", inputs)
    radius = real(radius, f"{name}.radius", 0.0)
    if radius == 0.0:
        raise Rejected(f"{name}.radius is zero")
    if box is None:
        return Region("ball", center=center, radius=radius)
    low, high = members(box, f"{name}.within", "low high")
    low, high = read_ends(low, high, f"{name}.within", inputs)
    nearest = array("d", map(min, map(max, center, low), high))
    if squared_distance(nearest, center) >= Fraction(radius) ** 2:
        raise Rejected(f"{name}.within has no point inside of the ball")
    return Region("ball", low, high, center, radius)


def read_ends(low: Any, high: Any, name: str, inputs: int) -> tuple[array[float], array[float]]:
    """Return the ends of a box."""
    low, high = values(low, f"{name}.low", "d", inputs), values(high, f"{name}.high", "d", inputs)
    if not all(map(operator.le, low, high)):
        raise Rejected(f"{name} has low > high")
    return low, high


KINDS = {"all": read_all, "box": read_box, "ball": read_ball}

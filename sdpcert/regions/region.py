"""Regions: the sets of inputs that a claim is about."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any

import numpy as np

from sdpcert.running.encoding import encode
from sdpcert.running.short_repr import ShortRepr

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Array = np.ndarray


class Region(ABC):
    """A closed convex set of inputs, in the coordinates that the network itself reads."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """The region as the format page describes it."""

    @abstractmethod
    def contains(self, point: Array) -> bool:
        """Whether a point of float64 lies in the region, decided in rational arithmetic."""

    @abstractmethod
    def box(self, inputs: int) -> tuple[Array, Array]:
        """Ends (low, high) of a box around the region, one entry for each of `inputs` inputs, rounded outward.

        They are infinite for all inputs. Raises ValueError if the region has another number of inputs.
        """

    def sphere(self, inputs: int) -> tuple[Array, float] | None:
        """Center and radius of the ball that the region is, or is cut from by its box; None if there is none.

        Raises ValueError if the region has another number of inputs.
        """
        return None

    @abstractmethod
    def fitted(self, inputs: int) -> Region:
        """The same region with every number stated for each of `inputs` inputs.

        Raises ValueError if the region has another number of inputs.
        """

    @property
    def bounded(self) -> bool:
        """Whether the region has an end in every direction."""
        return True

    @property
    @abstractmethod
    def shape(self) -> str:
        """What kind of set it is, in words."""

    @property
    @abstractmethod
    def size(self) -> float:
        """The radius of a ball, the largest half-width of a box, infinity for all inputs; for people."""


@dataclass(frozen=True)
class AllInputs(Region):
    """Every input."""

    def document(self) -> dict[str, Any]:
        return {"kind": "all"}

    def contains(self, point: Array) -> bool:
        return bool(np.all(np.isfinite(point)))

    def box(self, inputs: int) -> tuple[Array, Array]:
        return np.full(inputs, -np.inf), np.full(inputs, np.inf)

    def fitted(self, inputs: int) -> AllInputs:
        return self

    @property
    def bounded(self) -> bool:
        return False

    @property
    def shape(self) -> str:
        return "all inputs"

    @property
    def size(self) -> float:
        return math.inf


@dataclass(frozen=True, eq=False)
class Box(Region, ShortRepr):
    """All x with `low <= x <= high`, entry by entry; equal ends fix an input.

    `low` and `high` are numbers or arrays (shape of the network's input, or flat); numbers and arrays may be mixed.
    Raises ValueError if an end is not finite, or a lower end is above its upper end.
    """

    low: Array
    high: Array

    if TYPE_CHECKING:

        def __init__(self, low: ArrayLike, high: ArrayLike) -> None: ...

    def __post_init__(self) -> None:
        ends = [_numbers(end, f"Box: {name}") for end, name in ((self.low, "low"), (self.high, "high"))]
        try:
            low, high = np.broadcast_arrays(*ends)
        except ValueError:
            raise ValueError(f"Box: low has shape {ends[0].shape} and high {ends[1].shape}") from None
        if np.any(low > high):
            place = int(np.argmax((low > high).ravel()))
            raise ValueError(f"Box: low is above high at entry {place} ({low.ravel()[place]!r})")
        object.__setattr__(self, "low", low.ravel().copy())
        object.__setattr__(self, "high", high.ravel().copy())

    def document(self) -> dict[str, Any]:
        return {"kind": "box", "low": encode(self.low), "high": encode(self.high)}

    def contains(self, point: Array) -> bool:
        flat = np.asarray(point, dtype=float).ravel()
        return bool(np.all(self.low <= flat) and np.all(flat <= self.high))

    def box(self, inputs: int) -> tuple[Array, Array]:
        return _as_many(self.low, inputs, "the region's box"), _as_many(self.high, inputs, "the region's box")

    def fitted(self, inputs: int) -> Box:
        return Box(*self.box(inputs))

    @property
    def shape(self) -> str:
        return "box"

    @property
    def size(self) -> float:
        return float(np.max(self.high / 2 - self.low / 2))


@dataclass(frozen=True, eq=False)
class Ball(Region, ShortRepr):
    """All x with `|x - center| <= radius` in the Euclidean norm, and, with `within`, in that box too.

    `center` is an array (shape of the network's input, or flat), `radius` a positive number. Raises ValueError for
    numbers that are not finite, a radius that is not positive, or a box that has no point inside of the ball.
    """

    center: Array
    radius: float
    within: Box | None = None

    if TYPE_CHECKING:

        def __init__(self, center: ArrayLike, radius: float, within: Box | None = None) -> None: ...

    def __post_init__(self) -> None:
        center = _numbers(self.center, "Ball: center").ravel().copy()
        if isinstance(self.radius, bool) or not isinstance(self.radius, int | float | np.floating | np.integer):
            raise TypeError(f"Ball: radius must be a number, not {type(self.radius).__name__}")
        radius = float(self.radius)
        if not 0 < radius < np.inf:
            raise ValueError(f"Ball: radius must be a positive finite number, not {self.radius!r}")
        object.__setattr__(self, "center", center)
        object.__setattr__(self, "radius", radius)
        if self.within is None:
            return
        if not isinstance(self.within, Box):
            raise TypeError(f"Ball: within must be a Box, not {type(self.within).__name__}")
        nearest = np.clip(center, *self.within.box(len(center)))
        if not _squared_distance(nearest, center) < Fraction(radius) ** 2:
            raise ValueError("Ball: the box `within` has no point inside of the ball")

    def document(self) -> dict[str, Any]:
        within = None
        if self.within is not None:
            low, high = self.within.box(len(self.center))
            within = {"low": encode(low), "high": encode(high)}
        return {"kind": "ball", "center": encode(self.center), "radius": self.radius.hex(), "within": within}

    def contains(self, point: Array) -> bool:
        flat = np.asarray(point, dtype=float).ravel()
        if not np.all(np.isfinite(flat)) or len(flat) != len(self.center):
            return False
        if self.within is not None and not self.within.contains(flat):
            return False
        return _squared_distance(flat, self.center) <= Fraction(self.radius) ** 2

    def box(self, inputs: int) -> tuple[Array, Array]:
        center = _as_many(self.center, inputs, "the region's center")
        low, high = np.nextafter(center - self.radius, -np.inf), np.nextafter(center + self.radius, np.inf)
        if self.within is None:
            return low, high
        ends = self.within.box(inputs)
        return np.maximum(low, ends[0]), np.minimum(high, ends[1])

    def sphere(self, inputs: int) -> tuple[Array, float]:
        return _as_many(self.center, inputs, "the region's center"), self.radius

    def fitted(self, inputs: int) -> Ball:
        center = _as_many(self.center, inputs, "the region's center")
        return Ball(center, self.radius, None if self.within is None else self.within.fitted(inputs))

    @property
    def shape(self) -> str:
        return "ball" if self.within is None else "ball within a box"

    @property
    def size(self) -> float:
        return self.radius


def _numbers(values: Any, name: str) -> Array:
    """An array of finite numbers; raises ValueError or TypeError that names it."""
    try:
        array = np.asarray(values, dtype=float)
    except (TypeError, ValueError):
        raise TypeError(f"{name} must be a number or an array of numbers, not {type(values).__name__}") from None
    if not array.size:
        raise ValueError(f"{name} is empty")
    if not np.all(np.isfinite(array)):
        raise ValueError(f"{name} has an entry that is not finite")
    return array


def _as_many(values: Array, inputs: int, name: str) -> Array:
    """One entry for each input; a single number stands for all of them."""
    if len(values) not in (1, inputs):
        raise ValueError(f"{name} has {len(values)} entries; the network reads {inputs}")
    return np.broadcast_to(values, (inputs,)).copy()


def _squared_distance(one: Array, other: Array) -> Fraction:
    steps = [Fraction(float(a)) - Fraction(float(b)) for a, b in zip(one, other, strict=True) if a != b]
    unit = max((step.denominator for step in steps), default=1)  # all are powers of two
    return Fraction(sum((step.numerator * (unit // step.denominator)) ** 2 for step in steps), unit**2)

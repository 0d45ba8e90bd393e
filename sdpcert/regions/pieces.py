"""The pieces that a region is divided into, and what a certificate states of each.

A piece has what its parent proved, its side of the parent's split, and **steps**: bounds of preactivations, lines
between which the activations lie, and slopes of smooth activations. Then it **ends**: it is split, bounded by a
condition with the slopes that its bounds leave, empty, flat, or separated: its bounds decide a class. Nothing of it
needs trust:
`docs/certificate-format.md` says what each has to satisfy.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from sdpcert.running.encoding import encode
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
Side = Literal["below", "above"]
#: Digits of an integer that are written at once.
DIGITS = 4000


@dataclass(frozen=True, eq=False)
class Lines(ShortRepr):
    """Slopes of the lines below and above the activation of some neurons of one group.

    `neurons` has k indices; `lower` and `upper` have k slopes, or R rows of k where every one of R bounds has its own.
    """

    group: int
    neurons: Array
    lower: Array
    upper: Array

    def select(self, rows: Array) -> Lines:
        """The lines of some of the bounds, where every one has its own."""
        return Lines(self.group, self.neurons, self.lower[rows], self.upper[rows])

    def document(self) -> dict[str, Any]:
        """The lines as the format page describes them."""
        return {
            "group": self.group,
            "neurons": encode(self.neurons, "<i8"),
            "lower": encode(self.lower),
            "upper": encode(self.upper),
        }


@dataclass(frozen=True, eq=False)
class LinesStep(ShortRepr):
    """From here on the bounds of the piece, and of what it is split into, use these lines."""

    lines: Lines

    def document(self) -> dict[str, Any]:
        """The step as the format page describes it."""
        return {"kind": "lines", **self.lines.document()}


@dataclass(frozen=True, eq=False)
class BoundsStep(ShortRepr):
    """`v >= values` ("low") or `v <= values` ("high") for R neurons of one group.

    `lines`, if any, replace those of the piece for this step, row by row; `multipliers` (R, decisions so far) weigh the
    half-spaces of the splits above.
    """

    side: Literal["low", "high"]
    group: int
    neurons: Array
    values: Array
    lines: tuple[Lines, ...] = ()
    multipliers: Array | None = None

    def select(self, rows: Array) -> BoundsStep:
        """Some of the bounds."""
        multipliers = None if self.multipliers is None else self.multipliers[rows]
        lines = tuple(own.select(rows) for own in self.lines)
        return BoundsStep(self.side, self.group, self.neurons[rows], self.values[rows], lines, multipliers)

    def document(self) -> dict[str, Any]:
        """The step as the format page describes it."""
        return {
            "kind": "bounds",
            "side": self.side,
            "group": self.group,
            "neurons": encode(self.neurons, "<i8"),
            "values": encode(self.values),
            "lines": [lines.document() for lines in self.lines],
            "multipliers": None if self.multipliers is None else encode(self.multipliers),
        }


@dataclass(frozen=True, eq=False)
class SlopesStep(ShortRepr):
    """All slopes of some smooth activations of one group between two points of their intervals lie in [alpha, beta]."""

    group: int
    neurons: Array
    alpha: Array
    beta: Array

    def document(self) -> dict[str, Any]:
        """The step as the format page describes it."""
        return {
            "kind": "slopes",
            "group": self.group,
            "neurons": encode(self.neurons, "<i8"),
            "alpha": encode(self.alpha),
            "beta": encode(self.beta),
        }


@dataclass(frozen=True, eq=False)
class QuadraticStep(ShortRepr):
    """`v >= value` ("low") or `v <= value` ("high") for one neuron, by weighing quadratic facts of the piece.

    `ball` weighs the ellipsoid around the region, with the semi-axes `scales` up to a factor (None: the region's ball).
    `multipliers` has an array for each group before `group`, with the weights of the facts of its undecided neurons one
    after the other (six for one with a kink in its interval, else three); `decisions` weighs the half-spaces of the
    splits above, None if there are none or all are zero.
    """

    side: Literal["low", "high"]
    group: int
    neuron: int
    value: float
    scales: Array | None
    ball: float
    multipliers: tuple[Array, ...]
    decisions: Array | None = None

    def document(self) -> dict[str, Any]:
        """The step as the format page describes it."""
        return {
            "kind": "quadratic",
            "side": self.side,
            "group": self.group,
            "neuron": self.neuron,
            "value": float(self.value).hex(),
            "scales": None if self.scales is None else encode(self.scales),
            "ball": float(self.ball).hex(),
            "multipliers": [encode(m) for m in self.multipliers],
            "decisions": None if self.decisions is None else encode(self.decisions),
        }


Step = LinesStep | BoundsStep | SlopesStep | QuadraticStep


@dataclass(frozen=True)
class Split:
    """The piece is divided where preactivation `neuron` of `group` is `at`; group 0 is the input."""

    group: int
    neuron: int
    at: float = 0.0

    def document(self) -> dict[str, Any]:
        """The end as the format page describes it."""
        return {"kind": "split", "group": self.group, "neuron": self.neuron, "at": float(self.at).hex()}


@dataclass(frozen=True, eq=False)
class Bounded(ShortRepr):
    """The condition with the slopes that the piece's bounds leave holds at (rho, multipliers).

    `multipliers` has one array for each group, with one entry for each neuron whose slope is not decided.
    """

    rho: float
    exponent: int
    multipliers: tuple[Array, ...]

    def document(self) -> dict[str, Any]:
        """The end as the format page describes it."""
        return {
            "kind": "condition",
            "rho": float(self.rho).hex(),
            "exponent": self.exponent,
            "multipliers": [encode(m) for m in self.multipliers],
        }


@dataclass(frozen=True)
class Empty:
    """A bound from below of the piece is above one from above: it has no points."""

    def document(self) -> dict[str, Any]:
        """The end as the format page describes it."""
        return {"kind": "empty"}


@dataclass(frozen=True)
class Flat:
    """The half-spaces of the splits above, weighed by these integers, leave no interior."""

    weights: tuple[int, ...]

    def document(self) -> dict[str, Any]:
        """The end as the format page describes it."""
        return {"kind": "flat", "weights": [_decimal(weight) for weight in self.weights]}


def _decimal(number: int) -> str:
    """The decimal digits of a nonnegative integer, also where Python refuses to write so many at once."""
    digits: list[str] = []
    while number >= 10**DIGITS:
        number, rest = divmod(number, 10**DIGITS)
        digits.append(f"{rest:0{DIGITS}}")
    return str(number) + "".join(reversed(digits))


@dataclass(frozen=True)
class Separated:
    """The bounds of the piece keep the class that is claimed above all others that the proof is about."""

    def document(self) -> dict[str, Any]:
        """The end as the format page describes it."""
        return {"kind": "separated"}


End = Split | Bounded | Empty | Flat | Separated


@dataclass(frozen=True, eq=False)
class Piece(ShortRepr):
    """One piece: its parent's number (None for the first, the whole region), its side there, its steps and its end."""

    parent: int | None
    side: Side | None
    steps: tuple[Step, ...]
    end: End

    def document(self) -> dict[str, Any]:
        """The piece as the format page describes it."""
        return {
            "parent": self.parent,
            "side": self.side,
            "steps": [step.document() for step in self.steps],
            "end": self.end.document(),
        }

"""The pieces that a region is divided into, and what a file states of each, checked for form and not for truth."""

from __future__ import annotations

from array import array
from dataclasses import dataclass


@dataclass(frozen=True)
class Lines:
    """Slopes of the lines below and above the activations of k neurons of one group (from 1), indices ascending.

    `lower` and `upper` have k slopes, in a step of R bounds R rows of k.
    """

    group: int
    neurons: array[int]
    lower: array[float]
    upper: array[float]


@dataclass(frozen=True)
class LinesStep:
    """New slopes of the lines of some neurons."""

    lines: Lines


@dataclass(frozen=True)
class SlopesStep:
    """Slopes of some smooth activations of one group on their intervals."""

    group: int
    neurons: array[int]
    alpha: array[float]
    beta: array[float]


@dataclass(frozen=True)
class BoundsStep:
    """`v >= values` (side "low") or `v <= values` (side "high") for R neurons of one group.

    `multipliers` has R rows, one entry for each decision of the piece; None is all zeros.
    """

    side: str
    group: int
    neurons: array[int]
    values: array[float]
    lines: tuple[Lines, ...]
    multipliers: array[float] | None


Step = LinesStep | SlopesStep | BoundsStep


@dataclass(frozen=True)
class Split:
    """The piece is divided where preactivation `neuron` of `group` (input `neuron` for group 0) is `at`."""

    group: int
    neuron: int
    at: float


@dataclass(frozen=True)
class Bounded:
    """The condition with the slopes that the piece leaves holds at (rho, multipliers): end of kind "condition".

    `multipliers` has one array for each group; its length is checked when it is known which neurons are decided.
    """

    rho: float
    exponent: int
    multipliers: tuple[array[float], ...]


@dataclass(frozen=True)
class Empty:
    """The interval of some neuron is empty."""


@dataclass(frozen=True)
class Flat:
    """The half-spaces of the decisions, weighed by integers >= 0, leave no interior."""

    weights: tuple[int, ...]


End = Split | Bounded | Empty | Flat


@dataclass(frozen=True)
class Piece:
    """One piece: its parent's number and its side there, "below" or "above" (None for the first), steps and end."""

    name: str
    parent: int | None
    side: str | None
    steps: tuple[Step, ...]
    end: End

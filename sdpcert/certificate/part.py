"""The claim tree: what a certificate is made of.

A part is a function with a claim, `|f(x) - f(x')| <= upper |x - x'|` for all inputs of a region, and what proves it.
There are four kinds. A **condition** is one matrix inequality with its multipliers, and a **sequence** is parts one
after the other (`condition.py` with its two forms, `sequence.py`). A **restriction** is bounds of preactivations on a
region and the condition with the slopes that they leave; a **cover** divides a region into such pieces and has the
largest of their bounds (`cover.py`, `pieces.py`).
"""

from __future__ import annotations

import hashlib
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdpcert.regions.region import AllInputs, Region
from sdpcert.running.encoding import encode
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
NORM = "l2"


@dataclass(frozen=True, eq=False)
class Claim(ShortRepr):
    """`|f(x) - f(x')| <= upper |x - x'|` for all x, x' in `region`, in Euclidean norms.

    `inputs` and `outputs` count entries. With a `metric`, one weight d_c per output channel (an equal share of the
    outputs), the left side is the root of `sum_c d_c |f_c(x) - f_c(x')|^2`.
    """

    upper: float
    inputs: int
    outputs: int
    metric: Array | None = None
    region: Region = field(default_factory=AllInputs)

    def document(self) -> dict[str, Any]:
        """The claim as the format page describes it."""
        return {
            "upper": self.upper.hex(),
            "norm": NORM,
            "region": self.region.document(),
            "inputs": self.inputs,
            "outputs": self.outputs,
            "metric": None if self.metric is None else encode(self.metric),
        }


class Part(ShortRepr, ABC):
    """A node of the claim tree, proved."""

    #: What the input's entries are: those of the network's input, or those of a torus that an image is embedded in.
    coordinates: str = "input"
    #: The arithmetic that proved it: "exact" or "floating-point".
    level: str = "exact"
    #: The joint scaling by 1 + tau that the proof needed; it raises the bound by tau / 2, relative.
    tau: float = 0.0

    @property
    @abstractmethod
    def claim(self) -> Claim:
        """What is proved."""

    @abstractmethod
    def document(self) -> dict[str, Any]:
        """The part as the format page describes it, ready for JSON."""

    @property
    def upper(self) -> float:
        """The bound."""
        return self.claim.upper

    @property
    def leaves(self) -> tuple[Part, ...]:
        """The conditions of the tree, from first to last."""
        return (self,)

    @property
    @abstractmethod
    def sha256(self) -> str:
        """Hash of the function that the part is about."""


def hash_of(leaves: tuple[Part, ...]) -> str:
    """The hash that stands for several parts."""
    return hashlib.sha256("\n".join(part.sha256 for part in leaves).encode()).hexdigest()

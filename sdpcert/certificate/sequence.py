"""Parts one after the other: the bound is the product of theirs."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from math import nextafter
from typing import Any, TypeVar

import numpy as np

from sdpcert.certificate.part import Claim, Part, hash_of
from sdpcert.running.encoding import encode
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
One = TypeVar("One", bound=Part)


@dataclass(frozen=True, eq=False)
class Joint(ShortRepr):
    """How a part reads the one before it: input j is entry `layout[j]` of that part's output over `scale[j]`.

    A metric d of the part before is undone by its scale: `d scale^2` is at least one.
    """

    layout: Array
    scale: Array

    @staticmethod
    def plain(size: int) -> Joint:
        """Every entry, as it is."""
        return Joint(np.arange(size), np.ones(size))

    def document(self) -> dict[str, Any]:
        """The joint as the format page describes it."""
        return {"layout": encode(self.layout, "<i8"), "scale": encode(self.scale)}


@dataclass(frozen=True, eq=False)
class Sequence(Part):
    """At least two parts in order, with a joint between any two.

    `cuts` are the values of the network between the parts, where it was divided at values of its graph.
    """

    parts: tuple[Part, ...]
    joints: tuple[Joint, ...]
    cuts: tuple[int, ...] = ()

    @cached_property
    def claim(self) -> Claim:
        return Claim(product_up(self.parts), self.parts[0].claim.inputs, self.parts[-1].claim.outputs)

    @property
    def leaves(self) -> tuple[Part, ...]:
        return tuple(leaf for part in self.parts for leaf in part.leaves)

    @property
    def coordinates(self) -> str:
        return self.parts[0].coordinates

    @property
    def level(self) -> str:
        return "exact" if all(part.level == "exact" for part in self.parts) else "floating-point"

    @property
    def tau(self) -> float:
        return max(part.tau for part in self.parts)

    @property
    def sha256(self) -> str:
        return hash_of(self.leaves)

    def document(self) -> dict[str, Any]:
        return {
            "kind": "sequence",
            "claim": self.claim.document(),
            "parts": [part.document() for part in self.parts],
            "joints": [joint.document() for joint in self.joints],
        }


def in_sequence(parts: tuple[One, ...], joints: tuple[Joint, ...], cuts: tuple[int, ...] = ()) -> One | Sequence:
    """The sequence of some parts; one part is that part itself."""
    return parts[0] if len(parts) == 1 else Sequence(parts, joints, cuts)


def product_up(parts: tuple[Part, ...]) -> float:
    """The product of the parts' bounds, rounded up."""
    exact = Fraction(1)
    for part in parts:
        exact *= Fraction(part.upper)
    result = float(exact)
    return result if Fraction(result) >= exact else nextafter(result, float("inf"))

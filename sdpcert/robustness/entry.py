"""What a file of radii says of one input: whether it is right, its radius with the proofs, the nearest attack."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.regions.pieces import Piece
from sdpcert.running.encoding import encode
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray


@dataclass(frozen=True)
class ByConstants:
    """The margins over these classes at the input are larger than what the constants of the pairs take away."""

    classes: tuple[int, ...]

    def document(self) -> dict[str, Any]:
        """The proof as the format page describes it."""
        return {"kind": "constants", "classes": list(self.classes)}


@dataclass(frozen=True, eq=False)
class ByPieces(ShortRepr):
    """The margins over these classes stay large enough on every piece of a cover of the input's region."""

    classes: tuple[int, ...]
    pieces: tuple[Piece, ...]

    def document(self) -> dict[str, Any]:
        """The proof as the format page describes it."""
        return {"kind": "pieces", "classes": list(self.classes), "pieces": [p.document() for p in self.pieces]}


@dataclass(frozen=True, eq=False)
class Attack(ShortRepr):
    """A point with another class, and its distance from the input, rounded up."""

    point: Array
    distance: float

    def document(self) -> dict[str, Any]:
        """The attack as the format page describes it."""
        return {"point": encode(self.point), "distance": float(self.distance).hex()}


@dataclass(frozen=True, eq=False)
class Entry(ShortRepr):
    """One input with its label; a radius of 0 needs no proofs, one that is not `correct` has none.

    `correct` is None where it is not proved whether the label's output is the greatest.
    """

    center: Array
    label: int
    correct: bool | None
    radius: float = 0.0
    proofs: Sequence[ByConstants | ByPieces] = ()
    attack: Attack | None = None

    def document(self) -> dict[str, Any]:
        """The entry as the format page describes it."""
        return {
            "center": encode(self.center),
            "label": self.label,
            "correct": self.correct,
            "radius": float(self.radius).hex(),
            "proofs": [proof.document() for proof in self.proofs],
            "attack": None if self.attack is None else self.attack.document(),
        }

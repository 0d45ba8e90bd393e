"""Parts that are about a region: bounds of preactivations and a condition, on the whole region or on its pieces."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certificate.part import Claim, Part
from sdpcert.certificate.region_network import hash_of_network, network_document
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.pieces import Bounded, Piece
from sdpcert.regions.region import Region


@dataclass(frozen=True, eq=False)
class OnRegion(Part):
    """A network on a region, with the pieces that prove its bound.

    `level` is the arithmetic that a checker used, "" before.
    """

    form: StackedForm
    region: Region
    pieces: tuple[Piece, ...]
    level: str = ""
    kind: ClassVar[str]

    @cached_property
    def claim(self) -> Claim:
        bounds = (square_root_up(p.end.rho, p.end.exponent) for p in self.pieces if isinstance(p.end, Bounded))
        region = self.region.fitted(self.form.inputs)
        return Claim(max(bounds, default=0.0), self.form.inputs, self.form.outputs, region=region)

    @cached_property
    def sha256(self) -> str:
        return hash_of_network(self.form)

    def document(self) -> dict[str, Any]:
        return {
            "kind": self.kind,
            "claim": self.claim.document(),
            "network": network_document(self.form),
            "pieces": [piece.document() for piece in self.pieces],
        }


class Restriction(OnRegion):
    """Bounds of preactivations on a region, and the condition with the slopes that they leave: one piece."""

    kind = "restriction"


class Cover(OnRegion):
    """The leaves of a branch and bound: together they cover the region, and the largest of their bounds holds on it."""

    kind = "cover"


def on_region(form: StackedForm, region: Region, pieces: tuple[Piece, ...]) -> Restriction | Cover:
    """The part that these pieces are: a restriction if the region was not divided, else a cover."""
    return (Restriction if len(pieces) == 1 else Cover)(form, region, pieces)

"""The kinds of part `restriction` and `cover`: a bound on a region, proved on one piece or on many that cover it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from .network import Network
from .part import Part
from .pieces import Piece
from .region import Region


@dataclass(frozen=True)
class Cover(Part):
    """A bound of a network on a region that is divided into pieces.

    Args:
        region: where the bound holds.
        network: the network.
        pieces: at least one; the first is the whole region, every other one stands after its parent. One that is split
            has exactly two children, one on each side, and no other has any.
    """

    region: Region
    network: Network
    pieces: tuple[Piece, ...]

    def prove(self, exact: bool | None) -> str:
        """Prove the claim of every piece."""
        raise NotImplementedError

    def leaves(self) -> Iterator[Part]:
        """The part itself."""
        yield self

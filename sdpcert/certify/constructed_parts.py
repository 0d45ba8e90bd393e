"""A convolutional network of 1-Lipschitz layers, proved one convolution after another at the point that they know.

The constants of layers multiply, so nothing is lost; what is won is the size of the conditions. Over frequencies the
condition of a front as a whole has all its channels, times the places in a cell of all its strides together, where one
convolution with its activation has its own. What the parts cannot have is tried as a whole.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from math import inf

from sdpcert.certificate.sequence import Sequence
from sdpcert.certify.binding import only_moves
from sdpcert.certify.construction import ConstructionPlan
from sdpcert.certify.divided import DividedCandidate
from sdpcert.certify.frequencies import FrequencyPlan
from sdpcert.certify.pieces_of_network import BoundedPiece, bounded_by
from sdpcert.certify.plan import FAILURES, Candidate, Plan, Told, Tried
from sdpcert.certify.proved import prove_best
from sdpcert.certify.request import Request
from sdpcert.network.affine import Conv2d, ConvTranspose, Shape
from sdpcert.network.construction import ConstructedNetwork
from sdpcert.solvers.solution import Budget


class ConstructedParts(Plan):
    """A network whose first part is convolutional, at the point that its layers know."""

    method = "by-construction"
    solver = "closed form"

    def __init__(self, network: ConstructedNetwork, request: Request) -> None:
        self.network = self.searched = network
        self.neurons = network.neurons
        self.request = replace(request, time_limit=inf)
        self.cuts: list[int] = []
        self.missing = ""
        self.whole: FrequencyPlan | None = None

    def candidates(self, budget: Budget) -> Iterator[Candidate]:
        """The parts, and the network as a whole where one of them has no proof."""
        pieces = self._pieces(budget)
        if pieces is not None:
            yield DividedCandidate(tuple(pieces), way="one convolution after another")
        self.whole = FrequencyPlan(self.network, self.request)
        yield from self.whole.candidates(budget)

    def _pieces(self, budget: Budget) -> list[BoundedPiece] | None:
        cuts, flat = parts_of(self.network)
        places, found = [0, *cuts, self.network.output], []
        self.cuts = cuts
        for start, end in pairwise(places):
            own = self.network if len(places) == 2 else self.network.part(start, end)
            if found and only_moves(own):
                break
            try:
                plan = ConstructionPlan(own) if start >= flat else FrequencyPlan(own, self.request)
                proved = prove_best(plan, plan.candidates(budget), budget, checked=False)
                piece = bounded_by(plan, proved, start, end)
            except (ValueError, *FAILURES) as error:
                self.missing = str(error) or type(error).__name__
                return None
            if isinstance(piece, str):
                self.missing = piece
                return None
            if isinstance(proved.tree, Sequence) and proved.tree.cuts:
                numbers = [start, *self.network.path(start, end)]
                self.cuts = [*self.cuts, *(numbers[k] for k in proved.tree.cuts)]
            found.append(piece)
        return found

    def is_settled(self, tried: list[Tried], budget: Budget) -> bool:
        """What a checker rejects settles nothing."""
        return any(t.upper < inf for t in tried)

    def told(self, tried: list[Tried], best: Tried | None, budget: Budget) -> Told:
        if self.whole is not None and not (best is not None and isinstance(best.candidate, DividedCandidate)):
            told = self.whole.told(tried, best, budget)
            note = f"one convolution after another has no proof, so it was tried as a whole: {self.missing}"
            return replace(told, notes=(note, *told.notes)) if self.missing else told
        proven = tried[0].proven
        parts = proven.tree.parts if isinstance(proven.tree, Sequence) else ()
        notes = [f"proved in {len(parts)} parts, one convolution after another"] if parts else []
        information = {"cuts": self.cuts} if self.cuts else {}
        return Told(0.0, "closed form", 0, (), (*notes, *proven.notes), information)


def parts_of(network: ConstructedNetwork) -> tuple[list[int], int]:
    """The values between layers at which another convolution begins, and the last image.

    The first part has what is before the first convolution too, and every one what follows until the next. What comes
    after the last image is a part of its own.
    """
    images = {v for v in network.construction.squared_gains if _is_image(network.shape(v))}
    cuts = sorted(images & {node.inputs[0] for node in network.nodes if isinstance(node.layer, Conv2d | ConvTranspose)})
    flat = max(images, default=0)
    after = cuts and cuts[-1] < flat < network.output
    return [*cuts[1:], flat] if after else cuts[1:], flat if after else network.output


def _is_image(shape: Shape) -> bool:
    """Channels of more than one pixel."""
    return len(shape) == 3 and shape[1:] != (1, 1)

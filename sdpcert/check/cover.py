"""The kinds of part `restriction` and `cover`: a bound on a region, proved on one piece or on many that cover it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import network, pieces, replay
from .network import Network
from .part import EXACT, FLOATING, Part, ReadPart, agreeing, read_claim
from .pieces import MAX_FACTS, Bounded, BoundsStep, Divided, Piece, QuadraticStep, Requirement
from .reading import Rejected, members, within

#: Least and most pieces of each kind.
PIECES = {"restriction": (1, 1), "cover": (3, pieces.MAX_PIECES)}
#: Seconds that a multiplication of integers takes, at most.
SECONDS = 60e-9
#: Multiplications up to which integers are used unless told otherwise: a minute at most.
MAX_WORK = 10**9
#: How many multiplications of a product the work at one coefficient of a row, at one entry of a factor, or at the lines
#: of one neuron is worth.
COEFFICIENT, ENTRY, NEURON = 20, 6, 400
#: The same of a quadratic bound: the work at an input of two of its rows, and at an entry of its factor.
SQUARE, FACTORED = 4, 2
#: Weights that a quadratic bound has for a neuron without kinks.
SMOOTH_FACTS = 3


@dataclass(frozen=True)
class Cover(Part):
    """A bound of a network on a region that is divided into pieces.

    Args:
        network: the network.
        pieces: at least one; the first is the whole region, every other one stands after its parent. One that is split
            has exactly two children, one on each side, and no other has any.
    """

    network: Network
    pieces: tuple[Piece, ...]

    def prove(self, exact: bool | None) -> str:
        """Prove the claim on every piece, in integers if `exact` is True, or None and it is little work."""
        with within(self.name):
            return prove(self, self.work <= MAX_WORK if exact is None else exact)

    @property
    def work(self) -> int:
        """About how many multiplications a proof in integers takes, at 20 to 60 nanoseconds each."""
        return work_of(self.network, self.pieces)

    @property
    def requirements(self) -> tuple[Requirement, ...]:
        """A bound separates no classes."""
        return ()

    def leaves(self) -> Iterator[Part]:
        """The part itself."""
        yield self

    @property
    def uncertain(self) -> bool:
        """Whether the claim is about every network with weights and biases within some radii."""
        return self.network.uncertain

    def said(self, level: str) -> list[str]:
        """What a proved claim is about and how it was proved, for people."""
        of = "every network with weights and biases within the stated radii" if self.uncertain else "the stated weights"
        return [
            f"{of}, the stated activations",
            f"{len(self.pieces)} pieces" if len(self.pieces) > 1 else "1 piece",
            "proved in exact integer arithmetic"
            if level == EXACT
            else "proved in floating point with rigorous error bounds",
        ]


def prove(divided: Divided, exact: bool) -> str:
    """Prove what is claimed of a region and its pieces, and return the arithmetic; raise `Rejected`."""
    if exact:
        replay.prove(divided)
        return EXACT
    try:
        from . import cover_floating  # needs more than the standard library
    except ModuleNotFoundError as error:
        raise Rejected(f"its proof needs floating point: install {error.name} and check again") from None
    cover_floating.prove(divided)
    return FLOATING


def work_of(network: Network, pieces: tuple[Piece, ...]) -> int:
    """About how many multiplications it takes to prove pieces in integers."""
    sizes = [network.inputs, *(group.size for group in network.groups), network.outputs]
    through = [0] * len(sizes)  # weights of a descent from each group, those of all groups below included
    for block in network.blocks:
        through[block.target] += block.rows * block.columns
    for g in range(1, len(sizes)):
        through[g] += through[g - 1] + COEFFICIENT * sizes[g - 1]
    total = 0
    for piece in pieces:
        total += len(sizes)
        for step in piece.steps:
            total += len(sizes) + NEURON * max(sizes[1:-1])
            if isinstance(step, BoundsStep):
                top = step.group if step.multipliers is None else len(sizes) - 2
                total += len(step.neurons) * through[top]
            if isinstance(step, QuadraticStep):
                counts = [
                    -(-len(weights) // (SMOOTH_FACTS if group.activation.takes_slopes else MAX_FACTS))
                    for group, weights in zip(network.groups, step.multipliers, strict=False)
                ]
                total += _quadratic([*counts, 1], through, sizes[0])
        if isinstance(piece.end, Bounded):
            counts = [*map(len, piece.end.multipliers), sizes[-1]]
            total += _matrix(counts, through, sizes[0])
    return total


def _matrix(counts: list[int], through: list[int], inputs: int) -> int:
    """The multiplications of a condition with so many rows of each group, and of its factor."""
    rows = sum(counts)
    return _descents(counts, through) + rows * rows * inputs + ENTRY * (rows + min(rows, inputs)) ** 3


def _quadratic(counts: list[int], through: list[int], inputs: int) -> int:
    """Those of a quadratic bound, whose rows are longer integers; its matrix is factored once or twice."""
    rows = sum(counts)
    return _descents(counts, through) + SQUARE * rows * rows * inputs + FACTORED * (rows + min(rows, inputs)) ** 3


def _descents(counts: list[int], through: list[int]) -> int:
    return sum(count * through[g] for g, count in enumerate(counts, 1))


def seconds_in_integers(document: dict[str, Any]) -> float:
    """About how long a certificate whose tree is a restriction or a cover takes to be proved in integers."""
    part = read(document["tree"], "", _no_part)
    return SECONDS * part.work if isinstance(part, Cover) else 0.0


def _no_part(value: Any, name: str) -> Part:
    raise Rejected(f"{name} has a part inside")


def read(value: Any, name: str, read_part: ReadPart) -> Part:
    """Return a part of kind `restriction` or `cover`; it has no parts inside."""
    kind, claim, content, listed = members(value, name, "kind claim network pieces")
    claim = read_claim(claim, f"{name}.claim", local=True)
    if claim.metric is not None:
        raise Rejected(f"{name}.claim.metric is not null")
    with within(name):
        content = network.read(content, "network")
        read_pieces = pieces.read(listed, "pieces", content, *PIECES[kind])
    sizes = content.inputs, content.outputs
    part = Cover(name, claim.upper, *sizes, content.sha256, content, read_pieces, region=claim.region)
    return agreeing(part, claim)

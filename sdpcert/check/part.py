"""What every part of the claim tree states and can do, whatever its kind."""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from . import region as regions
from .reading import Rejected, constant, integer, members, real
from .region import ALL, MAX_INPUTS, Region

#: More entries than any input or output has: channels times cells of the largest torus.
MAX_ENTRIES = 10**12
EXACT, FLOATING = "exact", "floating-point"

#: Reads a part inside another one, from its JSON value and its name in messages.
ReadPart = Callable[[Any, str], "Part"]


@dataclass(frozen=True)
class Joint:
    """How a part reads the one before it: its input j is output `layout[j]` over `scale[j]`."""

    layout: array[int]
    scale: array[float]


@dataclass(frozen=True)
class Part(ABC):
    """A part of the claim tree: for all x, x' in a region the outputs satisfy |f(x) - f(x')| <= upper |x - x'|.

    The norms are Euclidean. That of the output is weighted: the square of entry i counts `weight(i)` times.

    Args:
        name: the part's place in the file, for messages; empty for a file that is one part.
        upper: the bound.
        inputs: number of entries of x.
        outputs: number of entries of f(x).
        sha256: hash of the network, 64 hexadecimal digits.
        region: where the bound holds.
    """

    name: str
    upper: float
    inputs: int
    outputs: int
    sha256: str
    region: Region = field(default=ALL, kw_only=True)

    @abstractmethod
    def prove(self, exact: bool | None) -> str:
        """Prove the claim and return the arithmetic, `EXACT` or `FLOATING`; raise `Rejected` if there is no proof.

        `exact` asks for integers (True) or floating point (False) if a proof can be in both; None chooses by size.
        """

    @abstractmethod
    def leaves(self) -> Iterator[Part]:
        """The conditions of the part, from input to output."""

    def joints(self) -> Iterator[Joint]:
        """How each of the leaves but the first reads the one before it."""
        yield from ()

    @property
    def embedded(self) -> bool:
        """Whether x is an image embedded in a torus."""
        return False

    @property
    def uncertain(self) -> bool:
        """Whether the claim is about every network with weights within some radii."""
        return any(leaf.uncertain for leaf in self.leaves())

    @property
    def takes_norms(self) -> bool:
        """Whether some neurons are norms of several preactivations."""
        return False

    @property
    def always_exact(self) -> bool:
        """Whether the claim is proved in integers, whatever is asked for."""
        return False

    def said(self, level: str) -> list[str]:
        """What a proved claim is about and how it was proved, for people; `level` is the arithmetic."""
        conditions = sum(1 for _ in self.leaves())
        return [
            f"{'every network with weights within the stated radii' if self.uncertain else 'the stated weights'}, "
            "activations with the stated slopes" + " or norms" * any(leaf.takes_norms for leaf in self.leaves()),
            *(["inputs embedded in a torus"] if self.embedded else []),
            *([f"{conditions} conditions in sequence"] if conditions > 1 else []),
            self.proved(level),
        ]

    def proved(self, level: str) -> str:
        """How a proved claim was proved, for people."""
        if level == EXACT:
            return "proved in exact integer arithmetic"
        said, leaves = "proved by floating-point Cholesky with rigorous error bounds", list(self.leaves())
        if not all(leaf.embedded for leaf in leaves if not leaf.always_exact):
            said += ", what has an integer proof in exact integers" * any(leaf.always_exact for leaf in leaves)
            return said
        return f"{said} on the torus, in exact integers elsewhere"

    @property
    def weights(self) -> array[float] | None:
        """The weights of the output's norm, one for each channel; None for the plain norm."""
        return None

    def weight(self, index: int) -> Fraction:
        """The weight of an entry of the output."""
        if self.weights is None:
            return Fraction(1)
        return Fraction(self.weights[index * len(self.weights) // self.outputs])

    def bounds_plain_norm(self) -> bool:
        """Whether the claim holds in the plain norm of the output too, which is then at most the weighted one."""
        return self.weights is None or min(self.weights) >= 1


@dataclass(frozen=True)
class Claim:
    """The claim of a part as the file states it; `metric` is still encoded."""

    upper: float
    inputs: int
    outputs: int
    metric: Any
    region: Region


def read_claim(value: Any, name: str, local: bool = False) -> Claim:
    """Return the claim of a part; only a `local` one may be about another region than all inputs."""
    upper, norm, region, inputs, outputs, metric = members(value, name, "upper norm region inputs outputs metric")
    constant(norm, f"{name}.norm", "l2")
    if not local:
        constant(members(region, f"{name}.region", "kind")[0], f"{name}.region.kind", "all")
    upper = real(upper, f"{name}.upper", 0.0)
    inputs = integer(inputs, f"{name}.inputs", 1, MAX_INPUTS if local else MAX_ENTRIES)
    outputs = integer(outputs, f"{name}.outputs", 1, MAX_ENTRIES)
    where = regions.read(region, f"{name}.region", inputs) if local else ALL
    return Claim(upper, inputs, outputs, metric, where)


def agreeing(part: Part, claim: Claim) -> Part:
    """Return the part if its inputs and outputs are as many as its claim says; raise `Rejected` if they are not."""
    if (part.inputs, part.outputs) != (claim.inputs, claim.outputs):
        raise Rejected(f"{part.name}.claim has other inputs or outputs than the network")
    return part

"""The kind of part `condition`: one matrix inequality (one for each frequency, on a torus) proves one bound."""

from __future__ import annotations

from array import array
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from . import integers, stacked, torus
from .part import EXACT, FLOATING, Part, ReadPart, agreeing, read_claim
from .reading import Rejected, members, within
from .stacked import Stacked
from .torus import Torus


@dataclass(frozen=True)
class StackedCondition(Part):
    """The condition of a stacked form; its proof is in integers."""

    content: Stacked

    @classmethod
    def read(cls, name: str, upper: float, metric: Any, network: Any, multipliers: Any, proof: Any) -> Part:
        """The condition from the objects of the file."""
        with within(name):
            if metric is not None:
                raise Rejected("the metric of a stacked form is not null")
            content = stacked.read(upper, network, multipliers, proof)
        return cls(name, upper, content.sizes[0], content.sizes[-1], content.sha256, content)

    def prove(self, exact: bool | None) -> str:
        """Prove the condition, in integers whatever `exact` says."""
        with within(self.name):
            stacked.prove(self.content)
        return EXACT

    def leaves(self) -> Iterator[Part]:
        """The condition itself."""
        yield self

    @property
    def uncertain(self) -> bool:
        """Whether the claim is about every network with weights within some radii."""
        return any(block.radius for block in self.content.blocks)


@dataclass(frozen=True)
class TorusCondition(Part):
    """The conditions at all frequencies of a network on a torus."""

    content: Torus

    @classmethod
    def read(cls, name: str, upper: float, metric: Any, network: Any, multipliers: Any, proof: Any) -> Part:
        """The condition from the objects of the file."""
        with within(name):
            content = torus.read(upper, metric, network, multipliers, proof)
        inputs, outputs = content.sizes[0] * content.cells, content.sizes[-1] * (1 if content.pooled else content.cells)
        return cls(name, upper, inputs, outputs, content.sha256, content)

    def prove(self, exact: bool | None) -> str:
        """Prove the conditions, in integers if `exact` is True, or None and they are small enough."""
        exact = self.content.work <= torus.MAX_WORK if exact is None else exact
        with within(self.name):
            if exact:
                integers.prove(self.content)
                return EXACT
            try:
                from . import floating  # the one file that needs more than the standard library
            except ModuleNotFoundError as error:
                raise Rejected(f"its proof needs floating point, and Python finds no {error.name}") from None
            floating.prove(self.content)
            return FLOATING

    def leaves(self) -> Iterator[Part]:
        """The condition itself."""
        yield self

    @property
    def embedded(self) -> bool:
        """An image is embedded in the torus."""
        return True

    @property
    def uncertain(self) -> bool:
        """Whether the claim is about every network with weights within some radii."""
        return any(block.radius for block in self.content.blocks)

    @property
    def weights(self) -> array[float]:
        """The weights of the output's norm, one for each channel."""
        return self.content.metric


FORMS = {"stacked": StackedCondition.read, "torus": TorusCondition.read}


def read(value: Any, name: str, read_part: ReadPart) -> Part:
    """Return a part of kind `condition`; it has no parts inside."""
    _, form, claim, network, multipliers, proof = members(value, name, "kind form claim network multipliers proof")
    if type(form) is not str or form not in FORMS:
        raise Rejected(f"{name}.form is none of {', '.join(map(repr, FORMS))}")
    claim = read_claim(claim, f"{name}.claim")
    return agreeing(FORMS[form](name, claim.upper, claim.metric, network, multipliers, proof), claim)

"""The kind of part `condition`: one matrix inequality (one for each frequency, on a torus) proves one bound."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from . import stacked, torus, torus_integers
from .part import EXACT, FLOATING, Part, ReadPart, agreeing, read_claim
from .reading import Rejected, members, text, within
from .stacked import Stacked
from .torus import Torus


@dataclass(frozen=True)
class Condition(Part):
    """A leaf of the claim tree; `content` has its network, its multipliers and its proof."""

    content: Stacked | Torus

    def leaves(self) -> Iterator[Condition]:
        """The condition itself."""
        yield self

    @property
    def uncertain(self) -> bool:
        """Whether the claim is about every network with weights within some radii."""
        return any(block.radius for block in self.content.blocks)


@dataclass(frozen=True)
class StackedCondition(Condition):
    """The condition of a stacked form."""

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
        """Prove the condition; only a proof without a factor leaves the choice between integers and floating point."""
        with within(self.name):
            return self.content.prove(exact)

    @property
    def takes_norms(self) -> bool:
        return self.content.norms

    @property
    def always_exact(self) -> bool:
        """Whether its kind of proof is one in integers."""
        return self.content.proof.always_exact


@dataclass(frozen=True)
class TorusCondition(Condition):
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
                torus_integers.prove(self.content)
                return EXACT
            try:
                from . import floating  # the one file that needs more than the standard library
            except ModuleNotFoundError as error:
                raise Rejected(f"its proof needs floating point: install {error.name} and check again") from None
            floating.prove(self.content)
            return FLOATING

    @property
    def embedded(self) -> bool:
        """An image is embedded in the torus."""
        return True

    @property
    def weights(self) -> array[float]:
        """The weights of the output's norm, one for each channel."""
        return self.content.metric


FORMS = {"stacked": StackedCondition.read, "torus": TorusCondition.read}


def form_of(value: Any, name: str) -> Callable[[str, float, Any, Any, Any, Any], Part]:
    """What reads a condition of the form that the file names."""
    read = FORMS.get(text(value, name))
    if read is None:
        raise Rejected(f"{name} is none of {', '.join(map(repr, FORMS))}")
    return read


def read(value: Any, name: str, read_part: ReadPart) -> Part:
    """Return a part of kind `condition`; it has no parts inside."""
    _, form, claim, network, multipliers, proof = members(value, name, "kind form claim network multipliers proof")
    read_form, claim = form_of(form, f"{name}.form"), read_claim(claim, f"{name}.claim")
    return agreeing(read_form(name, claim.upper, claim.metric, network, multipliers, proof), claim)

"""The condition of one stacked form."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certificate.condition import Condition
from sdpcert.certificate.part import Claim
from sdpcert.certificate.proof import Proof
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.running.encoding import encode


@dataclass(frozen=True, eq=False)
class StackedCondition(Condition):
    """The condition of a stacked form; the bound is rounded up."""

    form: StackedForm
    proof: Proof
    kind = "stacked"

    @cached_property
    def claim(self) -> Claim:
        upper = square_root_up(self.proof.rho, self.proof.exponent)
        return Claim(upper, self.form.inputs, self.form.outputs)

    @property
    def level(self) -> str:
        return self.proof.level

    def sizes(self) -> dict[str, Any]:
        return {"inputs": self.form.inputs, "outputs": self.form.outputs}

    def block(self, block: Block) -> dict[str, Any]:
        return {"weights": encode(block.weights)} | ({} if block.low is None else {"low": encode(block.low)})

    def argument(self) -> dict[str, Any]:
        """What the evidence of the proof is."""
        return self.proof.evidence.document()

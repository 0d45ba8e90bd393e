"""The condition of one stacked form, proved in exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

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

    def sizes(self) -> dict[str, Any]:
        return {"inputs": self.form.inputs, "outputs": self.form.outputs}

    def block(self, block: Block) -> dict[str, Any]:
        return {"weights": encode(block.weights)} | ({} if block.low is None else {"low": encode(block.low)})

    def argument(self) -> dict[str, Any]:
        """The integer factor by rows, each from its first entry that is not zero."""
        proof, factor = self.proof, self.proof.input_factor
        rows, columns = np.nonzero(proof.factor)
        start = np.arange(len(proof.factor))
        np.minimum.at(start, rows, columns)
        stored = [proof.factor[i, first : i + 1] for i, first in enumerate(start)]
        return {
            "kind": "diagonal-dominance",
            "precision": proof.precision,
            "scaling": encode(proof.scaling, "<i8"),
            "start": encode(start, "<i8"),
            "factor": encode(np.concatenate(stored) if stored else np.zeros(0), "<i8"),
            "input_factor": None
            if factor is None
            else {"scaling": encode(factor.scaling, "<i8"), "weights": encode(factor.weights)},
        }

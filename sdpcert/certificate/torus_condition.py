"""The condition of a shift-invariant form, one matrix inequality per frequency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certificate.condition import Condition
from sdpcert.certificate.part import Claim
from sdpcert.certificate.torus_proof import TorusProof
from sdpcert.network.torus import Taps, TorusForm
from sdpcert.running.encoding import encode


@dataclass(frozen=True, eq=False)
class TorusCondition(Condition):
    """M(k) >= 0 at every frequency k of a torus, with the bound in the metric of `proof`, rounded up.

    `level` is the arithmetic in which a checker accepts it: that is decided once the whole tree is there.
    """

    form: TorusForm
    proof: TorusProof
    level: str = "floating-point"
    kind = "torus"
    coordinates = "torus"

    @cached_property
    def claim(self) -> Claim:
        form, metric = self.form, self.proof.metric
        outputs = form.outputs * (1 if form.pooled else form.cells)
        upper = square_root_up(self.proof.rho, self.proof.exponent)
        return Claim(upper, form.inputs * form.cells, outputs, None if np.all(metric == 1) else metric)

    def sizes(self) -> dict[str, Any]:
        form = self.form
        torus = [int(side) for side in form.torus]
        return {"torus": torus, "inputs": form.inputs, "outputs": form.outputs, "pooled": form.pooled}

    def block(self, block: Taps) -> dict[str, Any]:
        offsets = encode(block.offsets, "<i8")
        return {"taps": len(block.offsets), "offsets": offsets, "weights": encode(block.weights)}

    def argument(self) -> dict[str, Any]:
        """The scaling and the level: what a checker needs it finds itself."""
        return {"kind": "frequency", "level": self.level, "scaling": encode(self.proof.scaling, "<i8")}

"""The condition of a shift-invariant form, one matrix inequality per frequency."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certificate.encoding import encode
from sdpcert.certificate.part import Claim, Part
from sdpcert.certificate.torus_proof import TorusProof
from sdpcert.network.torus import TorusForm


@dataclass(frozen=True, eq=False)
class TorusCondition(Part):
    """M(k) >= 0 at every frequency k of a torus, with the bound in the metric of `proof`.

    `level` is the arithmetic in which a checker accepts it: that is decided once the whole tree is there.
    """

    form: TorusForm
    proof: TorusProof
    level: str = "floating-point"  # type: ignore[override]
    coordinates = "torus"

    @cached_property
    def claim(self) -> Claim:  # type: ignore[override]
        form, metric = self.form, self.proof.metric
        outputs = form.outputs * (1 if form.pooled else form.cells)
        upper = square_root_up(self.proof.rho, self.proof.exponent)
        return Claim(upper, form.inputs * form.cells, outputs, None if np.all(metric == 1) else metric)

    @property
    def tau(self) -> float:  # type: ignore[override]
        return self.proof.tau

    @property
    def sha256(self) -> str:
        return self.form.sha256

    def document(self) -> dict[str, Any]:
        return {
            "kind": "condition",
            "form": "torus",
            "claim": self.claim.document(),
            "network": _network(self.form),
            "multipliers": {
                "rho": self.proof.rho.hex(),
                "lambda": [encode(t) for t in self.proof.multipliers],
                "exponent": self.proof.exponent,
            },
            "proof": {"kind": "frequency", "level": self.level, "scaling": encode(self.proof.scaling, "<i8")},
        }


def _network(form: TorusForm) -> dict[str, Any]:
    return {
        "torus": [int(side) for side in form.torus],
        "inputs": form.inputs,
        "outputs": form.outputs,
        "pooled": form.pooled,
        "groups": [
            {"size": g.size, "activation": g.activation.name, "alpha": encode(g.alpha), "beta": encode(g.beta)}
            for g in form.groups
        ],
        "blocks": [
            {
                "to": to,
                "from": source,
                "radius": float(block.radius).hex(),
                "taps": len(block.offsets),
                "offsets": encode(block.offsets, "<i8"),
                "weights": encode(block.weights),
            }
            for (to, source), block in sorted(form.blocks.items())
        ],
        "sha256": form.sha256,
    }

"""The condition of one stacked form, proved in exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certificate.encoding import encode
from sdpcert.certificate.part import Claim, Part
from sdpcert.certificate.proof import Proof
from sdpcert.network.stacked import StackedForm


@dataclass(frozen=True, eq=False)
class StackedCondition(Part):
    """M(rho, lambda) >= 0 for a stacked form: the bound is `2**exponent * sqrt(rho)`, rounded up."""

    form: StackedForm
    proof: Proof

    @cached_property
    def claim(self) -> Claim:  # type: ignore[override]
        upper = square_root_up(self.proof.rho, self.proof.exponent)
        return Claim(upper, self.form.inputs, self.form.outputs)

    @property
    def tau(self) -> float:  # type: ignore[override]
        return self.proof.tau

    @property
    def sha256(self) -> str:
        return self.form.sha256

    def document(self) -> dict[str, Any]:
        return {
            "kind": "condition",
            "form": "stacked",
            "claim": self.claim.document(),
            "network": _network(self.form),
            "multipliers": {
                "rho": self.proof.rho.hex(),
                "lambda": [encode(t) for t in self.proof.multipliers],
                "exponent": self.proof.exponent,
            },
            "proof": _proof(self.proof),
        }


def _network(form: StackedForm) -> dict[str, Any]:
    return {
        "inputs": form.inputs,
        "outputs": form.outputs,
        "groups": [
            {"size": g.size, "activation": g.activation.name, "alpha": encode(g.alpha), "beta": encode(g.beta)}
            for g in form.groups
        ],
        "blocks": [
            {"to": to, "from": source, "radius": block.radius.hex(), "weights": encode(block.weights)}
            | ({} if block.low is None else {"low": encode(block.low)})
            for (to, source), block in sorted(form.blocks.items())
        ],
        "sha256": form.sha256,
    }


def _proof(proof: Proof) -> dict[str, Any]:
    rows, columns = np.nonzero(proof.factor)
    start = np.arange(len(proof.factor))
    np.minimum.at(start, rows, columns)
    stored = [proof.factor[i, first : i + 1] for i, first in enumerate(start)]
    factor = proof.input_factor
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

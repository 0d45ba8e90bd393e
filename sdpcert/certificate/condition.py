"""A condition: one matrix inequality, or one per frequency, with its multipliers and what proves it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar

from sdpcert.certificate.part import Part
from sdpcert.certificate.proof import Proof
from sdpcert.certificate.torus_proof import TorusProof
from sdpcert.network.stacked import Group, StackedForm
from sdpcert.network.torus import TorusForm, TorusGroup
from sdpcert.running.encoding import encode


class Condition(Part):
    """M(rho, lambda) >= 0 for the form of a network; `proof` has the point."""

    #: Which form it is about, as the file calls it.
    kind: ClassVar[str]
    form: StackedForm | TorusForm
    proof: Proof | TorusProof

    @property
    def tau(self) -> float:
        return self.proof.tau

    @property
    def sha256(self) -> str:
        return self.form.sha256

    def document(self) -> dict[str, Any]:
        return {
            "kind": "condition",
            "form": self.kind,
            "claim": self.claim.document(),
            "network": {
                **self.sizes(),
                "groups": _groups(self.form.groups),
                "blocks": [
                    {"to": to, "from": source, "radius": float(block.radius).hex(), **self.block(block)}
                    for (to, source), block in sorted(self.form.blocks.items())
                ],
                "sha256": self.sha256,
            },
            "multipliers": _point(self.proof),
            "proof": self.argument(),
        }

    @abstractmethod
    def sizes(self) -> dict[str, Any]:
        """Inputs, outputs, and what else gives the network its shape."""

    @abstractmethod
    def block(self, block: Any) -> dict[str, Any]:
        """The entries of a block."""

    @abstractmethod
    def argument(self) -> dict[str, Any]:
        """What shows that the matrix is positive semidefinite."""


def _groups(groups: Iterable[Group | TorusGroup]) -> list[dict[str, Any]]:
    return [
        {"size": g.size, "activation": g.activation.name, "alpha": encode(g.alpha), "beta": encode(g.beta)}
        | ({"coupled": g.activation.coupled} if g.activation.coupled > 1 else {})
        for g in groups
    ]


def _point(proof: Proof | TorusProof) -> dict[str, Any]:
    multipliers = [encode(t) for t in proof.multipliers]
    return {"rho": proof.rho.hex(), "lambda": multipliers, "exponent": proof.exponent}

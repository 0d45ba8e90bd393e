"""Certificate files of version 2: parts in sequence, each proved by itself, the bound their product."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from fractions import Fraction
from math import nextafter
from typing import Any

import numpy as np

from sdpcert.attained import Attained
from sdpcert.certificate.document import FORMAT, assumed_in, attained_of, encode, members_of_stacked, sealed
from sdpcert.certificate.proof import Proof
from sdpcert.certificate.torus_proof import TorusProof
from sdpcert.network.stacked import StackedForm
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
VERSION = 2


@dataclass(frozen=True, eq=False)
class TorusPart(ShortRepr):
    """The front on a torus, with its bound in the metric of `proof`."""

    proof: TorusProof
    upper: float

    @property
    def sha256(self) -> str:
        """Hash of the network on the torus."""
        return self.proof.form.sha256

    def document(self, level: str) -> dict[str, Any]:
        """The part as the format page describes it; `level` is "exact" or "floating-point"."""
        form, proof = self.proof.form, self.proof
        groups = [
            {"size": g.size, "activation": g.activation.name, "alpha": encode(g.alpha), "beta": encode(g.beta)}
            for g in form.groups
        ]
        blocks = [
            {
                "to": to,
                "from": source,
                "radius": float(block.radius).hex(),
                "taps": len(block.offsets),
                "offsets": encode(block.offsets, "<i8"),
                "weights": encode(block.weights),
            }
            for (to, source), block in sorted(form.blocks.items())
        ]
        return {
            "kind": "torus",
            "upper": self.upper.hex(),
            "network": {
                "torus": [int(side) for side in form.torus],
                "inputs": form.inputs,
                "outputs": form.outputs,
                "pooled": form.pooled,
                "groups": groups,
                "blocks": blocks,
                "sha256": form.sha256,
            },
            "multipliers": {
                "rho": proof.rho.hex(),
                "lambda": [encode(t) for t in proof.multipliers],
                "exponent": proof.exponent,
                "metric": encode(proof.metric),
            },
            "proof": {"kind": "frequency", "level": level, "scaling": encode(proof.scaling, "<i8")},
            "reads": None,
        }


@dataclass(frozen=True, eq=False)
class StackedPart(ShortRepr):
    """A stacked form behind another part: input j is entry `layout[j]` of that part's output over `scale[j]`.

    The first part reads the network's input; it has neither.
    """

    form: StackedForm
    proof: Proof
    upper: float
    layout: Array | None = None
    scale: Array | None = None

    @property
    def sha256(self) -> str:
        """Hash of the stacked form."""
        return self.form.sha256

    def document(self, level: str) -> dict[str, Any]:
        """The part as the format page describes it; its proof is exact whatever the `level` of the others."""
        reads = None
        if self.layout is not None and self.scale is not None:
            reads = {"layout": encode(self.layout, "<i8"), "scale": encode(self.scale)}
        return {
            "kind": "stacked",
            "upper": self.upper.hex(),
            **members_of_stacked(self.form, self.proof),
            "reads": reads,
        }


Part = TorusPart | StackedPart


def product_up(parts: tuple[Part, ...]) -> float:
    """The product of the parts' bounds, rounded up."""
    exact = Fraction(1)
    for part in parts:
        exact *= Fraction(part.upper)
    result = float(exact)
    return result if Fraction(result) >= exact else nextafter(result, float("inf"))


def hash_of(parts: tuple[Part, ...]) -> str:
    """The hash that stands for all parts."""
    return hashlib.sha256("\n".join(part.sha256 for part in parts).encode()).hexdigest()


def build_parts_document(
    parts: tuple[Part, ...],
    upper: float,
    attained: Attained | None,
    information: dict[str, Any],
    level: str = "floating-point",
) -> dict[str, Any]:
    """The certificate of parts that are proved, as a JSON-ready dictionary."""
    claim = (
        f"The composition of the {len(parts)} parts below satisfies |f(x) - f(x')| <= {upper!r} |x - x'| in real "
        f"arithmetic, Euclidean norms, for all x, x'.{assumed_in(information)}"
    )
    return sealed(
        {
            "format": FORMAT,
            "version": VERSION,
            "claim": claim,
            "upper": upper.hex(),
            "parts": [part.document(level) for part in parts],
            "attained": attained_of(attained),
            "information": information,
        }
    )

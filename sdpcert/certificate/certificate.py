"""What `sdpcert.certify` returns."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from typing import Any

from sdpcert.attained import Attained
from sdpcert.certificate.document import build_document, write_document
from sdpcert.certificate.part import Part
from sdpcert.certificate.proof import Proof
from sdpcert.certificate.saved import Saved, load_certificate, region_of
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import AllInputs, Region
from sdpcert.running.short_repr import ShortRepr


@dataclass(frozen=True, eq=False)
class Certificate(ShortRepr):
    """A bound on a Lipschitz constant, and everything that it rests on.

    `tree` is what was proved, part by part; None if nothing was. `upper` is its bound (infinite where `status` is
    "unproved"), `lower` is attained by the two points in `attained`, `sdp_lower` bounds the optimum of the condition
    from below (at least `lower`; None for a cover, which has many). `notes` says what a reader of the number has to
    know, `assumptions` what the model's file left open and its reader assumed;
    `advice` what to ask for instead where `upper` is well above `lower`. `seconds` is for everything, of which
    `attained_seconds` went into the search for `lower`. A certificate that came from a file has the file's content in
    `saved`, and no tree.
    """

    upper: float
    lower: float
    sdp_lower: float | None
    status: str
    method: str
    solver: str
    solver_status: str
    seconds: float
    iterations: int
    solve_seconds: float
    proof_seconds: float
    tree: Part | None = field(repr=False)
    attained: Attained = field(repr=False)
    information: dict[str, Any] = field(repr=False, default_factory=dict)
    notes: tuple[str, ...] = ()
    assumptions: tuple[str, ...] = ()
    neurons: int = 0
    attained_seconds: float = 0.0
    saved: Saved | None = field(repr=False, default=None)
    advice: tuple[str, ...] = ()

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Certificate:
        """The certificate of a saved file, proved again as it is read.

        `upper` and `level` are what was proved just now; `lower` and `attained` are the file's (`sdpcert check
        --network` evaluates them again), and everything else is what the run that wrote it stated, or empty. `tree` is
        None: the file stands for it, and `save` writes it as it was.

        Raises ValueError with one line for a file that is no certificate, or one that does not hold; TypeError for what
        is no path.
        """
        return cls(**load_certificate(path))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The conditions of the tree, from the input to the output."""
        return () if self.tree is None else self.tree.leaves

    @property
    def form(self) -> StackedForm | None:
        """The stacked form that the proof is about, if the tree is one condition of one stacked form."""
        return self.tree.form if isinstance(self.tree, StackedCondition) else None

    @property
    def proof(self) -> Proof | None:
        """The proof, if the tree is one condition of one stacked form."""
        return self.tree.proof if isinstance(self.tree, StackedCondition) else None

    @property
    def gap(self) -> float:
        """`(upper - sdp_lower) / upper`: how far the bound is above the optimum of the condition, at most.

        Of a cover `(upper - lower) / upper`: how far it is above the constant itself.
        """
        if self.status != "proved":
            return float("inf")
        below = self.lower if self.sdp_lower is None else self.sdp_lower
        return 0.0 if self.upper == 0 else (self.upper - below) / self.upper

    @property
    def region(self) -> Region:
        """Where the bound holds, in the coordinates of the network's own input."""
        if self.saved is not None:
            return region_of(self.saved.document)
        return AllInputs() if self.tree is None else self.tree.claim.region

    @property
    def level(self) -> str:
        """The arithmetic in which the proof was verified: "exact" or "floating-point"."""
        if self.saved is not None:
            return self.saved.level
        return "exact" if self.tree is None else self.tree.level

    @property
    def tau(self) -> float:
        """The joint scaling by 1 + tau that the proof needed; it raises the bound by tau / 2, relative."""
        if self.saved is not None:
            return self.saved.tau
        return 0.0 if self.tree is None else self.tree.tau

    @property
    def sha256(self) -> str:
        """Hash of the network that the proof is about; "" if nothing was proved."""
        if self.saved is not None:
            return self.saved.sha256
        return "" if self.tree is None else self.tree.sha256

    def document(self) -> dict[str, Any]:
        """The certificate file's content; raises ValueError if nothing was proved."""
        if self.saved is not None:
            return copy.deepcopy(self.saved.document)
        if self.tree is None:
            raise ValueError("nothing was proved, so there is no certificate to save")
        stated = self.summary() | self.information
        del stated["advice"]  # it is for whoever asked
        return build_document(self.tree, self.attained, stated, self.assumptions)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate file (see docs/certificate-format.md); raises ValueError if nothing was proved."""
        write_document(self.document(), path)

    def summary(self) -> dict[str, Any]:
        """The attributes as plain values, for JSON."""
        proved = self.status == "proved"
        return {
            "status": self.status,
            "upper": self.upper if proved else None,
            "lower": self.lower,
            "sdp_lower": self.sdp_lower,
            "gap": self.gap if proved else None,
            "method": self.method,
            "solver": self.solver,
            "solver_status": self.solver_status,
            "seconds": self.seconds,
            "iterations": self.iterations,
            "solve_seconds": self.solve_seconds,
            "proof_seconds": self.proof_seconds,
            "attained_seconds": self.attained_seconds,
            "tau": self.tau,
            "neurons": self.neurons,
            "sha256": self.sha256,
            "level": self.level,
            "notes": list(self.notes),
            "advice": list(self.advice),
        }

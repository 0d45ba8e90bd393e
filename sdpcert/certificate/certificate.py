"""What `sdpcert.certify` returns."""

from __future__ import annotations

import copy
import os
from dataclasses import dataclass, field
from typing import Any

from sdpcert.attained import Attained
from sdpcert.certificate.document import build_document, write_document
from sdpcert.certificate.parts import Part, build_parts_document, hash_of
from sdpcert.certificate.proof import Proof
from sdpcert.certificate.saved import Saved, load_certificate
from sdpcert.network.stacked import StackedForm
from sdpcert.running.short_repr import ShortRepr


@dataclass(frozen=True, eq=False)
class Certificate(ShortRepr):
    """A bound on a Lipschitz constant with everything that stands behind it.

    `upper` is proved (infinite where `status` is "unproved"), `lower` is attained by the two points in `attained`,
    `sdp_lower` bounds the optimum of the condition from below (at least `lower`). `form` is the
    reduced stacked form that the proof is about; for a network certified over frequencies it is None, and `parts` has
    the parts. `level` is how the proof was verified, "exact" or "floating-point". `notes` says what a reader of the
    number has to know. `seconds` is for everything, of which `attained_seconds` went into the search for `lower`. Of a
    certificate that came from a file `saved` has the file's content.
    """

    upper: float
    lower: float
    sdp_lower: float
    status: str
    method: str
    solver: str
    solver_status: str
    seconds: float
    iterations: int
    solve_seconds: float
    proof_seconds: float
    form: StackedForm | None = field(repr=False)
    proof: Proof | None = field(repr=False)
    attained: Attained = field(repr=False)
    information: dict[str, Any] = field(repr=False, default_factory=dict)
    notes: tuple[str, ...] = ()
    parts: tuple[Part, ...] = field(repr=False, default=())
    neurons: int = 0
    level: str = "exact"
    attained_seconds: float = 0.0
    saved: Saved | None = field(repr=False, default=None)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Certificate:
        """The certificate of a saved file, proved again as it is read.

        `upper` is what was proved just now; `lower` and `attained` are the file's (`sdpcert check --network` evaluates
        them again), and everything else is what the run that wrote it stated, or empty. `form` and `proof` are None and
        `parts` empty: the file stands for them, and `save` writes it as it was.

        Raises ValueError with one line for a file that is no certificate, or one that does not hold; TypeError for what
        is no path.
        """
        return load_certificate(path)

    @property
    def gap(self) -> float:
        """`(upper - sdp_lower) / upper`: how far the bound is above the optimum of the condition, at most."""
        if self.status != "proved":
            return float("inf")
        return 0.0 if self.upper == 0 else (self.upper - self.sdp_lower) / self.upper

    @property
    def tau(self) -> float:
        """The joint scaling by 1 + tau that the proof needed; it raises the bound by tau / 2, relative."""
        if self.saved is not None:
            return self.saved.tau
        return max((p.proof.tau for p in self.parts), default=0.0) if self.proof is None else self.proof.tau

    @property
    def sha256(self) -> str:
        """Hash of the network that the proof is about."""
        if self.saved is not None:
            return self.saved.sha256
        return hash_of(self.parts) if self.form is None else self.form.sha256

    def document(self) -> dict[str, Any]:
        """The certificate file's content; raises ValueError where nothing was proved."""
        if self.status != "proved":
            raise ValueError("nothing was proved, so there is no certificate to save")
        if self.saved is not None:
            return copy.deepcopy(self.saved.document)
        information = self.summary() | self.information
        if self.form is None or self.proof is None:
            return build_parts_document(self.parts, self.upper, self.attained, information, self.level)
        return build_document(self.form, self.proof, self.upper, self.attained, information)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the certificate file (see docs/certificate-format.md); raises ValueError where nothing was proved."""
        write_document(self.document(), path)

    def summary(self) -> dict[str, Any]:
        """The attributes as plain values, for JSON."""
        numbers = {
            "upper": self.upper if self.status == "proved" else None,
            "gap": self.gap if self.status == "proved" else None,
        }
        return {
            "status": self.status,
            "upper": numbers["upper"],
            "lower": self.lower,
            "sdp_lower": self.sdp_lower,
            "gap": numbers["gap"],
            "method": self.method,
            "solver": self.solver,
            "solver_status": self.solver_status,
            "seconds": self.seconds,
            "iterations": self.iterations,
            "solve_seconds": self.solve_seconds,
            "proof_seconds": self.proof_seconds,
            "attained_seconds": self.attained_seconds,
            "tau": self.tau,
            "neurons": self.neurons or (self.form.neurons if self.form is not None else 0),
            "sha256": self.sha256,
            "level": self.level,
            "notes": list(self.notes),
        }

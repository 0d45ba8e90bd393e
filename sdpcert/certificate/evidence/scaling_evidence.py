"""A positive vector that makes M diagonally dominant: no factor at all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdpcert.certificate.evidence.evidence import Evidence
from sdpcert.running.encoding import encode

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class ScalingEvidence(Evidence):
    """`diag(a) M diag(a)` is diagonally dominant for the positive numbers a, `vector`, one for each coordinate."""

    vector: Array
    level: ClassVar[str] = "exact"

    def document(self) -> dict[str, Any]:
        return {"kind": "scaling", "vector": encode(self.vector)}

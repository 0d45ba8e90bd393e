"""No more than an order of elimination: the checker makes its own factor in floating point."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from sdpcert.certificate.evidence.evidence import Evidence


@dataclass(frozen=True, eq=False)
class FloatingEvidence(Evidence):
    """The sources, 0 the input and g group g, in an order of elimination; a checker bounds what its factor leaves."""

    order: tuple[int, ...]
    level: ClassVar[str] = "floating-point"

    def document(self) -> dict[str, Any]:
        return {"kind": "floating-point", "order": list(self.order)}

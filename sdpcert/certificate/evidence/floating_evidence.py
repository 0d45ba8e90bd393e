"""No more than an order of elimination: the checker makes its own factor in floating point."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from sdpcert.certificate.evidence.evidence import Evidence
from sdpcert.check import stacked_floating
from sdpcert.check.blocks import Block
from sdpcert.check.inequality import Inequality
from sdpcert.check.reading import Rejected
from sdpcert.network import stacked

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class FloatingEvidence(Evidence):
    """The sources, 0 the input and g group g, in an order of elimination; a checker bounds what its factor leaves."""

    order: tuple[int, ...]
    level: ClassVar[str] = "floating-point"

    @staticmethod
    def of(
        form: stacked.StackedForm, exponent: int, rho: float, multipliers: tuple[Array, ...], order: tuple[int, ...]
    ) -> FloatingEvidence | None:
        """The evidence if the checker accepts it, in its own words: it is asked for the verdict."""
        inequality = Inequality(
            form.sizes,
            [_numbers(g.alpha) for g in form.groups],
            [_numbers(g.beta) for g in form.groups],
            [_numbers(t) for t in multipliers],
            rho,
            exponent,
            [_block(to, source, block) for (to, source), block in sorted(form.blocks.items())],
        )
        try:
            stacked_floating.prove(inequality, order)
        except Rejected:
            return None
        return FloatingEvidence(order)

    def document(self) -> dict[str, Any]:
        return {"kind": "floating-point", "order": list(self.order)}


def _block(to: int, source: int, block: stacked.Block) -> Block:
    rows, columns = block.weights.shape
    low = None if block.low is None else _numbers(block.low)
    return Block(to, source, rows, columns, block.radius, _numbers(block.weights), low)


def _numbers(values: Array) -> array[float]:
    return array("d", np.ascontiguousarray(values, dtype=float).tobytes())

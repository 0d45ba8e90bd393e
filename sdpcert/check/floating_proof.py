"""The proof `floating-point`: no more than an order in which a checker factorises M itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from . import definite
from .blocks import MAX_WEIGHTS
from .elimination import Elimination
from .inequality import Inequality
from .part import EXACT, FLOATING
from .reading import Rejected, integer, items, members
from .stacked_proof import Shape, StackedProof

MAX_COORDINATES = 10**6
#: Multiplications of a factor up to which integers are used if nothing else is asked for, and if they are: some seconds
#: and some minutes.
LITTLE_WORK, MAX_WORK = 10**7, 5 * 10**8


@dataclass(frozen=True)
class FloatingProof(StackedProof):
    """M is proved positive semidefinite by a factor that the checker makes."""

    order: list[int]  # sources: 0 the input, g group g

    @classmethod
    def read(cls, value: dict[str, Any], shape: Shape) -> FloatingProof:
        _, order = members(value, "proof", "kind order")
        m, inputs = shape.rows_of_input, shape.sizes[0]
        n = shape.coordinates + min(m - inputs, 0)
        if n > MAX_COORDINATES:
            raise Rejected(f"more than {MAX_COORDINATES} coordinates")
        if shape.weights + (m**2 if m < inputs else 0) > MAX_WEIGHTS:
            raise Rejected(f"more than {MAX_WEIGHTS} weights")
        count = len(shape.sizes) - 1
        order = [
            integer(source, f"proof.order[{k}]", 0, count - 1)
            for k, source in enumerate(items(order, "proof.order", count, count))
        ]
        if len(set(order)) != count:
            raise Rejected("proof.order has a source twice")
        return cls(order)

    def prove(self, inequality: Inequality, exact: bool | None) -> str:
        sizes = inequality.sizes[:-1]
        sizes[0] = min(sizes[0], sum(block.rows for block in inequality.blocks if block.source == 0))
        work = Elimination.of(sizes, self.order, inequality.cliques()).operations
        if exact or (exact is None and work <= LITTLE_WORK):
            if work > MAX_WORK:
                raise Rejected("too large to be proved in integers: a checker needs floating point")
            definite.prove(inequality, self.order)
            return EXACT
        try:
            from . import stacked_floating  # needs more than the standard library
        except ModuleNotFoundError as error:
            raise Rejected(f"its proof needs floating point: install {error.name} and check again") from None
        stacked_floating.prove(inequality, self.order)
        return FLOATING

    @property
    def always_exact(self) -> bool:
        return False

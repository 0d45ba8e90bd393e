"""The proof `scaling`: positive numbers a for which diag(a) M diag(a) is diagonally dominant; there is no factor."""

from __future__ import annotations

import math
from array import array
from dataclasses import dataclass
from typing import Any

from .blocks import MAX_WEIGHTS
from .inequality import Inequality
from .inequality_matrix import MatrixOfInequality
from .integers import fixed, fraction_bits
from .part import EXACT
from .reading import Rejected, members, values
from .stacked_proof import Shape, StackedProof
from .symmetric import check_dominant

MAX_COORDINATES = 10**6


@dataclass(frozen=True)
class ScalingProof(StackedProof):
    """M_ii a_i is at least the sum of abs(M_ij) a_j over all j but i, for every i."""

    vector: array[float]

    @classmethod
    def read(cls, value: dict[str, Any], shape: Shape) -> ScalingProof:
        _, vector = members(value, "proof", "kind vector")
        if shape.coordinates > MAX_COORDINATES:
            raise Rejected(f"more than {MAX_COORDINATES} coordinates")
        if shape.weights > MAX_WEIGHTS:
            raise Rejected(f"more than {MAX_WEIGHTS} weights")
        return cls(values(vector, "proof.vector", "d", shape.coordinates, math.ulp(0.0)))

    def prove(self, inequality: Inequality, exact: bool | None) -> str:
        inequality.check_work()
        bits = fraction_bits(self.vector)
        scales = [fixed(x, bits) for x in self.vector]
        lacking = MatrixOfInequality(inequality).missing_after_scaling(scales)
        check_dominant(lacking, "diag(a) M diag(a), a the vector of the proof,")
        return EXACT

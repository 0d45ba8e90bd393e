"""An integer factor with a diagonally dominant residual, in the blocks of the network."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

from sdpcert.arithmetic.spectra import least_squares
from sdpcert.certificate.dominance import rows_of
from sdpcert.certificate.evidence.evidence import Evidence
from sdpcert.certificate.input_factor import InputFactor
from sdpcert.condition.elimination import Elimination
from sdpcert.condition.factor import Factor
from sdpcert.running.encoding import encode

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class FactorEvidence(Evidence):
    """`E = 2^(2 precision) P D M D P' - L L'` is diagonally dominant, L the integers `2^precision factor`.

    D is the diagonal matrix of `2^-scaling`, and P puts coordinates into the order of elimination. With an
    `input_factor` M is that of the network that reads it in place of the input.
    """

    factor: Factor = field(repr=False)
    scaling: Array
    input_factor: InputFactor | None
    precision: int
    level: ClassVar[str] = "exact"

    @property
    def elimination(self) -> Elimination:
        """The order of rows and columns of L."""
        return self.factor.elimination

    def document(self) -> dict[str, Any]:
        """Rows of L one after another, each from its first entry that is not zero."""
        start, stored = self._rows()
        inner = self.input_factor
        order = {} if self.elimination.is_natural else {"order": encode(self.elimination.permutation, "<i8")}
        return {
            "kind": "diagonal-dominance",
            "precision": self.precision,
            "scaling": encode(self.scaling, "<i8"),
            **order,
            "start": encode(start, "<i8"),
            "factor": encode(stored, "<i8"),
            "input_factor": None
            if inner is None
            else {"scaling": encode(inner.scaling, "<i8"), "weights": encode(inner.weights)},
        }

    def _rows(self) -> tuple[Array, Array]:
        """The column of the first entry of each row, and all rows from there to the diagonal."""
        bounds = np.concatenate([[0], np.cumsum(self.elimination.sizes)]).astype(int)
        starts, stored = [np.zeros(0, dtype=np.int64)], [np.zeros(0, dtype=np.int64)]
        for i, blocks in enumerate(rows_of(self.factor)):
            first = bounds[min(blocks)]
            panel = np.zeros((bounds[i + 1] - bounds[i], bounds[i + 1] - first), dtype=np.int64)
            for j, block in blocks.items():
                panel[:, bounds[j] - first : bounds[j + 1] - first] = np.rint(np.ldexp(block, self.precision))
            columns = np.arange(panel.shape[1])
            own = columns[bounds[i] - first :]
            begin = np.where(np.any(panel, axis=1), np.argmax(panel != 0, axis=1), own)
            starts.append(first + begin)
            stored.append(panel[(columns >= begin[:, None]) & (columns <= own[:, None])])
        return np.concatenate(starts), np.concatenate(stored)

    def integers(self) -> list[list[int]]:
        """L, dense."""
        start, stored = self._rows()
        rows, position = [], 0
        for i, first in enumerate(start.tolist()):
            after = position + i + 1 - first
            rows.append([0] * first + stored[position:after].tolist() + [0] * (len(start) - i - 1))
            position = after
        return rows

    def shares(self, change: Array, reads: Array, moved: Array) -> Array | None:
        """The squares of `U' xi`, `M = U U'` up to rounding with U lower triangular in the order of elimination."""
        if self.input_factor is not None:
            solved = least_squares(self.input_factor.weights, reads)
            if solved is None:
                return None
            change = solved
        xi = np.ldexp(np.concatenate([change, moved]), self.scaling)
        found, slices = np.zeros(len(xi)), self.elimination.slices
        for own, lower, below in zip(slices, self.factor.diagonal, self.factor.below, strict=True):
            found[own] = lower.T @ xi[own]
            for i, block in below.items():
                found[own] += block.T @ xi[slices[i]]
        return np.square(found)

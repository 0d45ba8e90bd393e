"""Diagonal dominance of `diag(a) M diag(a)` for a positive vector a, decided in float64 with room for all rounding.

M is formed once, in the blocks of the network. What its entries, the radii and the low parts of weights may be wrong by
is summed over every row by products of matrices and vectors.
"""

from __future__ import annotations

import numpy as np

from sdpcert.certificate.scaled_matrix import ScaledMatrix
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.network.stacked import Block

Array = np.ndarray
UNIT_ROUNDOFF = 2.0**-53
#: Room for what computing a bound loses itself.
SLACK = 1 + 1e-6
#: Factors of weights below this may have lost bits to underflow: nothing is decided.
SMALLEST = 1e-280
#: More than an entry loses to underflow.
UNDERFLOW = 1e-290


def missing_at(matrix: ScaledMatrix, rho: float, multipliers: tuple[Array, ...], vector: Array) -> Array:
    """For each coordinate what its row lacks at most (none if it is not above 0), in units of its term without weights.

    `vector` has positive finite numbers. What is not known is infinite.
    """
    fraction, exponent = np.frexp(vector)
    unit = np.ldexp(1.0, exponent)
    unknown = np.full(matrix.order, np.inf)
    with np.errstate(over="ignore", invalid="ignore", under="ignore", divide="ignore"):
        if matrix.underflows(multipliers) or not np.all(np.isfinite(unit)):
            return unknown
        errors = _errors(matrix, rho, multipliers, unit, fraction)
        if errors is None:
            return unknown
        own, others = _row_sums(matrix.approximate(rho, multipliers, unit), fraction)
        missing = others * (1 + (matrix.widths + 4) * 2 * UNIT_ROUNDOFF) + errors * SLACK - own * (1 - 2.0**-51)
        lead = matrix.lead(rho, multipliers) * unit * unit * fraction
        return np.where(missing <= 0, 0.0, np.where(np.isnan(missing) | (lead <= 0), np.inf, missing / lead))


def _row_sums(matrix: BlockMatrix, vector: Array) -> tuple[Array, Array]:
    """The diagonal entry of each row and the sum of the sizes of all others, times the vector."""
    slices = matrix.elimination.slices
    own, others = matrix.diagonal() * vector, np.zeros(len(vector))
    for (i, j), entry in matrix.entries.items():
        sizes = np.abs(entry)
        if i == j:
            np.fill_diagonal(sizes, 0.0)
        else:
            others[slices[j]] += sizes.T @ vector[slices[i]]
        others[slices[i]] += sizes @ vector[slices[j]]
    return own, others


def _errors(
    matrix: ScaledMatrix, rho: float, multipliers: tuple[Array, ...], unit: Array, vector: Array
) -> Array | None:
    """Row sums, times the vector, of what entries of `M diag(unit)^2` may be wrong by; None if too small for float64.

    An entry is a sum over paths of length one and two through the weights; its rounding is relative to the sum of the
    sizes of all its terms.
    """
    lead = matrix.lead(rho, multipliers) * unit * unit
    longest = max((len(block.weights) for block in matrix.blocks.values()), default=0)
    rounding = (longest + len(matrix.slopes) + 16) * UNIT_ROUNDOFF * SLACK
    errors, touched = rounding * lead * vector, matrix.lead(rho, multipliers) > 0
    for to, row in matrix.rows(matrix.blocks):
        mixed, square = matrix.factors(to, multipliers, unit)
        for factors in (mixed, square):
            if np.any((factors != 0) & ~((np.abs(factors) > SMALLEST) & np.isfinite(factors))):
                return None
        mixed, square = np.abs(mixed), np.abs(square)
        parts = {s: _Part(block, unit[matrix.slices[s]], vector[matrix.slices[s]]) for s, block in row.items()}
        size = sum(part.size for part in parts.values())
        doubt = sum(part.doubt for part in parts.values()) + rounding * size
        if to < matrix.output_row:
            own = matrix.slices[to]
            errors[own] += mixed * doubt
            touched[own] |= (mixed != 0) & np.any([part.reads for part in parts.values()], axis=0)
            mixed = mixed * vector[own]
        for s, part in parts.items():
            source = matrix.slices[s]
            errors[source] += part.back(mixed + square * (size + doubt), rounding) + part.back_size(square * doubt)
            touched[source] |= part.is_read((mixed != 0) | (square != 0))
    return np.where(touched, errors + matrix.order * UNDERFLOW, 0.0)  # rows that nothing touches are zero


class _Part:
    """The columns of one source in the rows that read it, times `unit`: sizes and doubts, summed with weights."""

    def __init__(self, block: Block, unit: Array, vector: Array) -> None:
        self.block, self.radius, self.unit = block, block.radius * unit, unit
        self.sizes = np.abs(block.weights) * unit
        self.low = None if block.low is None else np.abs(block.low) * unit
        self.size = self.sizes @ vector
        #: What the low part, the radius and underflow may change.
        self.doubt = np.full(len(self.sizes), (self.radius + UNDERFLOW) @ vector)
        if self.low is not None:
            self.doubt += self.low @ vector

    def back_size(self, weights: Array) -> Array:
        """For each column the sum of its sizes with weights on the rows."""
        return weights @ self.sizes

    def back(self, weights: Array, rounding: float) -> Array:
        """For each column the sum of its doubts with weights on the rows."""
        total = rounding * (weights @ self.sizes) + (self.radius + UNDERFLOW) * weights.sum()
        return total if self.low is None else total + weights @ self.low

    @property
    def reads(self) -> Array:
        """Which rows may have an entry."""
        return np.any(self.block.nonzero, axis=1) | (self.block.radius > 0)

    def is_read(self, rows: Array) -> Array:
        """Which columns may have an entry in some of the rows (a mask)."""
        return np.any(self.block.nonzero[rows], axis=0) | (self.block.radius > 0 and bool(np.any(rows)))

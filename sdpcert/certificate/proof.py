"""Prove M(rho, lambda) >= 0 for a stacked form: by an integer factor, a positive vector, or the checker's own factor.

A factor is a rounded floating-point Cholesky factor and needs no trust. What has to hold is `E = 2^(2q) D M D - L L'`
diagonally dominant, and that is decided here with `exact.Total`: every entry of E is known with a bound of its error,
which counts against its row. Whatever is accepted here, exact integer arithmetic accepts too
(`docs/certificate-format.md`, `sdpcert.check`). All of it follows the blocks of the network.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sdpcert.certificate.balanced import balanced
from sdpcert.certificate.block_total import BlockTotal
from sdpcert.certificate.checking import is_within_limits, seconds_in_integers
from sdpcert.certificate.dominance import missing_dominance
from sdpcert.certificate.evidence.evidence import Evidence
from sdpcert.certificate.evidence.factor_evidence import FactorEvidence
from sdpcert.certificate.evidence.floating_evidence import FloatingEvidence
from sdpcert.certificate.evidence.scaling_evidence import ScalingEvidence
from sdpcert.certificate.input_factor import InputFactor, factor_input
from sdpcert.certificate.scaled_dominance import missing_at
from sdpcert.certificate.scaled_matrix import ScaledMatrix
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.factor import Factor
from sdpcert.network.stacked import StackedForm
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.forward import closed_form

Array = np.ndarray
PRECISION = 50
#: Joint scalings (1 + tau) that are tried, ascending; beyond the last one the proof fails closed.
REPAIRS = (0.0, *(10.0 ** (k / 2) for k in range(-28, -7)))
#: Seconds that a checker may take to follow a factor in integers.
LONGEST_CHECK = 60.0
#: In floating point only every so many repairs are tried: an attempt takes as long as a check.
COARSE = 3
#: What is taken off a diagonal between a half and two, so that no other repair has a factor if it starts with that.
HOPELESS = 0.5
#: How often a proof by scaling is repaired, and by how much at most.
SCALINGS, LARGEST_REPAIR = 6, 1e-4


@dataclass(frozen=True, eq=False)
class Proof(ShortRepr):
    """A proved point: rho and multipliers, after repair by 1 + tau, and what shows that it is one."""

    rho: float
    multipliers: tuple[Array, ...]
    exponent: int
    tau: float
    evidence: Evidence

    @property
    def level(self) -> str:
        """The arithmetic in which a checker follows it: "exact" or "floating-point"."""
        return self.evidence.level


class ProofProblem:
    """The matrix M of one network, ready to be proved for one point after another."""

    def __init__(self, form: StackedForm, exponent: int) -> None:
        self.form = form
        self.exponent = exponent
        #: What the last point that had a factor needed beyond `rounding`.
        self.more: float | None = None

    @cached_property
    def input_factor(self) -> InputFactor | None:
        """What stands for a wide input."""
        return factor_input(self.form)

    @cached_property
    def matrix(self) -> ScaledMatrix:
        """The matrix, with the input factor in place of a wide input."""
        return ScaledMatrix(self.form, self.exponent, self.input_factor)

    @cached_property
    def rounding(self) -> Array:
        """What is taken off the diagonal because entries of L are rounded: its row of the residual, as measured."""
        return 2.0 ** -(PRECISION + 1) * (0.8 * self.matrix.widths + 4)

    def prove(self, rho: float, multipliers: tuple[Array, ...], repairs: tuple[float, ...] = REPAIRS) -> Proof | None:
        """The first repair tau that makes the point provable, or None; rho grows by the factor 1 + tau.

        Half of tau scales rho and the multipliers jointly, which adds tau/2 F'F; the other half adds a multiple of
        `interior`, the multipliers of a strictly feasible point for the same rho, which also lifts directions that F
        does not see (measured: on an unrolled convolutional network joint scaling alone never got there).
        """
        lengthened = [np.array(t, dtype=float) for t in multipliers]
        if not (np.isfinite(rho) and rho >= 0 and all(np.all(np.isfinite(t)) for t in lengthened)):
            return None
        if not all(block.finite for block in self.matrix.blocks.values()):
            return None
        if not is_within_limits(self.form, self.matrix):
            return None
        clamped = self.form.tied(balanced(self.matrix, rho, [np.maximum(t, 0.0) for t in lengthened]))
        self.more = None if self.in_integers else 0.0
        for tau in repairs if self.in_integers else repairs[::COARSE]:
            weights = [(1 + tau / 2) * t for t in clamped]
            if tau > 0:
                weights = [t + tau / 2 * rho * u for t, u in zip(weights, self.interior, strict=True)]
            evidence = self._attempt(rho * (1 + tau), tuple(weights))
            if evidence is not None:
                return Proof(rho * (1 + tau), tuple(weights), self.exponent, tau, evidence)
            if self.more is not None and self.more >= HOPELESS:
                self.more = None if self.in_integers else 0.0
        return None

    def prove_by_scaling(self, rho: float, multipliers: tuple[Array, ...], vector: Array) -> Proof | None:
        """The point with a positive vector a for which `diag(a) M diag(a)` is diagonally dominant, or None.

        The multipliers of group g are repaired by 1 + tau to the power of the groups from g on, and rho once more, with
        the least tau found: that leaves room in every row, whose own terms grow more than those of rows that read it.
        """
        matrix = ScaledMatrix(self.form, self.exponent, None)
        vector = np.array(vector, dtype=float)
        given = self.form.tied([np.array(t, dtype=float) for t in multipliers])
        if not (0 <= rho < np.inf and all(np.all((t >= 0) & (t < np.inf)) for t in given)):
            return None
        if not is_within_limits(self.form, matrix):
            return None
        if not (vector.shape == (matrix.order,) and np.all((vector > 0) & (vector < np.inf))):
            raise ValueError(f"the vector of a proof by scaling needs {matrix.order} numbers above zero")
        tau, groups = 0.0, len(given)
        for _ in range(SCALINGS):
            grown = (1 + tau) ** (groups + 1)
            point = tuple(t * (1 + tau) ** (groups - g) for g, t in enumerate(given))
            missing = float(np.max(missing_at(matrix, rho * grown, point, vector), initial=0.0))
            if missing == 0:
                return Proof(rho * grown, point, self.exponent, grown - 1, ScalingEvidence(vector))
            tau = 2 * (tau + 2 * missing)
            if not tau * (groups + 1) <= LARGEST_REPAIR:
                return None
        return None

    @cached_property
    def interior(self) -> list[Array]:
        """Multipliers of a strictly feasible point for rho = 1, per group (zeros if there is none)."""
        if not self.matrix.slopes:
            return []
        point = closed_form(self.form, theta=0.4)
        inside = [t / point.rho if point.rho > 0 else t * 0 for t in point.multipliers]
        if not all(np.all(np.isfinite(t)) for t in inside):
            return [t * 0 for t in inside]
        return self.form.tied(balanced(self.matrix, 1.0, inside))

    @cached_property
    def in_integers(self) -> bool:
        """Whether a checker is to follow a factor in integers; it makes its own in floating point otherwise."""
        return seconds_in_integers(self.form, self.matrix) <= LONGEST_CHECK

    def _attempt(self, rho: float, multipliers: tuple[Array, ...]) -> Evidence | None:
        diagonal = self.matrix.diagonal(rho, multipliers)
        if not np.all(np.isfinite(diagonal)) or np.any(diagonal < 0) or self.matrix.underflows(multipliers):
            return None
        idle = diagonal <= 0
        exponent = np.where(idle, 0, np.frexp(np.where(idle, 1.0, diagonal))[1])
        scaling = exponent // 2
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if self.more is not None and not self._promising(rho, multipliers, scaling, idle):
                return None
            if not self.in_integers:
                return self._in_floating_point(rho, multipliers)
            total, allowances = self.matrix.bounded(rho, multipliers, scaling)
        if not total.is_finite or not total.is_zero(idle):
            return None
        factor = self._factor(total, allowances, total.rounded().with_diagonal(1.0 * idle), idle)
        return None if factor is None else FactorEvidence(factor, scaling, self.input_factor, PRECISION)

    def _in_floating_point(self, rho: float, multipliers: tuple[Array, ...]) -> FloatingEvidence | None:
        """What the checker says."""
        place = self.matrix.elimination.place
        order = sorted(range(len(place)), key=lambda source: (place[source], source))
        return FloatingEvidence.of(self.form, self.exponent, rho, multipliers, tuple(order))

    def _factor(self, total: BlockTotal, allowances: Array, core: BlockMatrix, idle: Array) -> Factor | None:
        """A rounded factor with a dominant residual; `core` is the matrix with ones for the idle coordinates."""
        # What an earlier repair needed to drown its rounding is a good guess: it saves a product where Cholesky fails
        # anyway.
        more = max(self.more or 0.0, 2 * float(np.max(allowances, initial=0.0)))
        for _ in range(4):
            self.more = more
            factor = _rounded_factor(core, self.rounding + more, idle)
            if factor is None:
                return None
            missing = missing_dominance(total, allowances, factor)
            if missing <= 0:
                return factor
            more += 1.25 * missing
        return None

    def _promising(self, rho: float, multipliers: tuple[Array, ...], scaling: Array, idle: Array) -> bool:
        """Whether float64 Cholesky passes with the shift that an earlier repair needed: cheap, and decides nothing."""
        core = self.matrix.approximate(rho, multipliers, np.ldexp(1.0, -scaling)).with_diagonal(1.0 * idle)
        return Factor.of(core.with_diagonal(-(self.rounding + (self.more or 0.0)))) is not None


def _rounded_factor(matrix: BlockMatrix, shift: Array, idle: Array) -> Factor | None:
    """The Cholesky factor of `matrix - diag(shift)` in multiples of 2^-PRECISION, zero where coordinates are idle."""
    factor = Factor.of(matrix.with_diagonal(-shift))
    if factor is None:
        return None

    def rounded(values: Array) -> Array:
        return np.ldexp(np.rint(np.ldexp(values, PRECISION)), -PRECISION)

    slices = factor.elimination.slices
    kept = [np.where(idle[own], 0.0, 1.0) for own in slices]
    return replace(
        factor,
        diagonal=tuple(rounded(lower * one) for lower, one in zip(factor.diagonal, kept, strict=True)),
        below=tuple({i: rounded(block) for i, block in below.items()} for below in factor.below),
    )

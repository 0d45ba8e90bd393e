"""Prove M(rho, lambda) >= 0 for a stacked form by an integer factor with a diagonally dominant residual.

The factor is a rounded floating-point Cholesky factor and needs no trust. What has to hold is `E = 2^(2q) D M D - L
L'` diagonally dominant, and that is decided here with `exact.Total`: every entry of E is known with a bound of its
error, which counts against its row. Whatever is accepted here, exact integer arithmetic accepts too
(`docs/certificate-format.md`, `sdpcert.check`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from sdpcert.arithmetic.blas import cholesky
from sdpcert.certificate.dominance import missing_dominance
from sdpcert.certificate.input_factor import InputFactor, factor_input
from sdpcert.certificate.scaled_matrix import ScaledMatrix
from sdpcert.network.stacked import StackedForm
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.forward import closed_form

Array = np.ndarray
PRECISION = 50
#: Joint scalings (1 + tau) that are tried, ascending; beyond the last one the proof fails closed.
REPAIRS = (0.0, *(10.0 ** (k / 2) for k in range(-28, -7)))
#: How much larger than what it has to balance the diagonal of a neuron that reads zero is made.
ROOM = 2.0**27
#: A row whose weights are no larger than this many radii reads nothing that is known.
UNKNOWN = 2.0**10


@dataclass(frozen=True, eq=False)
class Proof(ShortRepr):
    """A proved point: rho and multipliers (after repair by 1 + tau) with scaling, integer factor, input factor."""

    rho: float
    multipliers: tuple[Array, ...]
    exponent: int
    tau: float
    scaling: Array
    factor: Array
    input_factor: InputFactor | None
    precision: int = PRECISION


class ProofProblem:
    """The matrix M of one network, ready to be proved for one point after another."""

    def __init__(self, form: StackedForm, exponent: int) -> None:
        self.form = form
        self.exponent = exponent
        self.input_factor = factor_input(form)
        self.matrix = ScaledMatrix(form, exponent, self.input_factor)
        self.shift = 0.0

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
        clamped = self._balanced(rho, [np.maximum(t, 0.0) for t in lengthened])
        self.shift = 0.0
        for tau in repairs:
            weights = [(1 + tau / 2) * t for t in clamped]
            if tau > 0:
                weights = [t + tau / 2 * rho * u for t, u in zip(weights, self.interior, strict=True)]
            proof = self._attempt(rho * (1 + tau), tuple(weights), tau)
            if proof is not None:
                return proof
        return None

    def _balanced(self, rho: float, multipliers: list[Array]) -> list[Array]:
        """The point with smaller multipliers of neurons that read nothing known: a row of zeros, or below its radii.

        Such a multiplier meets almost nothing but the neuron itself, so a solver lets it grow without bound (or up to
        the inverse square of a weight of 1e-40), and the error bound grows with it, by the radius. Its diagonal entry
        only has to balance the few other entries of its row: it is cut to `ROOM` times that. What this costs the rest
        is about 1 / ROOM, what the radius costs about sqrt(ROOM) radius, and their sum is least near radius^(-2/3).
        """
        zeros = self._zeros()
        zero = np.concatenate([np.zeros(self.matrix.inputs, bool), *zeros])
        if not np.any(zero):
            return multipliers
        known = {
            (to, s): replace(block, weights=np.where(zeros[to - 1][:, None], 0.0, block.weights))
            if to < self.matrix.output_row
            else block
            for (to, s), block in self.matrix.blocks.items()
        }
        splits = np.cumsum([self.matrix.inputs, *(len(t) for t in multipliers)])[:-1]
        given = np.concatenate([np.full(self.matrix.inputs, rho), *multipliers])
        values = given.copy()
        for _ in range(2):  # the second time for neurons of this kind that meet each other
            point = np.split(values, splits)[1:]
            matrix = self.matrix.approximate(rho, tuple(point), np.ones(self.matrix.order), known)
            diagonal = matrix.diagonal().copy()
            np.fill_diagonal(matrix, 0.0)
            rest = np.abs(diagonal - 2 * values)
            with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
                met = np.where(diagonal > 0, np.square(matrix) / diagonal, 0.0).sum(axis=1)
            values = np.where(zero, np.minimum(given, ROOM * (rest + met)), given)
        return np.split(values, splits)[1:]

    def _zeros(self) -> list[Array]:
        """Which neurons of each group read nothing that is known: zero, or weights that the radii drown."""
        found = []
        for to, (alpha, _) in enumerate(self.matrix.slopes, start=1):
            row = [block for (t, _), block in self.matrix.blocks.items() if t == to]
            read = np.zeros(len(alpha), bool)
            for block in row:
                read |= np.any(block.size > UNKNOWN * block.radius, axis=1)
            found.append(~read & any(block.radius > 0 for block in row))
        return found

    @cached_property
    def interior(self) -> list[Array]:
        """Multipliers of a strictly feasible point for rho = 1, per group (zeros if there is none)."""
        if not self.matrix.slopes:
            return []
        point = closed_form(self.form, theta=0.4)
        inside = [t / point.rho if point.rho > 0 else t * 0 for t in point.multipliers]
        if not all(np.all(np.isfinite(t)) for t in inside):
            return [t * 0 for t in inside]
        return self._balanced(1.0, inside)

    def _attempt(self, rho: float, multipliers: tuple[Array, ...], tau: float) -> Proof | None:
        diagonal = self.matrix.diagonal(rho, multipliers)
        if not np.all(np.isfinite(diagonal)) or np.any(diagonal < 0) or self.matrix.underflows(multipliers):
            return None
        active = diagonal > 0
        exponent = np.where(active, np.frexp(np.where(active, diagonal, 1.0))[1], 0)
        scaling = exponent // 2
        with np.errstate(over="ignore", under="ignore", invalid="ignore"):
            if self.shift > 0 and not self._promising(rho, multipliers, scaling, active):
                return None
            total, allowances = self.matrix.bounded(rho, multipliers, scaling)
        approximate = total.high + total.low
        if not np.all(np.isfinite(approximate)):
            return None
        if np.any(approximate[~active]) or np.any(total.error[~active]):
            return None
        core = approximate[np.ix_(active, active)]
        # What an earlier repair needed to drown its rounding is a good guess: it saves a product where Cholesky fails
        # anyway.
        shift = max(self.shift, 8 * 2.0**-53 * max(len(core), 1) ** 0.5 + 2 * float(np.max(allowances, initial=0.0)))
        for _ in range(4):
            self.shift = shift
            factor = _rounded_cholesky(core, shift)
            if factor is None:
                return None
            full = np.zeros_like(approximate)
            full[np.ix_(active, active)] = factor
            missing = missing_dominance(total, allowances, full)
            if missing <= 0:
                integers = np.rint(np.ldexp(full, PRECISION)).astype(np.int64)
                return Proof(rho, multipliers, self.exponent, tau, scaling, integers, self.input_factor)
            shift += 1.25 * missing
        return None

    def _promising(self, rho: float, multipliers: tuple[Array, ...], scaling: Array, active: Array) -> bool:
        """Whether float64 Cholesky passes with the shift that an earlier repair needed: cheap, and decides nothing."""
        core = self.matrix.approximate(rho, multipliers, np.ldexp(1.0, -scaling))[np.ix_(active, active)]
        return cholesky(core - self.shift * np.eye(len(core))) is not None


def _rounded_cholesky(matrix: Array, shift: float) -> Array | None:
    """The Cholesky factor of `matrix - shift I`, rounded to multiples of 2^-PRECISION."""
    lower = cholesky(matrix - shift * np.eye(len(matrix)))
    if lower is None:
        return None
    return np.ldexp(np.rint(np.ldexp(lower, PRECISION)), -PRECISION)

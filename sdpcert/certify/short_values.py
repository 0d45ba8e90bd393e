"""Bounds that are short numbers, as the 1 of an orthogonal matrix: proved as they are, without room for rounding.

A proof by floating-point means needs some room, and what is exactly 1 comes out as 1.000000000000005. Where a proved
bound is that near to a number of few bits, the point for that number is stated with multipliers of few bits, and the
checker decides in integers whether it is one: such matrices are singular, and nothing rounded shows that they are
semidefinite.
"""

from __future__ import annotations

from math import frexp, ldexp

import numpy as np

from sdpcert.certificate.checking import seconds_in_integers
from sdpcert.certificate.document import build_document
from sdpcert.certificate.evidence.scaling_evidence import ScalingEvidence
from sdpcert.certificate.proof import Proof
from sdpcert.certificate.scaled_matrix import ScaledMatrix
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.check import check_document
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers import product
from sdpcert.solvers.solution import Solution

Array = np.ndarray
#: Bits of a short number: its square is exact.
BITS = 20
#: How far above a short number a proved bound is that is taken for it, relative.
NEAR = 1e-9
#: Seconds that the checker may take.
LONGEST = 0.5
#: Above, nothing is short.
LARGEST = 2.0**1000


def short_below(bound: float) -> float | None:
    """The number of few bits that a bound is a little above of, None if there is none."""
    short = _short(bound) if 0 < bound < LARGEST else 0.0
    return short if 0 < short < bound and bound - short <= NEAR * bound else None


def prove_short(form: StackedForm, solution: Solution, proof: Proof) -> Proof | None:
    """A proof of the short number that a proved point's bound is a little above of; None if there is none.

    `solution` is the point before it was made larger until it was proved. The product of norms is tried as well: a
    solver's point is inside of what it solves for, and near a singular one no rounding finds that.
    """
    short = short_below(StackedCondition(form, proof).upper)
    if short is None or any(block.radius > 0 or block.low is not None for block in form.blocks.values()):
        return None
    if seconds_in_integers(form, ScaledMatrix(form, solution.exponent, None)) > LONGEST:
        return None
    found = _at(short, form, solution)
    return found if found is not None or solution.iterations == 0 else _at(short, form, product(form))


def _at(short: float, form: StackedForm, solution: Solution) -> Proof | None:
    """The proof of a short bound near that of a point."""
    scaled = ldexp(short, -solution.exponent)
    rho = scaled * scaled
    if not abs(rho - solution.rho) <= 4 * NEAR * rho:
        return None
    multipliers = tuple(_short_entries(t * (rho / solution.rho)) for t in solution.multipliers)
    ones = np.ones(form.inputs + form.neurons)
    vector = ones if solution.vector is None else _short_entries(solution.vector)
    if not all(np.all(np.isfinite(t)) for t in (*multipliers, vector)) or np.any(vector <= 0):
        return None
    found = Proof(rho, multipliers, solution.exponent, 0.0, ScalingEvidence(vector))
    condition = StackedCondition(form, found)
    if condition.upper != short or check_document(build_document(condition, None, {})).level != "exact":
        return None
    return found


def _short(value: float) -> float:
    """The number of few bits that is nearest."""
    mantissa, exponent = frexp(value)
    return ldexp(round(ldexp(mantissa, BITS)), exponent - BITS)


def _short_entries(values: Array) -> Array:
    mantissa, exponent = np.frexp(values)
    return np.ldexp(np.rint(np.ldexp(mantissa, BITS)), exponent - BITS)

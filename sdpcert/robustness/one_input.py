"""The radius of one input: the largest that is proved by pieces of its region, and that a checker accepts.

What is taken and given can be pickled: inputs are looked at in other processes too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.certify.plan import FAILURES
from sdpcert.check import check_document
from sdpcert.robustness.distances import DISTANCES
from sdpcert.robustness.entry import ByPieces, Entry
from sdpcert.robustness.needed import Needed
from sdpcert.robustness.searching import Found, radius_of
from sdpcert.robustness.statement import Statement
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.running.messages import first_line
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.solution import Budget

Array = np.ndarray
#: By how much a radius is made smaller, relative, until a checker accepts its pieces.
SHRINKS = (0.0, 1e-9, 1e-6, 1e-3)
#: How much farther than the box reaches radii are looked for, relative: within that all of it is proved.
ALL = 1.02


@dataclass(frozen=True)
class Options:
    """How hard to look: `radii` are those that are tried, None for the largest radius there is."""

    radii: tuple[float, ...] | None = None
    seconds: float = float("inf")
    nodes: int | None = None


@dataclass(frozen=True, eq=False)
class Answer(ShortRepr):
    """The entry with its radius, a point of another class that was met (not proved), and why less is stated, if so."""

    entry: Entry
    counterexample: Array | None = None
    note: str = ""


def answer(statement: Statement, options: Options, known: Entry) -> Answer:
    """The largest radius of a right input; `known` has what is proved by other means, and the nearest attack."""
    with one_blas_thread():
        try:
            found = _searched(statement, options, known)
        except FAILURES as error:  # of one input: the others go on
            return Answer(known, note=f"the search failed ({type(error).__name__}: {first_line(error)})")
        if not found.proofs:
            return Answer(known, found.counterexample)
        proofs = tuple(ByPieces(proof.classes, proof.pieces) for proof in found.proofs)
        reason = ""
        for shrink in SHRINKS:  # what is proved of a region is true of smaller ones, with room
            entry = replace(known, radius=found.radius * (1 - shrink), proofs=proofs)
            if not entry.radius > known.radius:
                break
            with first_interrupt_waits():
                result = check_document(statement.document([replace(entry, attack=None)]), exact=False)
            if result.ok:
                return Answer(entry, found.counterexample)
            reason = reason or result.reason
    return Answer(known, found.counterexample, f"a checker did not accept its pieces: {reason}")


def _searched(statement: Statement, options: Options, known: Entry) -> Found:
    attacked = np.inf if known.attack is None else known.attack.distance
    farthest = _farthest(statement, known.center) if options.radii is None else np.inf
    return radius_of(
        statement.form,
        known.center,
        known.label,
        norm=statement.norm,
        within=statement.within,
        limits=Needed.of(statement.errors, statement.norm, known.center),
        radii=options.radii,
        below=known.radius,
        beyond=min(attacked, farthest),
        budget=Budget(seconds=options.seconds),
        nodes=options.nodes,
    )


def _farthest(statement: Statement, center: Array) -> float:
    """A radius beyond which a region has no more inputs than within it; infinite where no box ends it."""
    if statement.within is None:
        return np.inf
    reach = np.maximum(statement.within.high - center, center - statement.within.low)
    farthest = float(DISTANCES[statement.norm].sizes(reach[None])[0])
    return ALL * farthest if farthest > 0 else np.inf

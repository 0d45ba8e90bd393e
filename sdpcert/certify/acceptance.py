"""What a checker says of a tree before anybody else sees it.

A stacked condition is proved by its integer factor, in the arithmetic of the checker. A torus condition only has room
for the checker's rounding: there the checker has the word, and its arithmetic is the level of the certificate.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from sdpcert.certificate.cover import OnRegion
from sdpcert.certificate.document import build_document
from sdpcert.certificate.part import Part
from sdpcert.certificate.sequence import Sequence
from sdpcert.certificate.torus_condition import TorusCondition
from sdpcert.check import check_document
from sdpcert.check.cover import seconds_in_integers
from sdpcert.check.torus import MAX_WORK
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers.effort import EXACT_RATE, exact_check_seconds

#: Estimated seconds that integers may take whatever the time limit: what the largest torus takes that they are for.
PATIENCE = MAX_WORK / EXACT_RATE


def accepted(tree: Part, seconds: float, before: bool = False) -> Part | None:
    """The tree with the level at which a checker accepts it, None if it rejects it.

    Exact arithmetic is for what is small enough, and estimated to take no more than `seconds`. A tree that was
    accepted `before` is only looked at again to raise its level.
    """
    if isinstance(tree, OnRegion) and tree.level:
        return tree
    if isinstance(tree, OnRegion):
        return heard(tree, seconds).tree
    fronts = [leaf.form for leaf in tree.leaves if isinstance(leaf, TorusCondition)]
    if not fronts:
        return tree
    slow = sum(map(exact_check_seconds, fronts)) > min(seconds, PATIENCE)
    if before and (slow or tree.level == "exact"):
        return tree
    document = build_document(tree, None, {})
    with first_interrupt_waits():
        result = check_document(document, exact=False if slow else None)
    if result.level is None:
        return tree if before else None
    return _at_level(tree, result.level)


@dataclass(frozen=True)
class Heard:
    """The tree at the level at which a checker accepts it, or else the piece whose end it rejects, if it does."""

    tree: OnRegion | None
    rejected: int | None = None


def heard(tree: OnRegion, seconds: float) -> Heard:
    """What a checker says of a network on a region; it finds the factors of all pieces itself."""
    document = build_document(tree, None, {})
    with first_interrupt_waits():
        result = check_document(document, exact=False if seconds_in_integers(document) > seconds else None)
    if result.level is not None:
        return Heard(replace(tree, level=result.level))
    return Heard(None, result.piece)


def _at_level(tree: Part, level: str) -> Part:
    if isinstance(tree, TorusCondition):
        return replace(tree, level=level)
    if isinstance(tree, Sequence):
        return replace(tree, parts=tuple(_at_level(part, level) for part in tree.parts))
    return tree

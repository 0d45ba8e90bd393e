"""What a checker says of the pieces that separate classes, before anybody else sees them."""

from __future__ import annotations

import json
from fractions import Fraction
from weakref import WeakKeyDictionary

from sdpcert.certificate.region_network import network_document
from sdpcert.check import cover, network, pieces, region
from sdpcert.check.differences import Differences
from sdpcert.check.entries import Separation
from sdpcert.check.reading import Rejected
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import Region
from sdpcert.robustness.separating import ClassesProof
from sdpcert.running.interrupts import first_interrupt_waits

#: Multiplications up to which integers are used.
EXACT_WORK = 10**7
_READ: WeakKeyDictionary[StackedForm, Differences] = WeakKeyDictionary()


def is_accepted(form: StackedForm, where: Region, label: int, proof: ClassesProof, limit: float) -> bool:
    """Whether a checker accepts that margins stay above the limit, in integers where that is little work."""
    return refusal(form, where, label, proof, limit) is None


def refusal(
    form: StackedForm, where: Region, label: int, proof: ClassesProof, limit: float, exact: bool | None = None
) -> str | None:
    """Why a checker does not accept that margins stay above the limit; None if it does.

    `exact` asks for integers (True) or floating point (False); None takes integers if that is little work.
    """
    differences = _read(form)
    try:
        read_region = region.read(where.fitted(form.inputs).document(), "region", form.inputs)
        listed = [json.loads(json.dumps(piece.document())) for piece in proof.pieces]
        found = pieces.read(listed, "pieces", differences.network, 1, pieces.MAX_PIECES, pieces.SEPARATING)
        required = tuple(differences.requirement(label, other, Fraction(limit)) for other in proof.classes)
        if exact is None:
            exact = cover.work_of(differences.network, found) <= EXACT_WORK
        with first_interrupt_waits():
            cover.prove(Separation(differences.network, read_region, found, required), exact)
    except Rejected as rejected:
        return str(rejected)
    return None


def _read(form: StackedForm) -> Differences:
    """The form as the checker reads it, once."""
    if form not in _READ:
        document = json.loads(json.dumps(network_document(form)))
        _READ[form] = Differences.of(network.read(document, "network"))
    return _READ[form]

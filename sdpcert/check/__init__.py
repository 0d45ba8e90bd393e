"""The independent certificate checkers: one needs the standard library only, the one for large networks NumPy."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sdpcert.check.checker import CheckResult as CheckResult
from sdpcert.check.checker import Rejected, Unreadable, read_document
from sdpcert.running.outputs import reads

if TYPE_CHECKING:
    from sdpcert.certificate.certificate import Certificate


def check(certificate: str | os.PathLike[str] | Certificate) -> CheckResult:
    """Check a certificate, in exact arithmetic where it is small enough; the reason says which proof was verified.

    `certificate` is the path of a file, or a `Certificate` (checked as the file that it would be saved as). A bad or
    missing file gives ok=False and never an exception; raises TypeError for anything else than a path or a certificate.
    """
    try:
        return check_document(document_of(certificate))
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))


def document_of(certificate: str | os.PathLike[str] | Certificate) -> Any:
    """The JSON value of a certificate's file.

    Raises `Unreadable` or `Rejected` where there is none, TypeError where the argument is neither path nor certificate.
    """
    if isinstance(certificate, str | os.PathLike):
        reads(certificate)
        return read_document(certificate)
    from sdpcert.certificate.certificate import Certificate

    if not isinstance(certificate, Certificate):
        what = f"the path of a certificate file or a Certificate, not {type(certificate).__name__}"
        raise TypeError(f"check wants {what}")
    try:
        return certificate.document()
    except ValueError as error:  # nothing was proved
        raise Rejected(str(error)) from None


def check_document(document: Any) -> CheckResult:
    """Check a certificate that is already parsed from JSON; never raises."""
    from sdpcert.check import torus as frequency_checker

    if is_large(document):
        from sdpcert.check import floating as floating_checker

        return floating_checker.check_document(document)
    return frequency_checker.check_document(document)


def is_large(document: object) -> bool:
    """Whether a certificate has a torus part that is too large for exact arithmetic."""
    from sdpcert.check import torus as frequency_checker

    if not isinstance(document, dict) or document.get("version") != 2:
        return False
    try:
        parsed = frequency_checker.parse(document)
    except Exception:
        return False  # the exact checker says what is wrong
    torus = [part for part in parsed.parts if isinstance(part, frequency_checker.TorusPart)]
    return any(frequency_checker.work_of(part) > frequency_checker.MAX_WORK for part in torus)

"""The independent certificate checkers: one needs the standard library only, the one for large networks NumPy."""

import os

from sdpcert.check.checker import CheckResult as CheckResult
from sdpcert.check.checker import Rejected, Unreadable, read_document


def check(path: str | os.PathLike[str]) -> CheckResult:
    """Check a certificate file, in exact arithmetic where it is small enough; the reason says which proof was verified.

    A bad or missing file gives ok=False and never an exception.
    """
    from sdpcert.check import frequency_checker

    try:
        document = read_document(path)
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))
    if is_large(document):
        from sdpcert.check import floating_checker

        return floating_checker.check_document(document)
    return frequency_checker.check_document(document)


def is_large(document: object) -> bool:
    """Whether a certificate has a torus part that is too large for exact arithmetic."""
    from sdpcert.check import frequency_checker

    if not isinstance(document, dict) or document.get("version") != 2:
        return False
    try:
        parsed = frequency_checker.parse(document)
    except Exception:
        return False  # the exact checker says what is wrong
    torus = [part for part in parsed.parts if isinstance(part, frequency_checker.TorusPart)]
    return any(frequency_checker.work_of(part) > frequency_checker.MAX_WORK for part in torus)

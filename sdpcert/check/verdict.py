"""The verdict on a certificate, in Python and on the command line."""

from __future__ import annotations

import decimal
import os
import sys
from dataclasses import dataclass
from typing import Any, Protocol

from . import proof_checker, radii_file
from .radii_claim import Row
from .reading import Rejected, Unreadable, read_document
from .tree import Content, read_content


@dataclass(frozen=True)
class CheckResult:
    """The verdict on one certificate, or on one file of radii.

    Args:
        ok: True if the claim is proved.
        upper: the proved bound, None unless ok; None for a file of radii.
        reason: one line, what is proved or why not.
        sha256: the hash of the network that the proof is about, empty unless ok.
        lower: the lower bound that the file states, which is not re-evaluated here; None if there is none or not ok.
        level: the arithmetic of the proof, "exact" or "floating-point" (float64 with rigorous error bounds for the
            conditions on a torus, for pieces of a region and for margins at points); None unless ok.
        piece: the number of the piece of a region whose end is not proved, if that is why not; else None.
        radii: of a file of radii, for each radius of its table how many inputs are certified; empty unless ok.
    """

    ok: bool
    upper: float | None
    reason: str
    sha256: str = ""
    lower: float | None = None
    level: str | None = None
    piece: int | None = None
    radii: tuple[Row, ...] = ()


class HasDocument(Protocol):
    """What a certificate in memory can do: state the JSON value of its file; ValueError if nothing was proved."""

    def document(self) -> dict[str, Any]:
        """The JSON value of the certificate's file."""
        ...


def check(certificate: str | os.PathLike[str] | HasDocument) -> CheckResult:
    """Check a certificate, in exact arithmetic if it is small enough; the result's level says how it was proved.

    `certificate` is the path of a file, of a certificate or of radii, or a `Certificate` or `Radii` in memory, which
    are checked as the file that they would be saved as. A bad or missing file gives ok=False and never an exception.
    Raises TypeError if it is neither.
    """
    try:
        return check_document(document_of(certificate))
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))


def document_of(certificate: str | os.PathLike[str] | HasDocument) -> Any:
    """The JSON value of a certificate's file.

    Raises `Unreadable` or `Rejected` if there is none, TypeError if the argument is neither path nor certificate.
    """
    if isinstance(certificate, str | os.PathLike):
        return read_document(certificate)
    document = getattr(certificate, "document", None)
    if isinstance(certificate, type) or not callable(document):
        what = f"the path of a certificate file or a Certificate, not {type(certificate).__name__}"
        raise TypeError(f"check wants {what}")
    try:
        return document()
    except ValueError as error:  # nothing was proved
        raise Rejected(str(error)) from None


def check_document(document: Any, exact: bool | None = None) -> CheckResult:
    """Check a certificate, or a file of radii, that is already parsed from JSON.

    A bad one gives ok=False and never an exception. `exact` says whether conditions on a torus, pieces of a region and
    margins at points are proved in integers (True) or in floating point with rigorous error bounds (False, needs
    NumPy); None chooses integers if that is little work. All else is proved in integers.
    """
    try:
        if type(document) is dict and document.get("format") == radii_file.FORMAT:
            return _check_radii(radii_file.read_radii(document), exact)
        if type(document) is dict and document.get("format") == proof_checker.FORMAT:
            return _check_theorems(document)
        content = read_content(document)
        level = content.tree.prove(exact)
    except Rejected as error:
        return CheckResult(False, None, str(error), piece=error.piece)
    except Exception as error:  # such as MemoryError: what could not be finished is not proved
        return CheckResult(False, None, f"the check could not be finished ({type(error).__name__})")
    return CheckResult(True, content.upper, statement(content, level), content.tree.sha256, content.lower, level)


def _check_theorems(document: Any) -> CheckResult:
    try:
        theorems = proof_checker.check_proof(document)
    except proof_checker.Rejected as reason:
        return CheckResult(False, None, str(reason))
    names = "; ".join(str(theorem.name) for theorem in theorems)
    count = "one theorem" if len(theorems) == 1 else f"{len(theorems)} theorems"
    return CheckResult(True, None, f"{count} for all weights: {names}", level="exact")


def _check_radii(content: radii_file.Radii, exact: bool | None) -> CheckResult:
    level = content.prove(exact)
    return CheckResult(True, None, content.statement(level), content.sha256, level=level, radii=content.rows)


def statement(content: Content, level: str) -> str:
    """What a proved certificate says, in one line, with the bound rounded up."""
    tree = content.tree
    bound = decimal.Context(prec=12, rounding=decimal.ROUND_CEILING).create_decimal_from_float(content.upper)
    said = [
        "Euclidean norms",
        "real arithmetic",
        *tree.said(level),
        f"network sha256 {tree.sha256}",
        *(f"stated and not proved: {line!a}" for line in content.assumptions),
    ]
    return f"|f(x)-f(x')| <= {bound} |x-x'| for {tree.region} ({'; '.join(said)})"


def main(argv: list[str] | None = None) -> int:
    """Run the command line and return its exit code.

    Args:
        argv: the arguments without the program's name, those of the process by default.

    Returns:
        0 proved, 1 rejected (both with one line on stdout), 2 unreadable or wrong usage (one line on stderr).
    """
    arguments = sys.argv[1:] if argv is None else argv
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python checker.py CERT.json   (exit 0: proved, 1: rejected, 2: unreadable)", file=sys.stderr)
        return 2
    try:
        result = check_document(read_document(arguments[0]))
    except Unreadable as error:
        print(f"{arguments[0]!a}: {error}", file=sys.stderr)
        return 2
    except Rejected as error:
        result = CheckResult(False, None, str(error))
    print(("proved: " if result.ok else "rejected: ") + result.reason)
    return 0 if result.ok else 1

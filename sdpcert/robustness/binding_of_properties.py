"""Bind the proof of an answer to a model and a property: the network, the question and the box that it is about."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from sdpcert.certificate.region_network import hash_of_network
from sdpcert.check import CheckResult, HasDocument, Rejected, Unreadable, check_document, document_of
from sdpcert.check.reading import values
from sdpcert.network.differences import as_files_state
from sdpcert.network.graph import Network
from sdpcert.readers.vnnlib import Case, Property
from sdpcert.robustness.deciding import parts_of
from sdpcert.robustness.statement import FORMAT
from sdpcert.robustness.unsafe import unsafe_network


def check_with_property(path: str | os.PathLike[str] | HasDocument, network: Network, asked: Property) -> CheckResult:
    """Check a file of radii, and that it proves an answer "holds" to a property of a model, or a part of that answer.

    Whatever a file holds gives ok=False with one line that says what differs; the reason says which of the property's
    boxes a good one is about. Raises TypeError for what is no path.
    """
    try:
        document = document_of(path)
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))
    result = check_document(document)
    if not result.ok:
        return result
    try:
        said = _said(document, network, asked)
    except (ValueError, Rejected) as error:
        said = ""
        result = replace(result, reason=f"the file does not fit: {error}")
    except Exception as error:  # such as MemoryError: what could not be compared is not bound
        said = ""
        result = replace(result, reason=f"the comparison could not be finished ({type(error).__name__})")
    if not said:
        return replace(result, ok=False, sha256="", level=None, radii=())
    return replace(result, reason=f"{result.reason}; {said}")


def _said(document: dict[str, Any], network: Network, asked: Property) -> str:
    """Which part of the property the file proves; ValueError with one line if it is none."""
    if document.get("format") != FORMAT:
        raise ValueError("the file is a certificate and no file of radii")
    if document["level"] != "R" or document["norm"] != "linf" or len(document["inputs"]) != 1:
        raise ValueError("it is not about one box of inputs in real arithmetic")
    (entry,) = document["inputs"]
    if entry["correct"] is not True or entry["label"] != 0 or document["within"] is None:
        raise ValueError("it does not say that class 0 is ahead on a box")
    if document["normalisation"] is not None:
        raise ValueError("its network reads normalised inputs, and a property is about those of the model")
    count = len(asked.cases)
    for number, case in enumerate(asked.cases, 1):
        if _covers(document, entry, case):
            for part in parts_of(case):
                if all(part.clauses) and document["network"]["sha256"] in _network_hashes(network, part):
                    some = "" if len(part.clauses) == len(case.clauses) else f"{len(part.clauses)} alternatives of "
                    box = "its box" if count == 1 else f"box {number} of {count}"
                    return f"it proves that {some}{asked.source} cannot be met by {network.source} on {box}"
    raise ValueError(f"it is about no box of {asked.source} and {network.source}, or about other weights")


def _network_hashes(network: Network, part: Case) -> Iterator[str]:
    return map(hash_of_network, as_files_state(unsafe_network(network, part.clauses, "")))


def _covers(document: dict[str, Any], entry: dict[str, Any], case: Case) -> bool:
    """Whether the inputs of a proof, which are those of its box within the radius, have all of a case's box."""
    size = document["network"]["inputs"]
    if size != len(case.box):
        return False
    low, high, center = (
        np.array(values(numbers, "within", "d", size))
        for numbers in (document["within"]["low"], document["within"]["high"], entry["center"])
    )
    radius = Fraction(float.fromhex(entry["radius"]))
    ends = zip(low, high, center, case.box.low, case.box.high, strict=True)
    return all(
        max(Fraction(float(a)), Fraction(float(c)) - radius) <= least
        and most <= min(Fraction(float(b)), Fraction(float(c)) + radius)
        for a, b, c, least, most in ends
    )

"""Bind a certificate to a network: the same weights, and the attained points evaluated again on them.

The checkers have seen every number that the proof needs. What is read here beside it, the chosen outputs and the cuts
under `information`, and the attained points, are what anybody may have written there: each is compared with the type
and the range that it has to have, and whatever still goes wrong is a certificate that is not bound to the network.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import nullcontext
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from sdpcert.certificate.document import assumption
from sdpcert.check import check_document, document_of
from sdpcert.check.checker import CheckResult, Rejected, Unreadable, values
from sdpcert.network.earlier import earlier_rules
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.network.stacking import stack

if TYPE_CHECKING:
    from sdpcert.certificate.certificate import Certificate

Array = np.ndarray
#: Most characters of a reason that repeats what a file says.
LONGEST = 300


def check_with_network(
    certificate: str | os.PathLike[str] | Certificate, network: Network, whole: bool = False
) -> CheckResult:
    """Check a certificate, that it is about this network's weights, and that its attained points attain its lower
    bound.

    A certificate may be about some of the network's outputs, which the reason names then; with `whole` it is refused.
    Whatever a file holds gives ok=False and never an exception; TypeError for what is no path and no certificate.
    """
    try:
        document = document_of(certificate)
    except (Unreadable, Rejected) as error:
        return CheckResult(False, None, str(error))
    result = check_document(document)
    if not result.ok:
        return result
    try:
        rows = _output_rows(document)
        if whole and rows is not None:
            return _refused(result, f"the certificate is about some outputs of {network.source} alone")
        same = _same_parts(document, network, rows) if document["version"] == 2 else _same_form(document, network, rows)
        if not same:
            return _refused(result, f"the certificate is about other weights than {network.source}")
        if not _attains(document, network, rows):
            return _refused(result, "the attained points do not attain the stated lower bound")
    except (ValueError, Rejected) as error:
        return _refused(result, f"the certificate does not fit {network.source}: {error}")
    except Exception as error:  # such as MemoryError: what could not be compared is not bound
        return _refused(result, f"the comparison with {network.source} could not be finished ({type(error).__name__})")
    which = "" if rows is None else f"; f is output {', '.join(map(str, rows))} of it alone, counted from 0"
    assumed = assumption(network.details)
    which += f"; {assumed}" if assumed else ""
    return replace(result, reason=f"{result.reason}; the weights are those of {network.source}{which}")


def _refused(result: CheckResult, reason: str) -> CheckResult:
    line = " ".join(reason.split())
    line = line if len(line) <= LONGEST else line[: LONGEST - 3] + "..."
    return replace(result, ok=False, upper=None, reason=line, sha256="", lower=None)


def _output_rows(document: dict[str, Any]) -> list[int] | None:
    """The outputs that the certificate says to be about, None for all; raises Rejected where it is no list of them."""
    rows = document["information"].get("output_rows")
    if rows is None:
        return None
    if type(rows) is not list or any(type(row) is not int for row in rows):
        raise Rejected("its information.output_rows is not a list of integers")
    return rows


def _same_form(document: dict[str, Any], network: Network, rows: list[int] | None) -> bool:
    return _whole_form(document, network, rows) is not None


def _whole_form(document: dict[str, Any], network: Network, rows: list[int] | None) -> StackedForm | None:
    """The form whose reduction the certificate is about, built as it was built for it; None where there is none."""
    for form in _forms(network):
        form = form if rows is None else form.output_rows(rows)
        if form.reduced().sha256 == document["network"]["sha256"]:
            return form
    return None


def _forms(network: Network) -> Iterator[StackedForm]:
    """The stacked forms that certificates of a network may be about: solved for, by construction, and earlier ones."""
    yield network.stacked
    yield network.unshared
    with earlier_rules():
        yield stack(network)


def _same_parts(document: dict[str, Any], network: Network, rows: list[int] | None) -> bool:
    """Whether front and head, embedded in the certificate's torus and read in its scales, are the certificate's
    parts.
    """
    from sdpcert.certify.sequence import with_rows

    front, *behind = document["parts"]
    if front["network"].get("torus") is None:
        return _same_pieces(document, with_rows(network, rows))
    if len(behind) > 1:
        return False
    for earlier, share in ((False, True), (False, False), (True, False)):
        with earlier_rules() if earlier else nullcontext():
            if _same_front_and_head(document, network, rows, share):
                return True
    return False


def _same_front_and_head(document: dict[str, Any], network: Network, rows: list[int] | None, share: bool) -> bool:
    from sdpcert.certify.frequencies import front_and_head, read_scaled

    front, *behind = document["parts"]
    torus = front["network"]["torus"]
    try:
        embedding, form, head = front_and_head(network, rows, (torus[0], torus[1]), share)
    except ValueError:  # this way of embedding may have no front, or a larger torus
        return False
    if form.sha256 != front["network"]["sha256"] or (head is None) != (not behind):
        return False
    if head is None:
        return True
    layout, scale = _reads(behind[0], head.inputs)
    if not np.array_equal(layout, embedding.output_index):
        return False
    return read_scaled(head, scale).reduced().sha256 == behind[0]["network"]["sha256"]


def _same_pieces(document: dict[str, Any], network: Network) -> bool:
    """Whether the network, divided at the values that the certificate names, is its parts in sequence."""
    cuts = document.get("information", {}).get("cuts")
    if not isinstance(cuts, list) or any(type(c) is not int or not 0 < c <= len(network.nodes) for c in cuts):
        return False
    values = [0, *cuts, network.output]
    if len(document["parts"]) != len(values) - 1:
        return False
    for part, start, end in zip(document["parts"], values, values[1:], strict=False):
        piece = network.between(start, end)
        if start:
            size = int(np.prod(piece.input_shape))
            layout, scale = _reads(part, size)
            if not np.array_equal(layout, np.arange(size)) or np.any(scale != 1):
                return False
        if not _same_form(part, piece, None):
            return False
    return True


def _attains(document: dict[str, Any], network: Network, rows: list[int] | None) -> bool:
    from sdpcert.attained import evaluate_ratio

    attained = document.get("attained")
    if attained is None:
        return True
    size = int(np.prod(network.input_shape))
    x, x_prime = (_decode(attained[key], f"attained.{key}", size) for key in ("x", "x_prime"))
    lower = float.fromhex(attained["lower"])
    if document["version"] == 2:
        return evaluate_ratio(network, x, x_prime, rows) >= lower
    form = _whole_form(document, network, rows)
    assert form is not None  # compared before
    return evaluate_ratio(form, x, x_prime) >= lower


def _reads(part: dict[str, Any], size: int) -> tuple[Array, Array]:
    """Layout and scales with which a part of `size` inputs reads the part before it."""
    reads = part["reads"]
    return _decode(reads["layout"], "reads.layout", size, "q"), _decode(reads["scale"], "reads.scale", size)


def _decode(text: Any, name: str, count: int, code: str = "d") -> Array:
    """Exactly `count` values of an encoded array; raises Rejected for anything else, however much it unpacks to."""
    return np.array(values(text, name, code, count), dtype={"d": float, "q": np.int64}[code])

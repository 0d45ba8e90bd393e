"""The certificate file, version 3: JSON as `docs/certificate-format.md` describes it."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from typing import Any

from sdpcert.attained import Attained
from sdpcert.certificate.part import NORM, Part
from sdpcert.regions.region import AllInputs
from sdpcert.running.encoding import encode
from sdpcert.running.outputs import whole_file

FORMAT = "sdpcert-certificate"
VERSION = 3


def build_document(
    tree: Part, attained: Attained | None, information: dict[str, Any], assumptions: tuple[str, ...] = ()
) -> dict[str, Any]:
    """The certificate of a tree that is proved, as a JSON-ready dictionary."""
    claim = tree.claim
    where = "" if claim.region == AllInputs() else "in the region below "
    sentence = (
        f"For all inputs x, x' {where}of the network of the tree below "
        f"({claim.inputs} inputs, {claim.outputs} outputs): "
        f"|f(x) - f(x')| <= {claim.upper!r} |x - x'|, Euclidean norms, real arithmetic."
    )
    return sealed(
        {
            "format": FORMAT,
            "version": VERSION,
            "claim": sentence,
            "upper": claim.upper.hex(),
            "norm": NORM,
            "region": claim.region.document() | {"coordinates": tree.coordinates, "size": claim.inputs},
            "assumptions": list(assumptions),
            "tree": tree.document(),
            "attained": _attained(attained),
            "information": information,
        }
    )


def _attained(attained: Attained | None) -> dict[str, Any] | None:
    """The two points that attain the lower bound."""
    if attained is None:
        return None
    return {
        "lower": float(attained.lower).hex(),
        "x": encode(attained.x),
        "x_prime": encode(attained.x_prime),
    }


def assumption(details: Mapping[str, Any]) -> str:
    """What the model's file left open and its reader assumed, from the network's details; "" for nothing."""
    assumed = details.get("assumed")
    return f"assumed, as the model's file does not state it: {assumed}" if isinstance(assumed, str) and assumed else ""


def printable(text: str) -> str:
    """A text as the file states it: one line of at most 1000 printable characters."""
    return "".join(c if c.isprintable() else "?" for c in " ".join(text.split()))[:1000]


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `information.digest`, which tells accidental changes of what no checker proves."""
    information = {k: v for k, v in document["information"].items() if k != "digest"}
    document = {**document, "information": information}
    digest = digest_of(json.dumps(document, allow_nan=False))
    return {**document, "information": {**information, "digest": digest}}


def digest_of(text: str) -> str:
    """SHA-256 of a file's text as `docs/certificate-format.md` defines `information.digest`, itself left out.

    Numbers count as they are written; spaces and the order of keys do not. Raises ValueError if the text is not a JSON
    object.
    """
    document = json.loads(text, parse_float=_as_written, parse_int=_as_written)
    if not isinstance(document, dict):
        raise ValueError("not a JSON object")
    information = document.get("information")
    if isinstance(information, dict):
        information.pop("digest", None)
    plain = json.dumps(document, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(plain.encode("ascii")).hexdigest()


def _as_written(number: str) -> str:
    return "number " + number


def write_document(document: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a certificate file, whole or not at all (a temporary file beside it, then a rename).

    Raises ValueError with one line if the file cannot be written.
    """
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8")
        json.dump(document, text, indent=1, allow_nan=False)
        text.write("\n")
        text.detach()  # what is left is written, and the file stays open

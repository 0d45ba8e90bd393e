"""The certificate file: JSON as `docs/certificate-format.md` describes it."""

from __future__ import annotations

import base64
import hashlib
import io
import json
import os
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from sdpcert.attained import Attained
from sdpcert.certificate.proof import Proof
from sdpcert.network.stacked import StackedForm
from sdpcert.running.outputs import whole_file

Array = np.ndarray
FORMAT = "sdpcert-certificate"
VERSION = 1


def build_document(
    form: StackedForm, proof: Proof, upper: float, attained: Attained | None, information: dict[str, Any]
) -> dict[str, Any]:
    """The certificate of a proved point as a JSON-ready dictionary."""
    claim = (
        f"The function of the stacked form below, {form.inputs} inputs, {form.neurons} neurons, {form.outputs} "
        f"outputs, satisfies |f(x) - f(x')| <= {upper!r} |x - x'| in real arithmetic, Euclidean norms, for all x, x'."
        f"{assumed_in(information)}"
    )
    return sealed(
        {
            "format": FORMAT,
            "version": VERSION,
            "claim": claim,
            "upper": upper.hex(),
            **members_of_stacked(form, proof),
            "attained": attained_of(attained),
            "information": information,
        }
    )


def assumed_in(information: dict[str, Any]) -> str:
    """A sentence, with a space before it, on what the model's file left open and its reader assumed; "" for nothing."""
    details = information.get("source_details")
    sentence = assumption(details) if isinstance(details, dict) else ""
    return f" {sentence[0].upper()}{sentence[1:]}." if sentence else ""


def assumption(details: Mapping[str, Any]) -> str:
    """What the model's file left open and its reader assumed, from the network's details; "" for nothing."""
    assumed = details.get("assumed")
    return f"assumed, as the model's file does not state it: {assumed}" if isinstance(assumed, str) and assumed else ""


def sealed(document: dict[str, Any]) -> dict[str, Any]:
    """The document with `information.digest`, which tells accidental changes of what no checker proves."""
    information = {k: v for k, v in document["information"].items() if k != "digest"}
    document = {**document, "information": information}
    digest = digest_of(json.dumps(document, allow_nan=False))
    return {**document, "information": {**information, "digest": digest}}


def digest_of(text: str) -> str:
    """SHA-256 of a file's text as `docs/certificate-format.md` defines `information.digest`, itself left out.

    Numbers count as they are written, spaces and the order of keys do not. Raises ValueError where the text is not a
    JSON object.
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


def members_of_stacked(form: StackedForm, proof: Proof) -> dict[str, Any]:
    """Network, multipliers and proof of a stacked form."""
    return {
        "network": _network(form),
        "multipliers": {
            "rho": proof.rho.hex(),
            "lambda": [encode(t) for t in proof.multipliers],
            "exponent": proof.exponent,
        },
        "proof": _proof(proof),
    }


def attained_of(attained: Attained | None) -> dict[str, Any] | None:
    """The two points that attain the lower bound."""
    if attained is None:
        return None
    return {
        "lower": float(attained.lower).hex(),
        "x": encode(attained.x),
        "x_prime": encode(attained.x_prime),
    }


def _network(form: StackedForm) -> dict[str, Any]:
    return {
        "inputs": form.inputs,
        "outputs": form.outputs,
        "groups": [
            {
                "size": g.size,
                "activation": g.activation.name,
                "alpha": encode(g.alpha),
                "beta": encode(g.beta),
            }
            for g in form.groups
        ],
        "blocks": [
            {"to": to, "from": source, "radius": block.radius.hex(), "weights": encode(block.weights)}
            | ({} if block.low is None else {"low": encode(block.low)})
            for (to, source), block in sorted(form.blocks.items())
        ],
        "sha256": form.sha256,
    }


def _proof(proof: Proof) -> dict[str, Any]:
    rows, columns = np.nonzero(proof.factor)
    start = np.arange(len(proof.factor))
    np.minimum.at(start, rows, columns)
    stored = [proof.factor[i, first : i + 1] for i, first in enumerate(start)]
    factor = proof.input_factor
    return {
        "kind": "diagonal-dominance",
        "precision": proof.precision,
        "scaling": encode(proof.scaling, "<i8"),
        "start": encode(start, "<i8"),
        "factor": encode(np.concatenate(stored) if stored else np.zeros(0), "<i8"),
        "input_factor": None
        if factor is None
        else {"scaling": encode(factor.scaling, "<i8"), "weights": encode(factor.weights)},
    }


def encode(values: Array, kind: str = "<f8") -> str:
    """Base64 of the compressed little-endian values."""
    data = np.ascontiguousarray(values, dtype=kind).tobytes()
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def write_document(document: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a certificate file, whole or not at all (a temporary file beside it, then a rename).

    Raises ValueError with one line where the file cannot be written.
    """
    with whole_file(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8")
        json.dump(document, text, indent=1, allow_nan=False)
        text.write("\n")
        text.detach()  # what is left is written, and the file stays open

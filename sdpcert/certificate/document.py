"""The certificate file: JSON as `docs/certificate-format.md` describes it."""

from __future__ import annotations

import base64
import json
import os
import tempfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.attained import Attained
from sdpcert.certificate.proof import Proof
from sdpcert.network.stacked import StackedForm

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
    )
    return {
        "format": FORMAT,
        "version": VERSION,
        "claim": claim,
        "upper": upper.hex(),
        "network": _network(form),
        "multipliers": {
            "rho": proof.rho.hex(),
            "lambda": [_encode(t, "<f8") for t in proof.multipliers],
            "exponent": proof.exponent,
        },
        "proof": _proof(proof),
        "attained": None
        if attained is None
        else {
            "lower": float(attained.lower).hex(),
            "x": _encode(attained.x, "<f8"),
            "x_prime": _encode(attained.x_prime, "<f8"),
        },
        "information": information,
    }


def _network(form: StackedForm) -> dict[str, Any]:
    return {
        "inputs": form.inputs,
        "outputs": form.outputs,
        "groups": [
            {
                "size": g.size,
                "activation": g.activation.name,
                "alpha": _encode(g.alpha, "<f8"),
                "beta": _encode(g.beta, "<f8"),
            }
            for g in form.groups
        ],
        "blocks": [
            {"to": to, "from": source, "radius": block.radius.hex(), "weights": _encode(block.weights, "<f8")}
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
        "scaling": _encode(proof.scaling, "<i8"),
        "start": _encode(start, "<i8"),
        "factor": _encode(np.concatenate(stored) if stored else np.zeros(0), "<i8"),
        "input_factor": None
        if factor is None
        else {"scaling": _encode(factor.scaling, "<i8"), "weights": _encode(factor.weights, "<f8")},
    }


def _encode(values: Array, kind: str) -> str:
    data = np.ascontiguousarray(values, dtype=kind).tobytes()
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")


def write_document(document: dict[str, Any], path: str | os.PathLike[str]) -> None:
    """Write a certificate file, whole or not at all (a temporary file beside it, then a rename).

    Raises ValueError with one line where the file cannot be written.
    """
    target = Path(path)
    try:
        handle, temporary = tempfile.mkstemp(dir=target.parent or Path(), prefix=f".{target.name}.")
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}") from None
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(document, file, indent=1, allow_nan=False)
            file.write("\n")
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(temporary, 0o666 & ~umask)
        os.replace(temporary, target)
    except OSError as error:
        raise ValueError(f"cannot write {target}: {error.strerror}") from None
    finally:
        if os.path.exists(temporary):
            os.unlink(temporary)

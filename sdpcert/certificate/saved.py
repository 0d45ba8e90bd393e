"""A certificate that comes back from its file: proved again, then its attributes as the file states them."""

from __future__ import annotations

import base64
import binascii
import os
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from sdpcert.attained import Attained
from sdpcert.readers.errors import MAX_STORED, first_line, quoted
from sdpcert.running.arguments import path as as_path
from sdpcert.running.outputs import reads

if TYPE_CHECKING:
    from sdpcert.certificate.certificate import Certificate

Array = np.ndarray


def load_certificate(path: str | os.PathLike[str]) -> Certificate:
    """Read and prove a certificate file; see `Certificate.load`."""
    from sdpcert.certificate.certificate import Certificate
    from sdpcert.check import Rejected, Unreadable, check_document, document_of

    path = as_path(path, "what Certificate.load reads")
    name = quoted(path)
    reads(path)
    try:
        document = document_of(path)
    except (Unreadable, Rejected) as error:
        network = (
            "; a network is read by sdpcert.load" if path.suffix in (".onnx", ".npz", ".mat", ".safetensors") else ""
        )
        raise ValueError(f"{name}: is no certificate: {error}{network}") from None
    if not isinstance(document, dict) or document.get("format") != "sdpcert-certificate":
        raise ValueError(f"{name}: is no certificate: its format is not 'sdpcert-certificate'")
    result = check_document(document)
    if not result.ok or result.upper is None:
        raise ValueError(f"{name}: is a certificate that does not hold: {result.reason}")
    try:
        attained = _attained(document["attained"])
    except ValueError as error:
        raise ValueError(f"{name}: {first_line(error)}") from None
    said = document["information"]
    upper, lower = result.upper, max(result.lower or 0.0, 0.0)
    stated = _number(said.get("sdp_lower"), lower)
    certificate = Certificate(
        upper=upper,
        lower=lower,
        sdp_lower=min(max(stated, lower), upper),
        status="proved",
        method=_text(said.get("method")),
        solver=_text(said.get("solver")),
        solver_status=_text(said.get("solver_status")),
        seconds=_number(said.get("seconds")),
        iterations=int(_number(said.get("iterations"))),
        solve_seconds=_number(said.get("solve_seconds")),
        proof_seconds=_number(said.get("proof_seconds")),
        form=None,
        proof=None,
        attained=attained,
        attained_seconds=_number(said.get("attained_seconds")),
        notes=tuple(map(_text, said["notes"])) if isinstance(said.get("notes"), list) else (),
        neurons=int(_number(said.get("neurons"))),
        level=result.level or "exact",
        saved=Saved(document, result.sha256, _number(said.get("tau"))),
    )
    known = {*certificate.summary(), "digest"}
    certificate.information.update({key: value for key, value in said.items() if key not in known})
    return certificate


class Saved:
    """The document of a certificate's file, the hash of its network, and the repair that its proof needed."""

    def __init__(self, document: dict[str, Any], sha256: str, tau: float) -> None:
        self.document, self.sha256, self.tau = document, sha256, tau


def _attained(table: Any) -> Attained:
    """The two points, empty arrays where the file has none."""
    if table is None:
        return Attained(0.0, np.zeros(0), np.zeros(0))
    x, x_prime = (_points(table[key], key) for key in ("x", "x_prime"))
    if x.shape != x_prime.shape:
        raise ValueError("its attained points have different lengths")
    return Attained(max(float.fromhex(table["lower"]), 0.0), x, x_prime)


def _points(text: Any, key: str) -> Array:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(base64.b64decode(text, validate=True), 8 * MAX_STORED)
    except (TypeError, ValueError, binascii.Error, zlib.error):
        raise ValueError(f"attained.{key} is no array") from None
    if not unpacker.eof or len(data) % 8:
        raise ValueError(f"attained.{key} is no array of numbers, or too long")
    values = np.frombuffer(data, dtype="<f8").astype(float)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"attained.{key} has a value that is not finite")
    return values


def _number(value: Any, default: float = 0.0) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if good else default


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

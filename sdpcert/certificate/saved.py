"""A certificate that comes back from its file: proved again, then its attributes as the file states them."""

from __future__ import annotations

import base64
import binascii
import os
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np

from sdpcert.attained import Attained
from sdpcert.check import Rejected, Unreadable, check_document, document_of
from sdpcert.errors import CertificateRejected
from sdpcert.regions.region import AllInputs, Ball, Box, Region
from sdpcert.running.arguments import path as as_path
from sdpcert.running.messages import first_line, quoted
from sdpcert.running.outputs import reads

Array = np.ndarray
#: Most entries of an attained point.
LARGEST = 10**8


@dataclass(frozen=True, eq=False)
class Saved:
    """What a certificate's file says: its document, the hash of its network, the level and the repair of its proof."""

    document: dict[str, Any]
    sha256: str
    level: str
    tau: float


def load_certificate(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read and prove a certificate file; the fields of a `Certificate`, whose `load` has the details."""
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
    if not result.ok or result.upper is None or result.level is None:
        raise CertificateRejected(f"{name}: is a certificate that does not hold: {result.reason}")
    try:
        attained = _attained(document["attained"])
    except ValueError as error:
        raise ValueError(f"{name}: {first_line(error)}") from None
    said = document["information"]
    upper, lower = result.upper, max(result.lower or 0.0, 0.0)
    fields: dict[str, Any] = {
        "upper": upper,
        "lower": lower,
        "sdp_lower": None
        if document["version"] >= 3 and document["tree"]["kind"] == "cover"
        else min(max(_number(said.get("sdp_lower"), lower), lower), upper),
        "status": "proved",
        "tree": None,
        "attained": attained,
        "notes": tuple(map(_text, said["notes"])) if isinstance(said.get("notes"), list) else (),
        "assumptions": tuple(document.get("assumptions", ())),
        "saved": Saved(document, result.sha256, result.level, _number(said.get("tau"))),
    }
    fields |= {key: _text(said.get(key)) for key in ("method", "solver", "solver_status")}
    fields |= {key: int(_number(said.get(key))) for key in ("iterations", "neurons")}
    times = ("seconds", "solve_seconds", "proof_seconds", "attained_seconds")
    fields |= {key: _number(said.get(key)) for key in times}
    known = {*fields, "gap", "tau", "sha256", "level", "digest"}
    return fields | {"information": {key: value for key, value in said.items() if key not in known}}


def region_of(document: dict[str, Any]) -> Region:
    """The region that a certificate's file states; those of versions 1 and 2 are about all inputs."""
    stated: dict[str, Any] = document["region"] if document["version"] >= 3 else {"kind": "all"}
    if stated["kind"] == "box":
        return _box(stated)
    if stated["kind"] == "ball":
        within = None if stated["within"] is None else _box(stated["within"])
        return Ball(_points(stated["center"], "center"), float.fromhex(stated["radius"]), within)
    return AllInputs()


def _box(stated: dict[str, Any]) -> Box:
    return Box(_points(stated["low"], "low"), _points(stated["high"], "high"))


def _attained(table: Any) -> Attained:
    """The two points, empty arrays if the file has none."""
    if table is None:
        return Attained(0.0, np.zeros(0), np.zeros(0))
    x, x_prime = (_points(table[key], f"attained.{key}") for key in ("x", "x_prime"))
    if x.shape != x_prime.shape:
        raise ValueError("its attained points have different lengths")
    return Attained(max(float.fromhex(table["lower"]), 0.0), x, x_prime)


def _points(text: Any, key: str) -> Array:
    unpacker = zlib.decompressobj()
    try:
        data = unpacker.decompress(base64.b64decode(text, validate=True), 8 * LARGEST)
    except (TypeError, ValueError, binascii.Error, zlib.error):
        raise ValueError(f"{key} is no array") from None
    if not unpacker.eof or len(data) % 8:
        raise ValueError(f"{key} is no array of numbers, or too long")
    values = np.frombuffer(data, dtype="<f8").astype(float)
    if not np.all(np.isfinite(values)):
        raise ValueError(f"{key} has a value that is not finite")
    return values


def _number(value: Any, default: float = 0.0) -> float:
    good = isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < 1e300
    return float(value) if good else default


def _text(value: Any) -> str:
    return value if isinstance(value, str) else ""

"""The file of an evaluation: JSON that has its own hash, and arrays in it with shapes and bounded sizes."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import math
import re
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.errors import MalformedEvaluation, UnreadableEvaluation
from sdpcert.running.outputs import reads

Array = np.ndarray
FORMAT = "sdpcert-evaluation-1"
NAME, CERTIFICATES = "evaluation.json", "certificates"
#: Largest file and largest array in it, in bytes.
LARGEST_FILE, LARGEST_ARRAY = 512 << 20, 256 << 20
_ZEROS = "0" * 64


def canonical(value: Any) -> str:
    """The JSON text of a value: 1, 1.0 and true are three texts, the order of keys does not count."""
    return json.dumps(value, sort_keys=True)


def read_document(place: Path) -> dict[str, Any]:
    """The JSON object of a file; `MalformedEvaluation` where it cannot be read or a byte of it was changed."""
    reads(place)
    try:
        with place.open("rb") as file:
            data = file.read(LARGEST_FILE + 1)
    except OSError as error:
        raise UnreadableEvaluation(f"cannot be read: {error.strerror}") from None
    if len(data) > LARGEST_FILE:
        raise MalformedEvaluation(f"is larger than {LARGEST_FILE} bytes, which no evaluation is")
    try:
        document = json.loads(data, object_pairs_hook=_unique, parse_constant=_not_finite)
    except (ValueError, RecursionError):
        raise MalformedEvaluation("is truncated or no JSON file") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise MalformedEvaluation(f"has not the format {FORMAT}")
    stated = document.get("sha256")
    if not isinstance(stated, str) or not re.fullmatch("[0-9a-f]{64}", stated):
        raise MalformedEvaluation("has no hash of its own")
    if hashlib.sha256(data.replace(stated.encode(), _ZEROS.encode(), 1)).hexdigest() != stated:
        raise MalformedEvaluation("was changed: its bytes are not those that its hash was made of")
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key twice")
    return table


def _not_finite(text: str) -> Any:
    raise ValueError(text)


def document_bytes(document: Mapping[str, Any]) -> bytes:
    """The file of a document, whose hash is filled in: that of the file with zeros in its place."""
    table = {"format": FORMAT, "sha256": _ZEROS, **{k: v for k, v in document.items() if k not in ("format", "sha256")}}
    data = (json.dumps(table, indent=1, allow_nan=False) + "\n").encode()
    return data.replace(_ZEROS.encode(), hashlib.sha256(data).hexdigest().encode(), 1)


def encode(values: Array, kind: str = "<f8") -> dict[str, Any]:
    """An array as base64 of its compressed little-endian values, with its shape."""
    data = zlib.compress(np.ascontiguousarray(values, dtype=kind).tobytes(), 6)
    return {"type": kind, "shape": list(np.shape(values)), "data": base64.b64encode(data).decode("ascii")}


def decode(table: Mapping[str, Any], shape: Sequence[int | None], kind: str = "<f8") -> Array:
    """The inverse of `encode`; raises ValueError where type, shape or size are others than wanted (None: any)."""
    given = table["shape"]
    if table["type"] != kind or len(given) != len(shape) or any(type(k) is not int or k < 0 for k in given):
        raise MalformedEvaluation(f"holds an array of type {table['type']!r} and shape {given}, not {kind!r}")
    if any(wanted is not None and k != wanted for k, wanted in zip(given, shape, strict=True)):
        raise MalformedEvaluation(f"holds an array of shape {given}, not {list(shape)}")
    size = math.prod(given) * np.dtype(kind).itemsize
    if size > LARGEST_ARRAY:
        raise MalformedEvaluation(f"holds an array of {size} bytes; at most {LARGEST_ARRAY}")
    try:
        unpacker = zlib.decompressobj()
        data = unpacker.decompress(base64.b64decode(table["data"], validate=True), size + 1)
    except (zlib.error, binascii.Error, TypeError):
        raise MalformedEvaluation("holds an array that is damaged") from None
    if len(data) != size or not unpacker.eof or unpacker.unused_data:
        raise MalformedEvaluation("holds an array that is cut off or too long")
    return np.frombuffer(data, dtype=kind).reshape(given)


def images_sha256(images: Array, labels: Array) -> str:
    """The hash of evaluated images (uint8) and labels: shapes and bytes."""
    digest = hashlib.sha256()
    for values in (np.ascontiguousarray(images, dtype="u1"), np.ascontiguousarray(labels, dtype="<i4")):
        digest.update(repr(values.shape).encode() + values.tobytes())
    return digest.hexdigest()

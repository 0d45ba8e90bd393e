"""How files hold arrays."""

from __future__ import annotations

import base64
import zlib

import numpy as np

Array = np.ndarray


def encode(values: Array, kind: str = "<f8") -> str:
    """Base64 of the compressed little-endian values."""
    data = np.ascontiguousarray(values, dtype=kind).tobytes()
    return base64.b64encode(zlib.compress(data, 6)).decode("ascii")

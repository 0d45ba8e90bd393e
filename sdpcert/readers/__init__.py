"""Files in: `load` reads a `Network` from ONNX, `.npz`, `.mat` and `.safetensors` files.

A reader refuses what it cannot represent exactly, by name and in one line, and never runs code from a file.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from sdpcert.network.activations import Activation
from sdpcert.network.graph import Network
from sdpcert.readers.errors import UnsupportedModel as UnsupportedModel
from sdpcert.readers.errors import check_file, quoted
from sdpcert.running.arguments import path as as_path
from sdpcert.running.outputs import reads

ARRAY_SUFFIXES = (".npz", ".mat", ".safetensors")
PICKLES = (".pt", ".pth", ".pkl", ".pickle", ".params", ".bin", ".ckpt", ".joblib")


def load(
    path: str | os.PathLike[str], activation: str | Activation | None = None, orientation: str | None = None
) -> Network:
    """Read a network from a file; its suffix says in which format.

    `activation` and `orientation` ("out_in" or "in_out") are for array files (.npz, .mat, .safetensors), which hold
    weights alone; see `sdpcert.readers.arrays.reader` for their conventions and defaults. An ONNX file states both.

    Raises `UnsupportedModel` (a ValueError) if the file holds what a `Network` cannot represent, ValueError if it
    cannot be read or is a certificate, ImportError if an optional package is missing; each with one line.
    """
    path = as_path(path, "what load reads")
    if activation is not None and not isinstance(activation, str | Activation):
        raise TypeError(f"activation is a name or an Activation, not {type(activation).__name__}")
    suffix = path.suffix.lower()
    name = quoted(path)
    if suffix in PICKLES:
        raise ValueError(f"{name}: a pickle can run code and is not read; export to ONNX or safetensors")
    certificate = _is_certificate(path)
    if certificate or suffix == ".json":
        what = "it is a certificate, not a network" if certificate else "a .json file holds no network"
        raise ValueError(
            f"{name}: {what}; a certificate is read by sdpcert.Certificate.load, and proved again by sdpcert.check"
        )
    if suffix not in (".onnx", *ARRAY_SUFFIXES):
        known = ", ".join((".onnx", *ARRAY_SUFFIXES))
        raise ValueError(f"{name}: unknown suffix {quoted(suffix)}; files that are read: {known}")
    check_file(path, name)
    reads(path)
    if suffix == ".onnx":
        if activation is not None or orientation is not None:
            raise ValueError(f"{name}: an ONNX file states its own activation and orientation; leave the options out")
        from sdpcert.readers.onnx.reader import read_onnx

        return read_onnx(path)
    from sdpcert.readers.arrays.reader import read_arrays

    return read_arrays(path, activation, orientation)


def _is_certificate(path: Path) -> bool:
    """Whether a file, whatever its name, begins as `Certificate.save` writes it."""
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            return False
        with open(path, "rb") as file:
            start = file.read(1024).lstrip()
    except (OSError, ValueError):  # what is wrong with the path is said later
        return False
    return start.startswith(b"{") and b'"sdpcert-certificate"' in start

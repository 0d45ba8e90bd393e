"""Named arrays from `.npz`, `.mat` and `.safetensors` files, with sizes checked first and no objects built."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.readers.arrays.mat_scan import check_mat
from sdpcert.readers.errors import MAX_FILE_BYTES, MAX_STORED, UnsupportedModel, check_size, first_line, quoted
from sdpcert.running.extras import needed_by

Array = np.ndarray
#: What a file holds: arrays, lists of arrays (MATLAB cells), texts.
Contents = dict[str, Any]


def read_npz(path: Path) -> Contents:
    """The arrays of an `.npz` file."""
    contents: Contents = {}
    try:
        with zipfile.ZipFile(path) as archive:
            members = archive.infolist()
            if sum(m.file_size for m in members) > MAX_FILE_BYTES:
                raise ValueError(f"unpacks to more than the limit of {MAX_FILE_BYTES // 2**30} GiB")
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in contents:
                    raise ValueError(f"holds two arrays of the name {quoted(name)}")
                with archive.open(member) as file:
                    data = file.read(member.file_size + 1)
                contents[name] = _npy(data, f"array {quoted(name)}")
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError, OSError) as error:
        raise ValueError(f"is truncated or no .npz file: {first_line(error)}") from None
    return contents


def read_npy(path: Path) -> Any:
    """The array of an `.npy` file."""
    return _npy(path.read_bytes(), "its array")


def _npy(data: bytes, what: str) -> Any:
    file = io.BytesIO(data)
    try:
        version = np.lib.format.read_magic(file)
        if version not in ((1, 0), (2, 0)):
            raise ValueError("its version is not read")
        read_header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read_header(file)
    except Exception as error:  # the header is a Python literal, so damage shows in many ways
        raise ValueError(f"{what} is damaged: {first_line(error)}") from None
    if dtype.hasobject:
        raise UnsupportedModel(f"{what} holds Python objects (a pickle, which can run code); save plain arrays")
    if dtype.itemsize * check_size(shape, what, MAX_STORED) != len(data) - file.tell():
        raise ValueError(f"{what} does not have the bytes that its shape {shape} states")
    file.seek(0)
    array = np.lib.format.read_array(file, allow_pickle=False)
    return str(array) if array.dtype.kind == "U" and array.ndim == 0 else array


def read_mat(path: Path) -> Contents:
    """The arrays, cells and texts of a MATLAB version 5 file."""
    from scipy.io import loadmat

    data = path.read_bytes()
    check_mat(data)
    try:
        variables = loadmat(io.BytesIO(data), mat_dtype=True, chars_as_strings=True)
    except Exception as error:  # the decoder raises many classes on damage
        raise ValueError(f"is damaged: {first_line(error)}") from None
    contents: Contents = {}
    for name, value in variables.items():
        if name.startswith("__"):
            continue
        if isinstance(value, np.ndarray) and value.dtype == object:
            contents[name] = list(value.ravel())
            if value.ndim > 2 or 1 not in (value.shape or (1,)):
                raise ValueError(f"its cell {quoted(name)} of shape {value.shape} is no row and no column")
        elif isinstance(value, np.ndarray) and value.dtype.kind == "U" and value.size <= 1:
            contents[name] = str(value.ravel()[0]) if value.size else ""
        else:
            contents[name] = value
    return contents


def read_safetensors(path: Path) -> Contents:
    """The arrays and the texts (metadata) of a safetensors file."""
    with needed_by("reading .safetensors files"):
        from safetensors import safe_open
    contents: Contents = {}
    try:
        with safe_open(path, framework="numpy") as file:
            for name in file.keys():  # noqa: SIM118 (the file is no dict)
                part = file.get_slice(name)
                kind, what = part.get_dtype(), f"tensor {quoted(name)}"
                if kind in ("F16", "BF16") or kind.startswith("F8"):
                    raise UnsupportedModel(f"{what} is in reduced precision ({kind}); convert it to float32")
                if kind not in ("F32", "F64", "I8", "I16", "I32", "I64", "U8", "BOOL"):
                    raise UnsupportedModel(f"{what} has the element type {kind}, which is not read")
                check_size(part.get_shape(), what, MAX_STORED)
                contents[name] = file.get_tensor(name)
            for name, text in (file.metadata() or {}).items():
                contents.setdefault(name, text)
    except ValueError:
        raise
    except Exception as error:  # the library raises a class of its own
        raise ValueError(f"is truncated or no safetensors file: {first_line(error)}") from None
    return contents

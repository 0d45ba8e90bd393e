"""Tensors of an ONNX file as NumPy arrays, external data included, with every size checked before it is believed."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np

from sdpcert.readers.errors import MAX_FILE_BYTES, MAX_STORED, UnsupportedModel, check_size, first_line, quoted
from sdpcert.readers.onnx.quantised import bfloat16, nibbles
from sdpcert.running.outputs import reads

Array = np.ndarray

#: By number in TensorProto.DataType: name, dtype as stored, field that holds the values if raw_data does not.
_TYPES: dict[int, tuple[str, str, str]] = {
    1: ("float32", "<f4", "float_data"),
    2: ("uint8", "<u1", "int32_data"),
    3: ("int8", "<i1", "int32_data"),
    4: ("uint16", "<u2", "int32_data"),
    5: ("int16", "<i2", "int32_data"),
    6: ("int32", "<i4", "int32_data"),
    7: ("int64", "<i8", "int64_data"),
    9: ("bool", "?", "int32_data"),
    10: ("float16", "<f2", "int32_data"),
    11: ("float64", "<f8", "double_data"),
    12: ("uint32", "<u4", "uint64_data"),
    13: ("uint64", "<u8", "uint64_data"),
    16: ("bfloat16", "<u2", "int32_data"),
    21: ("uint4", "<u1", "int32_data"),
    22: ("int4", "<u1", "int32_data"),
}
_PACKED = (21, 22)  # two entries a byte
_EXTERNAL = 1  # TensorProto.DataLocation


def embed_external(tensor: Any, folder: Path) -> None:
    """Put the data of a tensor that is stored in another file into the tensor itself.

    The file must lie in `folder` or below it, symbolic links followed. Raises ValueError if it does not, if it is
    missing or too short, or if the stated length is not that of the shape.
    """
    if tensor.data_location != _EXTERNAL:
        return
    name = f"tensor {quoted(tensor.name)}"
    type_of(tensor, name)
    count = check_size(tensor.dims, name, MAX_STORED)
    entries = {entry.key: entry.value for entry in tensor.external_data}
    location = entries.get("location", "")
    path = _inside(folder, location, name)
    expected = _bytes_of(tensor.data_type, count)
    try:
        offset, length = int(entries.get("offset", 0)), int(entries.get("length", expected))
    except ValueError:
        raise ValueError(f"{name}: offset and length of its external data are not numbers") from None
    if offset < 0 or length != expected:
        raise ValueError(f"{name}: its shape needs {expected} bytes, the file states {length} from byte {offset}")
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode) or status.st_size > MAX_FILE_BYTES:
                raise ValueError(f"{name}: external data {quoted(location)} is no regular file or above the limit")
            reads(path)
            if offset + length > status.st_size:
                raise ValueError(f"{name}: external data {quoted(location)} is too short")
            file.seek(offset)
            data = file.read(length)
    except OSError as error:
        raise ValueError(f"{name}: external data {quoted(location)}: {error.strerror}") from None
    tensor.ClearField("external_data")
    tensor.ClearField("data_location")
    tensor.raw_data = data


def _inside(folder: Path, location: str, name: str) -> Path:
    where = f"{name}: external data {quoted(location)}"
    windows = PureWindowsPath(location)
    if not location or "\0" in location:
        raise ValueError(f"{where} is no file name")
    if PurePosixPath(location).is_absolute() or windows.is_absolute() or windows.drive or "\\" in location:
        raise ValueError(f"{where} is not a relative path with forward slashes; keep the data beside the model")
    try:
        root = folder.resolve()
        path = (root / location).resolve()
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(f"{where}: {first_line(error)}") from None
    if ".." in PurePosixPath(location).parts or not path.is_relative_to(root):
        raise ValueError(f"{where} leaves the model's folder; keep the data beside the model")
    if not path.exists():
        raise ValueError(f"{where} does not exist")
    if not path.is_file():
        raise ValueError(f"{where} is no regular file")
    return path


def type_of(tensor: Any, name: str) -> tuple[str, str, str]:
    """Name, stored dtype and data field of a tensor's type; refuses types that are not read."""
    try:
        return _TYPES[tensor.data_type]
    except KeyError:
        pass
    raise UnsupportedModel(f"{name} has the element type {tensor.data_type}, which is not read; export in float32")


def _bytes_of(kind: int, count: int) -> int:
    return -(-count // 2) if kind in _PACKED else count * np.dtype(_TYPES[kind][1]).itemsize


def tensor_array(tensor: Any, label: str = "") -> Array:
    """The values: float64 (exactly) for float tensors, the stored type for integers and truth values.

    Raises ValueError if the data does not have the size that the shape states.
    """
    name = f"tensor {quoted(label or tensor.name)}"
    _, dtype, field = type_of(tensor, name)
    count = check_size(tensor.dims, name, MAX_STORED)
    shape = tuple(tensor.dims)
    if tensor.HasField("segment"):
        raise UnsupportedModel(f"{name} is stored in segments, which is not read")
    if tensor.HasField("raw_data"):
        expected = _bytes_of(tensor.data_type, count)
        if len(tensor.raw_data) != expected:
            raise ValueError(f"{name}: shape {shape} needs {expected} bytes, there are {len(tensor.raw_data)}")
        values = np.frombuffer(tensor.raw_data, dtype=dtype)
    else:
        stored = getattr(tensor, field)
        needed = -(-count // 2) if tensor.data_type in _PACKED else count
        if len(stored) != needed:
            raise ValueError(f"{name}: shape {shape} needs {needed} values, there are {len(stored)}")
        values = _listed(stored, dtype, name) if count else np.zeros(0, dtype)
    if tensor.data_type in _PACKED:
        values = nibbles(values, count, tensor.data_type == 22)
    elif tensor.data_type == 16:
        values = bfloat16(values)
    values = values.reshape(shape)
    return values.astype(float) if values.dtype.kind == "f" else values.copy()


def _listed(stored: Any, dtype: str, name: str) -> Array:
    """Values that are listed one by one; half precision as the integers of its bits."""
    if np.dtype(dtype) == np.float16:
        return _listed(stored, "<u2", name).view("<f2")
    values = np.array(stored)
    made = values.astype(dtype)
    if np.dtype(dtype).kind in "iu" and not np.array_equal(values, made):
        raise ValueError(f"{name}: its values do not fit into its type")
    return made

"""What a MATLAB file holds, checked on its bytes before it is decoded.

The file is a list of elements: a tag (type, length) and data, compressed ones inflated here under a limit. Only dense
real numbers, text and cells of these are let through, none nested deeply, and no shape may promise more than there are
bytes. So the decoder that follows cannot be made to allocate much, to recurse deeply, or to build objects.
"""

from __future__ import annotations

import struct
import zlib

from sdpcert.readers.errors import MAX_FILE_BYTES, MAX_STORED, UnsupportedModel, check_size, quoted

_MATRIX, _COMPRESSED = 14, 15
_CELL, _CHAR, _NUMBERS = 1, 4, range(6, 16)
_REFUSED = {2: "a struct", 3: "an object", 5: "a sparse matrix", 16: "a function handle", 17: "an object"}
_DEPTH = 3


def check_mat(data: bytes) -> None:
    """Raise ValueError if a file is not an intact version 5 file of dense arrays, text and cells."""
    if data[:8] == b"\x89HDF\r\n\x1a\n" or data[:10] == b"MATLAB 7.3":
        raise UnsupportedModel("is a MATLAB 7.3 (HDF5) file, which is not read; save it with -v7 or as .npz")
    if len(data) < 128 or data[126:128] not in (b"IM", b"MI"):
        raise ValueError("is no MATLAB version 5 file (or truncated); save it with -v7 or as .npz")
    order = "<" if data[126:128] == b"IM" else ">"
    position, inflated = 128, 0
    while position < len(data):
        kind, start, end, position = _tag(data, position, order, padded=False)
        if kind == _COMPRESSED:
            body = _inflate(data[start:end], MAX_FILE_BYTES - inflated)
            inflated += len(body)
            kind, inner_start, inner_end, _ = _tag(body, 0, order, padded=False)
            if kind == _MATRIX:
                _check_matrix(body[inner_start:inner_end], order, _DEPTH, "")
        elif kind == _MATRIX:
            _check_matrix(data[start:end], order, _DEPTH, "")
        else:
            raise ValueError(f"holds an element of the unknown type {kind}")


def _inflate(data: bytes, limit: int) -> bytes:
    inflater = zlib.decompressobj()
    try:
        body = inflater.decompress(data, max(limit, 1))
    except zlib.error:
        raise ValueError("holds compressed data that is damaged") from None
    if inflater.unconsumed_tail:
        raise ValueError(f"inflates to more than the limit of {MAX_FILE_BYTES // 2**30} GiB")
    if not inflater.eof:
        raise ValueError("is truncated")
    return body


def _tag(data: bytes, position: int, order: str, padded: bool = True) -> tuple[int, int, int, int]:
    """Type, start and end of an element's data, and where the next element begins."""
    if position + 8 > len(data):
        raise ValueError("is truncated")
    kind, length = struct.unpack_from(order + "II", data, position)
    if kind >> 16:  # small element: length and type in one word, data in the next
        length, kind = kind >> 16, kind & 0xFFFF
        if length > 4:
            raise ValueError("holds a damaged element")
        return kind, position + 4, position + 4 + length, position + 8
    start = position + 8
    end = start + length
    if end > len(data):
        raise ValueError("is truncated")
    return kind, start, end, min(end + (-length % 8 if padded else 0), max(len(data), end))


def _check_matrix(data: bytes, order: str, depth: int, name: str) -> None:
    if not data:
        return
    kind, start, end, position = _tag(data, 0, order)
    if kind != 6 or end - start != 8:
        raise ValueError("holds a damaged array")
    flags = struct.unpack_from(order + "I", data, start)[0]
    matlab_class = flags & 0xFF
    if matlab_class not in (_CELL, _CHAR, *_NUMBERS):
        # Objects have no shape in the usual place, so they are refused before it is read.
        what = _REFUSED.get(matlab_class, f"of the unknown class {matlab_class}")
        found = _name_of(data, position, order) or name
        raise UnsupportedModel(f"its variable {quoted(found)} is {what}; save plain arrays or a cell of them")
    kind, start, end, position = _tag(data, position, order)
    if kind != 5 or (end - start) % 4 or end == start:
        raise ValueError("holds a damaged array")
    shape = struct.unpack_from(f"{order}{(end - start) // 4}i", data, start)
    _, start, end, position = _tag(data, position, order)
    name = data[start:end].decode("latin-1") or name
    what = f"its variable {quoted(name)}"
    if len(shape) > 8:
        raise ValueError(f"{what} has {len(shape)} axes")
    count = check_size(shape, what, MAX_STORED)
    if flags & 0x800:
        raise UnsupportedModel(f"{what} is complex")
    if matlab_class == _CELL:
        if depth == 0:
            raise UnsupportedModel(f"{what} is a cell nested too deeply")
        if 8 * count > len(data):
            raise ValueError(f"{what} states {count} cells, more than the file holds")
        for _ in range(count):
            kind, start, end, position = _tag(data, position, order)
            if kind != _MATRIX:
                raise ValueError(f"{what} holds a cell that is no array")
            _check_matrix(data[start:end], order, depth - 1, name)
        return
    _, start, end, _ = _tag(data, position, order)
    if end - start < count:  # numbers may be stored in as little as one byte each
        raise ValueError(f"{what} states {count} entries, more than the file holds")


def _name_of(data: bytes, position: int, order: str) -> str:
    try:
        _, _, _, position = _tag(data, position, order)
        _, start, end, _ = _tag(data, position, order)
    except ValueError:
        return ""
    return data[start:end].decode("latin-1")

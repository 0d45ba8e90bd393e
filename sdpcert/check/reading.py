"""Read a certificate file and its single values; whatever is not exactly as the format page says raises `Rejected`."""

from __future__ import annotations

import base64
import binascii
import json
import math
import os
import stat
import sys
import zlib
from array import array
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

MAX_FILE_BYTES = 2**31


class Unreadable(Exception):
    """The file cannot be read as JSON at all."""


class Rejected(Exception):
    """The certificate does not prove its claim; the message says what is wrong.

    `piece` is the number of the piece of a region whose end is not proved, if that is it.
    """

    def __init__(self, message: str, piece: int | None = None) -> None:
        super().__init__(message)
        self.piece = piece


@contextmanager
def within(name: str, piece: int | None = None) -> Iterator[None]:
    """Begin the message of a `Rejected` with the name of the part that it is about, if the part has one."""
    try:
        yield
    except Rejected as error:
        number = piece if error.piece is None else error.piece
        raise Rejected(f"{name}: {error}" if name else str(error), number) from None


def read_document(path: str | os.PathLike[str]) -> Any:
    """Return the JSON value in a file.

    Raises `Unreadable` if there is none, `Rejected` if a key occurs twice in one object or a number is not finite.
    """

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key, value in pairs:
            if key in found:
                raise Rejected(f"the key {key[:40]!a} occurs twice in one object")
            found[key] = value
        return found

    def finite(text: str) -> float:
        number = float(text)
        return number if math.isfinite(number) else not_finite(text)

    def not_finite(text: str) -> NoReturn:
        raise Rejected(f"the number {text[:40]} is not finite")

    try:
        status = os.stat(path)
        if not stat.S_ISREG(status.st_mode):  # opening a pipe or a device could block or never end
            raise Unreadable("not a regular file")
        if status.st_size > MAX_FILE_BYTES:
            raise Unreadable(f"larger than {MAX_FILE_BYTES} bytes")
        with open(path, "rb") as file:
            text = file.read(MAX_FILE_BYTES).decode("utf-8")
        if not text.strip():
            raise Unreadable("empty")
        return json.loads(text, object_pairs_hook=unique, parse_float=finite, parse_constant=not_finite)
    except OSError as error:
        raise Unreadable(error.strerror or "cannot be read") from None
    except UnicodeDecodeError:
        raise Unreadable("not UTF-8 text") from None
    except RecursionError:
        raise Unreadable("nested too deeply") from None
    except MemoryError:
        raise Unreadable("too large for the memory") from None
    except ValueError as error:  # JSON errors, integers of thousands of digits, a null byte in the path
        raise Unreadable(f"not JSON ({str(error)[:80]!a})") from None


def members(value: Any, name: str, keys: str, closed: bool = True) -> list[Any]:
    """Return the values of an object's keys in the order given; a closed object must have no other keys."""
    if type(value) is not dict:
        raise Rejected(f"{name} is not an object")
    wanted = keys.split()
    for key in wanted:
        if key not in value:
            raise Rejected(f"{name} has no key {key!a}")
    if closed and len(value) != len(wanted):
        unknown = next(key for key in value if key not in wanted)
        raise Rejected(f"{name} has the unknown key {str(unknown)[:40]!a}")
    return [value[key] for key in wanted]


def integer(value: Any, name: str, low: int, high: int) -> int:
    """Return an integer in the stated range; bool and float are not integers."""
    if type(value) is not int:
        raise Rejected(f"{name} is not an integer")
    if not low <= value <= high:
        raise Rejected(f"{name} is not in {low} .. {high}")
    return value


def text(value: Any, name: str) -> str:
    """Return a string."""
    if type(value) is not str:
        raise Rejected(f"{name} is not a string")
    return value


def items(value: Any, name: str, low: int, high: int) -> list[Any]:
    """Return a list of a length in the stated range."""
    if type(value) is not list:
        raise Rejected(f"{name} is not a list")
    if not low <= len(value) <= high:
        raise Rejected(f"{name} does not have {low}{f' to {high}' if low < high else ''} entries")
    return value


def constant(value: Any, name: str, wanted: str) -> None:
    """Raise `Rejected` if the value is not the one string that may stand here."""
    if type(value) is not str or value != wanted:
        raise Rejected(f"{name} is not {wanted!a}")


def real(value: Any, name: str, low: float = -math.inf) -> float:
    """Return a finite float64 written exactly as float.hex() writes it, at least `low`."""
    if type(value) is not str:
        raise Rejected(f"{name} is not a hexadecimal floating-point string")
    try:
        number = float.fromhex(value)
    except (ValueError, OverflowError):
        raise Rejected(f"{name} is not a hexadecimal floating-point string") from None
    if not math.isfinite(number):
        raise Rejected(f"{name} is not finite")
    if number.hex() != value:
        raise Rejected(f"{name} is not written as float.hex() writes it")
    if number < low:
        raise Rejected(f"{name} is less than {low:g}")
    return number


def unpacked(value: Any, name: str, limit: int) -> bytes | None:
    """Return the bytes of base64 of a zlib stream; None if it is not one whole stream of at most `limit` bytes."""
    stream = zlib.decompressobj()
    try:
        # One byte more is all that is ever unpacked, however much the stream holds.
        data = stream.decompress(base64.b64decode(text(value, name), validate=True), limit + 1)
    except (ValueError, binascii.Error, zlib.error):
        raise Rejected(f"{name} is not base64 of a zlib stream") from None
    return None if len(data) > limit or not stream.eof or stream.unused_data else data


def values(value: Any, name: str, code: str, count: int, low: float = -math.inf, high: float = math.inf) -> array[Any]:
    """Return exactly `count` values (code "d": float64, "q": signed 64-bit) from base64 of zlib, each in the range."""
    data = unpacked(value, name, 8 * count)
    if data is None or len(data) != 8 * count:
        raise Rejected(f"{name} does not hold exactly {count} values")
    result = array(code, data)
    if sys.byteorder == "big":
        result.byteswap()
    if code == "d" and not all(map(math.isfinite, result)):
        raise Rejected(f"{name} has a value that is not finite")
    if count and not (low <= min(result) and max(result) <= high):
        raise Rejected(f"{name} has a value out of range")
    return result


def values_up_to(
    value: Any, name: str, code: str, most: int, low: float = -math.inf, high: float = math.inf
) -> array[Any]:
    """Return as many values as there are, at most `most`; otherwise as `values`."""
    data = unpacked(value, name, 8 * most)
    if data is None or len(data) % 8:
        raise Rejected(f"{name} does not hold at most {most} values")
    return values(value, name, code, len(data) // 8, low, high)


def little_endian(numbers: array[Any]) -> bytes:
    """Return the bytes of the values as the file stores and hashes them."""
    if sys.byteorder == "big":
        numbers = numbers[:]
        numbers.byteswap()
    return numbers.tobytes()

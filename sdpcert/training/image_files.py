"""What readers of image files share: limits, whole files, and one line if something is wrong."""

from __future__ import annotations

import gzip
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Most bytes of images that one file may hold.
LARGEST = 1 << 30


@dataclass(frozen=True, eq=False)
class Split(ShortRepr):
    """Images uint8 (count, channels, height, width) and labels uint8 (count,)."""

    images: Array
    labels: Array


def read_bounded(path: Path, limit: int = LARGEST) -> bytes:
    """The bytes of a plain or gzip file; ValueError if it cannot be read or holds more than `limit`."""
    try:
        with path.open("rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
            file.seek(0)
            if not packed:
                return _at_most(file, limit, path)
            with gzip.GzipFile(fileobj=file) as inner:
                return _at_most(inner, limit, path)  # type: ignore[arg-type]
    except (EOFError, zlib.error, gzip.BadGzipFile):
        raise damaged(path, "is a truncated or damaged gzip file") from None
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from None


def _at_most(file: BinaryIO, limit: int, path: Path) -> bytes:
    data = file.read(limit + 1)
    if len(data) > limit:
        raise ValueError(f"{path}: holds more than {limit} bytes, which is not read")
    return data


def damaged(path: Path, what: str) -> ValueError:
    """The error for a file with something wrong inside; the remedy is to get it again."""
    return ValueError(f"{path}: {what}; download it again")


def checked(split: Split, classes: int, source: object) -> Split:
    """The split; ValueError if images and labels do not fit together or a label is no class."""
    if len(split.images) != len(split.labels):
        raise ValueError(f"{source}: {len(split.images)} images and {len(split.labels)} labels; download both again")
    if not len(split.images):
        raise ValueError(f"{source}: holds no images")
    if int(split.labels.max()) >= classes:
        raise ValueError(
            f"{source}: label {int(split.labels.max())} is beyond the {classes} classes; download it again"
        )
    return split

"""IDX files, the format of MNIST: a magic number, big-endian lengths, bytes; plain or compressed with gzip."""

from __future__ import annotations

import math
import struct
from pathlib import Path

import numpy as np

from sdpcert.training.image_files import LARGEST, Array, Split, checked, damaged, read_bounded

#: File names without the ending, as distributed and as some mirrors have them.
NAMES = {
    "train": ("train-images-idx3-ubyte", "train-labels-idx1-ubyte"),
    "test": ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte"),
}


def read_idx(path: Path) -> Array:
    """The uint8 array of an IDX file; ValueError with one line for anything else. Source: LeCun's MNIST page."""
    data = read_bounded(path)
    if len(data) < 4 or data[:2] != b"\0\0":
        raise damaged(path, "is no IDX file (it does not begin with two zero bytes)")
    kind, dimensions = data[2], data[3]
    if kind != 0x08:
        raise damaged(path, f"has the element type 0x{kind:02x}; only unsigned bytes (0x08) are images")
    if not 1 <= dimensions <= 4 or len(data) < 4 + 4 * dimensions:
        raise damaged(path, f"has a broken header ({dimensions} dimensions)")
    shape = struct.unpack(f">{dimensions}I", data[4 : 4 + 4 * dimensions])
    size = math.prod(shape)
    if size > LARGEST:
        raise damaged(path, f"states the shape {shape}, which is beyond {LARGEST} bytes")
    if len(data) - 4 - 4 * dimensions != size:
        raise damaged(path, f"holds {len(data) - 4 - 4 * dimensions} bytes where its shape {shape} needs {size}")
    return np.frombuffer(data, np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def find_idx(folder: Path, split: str) -> tuple[Path, Path] | None:
    """The files of images and labels of "train" or "test" in a folder, None if one is missing."""
    found = []
    for stem in NAMES[split]:
        names = [stem, stem.replace("-idx", ".idx")]
        paths = [folder / f"{name}{ending}" for name in names for ending in ("", ".gz")]
        found.append(next((path for path in paths if path.is_file()), None))
    return None if None in found else (found[0], found[1])  # type: ignore[return-value]


def read_mnist(folder: Path, split: str, classes: int = 10) -> Split:
    """Images (count, 1, height, width) and labels; ValueError if files are missing, damaged or do not fit."""
    paths = find_idx(folder, split)
    if paths is None:
        raise ValueError(f"{folder}: {' or '.join(NAMES[split])} (plain or .gz) is missing; put both there")
    images, labels = (read_idx(path) for path in paths)
    if images.ndim != 3 or min(images.shape) < 1:
        raise damaged(paths[0], f"has the shape {images.shape}, not (count, height, width)")
    if labels.ndim != 1:
        raise damaged(paths[1], f"has the shape {labels.shape}, not (count,)")
    return checked(Split(images[:, None], labels), classes, paths[0])

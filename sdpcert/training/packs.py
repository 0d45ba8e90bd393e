"""Packs: `.npz` files with whole arrays, or with strips of lossless WebP pictures; a set may come in several packs.

A strip pack holds `strips` (uint8, WebP pictures one after another), `ends` (their last offsets), `shape` (count,
height, width, 3), `y` (labels), and perhaps `classes` (names). Decoded packs can be kept in a folder: a pack that is no
longer, or not at the same time, at hand is then taken from there.
"""

from __future__ import annotations

import io
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.readers.arrays.files import read_npz
from sdpcert.running.extras import needed_by
from sdpcert.running.outputs import whole_file
from sdpcert.training.image_files import LARGEST, Array, Split, checked, damaged

#: Training packs and test packs; MNIST has both in one.
PACKS = {
    "mnist": (["mnist.npz"], ["mnist.npz"]),
    "cifar10": (["cifar10_train_a.npz", "cifar10_train_b.npz"], ["cifar10_test.npz"]),
    "cifar100": (["cifar100_train_a.npz", "cifar100_train_b.npz"], ["cifar100_test.npz"]),
}
#: Longest side of an image.
LARGEST_SIDE = 1024


def has_packs(name: str, root: Path, cache: Path | None) -> bool:
    """Whether there is a pack of the set in the folder, or a decoded one."""
    files = {file for part in PACKS.get(name, ([], [])) for file in part}
    return any((root / f).is_file() or (cache and _kept(cache, f, "train.images").is_file()) for f in files)


def read_packs(name: str, root: Path, cache: Path | None, classes: int) -> tuple[Split, Split]:
    """The training and the test split.

    All packs that are there are decoded, and kept in `cache` if there is one, before a missing one is an error.
    """
    training, test = PACKS[name]
    parts: dict[str, dict[str, Split]] = {}
    missing = []
    for file in dict.fromkeys([*training, *test]):
        found = _part(file, root, cache, name == "mnist", classes)
        if found is None:
            missing.append(file)
        else:
            parts[file] = found
    if missing:
        kept = f", nor decoded in {cache}" if cache else ""
        raise ValueError(f"{root}: {', '.join(missing)} of {name} is not there{kept}; put it there and start again")
    if name == "mnist":
        both = parts["mnist.npz"]
        return both["train"], both["test"]
    return _joined([parts[f]["train"] for f in training]), _joined([parts[f]["train"] for f in test])


def _joined(parts: list[Split]) -> Split:
    if len({part.images.shape[1:] for part in parts}) > 1:
        raise ValueError("the packs hold images of different shapes; get them again from one place")
    images = np.concatenate([part.images for part in parts])
    return Split(images, np.concatenate([part.labels for part in parts]))


def _part(file: str, root: Path, cache: Path | None, whole: bool, classes: int) -> dict[str, Split] | None:
    """The splits of one pack: from the folder of decoded ones, or decoded and kept there."""
    names = ("train", "test") if whole else ("train",)
    if cache is not None:
        paths = [_kept(cache, file, f"{split}.{kind}") for split in names for kind in ("images", "labels")]
        if all(path.is_file() for path in paths):
            arrays = [_load(path) for path in paths]
            found = {s: Split(arrays[2 * k], arrays[2 * k + 1]) for k, s in enumerate(names)}
            return {s: checked(_shaped(split, paths[0]), classes, paths[0]) for s, split in found.items()}
    path = root / file
    if not path.is_file():
        return None
    contents = _contents(path)
    if whole:
        splits = {s: _plain(contents, s, path) for s in names}
    else:
        splits = {"train": _strips(contents, path)}
    splits = {s: checked(split, classes, path) for s, split in splits.items()}
    if cache is not None:
        for s, split in splits.items():
            _keep(_kept(cache, file, f"{s}.images"), split.images)
            _keep(_kept(cache, file, f"{s}.labels"), split.labels)
    return splits


def _contents(path: Path) -> dict[str, Any]:
    try:
        return read_npz(path)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; download it again") from None


def _bytes(contents: dict[str, Any], key: str, dimensions: int, path: Path) -> Array:
    value = contents.get(key)
    if not isinstance(value, np.ndarray) or value.ndim != dimensions or value.dtype != np.uint8:
        raise damaged(path, f"has no uint8 array {key!r} with {dimensions} dimensions")
    return value


def _plain(contents: dict[str, Any], split: str, path: Path) -> Split:
    images, labels = _bytes(contents, f"x_{split}", 3, path), _bytes(contents, f"y_{split}", 1, path)
    return Split(images[:, None], labels)


def _strips(contents: dict[str, Any], path: Path) -> Split:
    """The pictures of a strip pack, decoded one strip after another."""
    with needed_by("a pack of pictures"):
        from PIL import Image, UnidentifiedImageError
    strips, labels = _bytes(contents, "strips", 1, path), _bytes(contents, "y", 1, path)
    shape, ends = contents.get("shape"), contents.get("ends")
    if not isinstance(shape, np.ndarray) or shape.shape != (4,) or shape.dtype.kind != "i":
        raise damaged(path, "has no array 'shape' of four integers")
    if not isinstance(ends, np.ndarray) or ends.ndim != 1 or ends.dtype.kind != "i":
        raise damaged(path, "has no array 'ends' of integers")
    count, height, width, channels = (int(k) for k in shape)
    sides = 1 <= height <= LARGEST_SIDE and 1 <= width <= LARGEST_SIDE
    if channels != 3 or not sides or count < 1 or count * height * width * channels > LARGEST:
        raise damaged(path, f"states the shape {(count, height, width, channels)}")
    bounds = [0, *(int(end) for end in ends)]
    if any(a >= b for a, b in pairwise(bounds)) or bounds[-1] != len(strips):
        raise damaged(path, "has offsets that do not divide its bytes into strips")
    images = np.empty((count, height, width, channels), np.uint8)
    data, filled = strips.tobytes(), 0
    for start, end in pairwise(bounds):
        try:
            with Image.open(io.BytesIO(data[start:end]), formats=["WEBP"]) as picture:
                rows = picture.size[1] // height
                if picture.size != (width, rows * height) or not 1 <= rows <= count - filled:
                    raise damaged(path, f"holds a strip of {picture.size} pixels that does not fit its shape")
                strip = np.asarray(picture.convert("RGB")).reshape(rows, height, width, channels)
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError):
            raise damaged(path, f"holds a strip at byte {start} that is no whole WebP picture") from None
        images[filled : filled + rows] = strip
        filled += rows
    if filled != count:
        raise damaged(path, f"holds {filled} images where its shape states {count}")
    return Split(np.ascontiguousarray(images.transpose(0, 3, 1, 2)), labels)


def _kept(cache: Path, file: str, what: str) -> Path:
    return cache / f"{file.removesuffix('.npz')}.{what}.npy"


def _keep(path: Path, values: Array) -> None:
    """Write an array whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with whole_file(path) as file:
        np.save(file, values, allow_pickle=False)


def _load(path: Path) -> Array:
    try:
        if path.stat().st_size > LARGEST + 4096:
            raise ValueError("too large")
        return np.load(path, allow_pickle=False)
    except (ValueError, EOFError, OSError):
        raise ValueError(f"{path}: is no whole array; delete it, and it is made again from its pack") from None


def _shaped(split: Split, path: Path) -> Split:
    images, labels = split.images, split.labels
    if images.ndim != 4 or labels.ndim != 1 or images.dtype != np.uint8 or labels.dtype != np.uint8:
        raise ValueError(f"{path}: is no decoded pack; delete it, and it is made again from its pack")
    return split

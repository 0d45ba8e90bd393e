"""Data sets by name, from the formats they are distributed in: uint8 arrays, read once per process.

The folder that the user names may hold the files themselves, or have torchvision's layout (`MNIST/raw`,
`cifar-10-batches-bin`), or hold packs. Nothing is downloaded and nothing is unpickled.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from sdpcert.running.short_repr import ShortRepr
from sdpcert.training import cifar_binary, idx, packs
from sdpcert.training.digits import read_digits
from sdpcert.training.image_files import Array, Split

#: Classes and the value that stands for 1.
SETS = {
    "digits": (10, 16),
    "mnist": (10, 255),
    "fashion-mnist": (10, 255),
    "cifar10": (10, 255),
    "cifar100": (100, 255),
}
NUMBERS = tuple("0123456789")
CLASS_NAMES: dict[str, tuple[str, ...]] = {
    "digits": NUMBERS,
    "mnist": NUMBERS,
    "cifar10": ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
}
#: Folders below the named one where torchvision puts IDX files.
IDX_FOLDERS = {"mnist": ("MNIST/raw", "raw", "."), "fashion-mnist": ("FashionMNIST/raw", "raw", ".")}


@dataclass(frozen=True)
class Description:
    """What a network has to know of its data: images are uint8 / levels, in [0, 1], of shape (channels, height, width).

    `mean` and `std` are those of the training images, one per channel, on the scale 0 to 1.
    """

    name: str
    input_shape: tuple[int, int, int]
    classes: int
    class_names: tuple[str, ...]
    levels: int
    mean: tuple[float, ...]
    std: tuple[float, ...]
    training_images: int
    test_images: int

    def table(self) -> dict[str, Any]:
        """The description as plain values, for JSON."""
        return asdict(self)

    @staticmethod
    def from_table(table: Mapping[str, Any]) -> Description:
        """The inverse of `table`; raises ValueError if keys or values are not those of a description."""
        try:
            made = Description(
                str(table["name"]),
                _three(table["input_shape"]),
                int(table["classes"]),
                tuple(str(k) for k in table["class_names"]),
                int(table["levels"]),
                tuple(float(k) for k in table["mean"]),
                tuple(float(k) for k in table["std"]),
                int(table["training_images"]),
                int(table["test_images"]),
            )
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"the description of the data set is damaged: {error}") from None
        channels = made.input_shape[0]
        fits = len(made.mean) == len(made.std) == channels and made.classes >= 2 and made.levels >= 1
        if not fits or not 1 <= min(made.input_shape) <= max(made.input_shape) <= packs.LARGEST_SIDE:
            raise ValueError("the description of the data set is damaged: its numbers do not fit together")
        return made


@dataclass(frozen=True, eq=False)
class Data(ShortRepr):
    """A data set: images uint8 (count, channels, height, width), labels uint8 (count,), and its description."""

    train: Split
    test: Split
    description: Description


_LOADED: dict[tuple[str, str, str], Data] = {}


def load_data(name: str, root: str | Path | None = None, cache: str | Path | None = None) -> Data:
    """The data set `name` from the folder `root`; "digits" needs none. Arrays are read once per process.

    `cache` is a folder for decoded packs: a set may come pack by pack, each of which is decoded once and kept. Raises
    ValueError with one line for unknown names and for files that are missing, damaged or not safe to read.
    """
    if name not in SETS:
        raise ValueError(f"unknown data set {name!r}; known: {', '.join(SETS)}")
    key = (name, str(root and Path(root).resolve()), str(cache and Path(cache).resolve()))
    if key not in _LOADED:
        classes, levels = SETS[name]
        train, test = _read(name, root, None if cache is None else Path(cache), classes)
        if train.images.shape[1:] != test.images.shape[1:]:
            raise ValueError(f"{root}: training and test images have different shapes; get them again from one place")
        _LOADED[key] = Data(train, test, _described(name, train, test, classes, levels))
    return _LOADED[key]


def _read(name: str, root: str | Path | None, cache: Path | None, classes: int) -> tuple[Split, Split]:
    if name == "digits":
        return read_digits()
    if root is None:
        raise ValueError(f"data set {name!r} needs the folder of its files: set data.root")
    folder = Path(root)
    if not folder.is_dir():
        raise ValueError(f"data.root: {folder} is no folder")
    if packs.has_packs(name, folder, cache):
        return packs.read_packs(name, folder, cache, classes)
    if name in IDX_FOLDERS:
        for inner in IDX_FOLDERS[name]:
            if idx.find_idx(folder / inner, "train"):
                return idx.read_mnist(folder / inner, "train", classes), idx.read_mnist(folder / inner, "test", classes)
        raise ValueError(
            f"{folder} holds no files of {name}: put {idx.NAMES['train'][0]} and the other IDX files there"
        )
    found = cifar_binary.cifar_folder(name, folder)
    if found is not None:
        return cifar_binary.read_cifar(name, found, "train"), cifar_binary.read_cifar(name, found, "test")
    pickles = cifar_binary.holds_pickles(name, folder)
    if pickles is not None:
        raise cifar_binary.refuse_pickles(name, pickles)
    raise ValueError(f"{folder} holds no files of {name}: unpack {cifar_binary.ARCHIVES[name]} there")


def _described(name: str, train: Split, test: Split, classes: int, levels: int) -> Description:
    mean, std = moments(train.images, levels)
    names = CLASS_NAMES.get(name) or tuple(str(k) for k in range(classes))
    shape = _three(train.images.shape[1:])
    return Description(name, shape, classes, names, levels, mean, std, len(train.images), len(test.images))


def moments(images: Array, levels: int) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of every channel on the scale 0 to 1, from exact counts of the values."""
    values = np.arange(256) / levels
    means, deviations = [], []
    for channel in range(images.shape[1]):
        parts = (images[k : k + 4096, channel].ravel() for k in range(0, len(images), 4096))
        counts = np.sum([np.bincount(part, minlength=256) for part in parts], axis=0)
        mean = float(counts @ values / counts.sum())
        means.append(mean)
        deviations.append(float(np.sqrt(counts @ np.square(values - mean) / counts.sum())))
    return tuple(means), tuple(deviations)


def _three(shape: Any) -> tuple[int, int, int]:
    channels, height, width = (int(k) for k in shape)
    return channels, height, width

"""The binary version of CIFAR-10 and CIFAR-100: records of one or two labels and three planes of 32 x 32 bytes."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from sdpcert.training.image_files import Split, checked, damaged, read_bounded

#: Folder, training files, test files, bytes of labels (the last one counts), classes.
LAYOUTS = {
    "cifar10": ("cifar-10-batches-bin", [f"data_batch_{k}.bin" for k in range(1, 6)], ["test_batch.bin"], 1, 10),
    "cifar100": ("cifar-100-binary", ["train.bin"], ["test.bin"], 2, 100),
}
#: Folders of the version that is made of pickles.
PICKLES = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
ARCHIVES = {"cifar10": "cifar-10-binary.tar.gz", "cifar100": "cifar-100-binary.tar.gz"}
IMAGE = 3 * 32 * 32


def read_records(path: Path, labels: int, classes: int) -> Split:
    """Images (count, 3, 32, 32) and the last of `labels` labels of each record; ValueError for a broken file."""
    data = read_bounded(path)
    size = labels + IMAGE
    if not data or len(data) % size:
        raise damaged(path, f"has {len(data)} bytes, which are not whole records of {size}")
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    images = records[:, labels:].reshape(-1, 3, 32, 32)
    return checked(Split(np.ascontiguousarray(images), records[:, labels - 1].copy()), classes, path)


def cifar_folder(name: str, root: Path) -> Path | None:
    """The folder with the binary files, in or at `root`; None if there is none."""
    inner, training, *_ = LAYOUTS[name]
    return next((folder for folder in (root / inner, root) if (folder / training[0]).is_file()), None)


def holds_pickles(name: str, root: Path) -> Path | None:
    """The folder of the pickled version, which is never opened, None if there is none."""
    folder = root / PICKLES[name]
    if folder.is_dir():
        return folder
    return root if root.name == PICKLES[name] and root.is_dir() else None


def refuse_pickles(name: str, folder: Path) -> ValueError:
    """The error for a folder of pickles."""
    return ValueError(
        f"{folder} holds Python pickles, which can run code and are not read: use the binary version "
        f"({ARCHIVES[name]}), unpacked beside it"
    )


def read_cifar(name: str, folder: Path, split: str) -> Split:
    """All records of "train" or "test"; ValueError if a file is missing or damaged."""
    _, training, test, labels, classes = LAYOUTS[name]
    parts = []
    for file in training if split == "train" else test:
        if not (folder / file).is_file():
            raise ValueError(f"{folder}: {file} is missing; unpack {ARCHIVES[name]} there")
        parts.append(read_records(folder / file, labels, classes))
    images = np.concatenate([part.images for part in parts])
    return Split(images, np.concatenate([part.labels for part in parts]))

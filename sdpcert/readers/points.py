"""Points in a network's input space, from `.npy` and `.npz` files: nothing in them is run, sizes come first."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from sdpcert.readers.arrays.files import read_npy, read_npz
from sdpcert.readers.errors import check_file, quoted
from sdpcert.running.arguments import path as as_path
from sdpcert.running.outputs import reads

Array = np.ndarray
SUFFIXES = (".npy", ".npz")
#: The array of an `.npz` file that has one input a row.
KEY = "inputs"
REMEDY = "write it again with numpy.save(FILE, point), one number for each input"


def load_point(path: str | os.PathLike[str], inputs: int, index: int | None = None) -> Array:
    """One point, flat and in float64, with an entry for each of `inputs` inputs; any shape with so many will do.

    A `.npy` file holds the point, a `.npz` file several of them in the array `inputs`, of which `index` (from 0)
    chooses one. Raises ValueError with one line that names the file.
    """
    path = as_path(path, "the file of a point")
    name = quoted(path)
    if path.suffix.lower() not in SUFFIXES:
        raise ValueError(f"{name}: is neither .npy nor .npz; {REMEDY}")
    check_file(path, name)
    reads(path)
    try:
        if path.suffix.lower() == ".npz":
            values = _chosen(path, inputs, index)
        else:
            if index is not None:
                raise ValueError(f"a .npy file holds one point; an index chooses one of a .npz file's array {KEY!r}")
            values = _single(path)
        if values.size != inputs:
            raise ValueError(
                f"has {values.size} numbers (shape {values.shape}), and the network reads {inputs}; save as many"
            )
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    flat = values.ravel().astype(float)
    bad = np.flatnonzero(~np.isfinite(flat))
    if len(bad):
        raise ValueError(f"{name}: entry {bad[0]} is {flat[bad[0]]}; every entry of a point has to be a finite number")
    return flat


def _single(path: Path) -> Array:
    try:
        return real_numbers(read_npy(path), "its array")
    except ValueError as error:
        raise ValueError(f"{error}; {REMEDY}") from None


def _chosen(path: Path, inputs: int, index: int | None) -> Array:
    contents = read_npz(path)
    if KEY not in contents:
        found = ", ".join(quoted(key) for key in contents) or "nothing"
        raise ValueError(f"has no array {KEY!r}, but {found}; write it with numpy.savez(FILE, {KEY}=points)")
    values = real_numbers(contents[KEY], f"its array {KEY!r}")
    if values.size == inputs and index in (None, 0):
        return values
    if values.ndim < 2 or values.size != len(values) * inputs:
        raise ValueError(
            f"its array {KEY!r} has the shape {values.shape}; that is not (points, ...) with {inputs} each"
        )
    if index is None:
        raise ValueError(f"holds {len(values)} points; choose one by its index, from 0 to {len(values) - 1}")
    if not 0 <= index < len(values):
        raise ValueError(f"has no point {index}; there are points 0 to {len(values) - 1}")
    return values[index]


def real_numbers(values: object, what: str) -> Array:
    """The array if it holds real numbers; ValueError, which says `what`, for texts, complex numbers, truth values."""
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "fiu":
        kind = values.dtype if isinstance(values, np.ndarray) else type(values).__name__
        raise ValueError(f"{what} holds {kind} instead of real numbers")
    return values

"""Inputs with their labels, from `.npz` files: nothing in them is run, sizes come first."""

from __future__ import annotations

import math
import os

import numpy as np

from sdpcert.readers.arrays.files import read_npz
from sdpcert.readers.errors import check_file, quoted
from sdpcert.readers.points import real_numbers
from sdpcert.running.arguments import path as as_path
from sdpcert.running.outputs import reads

Array = np.ndarray
#: The arrays of the file.
INPUTS, LABELS = "inputs", "labels"
REMEDY = f"write it with numpy.savez(FILE, {INPUTS}=images, {LABELS}=classes)"


def load_labelled(
    path: str | os.PathLike[str], shape: tuple[int, ...], classes: int, count: int | None = None
) -> tuple[Array, Array]:
    """Inputs float64 (n, inputs) and labels int64 (n,) of an `.npz` file, the first `count` of them.

    The array `inputs` has one input in a row, of any shape with as many entries as `shape`, which the network reads,
    but not of that shape in another order; `labels` has its class, an integer from 0 to `classes - 1`. Raises
    ValueError with one line that names the file.
    """
    path = as_path(path, "the file of inputs and labels")
    name = quoted(path)
    if path.suffix.lower() != ".npz":
        raise ValueError(f"{name}: is no .npz file; {REMEDY}")
    check_file(path, name)
    reads(path)
    try:
        contents = read_npz(path)
        values = _inputs(_array(contents, INPUTS), shape)
        labels = _labels(_array(contents, LABELS), len(values), classes)
        return _finite(values[:count]), labels[:count]
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _array(contents: dict[str, object], key: str) -> Array:
    if key not in contents:
        found = ", ".join(quoted(other) for other in contents) or "nothing"
        raise ValueError(f"has no array {key!r}, but {found}; {REMEDY}")
    return real_numbers(contents[key], f"its array {key!r}")


def _inputs(values: Array, shape: tuple[int, ...]) -> Array:
    inputs = math.prod(shape)
    if values.ndim == 0 or values.size != len(values) * inputs:
        raise ValueError(
            f"its array {INPUTS!r} has the shape {values.shape}, and the network reads {inputs} numbers; save one "
            f"input a row, (n, ...) with {inputs} numbers each"
        )
    if not len(values):
        raise ValueError(f"its array {INPUTS!r} holds no input; save one or more")
    found, read = ([length for length in lengths if length > 1] for lengths in (values.shape[1:], shape))
    if found != read and sorted(found) == sorted(read):  # as many numbers, but other pixels
        last = found == read[1:] + read[:1]
        remedy = "numpy.moveaxis(images, -1, 1)" if last and values.ndim == 4 else "them in that order"
        raise ValueError(
            f"its array {INPUTS!r} has inputs of the shape {values.shape[1:]}, and the network reads {shape}; "
            f"save {remedy}"
        )
    return values


def _labels(values: Array, count: int, classes: int) -> Array:
    if values.shape != (count,):
        one_hot = ": of one-hot rows labels.argmax(axis=1)" if values.shape == (count, classes) else ""
        raise ValueError(
            f"its array {LABELS!r} has the shape {values.shape}; save one class an input, ({count},){one_hot}"
        )
    if values.dtype.kind not in "iu":
        raise ValueError(f"its array {LABELS!r} holds {values.dtype}; save integers, labels.astype(int)")
    outside = np.flatnonzero((values < 0) | (values >= classes))
    if len(outside):
        raise ValueError(
            f"label {outside[0]} is {values[outside[0]]}, and the network has the classes 0 to {classes - 1}; "
            "labels count the outputs from 0"
        )
    return values.astype(np.int64)


def _finite(values: Array) -> Array:
    """The numbers in float64; raises ValueError that names the first input with one that is not finite."""
    with np.errstate(over="ignore"):  # a longer float
        found = values.reshape(len(values), -1).astype(float)
    bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
    if len(bad):
        raise ValueError(f"input {bad[0]} has an entry that is not finite; every entry has to be a finite number")
    return found

"""Inputs that are images, as pictures of a figure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

Array = np.ndarray
#: Images that inputs with so many numbers are taken for where nothing else is stated.
USUAL = {64: (8, 8), 784: (28, 28), 3072: (3, 32, 32)}
#: Pictures in a row.
COLUMNS = 6


@dataclass(frozen=True, eq=False)
class Picture:
    """An image, rows by columns with values from 0 (black) to 1, perhaps three colours last, and texts around it.

    Without `pixels` its place is empty.
    """

    pixels: Array | None
    above: str
    below: str


def image_shape(inputs: int, stated: Sequence[Any] | None = None) -> tuple[int, ...] | None:
    """How so many numbers are an image, (rows, columns) or (3, rows, columns); None if they are none.

    `stated` is the shape that a network reads, as a file states it.
    """
    known = all(type(length) is int and length > 0 for length in stated or ())
    shape = tuple(length for length in stated or () if length != 1) if known else ()
    if math.prod(shape) != inputs or len(shape) < 2:
        return USUAL.get(inputs)
    return shape if len(shape) == 2 or (len(shape) == 3 and shape[0] == 3) else None


def pixels_of(points: Sequence[Array], shape: tuple[int, ...]) -> list[Array]:
    """The points as pixels from 0 to 1, all on one scale."""
    low, high = min(p.min() for p in points), max(p.max() for p in points)
    scaled = [(p - low) / (high - low) if high > low else np.zeros_like(p) for p in points]
    return [np.moveaxis(s.reshape(shape), 0, -1) if len(shape) == 3 else s.reshape(shape) for s in scaled]


def height_of(rows: int, width: float, letters: float) -> float:
    """The height of rows of pictures in a figure of this width, with letters of this size."""
    return rows * (width / (COLUMNS + 0.6) + 3.3 * letters)


def draw_pictures(canvas: Any, rows: Sequence[tuple[str, Sequence[Picture]]], rule: str, soft: str) -> None:
    """Draw rows of pictures, each with its name at the left, on a matplotlib figure; `rule` and `soft` are colours."""
    from matplotlib import rcParams

    grid = canvas.subplots(len(rows), COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_xticks([])
        axes.set_yticks([])
        axes.set_axis_off()
    for line, (name, pictures) in zip(grid, rows, strict=True):
        for axes, picture in zip(line, pictures, strict=False):
            if picture.pixels is None:
                continue
            axes.set_axis_on()
            axes.imshow(picture.pixels, cmap="gray", vmin=0.0, vmax=1.0, interpolation="none")
            for spine in axes.spines.values():
                spine.set(visible=True, color=rule, linewidth=rcParams["grid.linewidth"])
            axes.set_title(picture.above, fontsize="medium", pad=3)
            axes.set_xlabel(picture.below, color=soft, labelpad=3)
        line[0].annotate(name, (-0.12, 0.5), color=soft, xycoords="axes fraction", rotation=90, ha="right", va="center")

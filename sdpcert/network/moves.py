"""Moves of an image's entries, as functions of an array: `Graph.rearrange` takes them."""

from __future__ import annotations

import numpy as np


def space_to_depth(image: np.ndarray, factor: int) -> np.ndarray:
    """Cells of `factor` by `factor` pixels as channels, in the order of `torch.nn.PixelUnshuffle`.

    From (channels, height, width) to (channels * factor^2, height / factor, width / factor). Raises ValueError if
    `factor` does not divide height and width.
    """
    channels, height, width = image.shape
    if height % factor or width % factor:
        raise ValueError(f"an image of {height} x {width} pixels has no cells of {factor} x {factor}")
    cells = image.reshape(channels, height // factor, factor, width // factor, factor)
    return cells.transpose(0, 2, 4, 1, 3).reshape(channels * factor**2, height // factor, width // factor)

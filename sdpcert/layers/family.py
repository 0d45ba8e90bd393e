"""What a family of layers offers: constructors for its dense and convolutional form, and where it comes from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from sdpcert.torch_modules.certified import LipschitzLayer


@dataclass(frozen=True)
class Family:
    """A family by name. `dense(in_features, out_features)` and `convolution(in_channels, out_channels, kernel_size)`
    make a layer, None if there is none; residual families read and write the smaller of the two sizes and take the
    larger one as hidden size. `description` is one line on what the layer does to an input x: V is its free matrix, abs
    entrywise, |.| the largest singular value.
    """

    name: str
    source: str
    description: str
    dense: Callable[[int, int], LipschitzLayer] | None
    convolution: Callable[[int, int, int], LipschitzLayer] | None = None

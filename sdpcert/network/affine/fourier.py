"""Large circular convolutions by Fourier transforms, for the gradients that attacks follow.

Roundings of a transform reach all pixels, and no bound for them is stated here: logits that are certified are evaluated
by `kernel_rows`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch


def by_fourier(
    kernel: torch.Tensor, bias: torch.Tensor | None, top: int, left: int
) -> Callable[[torch.Tensor], torch.Tensor]:
    """The circular cross-correlation of images (batch, in, height, width) with a kernel (out, in, h, w).

    Tap (i, j) reads the pixel i - `top` rows further down and j - `left` columns further right; outputs have the size
    of the images.
    """
    import torch

    symbols: dict[tuple[int, int], torch.Tensor] = {}

    def symbols_for(size: tuple[int, int]) -> torch.Tensor:
        """Matrices (frequencies, out, in), kept for images of this size."""
        if size not in symbols:
            matrices = torch.fft.rfft2(wrapped(kernel, size, (top, left))).conj().permute(2, 3, 0, 1)
            symbols[size] = matrices.flatten(0, 1).resolve_conj().contiguous()
        return symbols[size]

    def apply(images: torch.Tensor) -> torch.Tensor:
        height, width = images.shape[2:]
        spectrum = torch.fft.rfft2(images)  # (batch, in, height, width // 2 + 1)
        signals = spectrum.permute(2, 3, 1, 0).flatten(0, 1)
        result = torch.bmm(symbols_for((height, width)), signals).unflatten(0, spectrum.shape[2:])
        outputs = torch.fft.irfft2(result.permute(3, 2, 0, 1), s=(height, width))
        return outputs if bias is None else outputs + bias[:, None, None]

    return apply


def wrapped(kernel: torch.Tensor, sides: tuple[int, int], zero: tuple[int, int] | None = None) -> torch.Tensor:
    """The kernel on a torus with offset zero first; taps that differ by turns around it are added.

    `zero` is the tap of offset zero, the middle one unless it is given.
    """
    import torch

    zero = (kernel.shape[2] // 2, kernel.shape[3] // 2) if zero is None else zero
    for axis, (first, side) in enumerate(zip(zero, sides, strict=True), start=2):
        offsets = (torch.arange(kernel.shape[axis], device=kernel.device) - first) % side
        shape = [*kernel.shape[:axis], side, *kernel.shape[axis + 1 :]]
        kernel = kernel.new_zeros(shape).index_add(axis, offsets, kernel)
    return kernel

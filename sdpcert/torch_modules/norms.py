"""Spectral norms of matrices and convolutions, bounded from above; `power_iteration` has estimates for training."""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional

from sdpcert.torch_modules.geometry import Geometry, Operator

#: Room for the rounding of float64 eigenvalues, relative to the norm, by order of the matrix.
ROUNDING = 2.0**-48
#: Frequencies per axis at which a kernel's symbol is computed, for few and for many channels.
POINTS, COARSE_POINTS, MANY_CHANNELS = 64, 32, 160


def norm_upper_bound(operator: Operator) -> Tensor:
    """An upper bound of the operator's spectral norm, for a convolution on images of every size with every padding.

    Matrices: the largest eigenvalue of the smaller Gram matrix, in float64. Convolutions: the symbol K(f) is a
    trigonometric polynomial of degree d = (size - 1) / 2 per axis once it is centred, so its largest norm over all
    frequencies is at most `1 / (cos(pi d_1 / N) cos(pi d_2 / N))` times the largest one on a grid of N x N (M. Riesz;
    Ehlich, Zeller 1964): 0.25 percent at N = 64 and 3 x 3 kernels. Dilation only rearranges frequencies. With a stride
    the kernel is one of stride one on the places of a cell as channels, but where an image is closed to a torus, whose
    size the stride may not divide: there the stride is left out, which can only make the bound larger. Around a torus
    more padding than reads every pixel once repeats rows and columns of the result, as often as the image goes into it.
    """
    weight = operator.weight
    if operator.geometry is None:
        return _norms(weight[None].to(torch.float64))[0].to(weight.dtype) * (1 + ROUNDING * max(weight.shape))
    groups = operator.geometry.groups
    kernel = weight.reshape(groups, -1, *weight.shape[1:]).to(torch.float64)
    if not operator.geometry.circular and operator.geometry.dilation == (1, 1):
        kernel = _of_cells(kernel, operator.geometry.stride)
    bounds = torch.stack([_kernel_norm(k) for k in kernel])
    return bounds.amax().to(weight.dtype) * _repeated(operator.geometry, tuple(kernel.shape[3:]))


def _repeated(geometry: Geometry, size: tuple[int, ...]) -> float:
    """The root of how many times a pixel of the result can be there; 1 but for circular images that become larger."""
    if not geometry.circular:
        return 1.0
    times = 1
    for padding, dilation, taps in zip(geometry.padding, geometry.dilation, size, strict=True):
        more = 2 * padding - dilation * (taps - 1)
        # Torch has no circular padding that is larger than the image.
        times *= 1 + math.ceil(more / padding) if more > 0 else 1
    return math.sqrt(times) * (1 + ROUNDING)


def _of_cells(kernel: Tensor, stride: tuple[int, int]) -> Tensor:
    """The kernel (groups, out, in, height, width) with the places of a cell of the stride's size as further inputs."""
    down, right = stride
    kernel = functional.pad(kernel, (0, -kernel.shape[4] % right, 0, -kernel.shape[3] % down))
    return kernel.unflatten(4, (-1, right)).unflatten(3, (-1, down)).permute(0, 1, 2, 4, 6, 3, 5).flatten(2, 4)


def _kernel_norm(kernel: Tensor) -> Tensor:
    """The bound for one kernel (out, in, height, width) in float64; differentiable."""
    size = kernel.shape[2:]
    if tuple(size) == (1, 1):
        return _norms(kernel[None, :, :, 0, 0])[0] * (1 + ROUNDING * max(kernel.shape))
    channels = min(kernel.shape[:2])
    points = [max(POINTS if channels <= MANY_CHANNELS else COARSE_POINTS, 8 * (s - 1)) if s > 1 else 1 for s in size]
    symbols = torch.fft.rfft2(kernel, s=points).permute(2, 3, 0, 1).reshape(-1, *kernel.shape[:2])  # type: ignore[arg-type]
    factor = math.prod(1 / math.cos(math.pi * (s - 1) / 2 / n) for s, n in zip(size, points, strict=True))
    with torch.no_grad():
        upper = _gram_bound(symbols)
        order = torch.argsort(upper, descending=True)
        best, at, looked = 0.0, 0, 0
        while looked < len(order) and float(upper[order[looked]]) > best:
            chunk = order[looked : looked + 16]
            norms = _norms(symbols[chunk])
            k = int(norms.argmax())
            if float(norms[k]) > best:
                best, at = float(norms[k]), int(chunk[k])
            looked += len(chunk)
    return _norms(symbols[at : at + 1])[0] * factor * (1 + ROUNDING * max(kernel.shape))


def _norms(matrices: Tensor) -> Tensor:
    """Spectral norms of a batch, from the smaller Gram matrices."""
    wide = matrices.shape[-1] > matrices.shape[-2]
    left = matrices if wide else matrices.mH
    scale = matrices.detach().abs().amax((1, 2), keepdim=True)
    left = left / torch.where(scale > 0, scale, torch.ones_like(scale))
    squares = torch.linalg.eigvalsh(left @ left.mH)[:, -1]
    # The norm of a zero matrix is zero, with a gradient of zero.
    positive = squares > 0
    roots = torch.where(positive, torch.where(positive, squares, torch.ones_like(squares)).sqrt(), squares * 0)
    return roots * scale[:, 0, 0]


def _gram_bound(matrices: Tensor, squarings: int = 3) -> Tensor:
    """`|G^(2^t)|_F^(1/2^t)` for Gram matrices G: upper bounds of the squared norms, as norms (Delattre et al. 2023)."""
    wide = matrices.shape[-1] > matrices.shape[-2]
    left = matrices if wide else matrices.mH
    power = left @ left.mH
    logarithm = torch.zeros(len(matrices), dtype=torch.float64, device=matrices.device)
    for _ in range(squarings):
        size = torch.linalg.matrix_norm(power).real
        size = torch.where(size > 0, size, torch.ones_like(size))
        logarithm = 2 * (logarithm + size.log())
        power = power / size[:, None, None]
        power = power @ power
    size = torch.linalg.matrix_norm(power).real
    size = torch.where(size > 0, size, torch.full_like(size, torch.finfo(size.dtype).tiny))
    return torch.exp((logarithm + size.log()) / 2 ** (squarings + 1)) * (1 + 1e-12)

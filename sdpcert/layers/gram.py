"""The Gram matrix of a weight and its entrywise magnitude, which every diagonal-dominance rule reads.

For a matrix V with hidden rows (out, in), the Gram matrix is G = V V'. For a convolution it is the operator V V' on
signals, whose rows differ by shifts only; `magnitude[i, j]` then sums the absolute values of all taps of the
correlation of kernels i and j, so that x'G x <= |x|' N |x| with |x| the norms over space of each channel. It holds on
every image, with zero and with circular padding.

Most rules need sums `N q` alone. `Gram.weighted_sums` has them with half of the products that differentiating G takes:
G is symmetric, so only blocks on and above the diagonal are formed, and the two terms of its gradient are one product.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sdpcert.torch_modules.functions import Function
from sdpcert.torch_modules.geometry import Operator

#: Rows from which a matrix on a cpu is taken apart into this many blocks of rows.
LARGE, BLOCKS = 512, 4
#: Channels times taps up to which a kernel is correlated by one product of all its taps with each other.
ALL_TAPS = 2400
#: Channels from which on a kernel is correlated offset by offset, a matrix product each.
WIDE = 128


class Gram:
    """`magnitude` N is nonnegative and symmetric; `signed` is the Gram matrix itself, None for convolutions.

    `operator` is the weight divided by `size`, with the hidden channels as its outputs. Nothing is computed before it
    is asked for.
    """

    def __init__(self, given: Operator, size: Tensor | None = None) -> None:
        self.given, self.size = given, size

    @property
    def hidden(self) -> int:
        """The number of rows."""
        return self.given.outputs

    @cached_property
    def operator(self) -> Operator:
        """The weight, scaled to entries of at most one."""
        size = self.size
        return self.given if size is None else self.given.map(lambda w: w / size)

    @cached_property
    def signed(self) -> Tensor | None:
        """The Gram matrix of a dense weight."""
        weight = self.operator.weight
        return weight @ weight.mT if self.operator.geometry is None else None

    @cached_property
    def magnitude(self) -> Tensor:
        """N, shape (hidden, hidden)."""
        return correlation_magnitude(self.operator.weight) if self.signed is None else self.signed.abs()

    def weighted_sums(self, q: Tensor | None = None) -> Tensor:
        """`N q` for positive q, the sums of the rows without it; shape (hidden,)."""
        weight = self.operator.weight
        q = torch.ones_like(weight[:, 0].reshape(len(weight), -1)[:, 0]) if q is None else q
        flat = weight.flatten(1)
        if flat.shape[1] == weight.shape[1]:
            return _MatrixSums.apply(flat, q)[0]  # type: ignore[no-any-return]
        if flat.shape[0] * weight[0, 0].numel() <= ALL_TAPS:
            return _KernelSums.apply(weight, q)[0]  # type: ignore[no-any-return]
        return self.magnitude @ q


def gram(operator: Operator, size: Tensor | None = None) -> Gram:
    """The Gram matrix of the rows of a matrix or of the output channels of a kernel, divided by `size`.

    A stride is left out: it takes outputs away, which makes no norm larger, where the outputs of a kernel whose
    channels were exchanged are another's inputs, and nothing may be taken from those.
    """
    geometry = operator.geometry
    if geometry is not None and geometry.groups != 1:
        raise ValueError(f"diagonal rules need convolutions with one group, not {geometry.groups}")
    if geometry is not None and geometry.stride != (1, 1):
        operator = Operator(operator.weight, replace(geometry, stride=(1, 1)))
    return Gram(operator, size)


def correlation_magnitude(kernel: Tensor) -> Tensor:
    """Sums over all offsets of `|sum_(c, p) kernel[i, c, p + offset] kernel[j, c, p]|`, shape (out, out)."""
    size = kernel.shape[2:]
    if tuple(size) == (1, 1):
        flat = kernel[:, :, 0, 0]
        return (flat @ flat.mT).abs()
    # Offset and opposite offset give transposes of each other, so half of the offsets are enough.
    if len(kernel) >= WIDE:
        return _offset_by_offset(kernel)
    rows = size[0] - 1
    padded = functional.pad(kernel, (size[1] - 1, size[1] - 1, 0, rows))
    taps = functional.conv2d(padded, kernel).abs()  # rows 0..h-1, all columns
    centre = taps[:, :, :1].sum((2, 3))
    below = taps[:, :, 1:].sum((2, 3)) if rows else torch.zeros_like(centre)
    return centre + below + below.mT


def _offset_by_offset(kernel: Tensor) -> Tensor:
    """The same by products of the taps that overlap: 45 instead of the 135 of a convolution for kernels of 3 x 3."""
    height, width = kernel.shape[2:]
    flat = kernel.flatten(1)
    total = (flat @ flat.mT).abs()
    for down in range(height):
        for across in range(1 - width if down else 1, width):
            moved = kernel[:, :, down:, max(across, 0) : width + min(across, 0)].flatten(1)
            other = kernel[:, :, : height - down, max(-across, 0) : width - max(across, 0)].flatten(1)
            taps = (moved @ other.mT).abs()
            total = total + taps + taps.mT
    return total


class _MatrixSums(Function):
    """`u = |V V'| q` of (V, q); further outputs are the signs and the magnitudes of V V' on and above the diagonal, in
    blocks.

    du_i = sum_j S_ij q_j dG_ij with the signs S, so a gradient g of u is one of `(S * (g q' + q g')) V` for V
    and of `|G| g` for q.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(weight: Tensor, q: Tensor) -> Any:
        blocks = [weight[start:stop] @ weight[start:].mT for start, stop in _spans(weight)]
        magnitudes = [block.abs() for block in blocks]
        # In place, here and below: fresh memory is what costs.
        return _product(magnitudes, q), *(block.sign_() for block in blocks), *magnitudes

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs, *output[1:])
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # of zeros for what has no gradient

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, *_: Tensor | None) -> Any:
        if given is None:  # no output has a gradient
            return None, None
        weight, q, *found = ctx.saved_tensors
        signs, magnitudes = found[: len(found) // 2], found[len(found) // 2 :]
        for_weight = for_q = None
        if ctx.needs_input_grad[0]:
            pieces: list[Tensor] = []
            added: list[Tensor | None] = []
            for (start, stop), sign in zip(_spans(weight), signs, strict=True):
                factor = (
                    torch.outer(given[start:stop], q[start:]).addcmul_(q[start:stop, None], given[start:]).mul_(sign)
                )
                pieces.append(factor @ weight[start:])
                later = factor[:, stop - start :]
                added.append(later.mT @ weight[start:stop] if later.shape[1] else None)
            for_weight = _joined(pieces, added)
        if ctx.needs_input_grad[1]:
            if torch.is_grad_enabled():  # someone differentiates once more: the blocks are constants here
                for_q = _MatrixSums.apply(weight, given)[0]  # type: ignore[index]
            else:
                for_q = _product(magnitudes, given)
        return for_weight, for_q


def _spans(weight: Tensor) -> list[tuple[int, int]]:
    count = len(weight)
    if count < LARGE or weight.device.type != "cpu":
        return [(0, count)]
    step = -(-count // BLOCKS)
    return [(start, min(start + step, count)) for start in range(0, count, step)]


def _product(magnitudes: list[Tensor], vector: Tensor) -> Tensor:
    """`|G| vector` from the blocks of |G| on and above the diagonal."""
    start = 0
    pieces: list[Tensor] = []
    added: list[Tensor | None] = []
    for magnitude in magnitudes:
        size = len(magnitude)
        pieces.append(magnitude @ vector[start:])
        added.append(magnitude[:, size:].mT @ vector[start : start + size] if size < magnitude.shape[1] else None)
        start += size
    return _joined(pieces, added)


def _joined(pieces: list[Tensor], added: list[Tensor | None]) -> Tensor:
    """The pieces one after the other, with what each has `added` to all rows after its own."""
    total: list[Tensor] = []
    tail: Tensor | None = None
    for piece, more in zip(pieces, added, strict=True):
        size = len(piece)
        total.append(piece if tail is None else piece + tail[:size])
        rest = None if tail is None else tail[size:]
        tail = more if rest is None else rest if more is None else more + rest
    return total[0] if len(total) == 1 else torch.cat(total)


class _KernelSums(Function):
    """`u = N q` of (kernel, q), N the magnitude of a kernel's correlations C; C (offsets, out, out) is an output too.

    All taps are multiplied with all taps, `P[(p, i), (r, j)] = sum_c K[i, c, p] K[j, c, r]`, and summed over pairs with
    the same offset p - r. The gradient takes the same way back: its matrix is symmetric, and multiplies the taps once.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(kernel: Tensor, q: Tensor) -> Any:
        out, count = len(kernel), kernel[0, 0].numel()
        taps = _taps(kernel)
        pairs = (taps @ taps.mT).reshape(count, out, count, out).transpose(1, 2).reshape(-1, out, out)
        where, offsets = _offsets(kernel)
        correlations = pairs.new_zeros(offsets, out, out).index_add(0, where, pairs)
        return correlations.abs().sum(0) @ q, correlations

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs, output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # of zeros for what has no gradient

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, _: Tensor | None) -> Any:
        if given is None:  # no output has a gradient
            return None, None
        kernel, q, correlations = ctx.saved_tensors
        for_kernel = for_q = None
        if ctx.needs_input_grad[0]:
            out, count = len(kernel), kernel[0, 0].numel()
            factor = (given[:, None] * q + q[:, None] * given) * correlations.sign()
            where = _offsets(kernel)[0]
            pairs = factor[where].reshape(count, count, out, out).transpose(1, 2).reshape(count * out, -1)
            for_kernel = (pairs @ _taps(kernel)).reshape(count, out, -1).permute(1, 2, 0).reshape(kernel.shape)
        if ctx.needs_input_grad[1]:
            if torch.is_grad_enabled():
                for_q = _KernelSums.apply(kernel, given)[0]  # type: ignore[index]
            else:
                for_q = correlations.abs().sum(0) @ given
        return for_kernel, for_q


def _taps(kernel: Tensor) -> Tensor:
    """Rows (tap, out) with a column for every input."""
    return kernel.flatten(2).permute(2, 0, 1).reshape(-1, kernel.shape[1])


def _offsets(kernel: Tensor) -> tuple[Tensor, int]:
    """The number of the offset of each pair of taps, and how many offsets there are."""
    height, width = kernel.shape[2:]
    y, x = torch.arange(height, device=kernel.device), torch.arange(width, device=kernel.device)
    down, across = (y[:, None] - y + height - 1), (x[:, None] - x + width - 1)
    number = down[:, None, :, None] * (2 * width - 1) + across[None, :, None, :]
    return number.reshape(-1), (2 * height - 1) * (2 * width - 1)

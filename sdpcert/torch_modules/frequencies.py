"""Products and inverses of many small complex matrices, one for every frequency of a torus, with their gradients.

Torch multiplies batches at once only where they are contiguous, and conjugate transposes, of which gradients are made,
one matrix after the other: here they are written out, in one pass.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdpcert.torch_modules.functions import Function


def adjoints(matrices: Tensor) -> Tensor:
    """The conjugate transposes, written out."""
    return matrices.mH.contiguous().resolve_conj()


class _Product(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(left: Tensor, right: Tensor) -> Tensor:
        return left @ right

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        left, right = ctx.saved_tensors
        given = given.contiguous()
        for_left = product(given, adjoints(right)) if ctx.needs_input_grad[0] else None
        for_right = product(adjoints(left), given) if ctx.needs_input_grad[1] else None
        return for_left, for_right


class _Inverse(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        return torch.linalg.inv(matrices)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        (found,) = ctx.saved_tensors
        turned = adjoints(found)
        return -product(product(turned, given), turned)


class _PositiveInverse(_Inverse):
    @staticmethod
    def forward(matrices: Tensor) -> Tensor:
        # Several times as fast as `inv`, but batches would be taken one after the other.
        if matrices.dim() == 2:
            return torch.cholesky_inverse(torch.linalg.cholesky(matrices))
        return torch.linalg.inv(matrices)


def product(left: Tensor, right: Tensor) -> Tensor:
    """The matrix products of (..., n, k) and (..., k, m)."""
    return _Product.apply(left.contiguous(), right.contiguous())  # type: ignore[no-any-return]


def inverse(matrices: Tensor) -> Tensor:
    """The inverses of (..., n, n)."""
    return _Inverse.apply(matrices)  # type: ignore[no-any-return]


def positive_inverse(matrices: Tensor) -> Tensor:
    """The inverses of Hermitian positive definite (..., n, n)."""
    return _PositiveInverse.apply(matrices)  # type: ignore[no-any-return]


def through_frequencies(inputs: Tensor, symbols: Tensor) -> Tensor:
    """Images (batch, in, height, width) times a matrix at every frequency: (height, width // 2 + 1, out, in)."""
    signals = torch.fft.rfft2(inputs).permute(2, 3, 1, 0)
    result = product(symbols, signals).permute(3, 2, 0, 1)
    return torch.fft.irfft2(result, s=(inputs.shape[-2], inputs.shape[-1]))

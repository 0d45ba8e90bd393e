"""Orthogonal layers by block reflectors (BRO): dense, and circular convolutions by frequency.

`I - 2 V (V'V)^-1 V'` is orthogonal for every V of full column rank m: it reflects the m directions of V's columns and
keeps all others. A guard on the diagonal of V'V keeps its norm at most one for every V; sections of it (the first
outputs, the first inputs) are contractions as well. m, the rank, is the number of eigenvalues -1. A layer takes a
product and a factor of order m: no iteration, and no factor of the order of the channels.

Source: Lai, Huang, Kung, Chen, "Enhancing Certified Robustness via Block Reflector Orthogonal Layers and Logit
Annealing Loss", ICML 2025. Proofs: `sdpcert derive block_reflector`.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.cayley import contracted
from sdpcert.layers.divisors import largest_entry
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.torus import TorusConv2d
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.frequencies import positive_inverse, product
from sdpcert.torch_modules.geometry import Operator

#: The guard, relative to the trace of V'V: directions whose squares are far below it are not reflected. In float32 it
#: is four units of roundoff of the largest eigenvalue that V'V can have, so that the factor exists.
GUARD = 2.0**-22
#: What keeps the guard of a zero V positive.
LEAST = 2.0**-60


class BROLinear(LipschitzLayer):
    """A dense layer: the first outputs of the first inputs of a block reflector of the larger size.

    Inputs (..., in_features), outputs (..., out_features). `weight` of shape (max(in_features, out_features), rank) is
    free; `rank` is half of the larger size, rounded up, unless given. Raises ValueError for sizes that are not positive
    and a rank above the larger size.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        rank: int | None = None,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, out_features=out_features)
        self.in_features, self.out_features = in_features, out_features
        size = max(in_features, out_features)
        self.rank = checked_rank(rank, size)
        self.weight = nn.Parameter(torch.randn(size, self.rank, device=device, dtype=dtype) / size**0.5)
        self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The section of the reflector."""
        weight = reflector(values["weight"], self.out_features, self.in_features, quick=not certified)
        return Block(Operator(contracted(weight) if certified else weight), None, values.get("bias"))


class BROConv2d(TorusConv2d):
    """An orthogonal circular convolution of images of one size, a block reflector at every frequency.

    `image_size` is (height, width) or one number for both; other images raise ValueError. `kernel` of shape
    (max(in_channels, out_channels), rank, kernel_size, kernel_size) is free, of odd size and zero outside, but its
    reflector reaches over the whole image. `rank` is half of the larger number of channels, rounded up, unless given.
    Raises ValueError for sizes that are not positive, an even kernel and a rank above the larger number of channels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        image_size: int | tuple[int, int],
        rank: int | None = None,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        check_sizes(in_channels=in_channels, out_channels=out_channels, kernel_size=kernel_size)
        channels = max(in_channels, out_channels)
        rank = checked_rank(rank, channels)
        free = torch.randn(channels, rank, kernel_size, kernel_size, device=device, dtype=dtype)
        free /= channels**0.5 * kernel_size
        super().__init__(in_channels, out_channels, kernel_size, image_size, free, bias)
        self.rank = rank

    def orthonormal(self, symbols: Tensor, certified: bool) -> Tensor:
        """The section of every symbol's reflector."""
        return reflector(symbols, self.out_channels, self.in_channels, quick=not certified)


def reflector(free: Tensor, rows: int, columns: int, quick: bool = False) -> Tensor:
    """The first rows and columns of `I - 2 V (V'V + guard)^-1 V'` for V (..., n, m), primes for conjugate transposes.

    Its norm is at most one up to rounding, whatever V is; float16 and bfloat16 are computed in float32. `quick`
    inverts, which leaves products for the gradient, and rounds with the square of V's condition: for training.
    """
    wide = free.to(torch.promote_types(free.dtype, torch.float32))
    wide = wide / largest_entry(wide.abs())
    gram = wide.mH @ wide
    diagonal = gram.diagonal(dim1=-2, dim2=-1).real
    guard = GUARD * diagonal.sum(-1, keepdim=True) + LEAST
    guarded = gram + torch.diag_embed(guard.expand_as(diagonal)).to(gram.dtype)
    if quick:
        solved = product(positive_inverse(guarded), wide[..., :columns, :].mH)
    else:  # one factor serves the solve and its gradient
        solved = torch.cholesky_solve(wide[..., :columns, :].mH, torch.linalg.cholesky(guarded))
    identity = torch.eye(rows, columns, dtype=wide.dtype, device=wide.device)
    return (identity - 2 * wide[..., :rows, :] @ solved).to(free.dtype)


def checked_rank(rank: int | None, size: int) -> int:
    """The rank, half of the size rounded up if it is None; raises ValueError if it is not between 1 and the size."""
    if rank is None:
        return (size + 1) // 2
    if not 1 <= rank <= size:
        raise ValueError(f"rank must lie between 1 and {size}, not {rank}")
    return rank


FAMILY = Family(
    "bro",
    "Lai, Huang, Kung, Chen 2025, with a guard for V of deficient rank",
    "Q x with orthogonal Q = I - 2 V (V'V)^-1 V'; convolutions are circular and as large as the image",
    BROLinear,
    lambda inputs, outputs, size: BROConv2d(inputs, outputs, size, image_size=4),
)

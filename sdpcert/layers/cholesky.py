"""Dense layers with orthonormal rows by Cholesky's factor: `L^-1 V` with `L L' = V V'` (CHORD).

`(L^-1 V)(L^-1 V)' = L^-1 V V' L^-T = I`. A guard on the diagonal of V V' keeps the rows at most orthonormal where V has
not full rank. With fewer inputs than outputs the transpose has the orthonormal rows.

Source: Hu, Leino, Wang, Fredrikson, "A Recipe for Improved Certifiable Robustness", ICLR 2024.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sdpcert.layers.cayley import contracted
from sdpcert.layers.divisors import largest_entry
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.functions import Function
from sdpcert.torch_modules.geometry import Operator

#: The guard, relative to the trace of V V' (four units of roundoff in float32, so that the factor exists), and what
#: keeps it positive for a zero V.
GUARD, LEAST = 2.0**-22, 2.0**-60


class CholeskyLinear(LipschitzLayer):
    """A dense layer with orthonormal rows, or columns if there are more outputs than inputs.

    Inputs (..., in_features), outputs (..., out_features); `weight` (out_features, in_features) is free. Raises
    ValueError for sizes that are not positive.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, out_features=out_features)
        self.weight = nn.Parameter(torch.empty(out_features, in_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(out_features, device=device, dtype=dtype)) if bias else None
        nn.init.orthogonal_(self.weight)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The orthonormal weight."""
        free = values["weight"]
        tall = free.shape[0] > free.shape[1]
        made = orthonormal_rows if certified else quick_rows
        rows = made(free.mT if tall else free)
        weight = rows.mT if tall else rows
        return Block(Operator(contracted(weight) if certified else weight), None, values.get("bias"))


def orthonormal_rows(free: Tensor) -> Tensor:
    """`L^-1 V` for V (rows, columns) with no more rows than columns; float16 and bfloat16 are computed in float32."""
    wide, factor = _factored(free)
    return torch.linalg.solve_triangular(factor, wide, upper=False).to(free.dtype)


def quick_rows(free: Tensor) -> Tensor:
    """The same with a gradient of three products, for which the guard is a constant."""
    return _Rows.apply(free)[0].to(free.dtype)  # type: ignore[no-any-return]


def _factored(free: Tensor) -> tuple[Tensor, Tensor]:
    """V, scaled to entries of at most one, and L."""
    wide = free.to(torch.promote_types(free.dtype, torch.float32))
    wide = wide / largest_entry(wide)
    gram = wide @ wide.mT
    guard = GUARD * gram.diagonal().sum() + LEAST
    return wide, torch.linalg.cholesky(gram + guard * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))


class _Rows(Function):
    """`Q = L^-1 V`, further outputs L^-1 and the size s that V was divided by.

    For `E = L^-1 dV` the change of L is `L H(E Q' + Q E')`, H the lower triangle with half of the diagonal, and so the
    gradient of V for one G of Q is `L^-T (G - (H(G Q') + H(G Q')') Q)`, over s.
    """

    @staticmethod
    def forward(free: Tensor) -> Any:
        wide, factor = _factored(free)
        # The inverse once, and products with it: a third of the time of solving for all columns, twice.
        inverted = torch.linalg.solve_triangular(factor, torch.eye(len(factor)).to(factor), upper=False)
        return inverted @ wide, inverted, largest_entry(free)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(*inputs, *output)
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # of zeros for what has no gradient

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, *_: Tensor | None) -> Any:
        if given is None:  # no output has a gradient
            return None
        free, rows, inverted, size = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone differentiates once more
            return torch.autograd.grad(orthonormal_rows(free), free, given.to(free.dtype), create_graph=True)[0]
        lower = (given @ rows.mT).tril()
        lower.diagonal().mul_(0.5)
        inner = torch.addmm(given, lower + lower.mT, rows, alpha=-1)
        return (inverted.mT @ inner / size).to(free.dtype)


FAMILY = Family("cholesky", "Hu, Leino, Wang, Fredrikson 2024", "L^-1 V x with L L' = V V'", CholeskyLinear)

"""Dense layers with orthonormal rows by Cholesky's factor: `L^-1 V` with `L L' = V V'` (CHORD).

`(L^-1 V)(L^-1 V)' = L^-1 V V' L^-T = I`. A guard on the diagonal of V V' keeps the rows at most orthonormal where V has
not full rank. With fewer inputs than outputs the transpose has the orthonormal rows.

Source: Hu, Leino, Wang, Fredrikson, "A Recipe for Improved Certifiable Robustness", ICLR 2024.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.cayley import contracted
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes, largest_entry
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
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
        rows = orthonormal_rows(free.mT if tall else free)
        weight = rows.mT if tall else rows
        return Block(Operator(contracted(weight) if certified else weight), None, values.get("bias"))


def orthonormal_rows(free: Tensor) -> Tensor:
    """`L^-1 V` for V (rows, columns) with no more rows than columns; float16 and bfloat16 are computed in float32."""
    wide = free.to(torch.promote_types(free.dtype, torch.float32))
    wide = wide / largest_entry(wide)
    gram = wide @ wide.mT
    guard = GUARD * gram.diagonal().sum() + LEAST
    factor = torch.linalg.cholesky(gram + guard * torch.eye(len(gram), dtype=gram.dtype, device=gram.device))
    return torch.linalg.solve_triangular(factor, wide, upper=False).to(free.dtype)


FAMILY = Family("cholesky", "Hu, Leino, Wang, Fredrikson 2024", "L^-1 V x with L L' = V V'", CholeskyLinear)

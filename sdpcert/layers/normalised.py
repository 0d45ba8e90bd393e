"""A weight divided by an estimate of its norm in training, as one function with its gradient.

One step of power iteration takes two passes over the weight: `u = V d / |V d|` with the direction d of the step before,
and `V'u`, whose norm is the estimate, and whose direction is the next d. For fixed u the gradient of `|V'u|` is
`u d'` for matrices and for kernels the correlation of the two signals, so nothing of it has to be traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from sdpcert.torch_modules.geometry import Geometry, Operator
from sdpcert.torch_modules.norms import adjoint_on_torus, apply_on_torus


def normalised(operator: Operator, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The weight divided by a lower estimate of its norm (a zero weight stays zero), and the next direction.

    The kernel of a convolution is taken with stride one on a torus of the direction's size.
    """
    with torch.no_grad():
        left = _unit(apply_on_torus(operator, direction))[0]
    weight, following, norm = _Normalised.apply(operator.weight, left, operator.geometry)
    return weight, torch.where(norm > 0, following, direction)


def _unit(vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The vector divided by its norm, the norm, and what it was divided by: one for zero. Squares need float64."""
    norm = torch.linalg.vector_norm(vector, dtype=torch.float64)
    divisor = torch.where(norm > 0, norm, 1.0)
    return vector / divisor, norm, divisor


class _Normalised(torch.autograd.Function):
    """`V / |V'u|` of (V, u), the direction of `V'u` and its norm; only the first is differentiable, and only in V."""

    @staticmethod
    def forward(weight: Tensor, left: Tensor, geometry: Geometry | None) -> Any:
        direction, norm, divisor = _unit(adjoint_on_torus(Operator(weight, geometry), left))
        return weight / divisor, direction, norm

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        weight, left, ctx.geometry = inputs
        ctx.save_for_backward(weight, left, *output)
        ctx.mark_non_differentiable(*output[1:])

    @staticmethod
    def backward(ctx: Any, given: Tensor, *_: Tensor | None) -> Any:
        weight, left, result, direction, norm = ctx.saved_tensors
        divisor = torch.where(norm > 0, norm, 1.0)
        if torch.is_grad_enabled():  # someone differentiates once more: u alone is constant then
            direction, norm, divisor = _unit(adjoint_on_torus(Operator(weight, ctx.geometry), left))
            result = weight / divisor
        share = torch.dot(given.flatten(), result.flatten())
        if ctx.geometry is None:
            return torch.addr(given, left * share, direction, alpha=-1) / divisor, None, None
        height, width = weight.shape[2:]
        around = functional.pad(direction[None], (0, width - 1, 0, height - 1), mode="circular")
        patches = functional.unfold(around, (height, width))[0]
        slope = (left.flatten(1) * share) @ patches.mT
        return (given - slope.reshape(weight.shape)) / divisor, None, None

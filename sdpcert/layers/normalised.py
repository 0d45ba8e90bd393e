"""A weight divided by an estimate of its norm in training, as one function with its gradient.

One step of power iteration takes two passes over the weight: `u = V d / |V d|` with the direction d of the step before,
and `V'u`, whose norm is the estimate, and whose direction is the next d. For fixed u the gradient of `|V'u|` is
`u d'` for matrices and for kernels the correlation of the two signals, so nothing of it has to be traced.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from sdpcert.layers.divisors import one_for_zero
from sdpcert.torch_modules.functions import Function
from sdpcert.torch_modules.geometry import Geometry, Operator
from sdpcert.torch_modules.power_iteration import adjoint_on_torus, apply_on_torus, slope_on_torus


def normalised(operator: Operator, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The weight divided by a lower estimate of its norm (a zero weight stays zero), and the next direction.

    The kernel of a convolution is taken with stride one on a torus of the direction's size.
    """
    with torch.no_grad():
        left = _unit(apply_on_torus(operator, direction))[0]
    weight, following, norm, _ = _Normalised.apply(operator.weight, left, operator.geometry)
    # Neither zeros nor numbers that are not finite are followed.
    return weight, torch.where(norm > 0, following, direction)


def _unit(vector: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The vector divided by its norm, the norm, and the divisor, one for a norm of zero. Squares need float64."""
    norm = torch.linalg.vector_norm(vector, dtype=torch.float64)
    divisor = one_for_zero(norm)
    return vector / divisor, norm, divisor


class _Normalised(Function):
    """`V / |V'u|` of (V, u), the direction of `V'u`, its norm and the divisor; only the first is differentiable, and
    only in V.
    """

    @staticmethod
    def forward(weight: Tensor, left: Tensor, geometry: Geometry | None) -> Any:
        direction, norm, divisor = _unit(adjoint_on_torus(Operator(weight, geometry), left))
        return weight / divisor, direction, norm, divisor

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        weight, left, ctx.geometry = inputs
        result, direction, _, divisor = output
        ctx.save_for_backward(weight, left, result, direction, divisor)
        ctx.mark_non_differentiable(*output[1:])
        ctx.set_materialize_grads(False)  # of zeros for what has no gradient

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, *_: Tensor | None) -> Any:
        if given is None:  # no output has a gradient
            return None, None, None
        weight, left, result, direction, divisor = ctx.saved_tensors
        if torch.is_grad_enabled():  # someone differentiates once more: u alone is constant then
            direction, divisor = _unit(adjoint_on_torus(Operator(weight, ctx.geometry), left))[::2]
            result = weight / divisor
        share = torch.dot(given.flatten(), result.flatten()) / divisor
        if ctx.geometry is None:
            return (given / divisor).addr_(left * share, direction, alpha=-1), None, None
        return given / divisor - slope_on_torus(Operator(weight, ctx.geometry), direction, left * share), None, None

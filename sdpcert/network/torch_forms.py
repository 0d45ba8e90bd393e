"""Layers on torch tensors: what their torch forms share. Imports torch, so it is imported when one is asked for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

Array = np.ndarray
Function = Callable[[Array], Array]


def through_numpy(function: Function, derivative: Function, values: Tensor) -> Tensor:
    """An elementwise function of a tensor, evaluated by NumPy in float64, with its derivative as the gradient."""
    return _ThroughNumpy.apply(values, function, derivative)  # type: ignore[no-any-return]


def tensor_of(values: float | Array, device: torch.device, dtype: torch.dtype) -> Tensor:
    """A copy of a layer's coefficients as a tensor."""
    return torch.as_tensor(np.array(values, dtype=float)).to(device, dtype)


def like(parameter: float | Array, values: Tensor) -> float | Tensor:
    """A parameter of an activation beside a tensor: a number as it is, an array in the tensor's type."""
    if isinstance(parameter, np.ndarray):
        return torch.as_tensor(parameter, dtype=values.dtype).to(values.device)
    return parameter


class Pointwise(nn.Module):
    """A module that applies one function of tensors."""

    def __init__(self, name: str, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.name, self.function = name, function

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to every entry."""
        return self.function(inputs)

    def extra_repr(self) -> str:
        return self.name


class _ThroughNumpy(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, inputs: Tensor, function: Function, derivative: Function) -> Tensor:
        values = inputs.detach().double().cpu().numpy()
        slopes = np.broadcast_to(derivative(values), values.shape)
        ctx.save_for_backward(torch.as_tensor(slopes.copy()).to(inputs))
        return torch.as_tensor(np.array(function(values))).to(inputs)

    @staticmethod
    def backward(ctx: Any, given: Tensor) -> Any:
        (slopes,) = ctx.saved_tensors
        return given * slopes, None, None

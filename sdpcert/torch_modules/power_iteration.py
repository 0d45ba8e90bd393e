"""Estimates of spectral norms by power iteration, for training; `norms` has upper bounds.

A kernel acts with stride one on signals (TORUS, TORUS, channels) on a small torus. With the channels last a
neighbourhood is a few whole rows of memory, and the map one product of matrices for every group.
"""

from __future__ import annotations

import functools

import numpy as np
import torch
from torch import Tensor

from sdpcert.torch_modules.geometry import Operator

#: Side of the torus.
TORUS = 16


def direction_shape(operator: Operator) -> tuple[int, ...]:
    """A vector's, or for a kernel that of a signal on a small torus."""
    return (operator.inputs,) if operator.geometry is None else (TORUS, TORUS, operator.inputs)


def direction_for(operator: Operator, generator: torch.Generator | None = None) -> Tensor:
    """A start for `power_step`: a vector, or for a kernel a signal on a small torus, of norm one."""
    vector = torch.randn(direction_shape(operator), generator=generator, dtype=torch.float64).to(operator.weight)
    return vector / vector.norm()


@torch.no_grad()
def power_step(operator: Operator, direction: Tensor, steps: int = 1, size: Tensor | float = 1.0) -> Tensor:
    """The direction after steps of power iteration on V'V, V the operator divided by `size`."""
    for _ in range(steps):
        image = apply_on_torus(operator, direction / size)
        back = adjoint_on_torus(operator, image / size)
        norm = back.norm()
        direction = torch.where(norm > 0, back / torch.where(norm > 0, norm, torch.ones_like(norm)), direction)
    return direction


def norm_estimate(operator: Operator, direction: Tensor, size: Tensor | float = 1.0) -> Tensor:
    """`|V direction|` for a direction of norm one: a lower estimate of the norm, differentiable in V.

    V is the operator divided by `size`.
    """
    return apply_on_torus(operator, direction / size).norm()


def apply_on_torus(operator: Operator, direction: Tensor) -> Tensor:
    """The operator on a vector, or with stride one on a signal on a torus."""
    if operator.geometry is None:
        return operator.weight @ direction
    kernel = _by_groups(operator).permute(0, 3, 2, 1).flatten(1, 2)
    return _signal(_neighbourhoods(operator, direction, 1) @ kernel)


def adjoint_on_torus(operator: Operator, image: Tensor) -> Tensor:
    """The adjoint of `apply_on_torus`."""
    if operator.geometry is None:
        return operator.weight.mT @ image
    kernel = _by_groups(operator).permute(0, 3, 1, 2).flatten(1, 2)
    return _signal(_neighbourhoods(operator, image, -1) @ kernel)


def slope_on_torus(operator: Operator, direction: Tensor, left: Tensor) -> Tensor:
    """The gradient of `left . (V direction)` in the operator's weight: an outer product, or sums of them."""
    if operator.geometry is None:
        return torch.outer(left, direction)
    groups, outputs, inputs, taps = _by_groups(operator).shape
    images = left.reshape(-1, groups, outputs).permute(1, 2, 0)
    product = images @ _neighbourhoods(operator, direction, 1)
    return product.reshape(groups, outputs, taps, inputs).transpose(2, 3).reshape(operator.weight.shape)


def _by_groups(operator: Operator) -> Tensor:
    """The kernel as (groups, outputs of each, inputs of each, taps)."""
    assert operator.geometry is not None
    groups, weight = operator.geometry.groups, operator.weight
    return weight.reshape(groups, len(weight) // groups, weight.shape[1], -1)


def _neighbourhoods(operator: Operator, signal: Tensor, towards: int) -> Tensor:
    """What the taps read at every place, (groups, places, taps * channels), or read from there, `towards` -1."""
    assert operator.geometry is not None
    groups, channels = operator.geometry.groups, signal.shape[2]
    height, width = operator.weight.shape[2:]
    # Not kept as a tensor: what a cache holds must not depend on the mode in which it was filled.
    places = torch.tensor(_places(height, width, towards), device=signal.device)
    read = signal.flatten(0, 1).index_select(0, places)
    return read.reshape(TORUS**2, -1, groups, channels // groups).permute(2, 0, 1, 3).flatten(2)


@functools.lru_cache
def _places(height: int, width: int, towards: int) -> np.ndarray:
    """The numbers of the places that the taps read, place by place."""
    y, x, down, across = np.ogrid[:TORUS, :TORUS, :height, :width]
    return ((y + towards * down) % TORUS * TORUS + (x + towards * across) % TORUS).reshape(-1)


def _signal(parts: Tensor) -> Tensor:
    """The signal of products (groups, places, channels of each)."""
    return parts.permute(1, 0, 2).reshape(TORUS, TORUS, -1)

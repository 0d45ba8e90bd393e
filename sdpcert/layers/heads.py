"""Last layers whose certified radii use more than the network's constant: normalised rows and orthonormal rows.

The radius of a sample with the logits f and the class y is the least of `(f_y - f_j) / (L |w_y - w_j|)` over all other
classes j, L the constant of everything before the head: logit j can only overtake where `(w_y - w_j)' h` falls by the
margin. It is about the real function of the materialised weights at the logits that are given: what evaluating them has
lost is the caller's `error`. Radii are rounded down; a tie, or a class that is not the greatest, has the radius 0.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.arithmetic.norms import difference_norms_up
from sdpcert.layers.cayley import CayleyLinear
from sdpcert.layers.divisors import one_for_zero
from sdpcert.layers.linear import check_sizes
from sdpcert.torch_modules.block import Block
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Operator, array
from sdpcert.torch_modules.norms import norm_upper_bound

Array = np.ndarray
#: Roundings of a radius: one difference, products and a quotient, each of 2^-53.
DOWN = 1 - 2.0**-49


class NormalizedHead(LipschitzLayer):
    """`h -> W h + b` with rows of W of norm one (last-layer normalisation; Singla, Singla, Feizi 2022).

    Inputs (..., in_features), outputs (..., classes). Only the single logits are 1-Lipschitz: the constant of the layer
    is the norm of W, up to sqrt(classes), and that is what `constant` and certificates say. Rows of zeros stay zero.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(in_features=in_features, classes=classes)
        self.weight = nn.Parameter(torch.randn(classes, in_features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(classes, device=device, dtype=dtype)) if bias else None

    @property
    def constant(self) -> float:
        """An upper bound of the norm of the materialised matrix."""
        return math.nextafter(math.sqrt(self.squared_constant()), math.inf)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The normalised weight; with `certified` the constant is its norm."""
        weight = values["weight"]
        largest = weight.detach().abs().amax(1, keepdim=True)
        unit = weight / torch.where(largest > 0, largest, torch.ones_like(largest))
        rows = Operator(unit * one_for_zero(unit.square().sum(1, keepdim=True)).rsqrt())
        block = Block(rows, None, values.get("bias"))
        return replace(block, constant=float(norm_upper_bound(rows))) if certified else block

    def margins(
        self, logits: Tensor, lipschitz: float = 1.0, labels: Tensor | None = None, error: float = 0.0
    ) -> Tensor:
        """Radii (batch,) in float64 of logits (batch, classes); see `certified_radii`."""
        operator = self.materialised().through
        assert isinstance(operator, Operator)
        return _certified(logits, array(operator.weight), lipschitz, labels, error)


class OrthogonalHead(CayleyLinear):
    """`h -> W h + b` with orthonormal rows: 1-Lipschitz, and every difference of two logits is sqrt(2)-Lipschitz.

    Inputs (..., in_features), outputs (..., classes). The rows are a Cayley transform of the parameter. Raises
    ValueError for more classes than features.
    """

    def __init__(
        self,
        in_features: int,
        classes: int,
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        if classes > in_features:
            raise ValueError(f"{classes} rows of {in_features} numbers cannot be orthonormal: use a NormalizedHead")
        super().__init__(in_features, classes, bias, device, dtype)

    def margins(
        self, logits: Tensor, lipschitz: float = 1.0, labels: Tensor | None = None, error: float = 0.0
    ) -> Tensor:
        """Radii (batch,) in float64 of logits (batch, classes), `|w_y - w_j|` being sqrt(2); see `certified_radii`."""
        return _certified(logits, None, lipschitz, labels, error)


def _certified(logits: Tensor, weight: Array | None, lipschitz: float, labels: Tensor | None, error: float) -> Tensor:
    chosen = None if labels is None else array(labels).astype(int)
    return torch.from_numpy(certified_radii(array(logits), weight, lipschitz, chosen, error))


def certified_radii(
    logits: Array, weight: Array | None, lipschitz: float = 1.0, labels: Array | None = None, error: float = 0.0
) -> Array:
    """The least of `(f_y - f_j - 2 error) / (lipschitz |w_y - w_j|)` over all j other than y, rounded down, at least 0.

    `logits` is (batch, classes); `weight` (classes, features) has the rows w_j, None stands for rows of norm one at
    right angles; `labels` (batch,) are the classes y, the greatest logits without them; `error` bounds what is wrong
    with every logit. A class whose row and logit never let it overtake has the radius infinity. Raises ValueError for
    shapes that do not fit and for a constant that is not positive and finite.
    """
    check_radius_arguments(logits, labels, lipschitz)
    if not (math.isfinite(error) and error >= 0):
        raise ValueError(f"the error of the logits must be finite and not negative, not {error!r}")
    chosen = logits.argmax(1) if labels is None else labels
    radii = np.zeros(len(logits))
    for y in np.unique(chosen):
        samples = np.flatnonzero(chosen == y)
        others = np.arange(logits.shape[1]) != y
        gaps = (
            np.full(int(others.sum()), math.sqrt(2))
            if weight is None
            else difference_norms_up(weight[others] - weight[y])
        )
        gaps = np.where(gaps > 0, np.nextafter(gaps * (1 + 2.0**-50) * lipschitz, np.inf), 0.0)
        with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
            # A difference of two floats is zero only if they are equal: ties stay ties.
            margins = np.nextafter(logits[samples, y, None] - logits[np.ix_(samples, others)], -np.inf)
            margins = np.nextafter(margins - 2 * error * (1 + 2.0**-50), -np.inf)
            quotients = np.nextafter(margins / gaps * DOWN, -np.inf)
        quotients = np.where(margins > 0, np.where(gaps > 0, quotients, np.inf), 0.0)
        radii[samples] = np.maximum(quotients.min(1, initial=np.inf), 0.0)
    return np.where(np.isfinite(logits).all(1), radii, 0.0)


def check_radius_arguments(outputs: Array, labels: Array | None, lipschitz: float) -> None:
    """Raise ValueError for labels that do not fit and for a constant that is not positive and finite."""
    if outputs.ndim != 2:
        raise ValueError(f"radii need outputs of shape (batch, classes), not {outputs.shape}")
    if not (math.isfinite(lipschitz) and lipschitz > 0):
        raise ValueError(f"the Lipschitz constant must be positive and finite, not {lipschitz!r}")
    if labels is not None and (
        labels.shape != outputs.shape[:1] or np.any((labels < 0) | (labels >= outputs.shape[1]))
    ):
        raise ValueError(f"labels must be {len(outputs)} numbers below {outputs.shape[1]}")

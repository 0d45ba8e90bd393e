"""Residual 1-Lipschitz layers `x -> x - 2 V' T^-1 phi(V x + b)` with a diagonal rule T >= V V': CPL, SLL and others.

CPL (Meunier et al. 2022) has T = |V|^2, SLL (Araujo et al. 2023, Theorem 3) the rule with learned q. The block has
H = I, G = -2 V' T^-1, U = V and multipliers 2 T^-1.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.layers.divisors import largest_entry, one_for_zero
from sdpcert.layers.gram import gram
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.rules import Rule, own_values
from sdpcert.network.activations import BY_NAME
from sdpcert.torch_modules.block import Block, Hidden
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Geometry, Operator

#: The names of activations with slopes in [0, 1].
ACTIVATIONS = tuple(name for name, make in BY_NAME.items() if np.min(make().alpha) >= 0 and np.max(make().beta) <= 1)


class ResidualLinear(LipschitzLayer):
    """A dense residual layer of `features` numbers with `hidden` neurons; inputs and outputs (..., features).

    `activation` has slopes in [0, 1], as relu, tanh, sigmoid, elu, softplus, softsign and atan have. Raises ValueError
    for others.
    """

    def __init__(
        self,
        features: int,
        hidden: int,
        rule: Rule,
        activation: str = "relu",
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(features=features, hidden=hidden)
        check_activation(activation)
        self.rule, self.activation = rule, activation
        self.weight = nn.Parameter(torch.empty(hidden, features, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(hidden, device=device, dtype=dtype))
        nn.init.xavier_normal_(self.weight)
        self.geometry: Geometry | None = None

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The block of the module's docstring."""
        weight = values["weight"]
        size = largest_entry(weight)
        rows = gram(Operator(weight, self.geometry), size)
        diagonal = self.rule.diagonal(rows, dict(own_values(values, "rule")), certified)
        # Of the weight divided by its size: its T is 0 only in rows of zeros, where every positive number will do.
        factors = one_for_zero(diagonal).reciprocal() * (-2 / size)
        outward = rows.operator.map(lambda w: w * factors.reshape((-1, 1, 1, 1)[: w.dim()])).adjoint()
        inward = Operator(weight, self.geometry)
        return Block(1.0, Hidden(outward, inward, values["bias"], self.activation, factors / -size))


class ResidualConv2d(ResidualLinear):
    """A convolutional residual layer; inputs and outputs (batch, channels, height, width) of any size."""

    def __init__(
        self,
        channels: int,
        hidden: int,
        kernel_size: int,
        rule: Rule,
        activation: str = "relu",
        circular: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__(channels, hidden, rule, activation, device, dtype)
        self.geometry = Geometry.same(kernel_size, circular)
        kernel = torch.empty(hidden, channels, kernel_size, kernel_size, device=device, dtype=dtype)
        self.weight = nn.Parameter(nn.init.xavier_normal_(kernel))


def check_activation(name: str) -> None:
    """Raise ValueError, with the names that do, unless the activation is known to have slopes in [0, 1]."""
    if name not in ACTIVATIONS:
        raise ValueError(f"activation {name!r} is not one of {', '.join(ACTIVATIONS)}")

"""Residual layers `H x + G phi(U x + b)` with a free H: every layer of that form that the condition proves.

With multipliers Lambda the condition is `[H G]'[H G] <= P`, `P = [[I, -U' Lambda], [-Lambda U, 2 Lambda]]`. P >= 0 if
and only if `T = 2 Lambda^-1 >= U U'`, and then `P = S'S` with `S = [[I, -U' Lambda], [0, C]]`, `C'C = 2 Lambda - Lambda
U U' Lambda`. `|[H G] xi| <= |S xi|` for all xi means `[H G] = Q S` with `|Q| <= 1` (Douglas 1966), so

    H = Q_1,    G = -Q_1 U' Lambda + Q_2 C,    Q = [Q_1 Q_2],  |Q| <= 1.

Q = [I 0] is the residual layer of `residual.py`, SLL (Araujo et al. 2023, Theorem 3) with its rule for T. That is
a proper part: `x / 2 + phi(x) / 2`, with the only multiplier 1/2, has another H (compare Wang, Manchester 2023, Example
4.1). What is lost here is what the diagonal rule for T loses, and a factor of 1 + ROOM in T that keeps C invertible.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.layers.divisors import largest_entry
from sdpcert.layers.family import Family
from sdpcert.layers.gram import gram
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.residual import check_activation
from sdpcert.layers.rules import AOL, Rule, own_values
from sdpcert.layers.sandwich import contracted_cayley
from sdpcert.torch_modules.block import Block, Hidden
from sdpcert.torch_modules.certified import LipschitzLayer
from sdpcert.torch_modules.geometry import Operator

#: T is at least so much larger than the rule's, relative. The factor C then has singular values of about 0.1 and more
#: (relative to Lambda^(1/2)): rounding of H and G counts at most tenfold.
ROOM = 0.01
#: Where the logarithm of the learned excess of T starts: T is then the rule's, nearly.
LITTLE = -6.0


class GeneralResidual(LipschitzLayer):
    """A dense layer `H x + G phi(U x + b) + c`; inputs (..., features_in), outputs (..., features_out).

    `hidden` neurons; `rule` gives T >= U U'. Q comes from the Cayley transform and starts at [I 0], so that a square
    layer starts as a residual layer of that rule. The learned `excess` makes T larger than the rule's. Raises
    ValueError for sizes that are not positive and for activations with slopes outside [0, 1].
    """

    def __init__(
        self,
        features_in: int,
        features_out: int,
        hidden: int,
        rule: Rule,
        activation: str = "relu",
        bias: bool = True,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        check_sizes(features_in=features_in, features_out=features_out, hidden=hidden)
        check_activation(activation)
        self.features_in, self.features_out, self.hidden = features_in, features_out, hidden
        self.rule, self.activation = rule, activation
        self.weight = nn.Parameter(torch.empty(hidden, features_in, device=device, dtype=dtype))
        self.bias = nn.Parameter(torch.zeros(hidden, device=device, dtype=dtype))
        self.shift = nn.Parameter(torch.zeros(features_out, device=device, dtype=dtype)) if bias else None
        self.excess = nn.Parameter(torch.full((hidden,), LITTLE, device=device, dtype=dtype))
        # X and Y: [Q_1 Q_2]' has orthonormal columns, or Q_1 alone has orthonormal rows, whichever fits the shape.
        wide = features_in + hidden
        small, large = min(features_out, wide), max(features_out, wide)
        self.square = nn.Parameter(torch.zeros(small, small, device=device, dtype=dtype))
        self.tall = nn.Parameter(torch.zeros(large - small, small, device=device, dtype=dtype))
        nn.init.xavier_normal_(self.weight)
        with torch.no_grad():
            # At zero the transform has a gradient in X; a little of Y moves Q_2 and what lies beyond the features.
            self.tall.normal_(std=0.01 / large**0.5)

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The block of the module's docstring."""
        weight = values["weight"]
        size = largest_entry(weight)
        unit = weight / size
        # Estimates of T will not do in training either: C would not exist.
        diagonal = self.rule.diagonal(gram(Operator(unit)), dict(own_values(values, "rule")), True)
        positive = diagonal > 0
        # Neurons that read nothing may have any multiplier.
        diagonal = torch.where(positive, diagonal, torch.ones_like(diagonal))
        diagonal = diagonal * (1 + ROOM + nn.functional.softplus(values["excess"]))
        root = (2 / diagonal).sqrt()  # Lambda^(1/2), times `size`
        normal = root[:, None] * unit  # Lambda^(1/2) U
        identity = torch.eye(self.hidden, dtype=normal.dtype, device=normal.device)
        upper = torch.linalg.cholesky(2 * identity - normal @ normal.mT).mT
        through, beyond = self._contraction(values, certified)
        outward = (-through @ normal.mT + beyond @ upper) * (root / size)
        multipliers = root.square() / size / size
        hidden = Hidden(Operator(outward), Operator(weight), values["bias"], self.activation, multipliers)
        return Block(Operator(through), hidden, values.get("shift"))

    def _contraction(self, values: Mapping[str, Tensor], certified: bool) -> tuple[Tensor, Tensor]:
        """Q_1 (out, in) and Q_2 (out, hidden), with room for rounding where it counts more than in other layers."""
        columns = torch.cat(contracted_cayley(values["square"], values["tall"], certified))
        inside = self.features_out <= self.features_in + self.hidden
        contraction = columns.mT if inside else columns
        rank = math.sqrt(min(contraction.shape))
        contraction = contraction * (1 - 8 * torch.finfo(self.weight.dtype).eps * rank)
        return contraction[:, : self.features_in], contraction[:, self.features_in :]


FAMILY = Family(
    "general-residual",
    "every block with free H (general_residual.py)",
    "residual layer H x + G phi(U x + b) with free H",
    lambda n, m: GeneralResidual(n, n, m, AOL()),
)

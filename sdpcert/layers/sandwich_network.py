"""Whole networks with a Lipschitz constant by construction, and every network whose certificate proves that constant.

With `A_k A_k' + B_k B_k' = I` from the Cayley transform and Psi_k positive and diagonal, the weights

    W_k = 2 Psi_k^-1 B_k A_{k-1}' Psi_{k-1},   A_{-1} = I,  Psi_{-1} = sqrt(gamma / 2) I,  Psi_L = sqrt(2 / gamma) I

and multipliers `T_k = gamma Psi_k^2` satisfy the condition with `rho = gamma^2`, because scaled by Psi it is

    2 sum_(k < L) |A_{k-1}' z_{k-1} - B_k' z_k|^2 + 2 z' A_{L-1} (I - B_L' B_L) A_{L-1}' z >= 0,   z = z_{L-1},

and every feasible point is of this form (Wang, Manchester 2023, Theorem 3.1; its main text has half the multipliers,
which are infeasible as a rule).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.layers.completeness import affine_chain, feasible_scales, fold_idle
from sdpcert.layers.family import Family
from sdpcert.layers.linear import check_sizes
from sdpcert.layers.residual import check_activation
from sdpcert.layers.sandwich import (
    as_number,
    bounded_scale,
    contracted_cayley,
    gamma_and_logarithm,
    gamma_of,
)
from sdpcert.network.activations import activation_by_name
from sdpcert.network.affine import Dense
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.block import Block, for_own_slopes
from sdpcert.torch_modules.certified import LEAST_MARGIN, LipschitzLayer
from sdpcert.torch_modules.geometry import Operator, array

if TYPE_CHECKING:
    from sdpcert.certificate import Certificate
    from sdpcert.network.graph import Network

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class Chain(Block):
    """A block of several hidden layers: dense weights and biases with one activation between them.

    `multipliers` has one tensor per hidden layer, with which the condition holds for `rho = constant^2`.
    """

    weights: tuple[Tensor, ...] = ()
    biases: tuple[Tensor | None, ...] = ()
    activation: str = "relu"
    multipliers: tuple[Tensor, ...] = ()

    def __call__(self, inputs: Tensor) -> Tensor:
        """Apply to a batch (..., in)."""
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            inputs = activation_by_name(self.activation).on_torch(inputs) if k else inputs
            inputs = nn.functional.linear(inputs, weight, bias)
        return inputs

    @property
    def reader(self) -> Operator:
        """The first weight."""
        return Operator(self.weights[0])

    def map(self, function: Callable[[Tensor], Tensor]) -> Chain:
        """The chain with the function applied to every weight and bias."""
        weights = tuple(function(w) for w in self.weights)
        return replace(self, weights=weights, biases=tuple(None if b is None else function(b) for b in self.biases))

    def scaled(self, factor: float) -> Chain:
        """The chain with its last weight times `factor`."""
        return replace(self, weights=(*self.weights[:-1], self.weights[-1] * factor))

    def add_to(self, graph: Graph, value: int) -> int:
        """Append the layers to a graph and return the number of the output."""
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if k:
                value = graph.add(activation_by_name(self.activation), value)
            value = graph.add(Dense(array(weight), None if bias is None else array(bias)), value)
        return value

    def neuron_multipliers(self, shape: tuple[int, ...], scale: float) -> list[Array]:
        """`scale` times the multipliers of the hidden layers."""
        return [for_own_slopes(activation_by_name(self.activation), array(given) * scale) for given in self.multipliers]

    def module(self) -> nn.Module:
        """`nn.Linear` and activations in an `nn.Sequential`."""
        parts: list[nn.Module] = []
        for k, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            if k:
                parts.append(activation_by_name(self.activation).module())
            parts.append(Operator(weight).module(bias))
        return nn.Sequential(*parts)


class SandwichNetwork(LipschitzLayer):
    """Dense layers of `widths` (inputs, hidden layers, outputs), gamma-Lipschitz together; no bound per layer.

    Inputs (..., widths[0]), outputs (..., widths[-1]). `gamma` is positive; with `learn_gamma` it is where a learned
    one starts. `activation` has slopes in [0, 1]. Raises ValueError for fewer than two widths, sizes and constants that
    are not positive, and other activations.
    """

    def __init__(
        self,
        widths: Sequence[int],
        gamma: float = 1.0,
        activation: str = "relu",
        bias: bool = True,
        learn_gamma: bool = False,
        device: torch.device | None = None,
        dtype: torch.dtype | None = None,
    ) -> None:
        super().__init__()
        if len(widths) < 2:
            raise ValueError(f"a network needs the widths of its input and output, not {list(widths)}")
        check_sizes(**{f"widths[{k}]": int(n) for k, n in enumerate(widths)})
        check_activation(activation)
        self.widths, self.activation = tuple(int(n) for n in widths), activation
        kwargs: dict[str, Any] = {"device": device, "dtype": dtype}
        outs, ins = self.widths[1:], self.widths[:-1]
        # X_k and Y_k of the Cayley transforms; Psi_k of the hidden layers.
        self.square = nn.ParameterList(nn.Parameter(torch.empty(n, n, **kwargs)) for n in outs)
        self.tall = nn.ParameterList(nn.Parameter(torch.empty(m, n, **kwargs)) for m, n in zip(ins, outs, strict=True))
        self.log_scale = nn.ParameterList(nn.Parameter(torch.zeros(n, **kwargs)) for n in outs[:-1])
        self.bias = nn.ParameterList(nn.Parameter(torch.zeros(n, **kwargs)) for n in outs) if bias else None
        self.gamma, self.log_gamma = gamma_and_logarithm(gamma, learn_gamma, device, dtype)
        for parameter in [*self.square, *self.tall]:
            nn.init.xavier_normal_(parameter)

    @property
    def constant(self) -> float:
        """The claimed Lipschitz constant."""
        return as_number(gamma_of(self.gamma, self.log_gamma, torch.float64))

    @property
    def shrink(self) -> float:
        """What every `[A_k B_k]` is multiplied with: then the condition holds strictly and bears rounded weights.

        Joint scaling of rho and multipliers does not do that: it adds nothing in directions that never reach the
        output.
        """
        rounding = 4 * torch.finfo(self.square[0].dtype).eps * max(self.widths) ** 0.5
        return (1 - max(rounding, LEAST_MARGIN)) ** 0.5

    def block(self, values: Mapping[str, Tensor], certified: bool) -> Chain:
        """The weights of the module's docstring, with `[A_k B_k]` divided by their norms if those are above one."""
        count = len(self.widths) - 1
        first = values["square.0"]
        gamma = gamma_of(self.gamma, values.get("log_gamma"), first.dtype)
        psi = [bounded_scale(values[f"log_scale.{k}"]) for k in range(count - 1)]
        weights: list[Tensor] = []
        before: Tensor | None = None  # A_{k-1}' Psi_{k-1}
        for k in range(count):
            top, bottom = contracted_cayley(values[f"square.{k}"], values[f"tall.{k}"], certified)
            # 2 Psi_{-1} = sqrt(2 gamma), and 2 Psi_L^-1 as well.
            weight = bottom.mT * self.shrink
            weight = weight * (2 * gamma) ** 0.5 if before is None else weight @ before
            if k < count - 1:
                weight = weight / psi[k][:, None] if before is None else 2 * weight / psi[k][:, None]
                before = self.shrink * top * psi[k]
            else:
                # Without hidden layers 2 Psi_L^-1 Psi_{-1} = gamma I, so W_0 = gamma B_0.
                weight = weight * ((gamma / 2) ** 0.5 if before is None else (2 * gamma) ** 0.5)
            weights.append(weight)
        biases = tuple(values.get(f"bias.{k}") for k in range(count))
        multipliers = tuple(gamma * p.square() for p in psi)
        return Chain(None, None, None, as_number(gamma), tuple(weights), biases, self.activation, multipliers)

    def _set(self, weights: list[Tensor], biases: list[Array], scales: list[Tensor]) -> None:
        """Set the parameters to those with the given weights, layer by layer.

        From feasible multipliers `T_k = gamma Psi_k^2` the factors follow: `B_k = Psi_k W_k Psi_{k-1}^-1 A_{k-1}^-T /
        2`, and A_k is the positive root of `I - B_k B_k'`, which is positive because the condition holds (Wang,
        Manchester 2023, Theorem 3.1). So I + A_k is well conditioned, and the Cayley transform is inverted by X_k = 0
        and `Y_k = -B_k' (I + A_k)^-1`, because `Z = (I - A) (I + A)^-1 = Y'Y`. Each layer is computed from the rounded
        one before it.
        """
        gamma, last = self.gamma, len(weights) - 1
        before: Tensor | None = None
        with torch.no_grad():
            for k, weight in enumerate(weights):
                # What materialised weights are shrunk by is put on top here.
                wanted = weight / self.shrink
                if k == last:
                    wanted = wanted / (1 - self.margin)
                if before is not None:
                    wanted = torch.linalg.solve(before.mT, wanted.mT).mT
                if k < last:
                    self.log_scale[k].copy_(scales[k])
                    psi = bounded_scale(self.log_scale[k].double())
                    scaled = psi[:, None] * wanted / (2 if before is not None else (2 * gamma) ** 0.5)
                else:
                    psi = None
                    scaled = wanted / (gamma if before is None else (2 * gamma) ** 0.5)
                values, vectors = torch.linalg.eigh(scaled @ scaled.mT)
                room = 1 - values
                # The last A is not inverted; the others lose half of the digits if the room is 1e-16.
                if not bool((room > (1e-14 if k < last else -1e-12)).all()):
                    shrunk = self.shrink ** -max(2 * last, 1) / (1 - self.margin) - 1
                    raise ValueError(
                        f"gamma {gamma!r} is too close to the certified constant: materialised weights need it larger "
                        f"by {shrunk:.1e}, relative (the factor of layer {k} has the norm "
                        f"{float(values.max()) ** 0.5!r}, which has to be below 1)"
                    )
                inverse = (vectors / (1 + room.clamp_min(0).sqrt())) @ vectors.mT
                self.square[k].zero_()
                self.tall[k].copy_(-scaled.mT @ inverse)
                if self.bias is not None:
                    self.bias[k].copy_(torch.from_numpy(biases[k]))
                top, _ = contracted_cayley(self.square[k].double(), self.tall[k].double(), certified=True)
                before = None if psi is None else self.shrink * top * psi

    @staticmethod
    def from_network(
        network: Network | Sequence[Any],
        gamma: float,
        certificate: Certificate | None = None,
        activation: str = "relu",
        dtype: torch.dtype = torch.float64,
    ) -> SandwichNetwork:
        """The sandwich network with constant `gamma` that computes what the given network computes.

        `network` is a chain of affine layers with one elementwise activation of slopes [0, 1] (inputs are flattened),
        or a sequence of weights, or of pairs of weight and bias, with `activation` between them. `certificate` is one
        of method "neuron" or "layer" for it; without, the network is certified, with slopes [0, 1]. `gamma` has to be
        above the certified constant by a few 1e-6 per layer, relative, which materialised weights need as room. Raises
        ValueError if it is not, for other networks, and for a certificate of another network.
        """
        weights, biases, activation = affine_chain(network, activation)
        alive = fold_idle(weights, biases, activation)
        scales = feasible_scales(weights, alive, float(gamma), certificate)
        made = SandwichNetwork([weights[0].shape[1], *map(len, weights)], gamma, activation, dtype=dtype)
        made._set([torch.from_numpy(w) for w in weights], biases, scales)
        return made


FAMILY = Family(
    "sandwich-network",
    "Wang, Manchester 2023, Theorem 3.1",
    "a whole network of sandwich layers with coupled weights and one constant",
    lambda n, m: SandwichNetwork([n, m, m, n]),
)

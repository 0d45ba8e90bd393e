"""The block that every layer states: `y = H x + G phi(U x + b) + c` with the multipliers that make it Lipschitz.

A block with constant gamma and multipliers Lambda >= 0 satisfies, for slopes [0, 1],

    [gamma^2 I - H'H,  -H'G - U' Lambda ]
    [      .        ,   2 Lambda - G'G  ]  >= 0,

which is the condition of the stacked form for one hidden layer (see `docs/layers.md`). Linear layers have no hidden
part, sandwich layers no H.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor, nn

from sdpcert.network.activations import Activation, activation_by_name
from sdpcert.network.affine import Scale, Sum
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.geometry import Operator, array

Array = np.ndarray


def for_own_slopes(kind: Activation, multipliers: Array) -> Array:
    """The multipliers that do for the activation's own slopes what the given ones do for slopes [0, 1].

    For slopes [0, beta], beta <= 1, `z (z - v) <= z (z - beta v) / beta`: the multiplier over beta is as good. Raises
    ValueError for other slopes.
    """
    alpha, beta = np.asarray(kind.alpha, dtype=float), np.asarray(kind.beta, dtype=float)
    if np.any(alpha != 0) or np.any(beta > 1) or np.any(beta <= 0):
        raise ValueError(f"activation {kind.name!r} has slopes outside [0, 1]")
    return multipliers / beta


@dataclass(frozen=True, eq=False)
class Hidden:
    """The nonlinear part `G phi(U x + bias)`; `multipliers` has one entry per hidden channel."""

    outward: Operator
    inward: Operator
    bias: Tensor | None
    activation: str
    multipliers: Tensor

    def map(self, function: Callable[[Tensor], Tensor]) -> Hidden:
        """The hidden part with the function applied to its weights and bias; multipliers stay as they are."""
        return Hidden(
            self.outward.map(function),
            self.inward.map(function),
            None if self.bias is None else function(self.bias),
            self.activation,
            self.multipliers,
        )


@dataclass(frozen=True, eq=False)
class Block:
    """`y = H x + G phi(U x + b) + c`.

    `through` is H: an `Operator`, a number (that multiple of the identity), or None for zero. `hidden` is the
    nonlinear part, None for linear layers. `shift` is c. `constant` is the claimed Lipschitz constant.
    """

    through: Operator | float | None
    hidden: Hidden | None = None
    shift: Tensor | None = None
    constant: float = 1.0

    def __call__(self, inputs: Tensor) -> Tensor:
        """Apply to a batch."""
        result: Tensor | float = 0.0
        if isinstance(self.through, Operator):
            result = self.through(inputs, self.shift)
        elif self.through is not None:
            result = inputs if self.through == 1.0 else self.through * inputs
        if self.hidden is not None:
            inner = activation_by_name(self.hidden.activation).on_torch(self.hidden.inward(inputs, self.hidden.bias))
            shift = None if isinstance(self.through, Operator) else self.shift
            outer = self.hidden.outward(inner, shift)
            result = outer if self.through is None else result + outer
        return result  # type: ignore[return-value]

    def map(self, function: Callable[[Tensor], Tensor]) -> Block:
        """The block with the function applied to every weight and bias."""
        return replace(
            self,
            through=self.through.map(function) if isinstance(self.through, Operator) else self.through,
            hidden=None if self.hidden is None else self.hidden.map(function),
            shift=None if self.shift is None else function(self.shift),
        )

    @property
    def reader(self) -> Operator | None:
        """An operator that reads the block's input: it knows the input's channels."""
        if self.hidden is not None:
            return self.hidden.inward
        return self.through if isinstance(self.through, Operator) else None

    def tensors(self) -> list[Tensor]:
        """All weights and biases, in a fixed order."""
        found: list[Tensor] = []
        self.map(lambda t: (found.append(t), t)[1])
        return found

    def scaled(self, factor: float) -> Block:
        """`factor` times the linear and nonlinear part: the constant of the map without its shift shrinks so."""
        through = self.through
        if isinstance(through, Operator):
            through = through.map(lambda w: w * factor)
        elif through is not None:
            through = through * factor
        hidden = self.hidden
        if hidden is not None:
            hidden = replace(hidden, outward=hidden.outward.map(lambda w: w * factor))
        return replace(self, through=through, hidden=hidden)

    def add_to(self, graph: Graph, value: int) -> int:
        """Append the block to a graph and return the number of its output."""
        outer: int | None = None
        if self.hidden is not None:
            hidden = self.hidden
            inner = graph.add(hidden.inward.layer(hidden.bias), value)
            activated = graph.add(activation_by_name(hidden.activation), inner)
            outer = graph.add(hidden.outward.layer(self.shift), activated)
        if self.through is None:
            assert outer is not None
            return outer
        if isinstance(self.through, Operator):
            direct = graph.add(self.through.layer(self.shift if outer is None else None), value)
        else:
            direct = graph.add(Scale(self.through), value)
        return direct if outer is None else graph.add(Sum(), direct, outer)

    def neuron_multipliers(self, shape: tuple[int, ...], scale: float) -> list[Array]:
        """`scale` times the multipliers of the activations that `add_to` appends to a value of that shape, in their
        order.
        """
        if self.hidden is None:
            return []
        multipliers = array(self.hidden.multipliers) * scale
        multipliers = multipliers[:, None, None] if len(shape) == 3 else multipliers
        return [for_own_slopes(activation_by_name(self.hidden.activation), multipliers)]

    def module(self) -> nn.Module:
        """The block made of stock torch modules."""
        if self.hidden is None:
            assert isinstance(self.through, Operator)
            return self.through.module(self.shift)
        return PlainBlock(self)


class PlainBlock(nn.Module):
    """A block as stock modules: `through` (a module, a number or None), `inward`, `outward` and an activation."""

    def __init__(self, block: Block) -> None:
        super().__init__()
        hidden = block.hidden
        assert hidden is not None
        linear = block.through if isinstance(block.through, Operator) else None
        self.direct = None if linear is None else linear.module(None)
        self.scale = None if isinstance(block.through, Operator) else block.through
        self.inward = hidden.inward.module(hidden.bias)
        self.outward = hidden.outward.module(block.shift)
        self.activation = hidden.activation

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to a batch."""
        result = self.outward(activation_by_name(self.activation).on_torch(self.inward(inputs)))
        if self.direct is not None:
            return self.direct(inputs) + result
        return result if self.scale is None else self.scale * inputs + result

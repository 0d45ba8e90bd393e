"""Nonexpansive activations: each states how it enters the condition, with multipliers in closed form.

All that sort or reflect are ReLU neurons with linear feed-through (`network/piecewise.py`): with `u = relu(a - b)`,
`max = b + u`, `min = a - u` the form `a^2 + b^2 - max^2 - min^2 = 2 u (a - b - u)` is the neuron's own sector term, so
the multiplier 1 proves the constant 1. A reflection `z = v + 2 w relu(-w'v)` of a unit vector w has the multiplier 2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.network import piecewise
from sdpcert.network.activations import activation_by_name
from sdpcert.network.graph import Graph
from sdpcert.torch_modules.certified import Certified
from sdpcert.torch_modules.functions import Function
from sdpcert.torch_modules.geometry import array
from sdpcert.torch_modules.multipliers import STRICT, nonexpansive_multiplier

Array = np.ndarray


class Nonexpansive(Certified):
    """An activation with Lipschitz constant 1 and no weights to materialise."""

    def squared_constant(self) -> float:
        """One, and what makes the inequality strict."""
        return 1 + 2 * STRICT

    def export(self) -> nn.Module:
        """The module itself: its parameters, if any, are used as they are."""
        import copy

        return copy.deepcopy(self)


class Elementwise(Nonexpansive):
    """An elementwise activation with slopes [alpha, beta] in [-1, 1], by the certifier's name ("relu", "tanh", ...).

    The multiplier is `(1 - alpha beta) / (beta - alpha)^2`, the best one for `v^2 - z^2 + 2 lambda (z - alpha v) (z -
    beta v) >= 0`, which is solvable because `(1 - beta) (1 + alpha) >= 0`. Raises ValueError for steeper activations.
    """

    def __init__(self, name: str = "relu") -> None:
        super().__init__()
        self.name = name
        kind = activation_by_name(name)
        if np.any(np.asarray(kind.beta) > 1) or np.any(np.asarray(kind.alpha) < -1):
            raise ValueError(f"activation {name!r} has slopes beyond [-1, 1]: it is not 1-Lipschitz")

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to every entry."""
        return activation_by_name(self.name).on_torch(inputs)

    def add_to(self, graph: Graph, value: int) -> int:
        """One neuron per entry."""
        return graph.add(activation_by_name(self.name), value)

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float | Array]:
        """One for all neurons."""
        return [nonexpansive_multiplier(activation_by_name(self.name), downstream)]

    def extra_repr(self) -> str:
        return self.name


class Abs(Elementwise):
    """The absolute value."""

    def __init__(self) -> None:
        super().__init__("abs")


class MaxMin(Nonexpansive):
    """Neighbouring channels (0, 1), (2, 3), ... sorted upwards (GroupSort of 2; Anil, Lucas, Grosse 2019).

    Channels are axis 1 of inputs (batch, channels, ...). Raises ValueError for an odd number of channels.
    """

    def forward(self, inputs: Tensor) -> Tensor:
        """Sort the pairs."""
        if inputs.shape[1] % 2:
            raise ValueError(f"MaxMin needs an even number of channels, not {inputs.shape[1]}")
        if inputs.requires_grad and torch.is_grad_enabled():
            return _SortedPairs.apply(inputs)[0]  # type: ignore[no-any-return]
        first, second = inputs[:, 0::2], inputs[:, 1::2]
        return _paired(torch.minimum(first, second), torch.maximum(first, second))

    def add_to(self, graph: Graph, value: int) -> int:
        """One ReLU neuron per pair."""
        return piecewise.maxmin(graph, value)

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float | Array]:
        """One for all neurons."""
        return [downstream * (1 + STRICT)]


class _SortedPairs(Function):
    """The sorted pairs, further output which of them were in order; the gradient goes where the values came from.

    Torch's gradient of `minimum` and `maximum` shares it between equal values, for which it compares and masks all of
    them four times: three times as much work as everything else here.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(inputs: Tensor) -> Any:
        first, second = inputs[:, 0::2], inputs[:, 1::2]
        return _paired(torch.minimum(first, second), torch.maximum(first, second)), first <= second

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.save_for_backward(output[1])
        ctx.save_for_forward(output[1])
        ctx.mark_non_differentiable(output[1])
        ctx.set_materialize_grads(False)  # of zeros for what has no gradient

    @staticmethod
    def backward(ctx: Any, given: Tensor | None, _: Tensor) -> Any:
        if given is None:  # no output has a gradient
            return None
        return _exchanged(given, ctx.saved_tensors[0])

    @staticmethod
    def jvp(ctx: Any, given: Tensor) -> Any:
        return _exchanged(given, ctx.saved_tensors[0]), None


def _exchanged(values: Tensor, ordered: Tensor) -> Tensor:
    """The pairs as they are where they are in order, and the other way round elsewhere."""
    first, second = values[:, 0::2], values[:, 1::2]
    return _paired(torch.where(ordered, first, second), torch.where(ordered, second, first))


def _paired(first: Tensor, second: Tensor) -> Tensor:
    """Channels 0, 2, ... and 1, 3, ... as one tensor."""
    return torch.stack([first, second], dim=2).flatten(1, 2)


class Householder(Nonexpansive):
    """A learned reflection of every pair of channels (Singla, Singla, Feizi 2022, order 1).

    Channel k is paired with channel k + channels / 2; the pair is reflected by the line at angle `angle / 2` where it
    lies below it: `z = v + 2 w relu(-w'v)`, `w = (-sin(angle / 2), cos(angle / 2))`. `angle` of pi / 2 is MaxMin.
    """

    def __init__(self, channels: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        if channels < 2 or channels % 2:
            raise ValueError(f"Householder needs an even number of channels, not {channels}")
        self.angle = nn.Parameter(torch.full((channels // 2,), np.pi / 2, device=device, dtype=dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        """Reflect."""
        return fold(inputs, self.angle)

    def add_to(self, graph: Graph, value: int) -> int:
        """One ReLU neuron per pair."""
        return add_fold(graph, value, self.angle)

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float | Array]:
        """One for all neurons."""
        return [fold_multiplier(downstream)]


class Householder2(Nonexpansive):
    """Two reflections one after the other: a fan of four sectors, the published activation of order 2.

    Folding along the line at `first / 2` and then along the one at `second / 2` is an isometry on each of four sectors
    with opposite angles that add up to pi, continuous everywhere: unlike an implementation with sectors found by
    `atan2`, it has no edge at which the output jumps.
    """

    def __init__(self, channels: int, device: torch.device | None = None, dtype: torch.dtype | None = None) -> None:
        super().__init__()
        if channels < 2 or channels % 2:
            raise ValueError(f"Householder2 needs an even number of channels, not {channels}")
        self.first = nn.Parameter(torch.zeros(channels // 2, device=device, dtype=dtype))
        self.second = nn.Parameter(torch.full((channels // 2,), np.pi / 2, device=device, dtype=dtype))

    def forward(self, inputs: Tensor) -> Tensor:
        """Reflect twice."""
        return fold(fold(inputs, self.first), self.second)

    def squared_constant(self) -> float:
        """Two activations."""
        return super().squared_constant() ** 2

    def add_to(self, graph: Graph, value: int) -> int:
        """Two ReLU neurons per pair."""
        return add_fold(graph, add_fold(graph, value, self.first), self.second)

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float | Array]:
        """The multipliers of the first fold carry what the second one is strict by."""
        return [fold_multiplier(downstream * super().squared_constant()), fold_multiplier(downstream)]


def reflection(angle: Tensor) -> tuple[Tensor, Tensor]:
    """The vector w of a fold, in the angle's precision and a little shorter than one, so that `|I - 2 w w'| <= 1`."""
    shrink = 1 - 2 * torch.finfo(angle.dtype).eps
    return -torch.sin(angle / 2) * shrink, torch.cos(angle / 2) * shrink


def fold(inputs: Tensor, angle: Tensor) -> Tensor:
    """Reflect the pairs (channel k, channel k + half) that lie below the line at `angle / 2`."""
    half = inputs.shape[1] // 2
    w1, w2 = (w.reshape(half, *(1,) * (inputs.dim() - 2)) for w in reflection(angle))
    x, y = inputs[:, :half], inputs[:, half:]
    below = torch.relu(-w1 * x - w2 * y)
    return torch.cat([x + 2 * w1 * below, y + 2 * w2 * below], dim=1)


def add_fold(graph: Graph, value: int, angle: Tensor) -> int:
    """The fold of `fold` as ReLU neurons."""
    shape = graph.shape(value)
    indices = np.arange(int(np.prod(shape))).reshape(shape)
    half = shape[0] // 2
    w1, w2 = (array(w).reshape(half, *(1,) * (len(shape) - 1)) for w in reflection(angle))
    return piecewise.reflected_pairs(graph, value, indices[:half], indices[half:], w1, w2)


def fold_multiplier(downstream: float) -> float:
    """The multiplier of the neurons of a fold."""
    return 2 * downstream * (1 + STRICT)

"""What every 1-Lipschitz layer of the toolkit is: parameters, a block made of them, and materialised weights.

In training mode the weights are a differentiable function of the parameters in the parameters' own precision. In
evaluation mode they are the materialised weights: computed in float64 with norms bounded from above, multiplied by `1 -
margin` and rounded, so that the constant of the rounded weights is at most the claimed one. These are the weights that
`export` hands out and that certificates are about. Training in float32 leaves the margin out: it is of the size of the
rounding, and would cost a pass over the weights, forward and backward.
"""

from __future__ import annotations

import copy
import functools
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeVar, cast

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.network.graph import Graph
from sdpcert.torch_modules.block import Block

Array = np.ndarray
#: The least shrink of materialised weights. Rounding of float32 weights needs less; a proof of a deep chain in float64
#: needs about this much room (a chain of eight residual layers in float64: 1e-7 was not enough).
LEAST_MARGIN = 2.0**-20
#: Share of a layer's margin that is spent on making its inequality strict.
SPENT = 0.25


_F = TypeVar("_F", bound=Callable[..., Any])


def _eager(function: _F) -> _F:
    """The function, left out of what `torch.compile` traces.

    `torch.compiler.disable` would do so as well, but loads the compiler: two seconds for every import of a layer. Torch
    decorates its own functions with `_disable_dynamo`, which loads it when the function is called; here, only if that
    is while something is compiled.
    """
    outside = torch._disable_dynamo(function)

    @functools.wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        return (outside if torch.compiler.is_compiling() else function)(*args, **kwargs)

    return cast(_F, call)


class Certified(nn.Module):
    """A module with a Lipschitz constant that it can prove; see `LipschitzLayer` for those with weights."""

    #: The claimed Lipschitz constant.
    constant: float = 1.0

    def squared_constant(self) -> float:
        """The square of the constant that the multipliers are feasible for, strictly; the proof's rho."""
        raise NotImplementedError

    def add_to(self, graph: Graph, value: int) -> int:
        """Append the layer to a certifier's graph and return the number of its output."""
        raise NotImplementedError

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> Sequence[float | Array]:
        """The multipliers of the activations that `add_to` appends to a value of that shape (without batch axis), in
        their order; each broadcasts against what its activation reads.

        `downstream` is the squared gain of everything after the layer, which multiplies the layer's own multipliers.
        """
        return ()

    def export(self) -> nn.Module:
        """The layer as stock torch modules with its materialised weights."""
        raise NotImplementedError


class LipschitzLayer(Certified, ABC):
    """A layer whose weights are a function of its parameters that keeps it Lipschitz.

    A family defines `block`. Everything else follows: forward in both modes, `materialised`, `export`, the graph.
    """

    def __init__(self) -> None:
        super().__init__()
        self._cache: tuple[dict[str, object], Block] | None = None

    @abstractmethod
    def block(self, values: Mapping[str, Tensor], certified: bool) -> Block:
        """The block as a differentiable function of the parameters `values` (by name).

        With `certified` every norm in it has to be bounded from above; without, an estimate will do.
        """

    @property
    def margin(self) -> float:
        """How much smaller than the claim the materialised weights are made, relative."""
        return margin_of(self._kept())

    @_eager
    def materialised(self, values: Mapping[str, Tensor] | None = None) -> Block:
        """The block with materialised weights, for which the claimed constant holds; multipliers are float64.

        It is computed anew whenever a parameter or a setting differs from what it was computed from, whatever changed
        it. `values` stand for the layer's own parameters. The tensors are copies: writing into them changes nothing
        that runs. Raises ValueError if a parameter is not finite.
        """
        return copy.deepcopy(self._kept(values))

    def forward(self, inputs: Tensor) -> Tensor:
        """Apply to a batch; see the class for the shapes."""
        return self._running(None, self._kept)(inputs)

    def current(self, values: Mapping[str, Tensor] | None = None) -> Block:
        """The block that `forward` applies: differentiable in training mode, else a copy of the materialised one."""
        return self._running(values, self.materialised)

    @_eager
    def _kept(self, values: Mapping[str, Tensor] | None = None) -> Block:
        """The materialised block itself, which never leaves the layer: who writes into it changes what runs."""
        values = dict(self.named_parameters()) if values is None else values
        made_from: dict[str, object] = {**values, **_settings(self)}
        if self._cache is None or not _same(self._cache[0], made_from):
            _check_finite(self, values)
            first = next(iter(values.values()))
            with torch.no_grad(), torch.autocast(device_type=first.device.type, enabled=False):
                wide = self.block({k: v.detach().to(torch.float64) for k, v in values.items()}, certified=True)
                block = wide.scaled(1 - margin_of(wide, first.dtype)).map(lambda t: t.to(first.dtype, copy=True))
            self._cache = ({k: copied(v) for k, v in made_from.items()}, block)
        return self._cache[1]

    def _running(self, values: Mapping[str, Tensor] | None, weights: Callable[[Mapping[str, Tensor]], Block]) -> Block:
        values = dict(self.named_parameters()) if values is None else values
        if self.training:
            return self._differentiable(values)
        block = weights(values)
        if not (torch.is_grad_enabled() and any(v.requires_grad for v in values.values())):
            return block
        # Values of the materialised weights, gradients of the differentiable ones.
        following = iter([t - t.detach() for t in self._differentiable(values).tensors()])
        return block.map(lambda t: t + next(following))

    def _differentiable(self, values: Mapping[str, Tensor]) -> Block:
        first = next(iter(values.values()))
        with torch.autocast(device_type=first.device.type, enabled=False):
            block = self.block(values, certified=False)
            return block if first.dtype == torch.float32 else block.scaled(1 - margin_of(block))

    @property
    def reads_neighbours(self) -> bool:
        """Whether the layer reads around a pixel."""
        return any(t.dim() == 4 for t in self._kept().tensors())

    def squared_constant(self) -> float:
        """The square of the constant that the layer's multipliers are strictly feasible for."""
        block = self._kept()
        own = block.constant * (1 - margin_of(block))
        return own**2 * (1 + 2 * SPENT * margin_of(block))

    def add_to(self, graph: Graph, value: int) -> int:
        """Append the materialised block."""
        return self._kept().add_to(graph, value)

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> Sequence[float | Array]:
        """Those of the block for its materialised weights, which are smaller than the claim needs."""
        block = self._kept()
        margin = margin_of(block)
        return block.neuron_multipliers(shape, downstream * (1 - margin) ** 2 * (1 + SPENT * margin))

    def export(self) -> nn.Module:
        """The layer as `nn.Linear`, `nn.Conv2d` or a `PlainBlock` of them, with its materialised weights."""
        return self._kept().module()

    def __getstate__(self) -> dict[str, object]:
        # Copies and saved files carry no cache.
        return {**super().__getstate__(), "_cache": None}  # type: ignore[misc]

    def __deepcopy__(self, memo: dict[int, object]) -> LipschitzLayer:
        made = self.__class__.__new__(self.__class__)
        memo[id(self)] = made
        made.__setstate__(copy.deepcopy({**self.__dict__, "_cache": None}, memo))
        return made


def margin_of(block: Block, dtype: torch.dtype | None = None) -> float:
    """The shrink for weights of the block's type: rounding changes a matrix of norm one by at most u sqrt(rank)."""
    weights = [t for t in block.tensors() if t.dim() > 1]
    dtype = dtype or weights[0].dtype
    rank = max(min(w.shape[0], w[0].numel()) for w in weights)
    rounding = 4 * torch.finfo(dtype).eps * rank**0.5
    return max(rounding, LEAST_MARGIN)


def training_factor(dtype: torch.dtype) -> float:
    """What float32 and float64 weights are multiplied by in training: the shrink, where it is not lost in rounding."""
    return 1.0 if dtype == torch.float32 else 1 - LEAST_MARGIN


def _settings(layer: nn.Module) -> dict[str, object]:
    """What a block depends on beside parameters: buffers and plain attributes of a layer and its parts."""
    found: dict[str, object] = dict(layer.named_buffers())
    for path, part in layer.named_modules():
        for name, value in vars(part).items():
            if not name.startswith("_") and name not in ("training", "forward"):
                found[f"{path}:{name}"] = value
    return found


def copied(value: object) -> object:
    """A copy of what can be written into; what cannot, as it is."""
    if isinstance(value, Tensor):
        return value.detach().clone()
    return copy.deepcopy(value) if isinstance(value, list | dict | set | np.ndarray) else value


def _same(before: Mapping[str, object], now: Mapping[str, object]) -> bool:
    return before.keys() == now.keys() and all(is_same(v, now[k]) for k, v in before.items())


def is_same(before: object, now: object) -> bool:
    """Whether a value is what it was: for tensors the same numbers, type and device."""
    if isinstance(before, Tensor) and isinstance(now, Tensor):
        return before.dtype == now.dtype and before.device == now.device and torch.equal(before, now)
    if isinstance(before, np.ndarray) and isinstance(now, np.ndarray):
        return before.dtype == now.dtype and np.array_equal(before, now)
    return now is before or (type(now) is type(before) and bool(now == before))


def _check_finite(layer: nn.Module, values: Mapping[str, Tensor]) -> None:
    for name, value in values.items():
        if not torch.isfinite(value).all():
            raise ValueError(f"parameter {name!r} of {type(layer).__name__} is not finite; nothing can be certified")

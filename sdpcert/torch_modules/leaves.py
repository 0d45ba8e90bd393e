"""Submodules that are not traced into: the toolkit's certified layers, and convolutions on a torus."""

from __future__ import annotations

from collections.abc import Callable
from typing import cast

from torch import nn

from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.values import Builder, Dynamic
from sdpcert.torch_modules.certified import Certified
from sdpcert.torch_modules.geometry import Geometry, Operator

Form = Callable[[Builder, Dynamic], Dynamic]


def own_form(module: nn.Module) -> Form | None:
    """How a submodule enters a graph, for those that are not traced into."""
    if isinstance(module, Certified):
        return (lambda builder, value: _certified(module, builder, value)) if computes_own_form(module) else None
    if is_plain(module, nn.Conv2d) and cast(nn.Conv2d, module).padding_mode == "circular":
        return lambda builder, value: _circular(cast(nn.Conv2d, module), builder, value)
    return None


def is_plain(module: nn.Module, kind: type[nn.Module]) -> bool:
    """Whether a module computes what the stock class does; parametrised ones have a class derived from it."""
    names = ("forward", "_conv_forward")
    return isinstance(module, kind) and all(getattr(type(module), n, None) is getattr(kind, n, None) for n in names)


def computes_own_form(module: Certified) -> bool:
    """Whether the form of a certified layer is of what it computes: no subclass gave it a later `forward`."""
    order = type(module).__mro__
    forward, *form = (
        next((k for k, c in enumerate(order) if n in vars(c)), len(order)) for n in ("forward", "add_to", "block")
    )
    return min(form) <= forward


def operator_of(module: nn.Linear | nn.Conv2d) -> Operator:
    """The linear map of a stock module; `UnsupportedModel` for paddings that have none here."""
    if isinstance(module, nn.Linear):
        return Operator(module.weight)
    if module.padding_mode not in ("zeros", "circular"):
        raise UnsupportedModel(f"a convolution with padding mode {module.padding_mode!r} is no link of a chain")
    padding = module.padding
    if padding == "valid":
        padding = (0, 0)
    if isinstance(padding, str):
        total = [d * (k - 1) for d, k in zip(module.dilation, module.kernel_size)]
        if any(t % 2 for t in total):
            raise UnsupportedModel("padding 'same' around a kernel of even size; give the padding as numbers")
        padding = (total[0] // 2, total[1] // 2)
    geometry = Geometry(
        pair(padding), pair(module.stride), pair(module.dilation), module.groups, module.padding_mode != "zeros"
    )
    return Operator(module.weight, geometry)


def pair(value: object) -> tuple[int, int]:
    """One number for both axes, or two."""
    if isinstance(value, int):
        return value, value
    first, second = value  # type: ignore[misc]
    return int(first), int(second)


def _certified(module: Certified, builder: Builder, value: Dynamic) -> Dynamic:
    """The layer's own form."""
    _check_batch(value)
    number = module.add_to(builder.graph, value.number)
    return Dynamic(number, (1, *builder.graph.shape(number)))


def _circular(module: nn.Conv2d, builder: Builder, value: Dynamic) -> Dynamic:
    _check_batch(value)
    number = builder.graph.add(operator_of(module).layer(module.bias), value.number)
    return Dynamic(number, (1, *builder.graph.shape(number)))


def _check_batch(value: Dynamic) -> None:
    if len(value.shape) < 2 or value.shape[0] != 1:
        raise UnsupportedModel(f"it reads a tensor of shape {value.shape}, whose first axis is not the batch axis")

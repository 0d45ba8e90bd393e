"""Torch functions that only move entries: torch itself moves the numbers of the entries, which says where each goes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.operators.values import Dynamic, axis_of, entries
from sdpcert.torch_modules.resize import moves_entries, resized
from sdpcert.torch_modules.tensor import leaves, mapped

if TYPE_CHECKING:
    from sdpcert.torch_modules.trace import Trace

_NAMES = """
    view reshape flatten ravel unflatten squeeze unsqueeze transpose swapaxes swapdims permute movedim moveaxis
    t T mT H mH adjoint expand broadcast_to repeat tile repeat_interleave narrow select chunk split split_with_sizes
    tensor_split hsplit vsplit dsplit unbind index_select gather take take_along_dim flip fliplr flipud roll rot90
    diagonal tril triu unfold pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle __getitem__ clone
    view_as reshape_as expand_as interpolate upsample alias unsafe_chunk unsafe_split
"""
MOVES = frozenset(_NAMES.split())
_COPYING = """
    repeat tile repeat_interleave index_select gather take take_along_dim flip fliplr flipud roll rot90 tril triu clone
    pixel_shuffle pixel_unshuffle channel_shuffle native_channel_shuffle interpolate upsample
"""
#: Those whose result never shares memory with what they are given.
COPIES = frozenset(_COPYING.split())
_LIKE = ("view_as", "reshape_as", "expand_as")


def move(trace: Trace, func: Any, source: Any, *args: Any, **kwargs: Any) -> Any:
    """What a function of `MOVES` makes of a traced tensor; zeros that it fills in are zeros."""
    name = getattr(func, "__name__", "")
    if name in _LIKE:
        args = mapped(args, lambda x: torch.empty(()).expand(x.shape) if isinstance(x, Dynamic) else x)
        if isinstance(source, Tensor):
            return func(source, *args, **kwargs)
    given = list(leaves((args, kwargs)))
    if not isinstance(source, Dynamic) or any(isinstance(x, Dynamic) for x in given):
        raise UnsupportedModel("its indices are computed from the network's input")
    if any(isinstance(x, torch.dtype) for x in given):
        raise UnsupportedModel("it reads the same bytes as another type")
    if name in ("interpolate", "upsample") and not moves_entries(*args, **kwargs):
        return resized(trace, source, *args, **kwargs)
    return mapped(func(_numbers(source), *args, **kwargs), lambda moved: _placed(trace, source, moved))


def pad(trace: Trace, source: Any, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Dynamic:
    """`torch.nn.functional.pad` of any mode."""
    if not isinstance(source, Dynamic):
        raise UnsupportedModel("its widths are computed from the network's input")
    check_size((n + abs(sum(map(int, pad))) for n in source.shape[-1:]), "the padded tensor")
    numbers = functional.pad(_numbers(source), list(pad), mode)
    moved = _placed(trace, source, numbers)
    if mode != "constant" or not value:
        return moved
    return trace.call("Add", moved, np.where(numbers.numpy() == 0, float(value), 0.0))


def concatenate(trace: Trace, tensors: Sequence[Any], dim: int = 0) -> Dynamic:
    """`torch.cat` of traced tensors and constants."""
    return trace.call("Concat", *tensors, axis=dim)


def stack(trace: Trace, tensors: Sequence[Any], dim: int = 0) -> Dynamic:
    """`torch.stack` of traced tensors and constants."""
    place = axis_of(dim, len(tensors[0].shape) + 1)
    parts = []
    for part in tensors:
        if isinstance(part, Dynamic):
            parts.append(trace.builder.rearrange(part, lambda x: np.expand_dims(x, place)))
        else:
            parts.append(part.unsqueeze(place))
    return trace.call("Concat", *parts, axis=place)


def _numbers(source: Dynamic) -> Tensor:
    """The entries counted from 1 in float64, so that a zero that is filled in is known."""
    return torch.from_numpy(entries(source.shape) + 1.0)


def _placed(trace: Trace, source: Dynamic, moved: Any) -> Any:
    if not isinstance(moved, Tensor):
        return moved
    check_size(moved.shape, "an intermediate tensor")
    indices = np.rint(moved.numpy()).astype(np.int64)
    if not np.array_equal(indices, moved.numpy()) or np.any(indices < 0) or np.any(indices > np.prod(source.shape)):
        raise UnsupportedModel("it does more than to move entries")
    return trace.builder.move(source, indices - 1)

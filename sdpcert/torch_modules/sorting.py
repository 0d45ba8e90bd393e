"""Torch functions that sort along an axis, by name: `SORTING`; the indices that they return may not be used."""

from __future__ import annotations

from collections import namedtuple
from typing import Any

from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.values import Dynamic, axis_of
from sdpcert.torch_modules.arguments import Handler
from sdpcert.torch_modules.trace import NoForm, Trace

#: What functions return that also say where an entry was; the indices are refused where they are used.
WithIndices = namedtuple("WithIndices", "values indices")
_JUMPS = "the place of an entry in the order jumps with the data"


def _top(trace: Trace, source: Dynamic, count: int, dim: int, largest: bool) -> Dynamic:
    axis = axis_of(dim, len(source.shape))
    if axis == 0:
        raise UnsupportedModel("it sorts along the batch axis")
    (result,) = trace.call("TopK", source, k=count, axis=axis, largest=int(largest))  # type: ignore[misc]
    return result


def _sort(trace: Trace, source: Dynamic, dim: int = -1, descending: bool = False) -> WithIndices:
    count = source.shape[axis_of(dim, len(source.shape))]
    return WithIndices(_top(trace, source, count, dim, descending), NoForm(_JUMPS))


def _topk(
    trace: Trace, source: Dynamic, k: int, dim: int = -1, largest: bool = True, sorted: bool = True
) -> WithIndices:
    if not sorted:
        raise UnsupportedModel("it leaves the order open; let it sort")
    return WithIndices(_top(trace, source, int(k), dim, largest), NoForm(_JUMPS))


def _kth_value(trace: Trace, source: Dynamic, k: int, dim: int = -1, keepdim: bool = False) -> WithIndices:
    axis = axis_of(dim, len(source.shape))
    lowest = _top(trace, source, int(k), axis, largest=False)
    place: Any = slice(k - 1, k) if keepdim else k - 1
    chosen = trace.builder.rearrange(lowest, lambda x: x[(slice(None),) * axis + (place,)])
    return WithIndices(chosen, NoForm(_JUMPS))


def _median(trace: Trace, source: Dynamic, dim: int, keepdim: bool = False) -> WithIndices:
    """The lower of two in the middle, as torch takes it."""
    length = source.shape[axis_of(dim, len(source.shape))]
    return _kth_value(trace, source, (length + 1) // 2, dim, keepdim)


SORTING: dict[str, Handler] = {"sort": _sort, "topk": _topk, "kthvalue": _kth_value, "median": _median}

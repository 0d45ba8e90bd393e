"""Sorting along an axis, and the largest or smallest entries in order, as networks of comparators: `SORTING`."""

from __future__ import annotations

from sdpcert.network.sorting import sorted_along
from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.operators.values import Call, Dynamic, Handler, NotSamplewise, axis_of

#: Longest axis that is sorted.
MAX_SORTED = 1024


def _top(call: Call) -> list[Dynamic]:
    """The largest entries along an axis in descending order, or the smallest in ascending order; all of them if asked.

    The indices, the second output of ONNX's operator, jump: they are an error where something reads them.
    """
    value, count = call.dynamic(), call.integers(1, "k")
    axis = axis_of(call.attribute("axis", -1), len(value.shape))
    length = value.shape[axis]
    if count is None or len(count) != 1 or not 0 < count[0] <= length:
        raise ValueError(f"it takes {count} of {length} entries")
    if not call.attribute("sorted", 1) and count[0] > 1:
        raise UnsupportedModel("it leaves the order open; let it sort")
    if length > MAX_SORTED:
        raise UnsupportedModel(f"it sorts {length} entries, more than {MAX_SORTED}")
    builder = call.builder
    sample = builder.sample(value.shape)
    if axis == 0 and builder.batch > 1:
        raise NotSamplewise("it sorts along the batch axis")
    place = axis - (len(sample) - len(builder.inner(value.shape)))
    check_size((*sample, max(length - 1, 1).bit_length() ** 2), "the comparisons of a sorted tensor")
    largest = bool(call.attribute("largest", 1))
    number = value.number
    if place >= 0:  # an axis of length one that the graph leaves out is sorted
        number = sorted_along(builder.graph, number, place, ascending=not largest)
    result = Dynamic(number, value.shape)
    kept = (slice(None),) * axis + (slice(count[0]),)
    return [builder.rearrange(result, lambda x: x[kept])]


SORTING: dict[str, Handler] = {"TopK": _top}

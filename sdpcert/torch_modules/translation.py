"""Torch functions that are one shared operator: `translated` makes their handlers of torch's own parameters.

What a parameter becomes follows from its name, which means the same in every function: an attribute of the operator
(`ATTRIBUTES`), nothing, because only one value of it has a form (`ONLY`), or else an input of the operator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.values import Dynamic
from sdpcert.torch_modules.arguments import Handler, declares
from sdpcert.torch_modules.trace import Trace


def per_axis(value: Any, axes: int) -> list[int]:
    """One number for every spatial axis, or as many as axes."""
    numbers = [int(k) for k in value] if isinstance(value, tuple | list) else [int(value)]
    numbers = numbers * axes if len(numbers) == 1 else numbers
    if len(numbers) != axes:
        raise UnsupportedModel(f"a window of {value} over {axes} spatial axes")
    return numbers


def _padding(value: Any, axes: int) -> dict[str, Any]:
    if isinstance(value, str):
        return {"auto_pad": {"same": "SAME_UPPER", "valid": "VALID"}.get(value, value)}
    return {"pads": per_axis(value, axes) * 2}


#: Of an argument and the number of spatial axes: the operator's attributes. Windows lie side by side without a stride.
ATTRIBUTES: dict[str, Callable[[Any, int], dict[str, Any]]] = {
    "kernel_size": lambda value, axes: dict.fromkeys(("kernel_shape", "strides"), per_axis(value, axes)),
    "stride": lambda value, axes: {} if value is None or value == [] else {"strides": per_axis(value, axes)},
    "padding": _padding,
    "output_padding": lambda value, axes: {"output_padding": per_axis(value, axes)},
    "dilation": lambda value, axes: {"dilations": per_axis(value, axes)},
    "groups": lambda value, axes: {"group": int(value)},
    "ceil_mode": lambda value, axes: {"ceil_mode": int(value)},
    "count_include_pad": lambda value, axes: {"count_include_pad": int(value)},
    "dim": lambda value, axes: {"axes": [value] if isinstance(value, int) else value},
    "keepdim": lambda value, axes: {"keepdims": int(value)},
}
#: The one value that an argument may have, and why it may have no other.
ONLY: dict[str, tuple[Any, str]] = {
    "divisor_override": (None, "a divisor of its own; multiply by a constant instead"),
    "return_indices": (False, "its second output, the indices, has no linear form"),
    "rounding_mode": (None, "rounding jumps"),
}


def translated(operator: str, *required: str, axes: int = 0, **optional: Any) -> Handler:
    """The handler of a torch function that is one shared operator.

    `required` and `optional` are torch's parameters in torch's order, the latter with torch's defaults. A window slides
    over `axes` spatial axes.
    """
    parameters = (*required, *optional)
    inputs = [name for name in parameters if name not in ATTRIBUTES and name not in ONLY]

    def handle(trace: Trace, **given: Any) -> Dynamic:
        given = {**optional, **given}
        shape = getattr(given["source"], "shape", ())
        if axes and len(shape) != axes + 2:
            raise UnsupportedModel(f"it reads a tensor of shape {tuple(shape)}; keep the batch axis")
        attributes: dict[str, Any] = {}
        for name in parameters:  # in order: a stride comes after the kernel's size, which would be the stride
            if name in ONLY and given[name] != ONLY[name][0]:
                raise UnsupportedModel(ONLY[name][1])
            if name in ATTRIBUTES:
                attributes |= ATTRIBUTES[name](given[name], axes)
        return trace.call(operator, *(given[name] for name in inputs), **attributes)

    return declares(handle, *required, **optional)

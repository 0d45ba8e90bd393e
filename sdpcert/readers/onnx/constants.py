"""Operators on constants: integers exactly, floats in float64 with a bound on the rounding.

Files compute with constants for two reasons: shapes (integers), and weights that a parametrisation was left in
(spectral and weight normalisation). A weight computed here is the weight that is certified, and the bound says how far
it can be from the exact value of what the file states. Underflow enters the bound, and what is not finite is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.onnx.arithmetic import ARITHMETIC, many
from sdpcert.readers.onnx.integers import floats_as, within
from sdpcert.readers.onnx.quantised import rounded_to_half
from sdpcert.readers.operators.error_bounds import check_values, with_rounding
from sdpcert.readers.operators.moves import MOVES, pad, padding_of
from sdpcert.readers.operators.values import Call, Constant, axis_of, floating

Array = np.ndarray


def _concat(call: Call, *parts: Constant) -> Constant:
    axis = axis_of(call.attribute("axis", 1), parts[0].value.ndim)
    floating(*parts)
    value = np.concatenate([p.value for p in parts], axis=axis)
    check_size(value.shape, "a constant")
    if all(p.exact for p in parts):
        return Constant(value)
    return Constant(value, "", np.concatenate([np.broadcast_to(p.error, p.shape) for p in parts], axis=axis))


def _pad(call: Call, a: Constant, *_: Constant) -> Constant:
    widths, mode, fill = padding_of(call, a.value.ndim)
    if not a.exact:
        raise UnsupportedModel("padding of computed constants is not folded; store the value")
    return Constant(pad(a.value, widths, mode, fill))


def _constant_of_shape(call: Call, shape: Constant) -> Constant:
    filling = call.attribute("value")
    filling = np.zeros(1) if filling is None else np.asarray(filling).ravel()
    if filling.size != 1 or shape.value.dtype.kind not in "iu":
        raise ValueError("its value is not one number, or its shape not of integers")
    lengths = tuple(int(k) for k in shape.value.ravel())
    check_size(lengths, "a filled constant")
    return Constant(np.full(lengths, filling[0], dtype=filling.dtype))


def _range(call: Call, start: Constant, limit: Constant, delta: Constant) -> Constant:
    if not (start.exact and limit.exact and delta.exact):
        raise UnsupportedModel("its ends are computed with rounding; store its value")
    kind = np.result_type(start.value, limit.value, delta.value)
    floats = floating(start, limit, delta)
    check_values(start.value, limit.value, delta.value)
    first, last, step = (Fraction(c.value.ravel()[0].item()) for c in (start, limit, delta))
    if not step:
        raise ValueError("a range without a step")
    count = max(math.ceil((last - first) / step), 0)
    check_size((count,), "a range")
    exact = [first + k * step for k in range(count)]
    if not floats:
        return Constant(within(np.array([int(k) for k in exact], dtype=object), kind))
    value = np.array([float(k) for k in exact])
    whole = all(Fraction(v) == k for v, k in zip(value.tolist(), exact))
    return Constant(value, "", 0.0 if whole else with_rounding(value, 0.0))


def cast(call: Call, a: Constant) -> Constant:
    """Cast of a constant.

    Between float32 and float64 it is the identity, as the network is taken in exact arithmetic; a narrower float type
    rounds once. Numbers that do not fit into an integer type are refused.
    """
    to = _CAST_NAMES.get(call.attribute("to"), call.attribute("to"))
    if to in (1, 10, 11, 16):
        if not floating(a):
            value = a.value.astype(float)
            a = Constant(value, "", 0.0 if _holds(a.value, value) else with_rounding(value, 0.0))
        return a if to in (1, 11) else rounded_to_half(a, to)
    if to not in _CAST_INTEGERS or not a.exact:
        raise UnsupportedModel(f"a cast of a constant to type {to} is not folded")
    kind = np.dtype(_CAST_INTEGERS[to])
    if kind.kind == "b":
        if np.any(np.isnan(a.value.astype(float))):
            raise UnsupportedModel("a constant that is not a number is cast to a truth value")
        return Constant(a.value != 0)
    return Constant(floats_as(a.value, kind) if floating(a) else within(a.value, kind))


_CAST_NAMES = {"FLOAT": 1, "FLOAT16": 10, "DOUBLE": 11, "BFLOAT16": 16, "INT64": 7, "INT32": 6, "BOOL": 9}
_CAST_INTEGERS = {2: "u1", 3: "i1", 4: "u2", 5: "i2", 6: "i4", 7: "i8", 9: "?", 12: "u4", 13: "u8"}


def _holds(whole: Array, floats: Array) -> bool:
    """Whether integers and their floats are the same numbers."""
    return all(int(v) == int(k) for v, k in zip(floats.ravel(), whole.ravel())) if whole.dtype.itemsize > 4 else True


def _exact(function: Callable[..., Array]) -> Callable[..., Constant]:
    def apply(call: Call, *operands: Constant) -> Constant:
        if not all(c.exact for c in operands):
            raise UnsupportedModel("a comparison or choice of computed constants is not folded; store the value")
        check_size(np.broadcast_shapes(*(c.shape for c in operands)), "a constant")
        return Constant(np.asarray(function(*(c.value for c in operands))))

    return apply


def _between(a: Constant, low: float, high: float) -> Constant:
    """A clamp of a constant, which brings no numbers further apart."""
    if not floating(a):
        raise UnsupportedModel("a clamp of integers is not folded; store its value")
    return Constant(np.clip(a.value, low, high), "", a.error)


def _clip(call: Call, a: Constant, *_: Constant) -> Constant:
    low, high = call.scalar(1, "min", -np.inf), call.scalar(2, "max", np.inf)
    if low is None or high is None or not low <= high:
        raise ValueError("the ends of the clamp are no interval")
    return _between(a, low, high)


FOLDED: dict[str, Callable[..., Constant]] = {
    **ARITHMETIC,
    "Concat": _concat,
    "Pad": _pad,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Cast": cast,
    "Where": _exact(np.where),
    "Equal": _exact(np.equal),
    "Greater": _exact(np.greater),
    "Less": _exact(np.less),
    "Not": _exact(np.logical_not),
    "And": _exact(np.logical_and),
    "Or": _exact(np.logical_or),
    "Max": many(_exact(np.maximum)),
    "Min": many(_exact(np.minimum)),
    "Floor": _exact(np.floor),
    "Ceil": _exact(np.ceil),
    "Round": _exact(np.rint),
    "Sign": _exact(np.sign),
    "GreaterOrEqual": _exact(np.greater_equal),
    "LessOrEqual": _exact(np.less_equal),
    "Xor": _exact(np.logical_xor),
    "Clip": _clip,
    "Relu": lambda call, a: _between(a, 0.0, np.inf),
}


def fold(call: Call) -> list[Constant]:
    """The outputs of a node all of whose inputs are constant."""
    operands = [value for value in call.inputs if isinstance(value, Constant)]
    if call.operator in MOVES:
        if not operands:
            raise ValueError("its input is missing")
        first = operands[0]
        values = MOVES[call.operator](call, first.value)
        values = values if isinstance(values, list) else [values]
        if first.exact:
            return [Constant(v) for v in values]
        errors = MOVES[call.operator](call, np.broadcast_to(first.error, first.shape))
        return [Constant(v, "", e) for v, e in zip(values, errors if isinstance(errors, list) else [errors])]
    if call.operator not in FOLDED:
        raise UnsupportedModel("it is not folded on constants; store its value")
    with np.errstate(all="ignore"):
        return [FOLDED[call.operator](call, *operands)]

"""Arithmetic on constants: integers exactly, floats in float64 with a bound on the rounding, by name: `ARITHMETIC`.

Underflow enters the bound; operands and results that are not finite are refused.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import numpy as np

from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.onnx.integers import exactly
from sdpcert.readers.onnx.quantised import dequantized
from sdpcert.readers.operators.error_bounds import EPS, TINY, check_values, uncertain, with_rounding
from sdpcert.readers.operators.values import Call, Constant, axis_of, floating

Array = np.ndarray


def _broadcast(a: Constant, b: Constant) -> None:
    check_size(np.broadcast_shapes(a.shape, b.shape), "a constant")


def _moving(a: Constant) -> Array:
    """The entries that are not zero without doubt."""
    return (a.value != 0) | uncertain(a.error)


def _add(call: Call, a: Constant, b: Constant, sign: int = 1) -> Constant:
    _broadcast(a, b)
    plus = np.add if sign > 0 else np.subtract
    if not floating(a, b):
        return Constant(exactly(plus, lambda x, y: x + y, a.value, b.value))
    value = plus(a.value, b.value)
    return Constant(value, "", with_rounding(value, a.error + b.error))


def _mul(call: Call, a: Constant, b: Constant) -> Constant:
    _broadcast(a, b)
    if not floating(a, b):
        return Constant(exactly(np.multiply, lambda x, y: x * y, a.value, b.value))
    value = a.value * b.value
    inherited = np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.error * b.error
    return Constant(value, "", with_rounding(value, inherited, 1, _moving(a) & _moving(b)))


def _div(call: Call, a: Constant, b: Constant) -> Constant:
    _broadcast(a, b)
    if np.any(b.value == 0):
        raise ValueError("a constant is divided by zero")
    if not floating(a, b):
        return Constant(exactly(_quotient, lambda x, y: max(x, y), a.value, b.value))
    size = np.abs(b.value) - b.error
    if not np.all(size > 0):
        raise UnsupportedModel("a constant is divided by one that rounding cannot tell from zero")
    value = a.value / b.value
    # What the quotient and its product with the error lose to underflow is divided by `size`, which may be small too.
    lost = np.where(uncertain(b.error) & _moving(a), TINY * b.error + 2 * np.finfo(float).smallest_subnormal, 0.0)
    inherited = (a.error + np.abs(value) * b.error + lost) / size
    return Constant(value, "", with_rounding(value, inherited, 2, _moving(a)))


def _quotient(a: Array, b: Array) -> Array:
    """Of integers, cut off towards zero."""
    return np.sign(a) * np.sign(b) * (np.abs(a) // np.abs(b))


def _matmul(call: Call, a: Constant, b: Constant) -> Constant:
    if 0 in (a.value.ndim, b.value.ndim):
        raise ValueError("a scalar cannot enter a matrix product")
    rows = a.shape[:-1]
    columns = b.shape[-1:] if b.value.ndim > 1 else ()
    lead = np.broadcast_shapes(rows[:-1], b.shape[:-2])
    check_size((*lead, *rows[-1:], *columns), "a constant")
    terms = a.shape[-1]
    if not floating(a, b):
        return Constant(exactly(np.matmul, lambda x, y: max(terms, 1) * x * y, a.value, b.value))
    value = np.matmul(a.value, b.value)
    left, right = np.abs(a.value), np.abs(b.value)
    wide = np.matmul(left + a.error, right + b.error)
    bound = (terms + 4) * EPS * wide
    if not (a.exact and b.exact):
        errors = [np.broadcast_to(c.error, c.shape) for c in (a, b)]
        spread = np.matmul(left, errors[1]) + np.matmul(errors[0], right) + np.matmul(*errors)
        least = spread * (1 + (terms + 4) * EPS) + (terms + 1) * EPS / 2 * wide
        bound = np.maximum(np.maximum(wide - np.matmul(left, right), 0.0) + bound, least)
    moving = np.matmul(_moving(a).astype(float), _moving(b).astype(float)) > 0
    return Constant(value, "", with_rounding(value, bound, 1, moving))


def _gemm(call: Call, a: Constant, b: Constant, c: Constant | None = None) -> Constant:
    a = _moved(a, lambda m: m.T) if call.attribute("transA", 0) else a
    b = _moved(b, lambda m: m.T) if call.attribute("transB", 0) else b
    result = _mul(call, _matmul(call, a, b), Constant(np.asarray(float(call.attribute("alpha", 1.0)))))
    if c is None:
        return result
    return _add(call, result, _mul(call, c, Constant(np.asarray(float(call.attribute("beta", 1.0))))))


def _moved(a: Constant, function: Callable[[Array], Array]) -> Constant:
    error = a.error if np.ndim(a.error) == 0 else function(np.broadcast_to(a.error, a.shape))
    return Constant(function(a.value), a.name, error)


def _sqrt(call: Call, a: Constant) -> Constant:
    if not floating(a):
        raise UnsupportedModel("the square root of an integer constant; store its value")
    if not np.all(a.value - a.error >= 0):
        raise ValueError("the square root of a constant that is not positive")
    value = np.sqrt(a.value)
    return Constant(value, "", with_rounding(value, a.error / np.where(value > 0, value, 1.0)))


def _pow(call: Call, a: Constant, b: Constant) -> Constant:
    if b.value.size != 1 or not b.exact or b.value.dtype.kind not in "fiu":
        raise UnsupportedModel("a constant is raised to a power that is not one stored number; store its value")
    exponent = float(b.value.ravel()[0])
    shape = np.broadcast_shapes(a.shape, b.shape)
    a = _moved(a, lambda m: m.reshape(shape))
    if a.value.dtype.kind != "f":
        if not (exponent.is_integer() and 0 <= exponent < 64):
            raise UnsupportedModel("an integer constant is raised to a power that is not folded; store its value")
        whole = int(exponent)
        return Constant(exactly(lambda x: x**whole, lambda x: x**whole, a.value))
    if exponent == 2.0:
        return _mul(call, a, a)
    if exponent == 0.5:
        return _sqrt(call, a)
    if exponent == 1.0:
        return a
    if exponent in (-1.0, -0.5):
        root = a if exponent == -1.0 else _sqrt(call, a)
        return _div(call, Constant(np.ones(())), root)
    raise UnsupportedModel("a constant is raised to a power that is not folded; store the value")


def _exp(call: Call, a: Constant) -> Constant:
    if not floating(a):
        raise UnsupportedModel("the exponential of an integer constant; store its value")
    value = np.exp(a.value)
    return Constant(value, "", with_rounding(value, (value + TINY) * np.expm1(a.error), 4, True))


def _sigmoid(call: Call, a: Constant) -> Constant:
    """`1 / (1 + e^-x)`, by the exponential of a negative number alone, which does not overflow."""
    if not floating(a):
        raise UnsupportedModel("a function of an integer constant; store its value")
    value = 1 / (1 + np.exp(-np.abs(a.value)))
    value = np.where(a.value < 0, np.exp(-np.abs(a.value)) * value, value)
    return Constant(value, "", with_rounding(value, a.error, 12, True))  # its exponential may underflow


def _of_slope_one(function: Callable[[Array], Array]) -> Callable[[Call, Constant], Constant]:
    """A function whose slopes are between -1 and 1, from a library that rounds its results by a few units."""

    def apply(call: Call, a: Constant) -> Constant:
        if not floating(a):
            raise UnsupportedModel("a function of an integer constant; store its value")
        value = function(a.value)
        return Constant(value, "", with_rounding(value, a.error, 8))

    return apply


def _reduce(call: Call, a: Constant) -> Constant:
    axes = call.integers(1, "axes")
    if not axes:
        if call.attribute("noop_with_empty_axes", 0):
            return a
        axes = tuple(range(a.value.ndim))
    places = tuple(axis_of(k, a.value.ndim) for k in axes)
    keep = bool(call.attribute("keepdims", 1))
    kind = call.operator
    count = int(np.prod([a.shape[k] for k in places]))
    if kind in ("ReduceMax", "ReduceMin", "ReduceProd"):
        if not a.exact or (kind == "ReduceProd" and floating(a)):
            raise UnsupportedModel("a reduction of computed constants is not folded; store the value")
        if kind == "ReduceProd":
            product = partial(np.prod, axis=places, keepdims=keep)
            return Constant(exactly(product, lambda x: max(x, 1) ** min(count, 64), a.value))
        function = np.max if kind == "ReduceMax" else np.min
        return Constant(np.asarray(function(a.value, axis=places, keepdims=keep), dtype=a.value.dtype))
    if not floating(a):
        if kind != "ReduceSum":
            raise UnsupportedModel("a mean or norm of integers is not folded; store the value")
        added = partial(np.sum, axis=places, keepdims=keep)
        return Constant(exactly(added, lambda x: max(count, 1) * x, a.value))
    entries = _mul(call, a, a) if kind in ("ReduceL2", "ReduceSumSquare") else a
    magnitude = np.sum(np.abs(entries.value), axis=places, keepdims=keep)
    inherited = np.sum(np.broadcast_to(entries.error, a.shape), axis=places, keepdims=keep)
    absolute = kind == "ReduceL1"
    value = magnitude if absolute else np.sum(entries.value, axis=places, keepdims=keep)
    if count > 1000:  # the slack of every bound covers what adding up fewer bounds loses
        inherited = inherited * (1 + (count + 2) * EPS)
    bound = inherited + (count + 2) * EPS * magnitude
    total = Constant(np.asarray(value), "", with_rounding(np.asarray(value), bound))
    if kind == "ReduceL2":
        return _sqrt(call, total)
    return _div(call, total, Constant(np.asarray(float(count)))) if kind == "ReduceMean" else total


def _negative(call: Call, a: Constant) -> Constant:
    if not floating(a):
        return Constant(exactly(np.negative, lambda x: x, a.value))
    return Constant(-a.value, "", a.error)


def _absolute(call: Call, a: Constant) -> Constant:
    if not floating(a):
        return Constant(exactly(np.abs, lambda x: x, a.value))
    return Constant(np.abs(a.value), "", a.error)


def _mod(call: Call, a: Constant, b: Constant) -> Constant:
    """The remainder with the divisor's sign or, with `fmod`, the dividend's; floats need `fmod`."""
    cut = bool(call.attribute("fmod", 0))
    if not (a.exact and b.exact) or np.any(b.value == 0) or (floating(a, b) and not cut):
        raise UnsupportedModel("a remainder of computed constants, by zero, or of floats without fmod; store its value")
    check_size(np.broadcast_shapes(a.shape, b.shape), "a constant")
    return Constant(np.asarray((np.fmod if cut else np.mod)(a.value, b.value)))


def _finite(function: Callable[..., Constant]) -> Callable[..., Constant]:
    """Refuses operands and results that are not finite."""

    def apply(call: Call, *operands: Constant) -> Constant:
        check_values(*(c.value for c in operands))
        result = function(call, *operands)
        check_values(result.value)
        return result

    return apply


def many(function: Callable[..., Constant]) -> Callable[..., Constant]:
    """A function of two constants applied to many, from the first on."""

    def apply(call: Call, first: Constant, *rest: Constant) -> Constant:
        for operand in rest:
            first = function(call, first, operand)
        return first

    return apply


_NORMS = ("ReduceL1", "ReduceL2", "ReduceSumSquare")
_REDUCTIONS = ("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd", *_NORMS)
_FINITE: dict[str, Callable[..., Constant]] = {
    "Add": _add,
    "Sub": lambda call, a, b: _add(call, a, b, -1),
    "Mul": _mul,
    "Div": _div,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Sum": many(_add),
    "Sqrt": _sqrt,
    "Reciprocal": lambda call, a: _div(call, Constant(np.ones(())), a),
    "Pow": _pow,
    "Exp": _exp,
    "Sin": _of_slope_one(np.sin),
    "Cos": _of_slope_one(np.cos),
    "Tanh": _of_slope_one(np.tanh),
    "Sigmoid": _sigmoid,
    "Mod": _mod,
    "DequantizeLinear": dequantized,
    **dict.fromkeys(_REDUCTIONS, _reduce),
}
ARITHMETIC: dict[str, Callable[..., Constant]] = {
    **{name: _finite(function) for name, function in _FINITE.items()},
    "Neg": _negative,
    "Abs": _absolute,
}

"""Operators on constants: integers exactly, floats in float64 with a bound on the rounding.

Files compute with constants for two reasons: shapes (integers), and weights that a parametrisation was left in
(spectral and weight normalisation). A weight computed here is the weight that is certified, and the bound says how far
it can be from the exact value of what the file states.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.onnx_moves import MOVES, pad, padding_of
from sdpcert.readers.onnx_values import Call, Constant, axis_of

Array = np.ndarray
#: Twice the unit roundoff: the slack covers the rounding of the bounds themselves.
EPS = 2.0**-52
#: Covers gradual underflow of a result that is not zero; products that may underflow to zero are refused.
TINY = 1e-300


def _float(a: Constant) -> bool:
    return a.value.dtype.kind == "f"


def _rounded(value: Array, error: Array | float, steps: float = 1.0) -> tuple[Array, Array]:
    return value, (error + (steps * EPS * np.abs(value) + TINY) * (value != 0)) * (1 + 1e-12)


def _broadcast(a: Constant, b: Constant) -> None:
    check_size(np.broadcast_shapes(a.shape, b.shape), "a constant")


def _refuse_underflow(a: Array, b: Array) -> None:
    smallest = [float(np.min(np.abs(c[c != 0]), initial=1.0)) for c in (a, b)]
    if smallest[0] * smallest[1] < 1e-290:
        raise UnsupportedModel("a product of constants underflows; store its value")


def _add(call: Call, a: Constant, b: Constant, sign: int = 1) -> Constant:
    _broadcast(a, b)
    value = a.value + b.value if sign > 0 else a.value - b.value
    return Constant(*_named(_rounded(value, a.error + b.error))) if _float(a) else Constant(value)


def _named(pair: tuple[Array, Array]) -> tuple[Array, str, Array]:
    return pair[0], "", pair[1]


def _mul(call: Call, a: Constant, b: Constant) -> Constant:
    _broadcast(a, b)
    value = a.value * b.value
    if not _float(a):
        return Constant(value)
    _refuse_underflow(a.value, b.value)
    return Constant(*_named(_rounded(value, np.abs(a.value) * b.error + np.abs(b.value) * a.error + a.error * b.error)))


def _div(call: Call, a: Constant, b: Constant) -> Constant:
    _broadcast(a, b)
    if np.any(b.value == 0):
        raise ValueError("a constant is divided by zero")
    if not _float(a):
        quotient = np.abs(a.value) // np.abs(b.value)
        return Constant((np.sign(a.value) * np.sign(b.value) * quotient).astype(a.value.dtype))
    size = np.abs(b.value) - b.error
    if np.any(size <= 0):
        raise UnsupportedModel("a constant is divided by one that rounding cannot tell from zero")
    value = a.value / b.value
    _refuse_underflow(a.value, 1 / b.value)
    return Constant(*_named(_rounded(value, (a.error + np.abs(value) * b.error) / size, 2)))


def _matmul(call: Call, a: Constant, b: Constant) -> Constant:
    if 0 in (a.value.ndim, b.value.ndim):
        raise ValueError("a scalar cannot enter a matrix product")
    rows = a.shape[:-1]
    columns = b.shape[-1:] if b.value.ndim > 1 else ()
    lead = np.broadcast_shapes(rows[:-1], b.shape[:-2])
    check_size((*lead, *rows[-1:], *columns), "a constant")
    value = np.matmul(a.value, b.value)
    if not _float(a):
        return Constant(value)
    _refuse_underflow(a.value, b.value)
    left, right = np.abs(a.value), np.abs(b.value)
    wide = np.matmul(left + a.error, right + b.error)
    error = np.maximum(wide - np.matmul(left, right), 0.0) if np.any(a.error) or np.any(b.error) else 0.0
    return Constant(*_named(_rounded(value, error + (a.shape[-1] + 4) * EPS * wide)))


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
    if np.any(a.value < 0) or (not a.exact and np.any(a.value <= 0)):
        raise ValueError("the square root of a constant that is not positive")
    value = np.sqrt(a.value)
    return Constant(*_named(_rounded(value, a.error / np.where(value > 0, value, 1.0))))


def _pow(call: Call, a: Constant, b: Constant) -> Constant:
    exponent = float(b.value.ravel()[0]) if b.value.size == 1 else float("nan")
    if not _float(a):
        return Constant(np.power(a.value, b.value.astype(a.value.dtype)))
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
    value = np.exp(a.value)
    return Constant(*_named(_rounded(value, value * np.expm1(a.error), 4)))


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
        if not a.exact or (kind == "ReduceProd" and _float(a)):
            raise UnsupportedModel("a reduction of computed constants is not folded; store the value")
        function = {"ReduceMax": np.max, "ReduceMin": np.min, "ReduceProd": np.prod}[kind]
        return Constant(np.asarray(function(a.value, axis=places, keepdims=keep), dtype=a.value.dtype))
    if not _float(a):
        if kind != "ReduceSum":
            raise UnsupportedModel("a mean of integers is not folded; store the value")
        return Constant(np.asarray(np.sum(a.value, axis=places, keepdims=keep), dtype=a.value.dtype))
    entries = _mul(call, a, a) if kind in ("ReduceL2", "ReduceSumSquare") else a
    magnitude = np.sum(np.abs(entries.value), axis=places, keepdims=keep)
    inherited = np.sum(np.broadcast_to(entries.error, a.shape), axis=places, keepdims=keep)
    absolute = kind == "ReduceL1"
    value = magnitude if absolute else np.sum(entries.value, axis=places, keepdims=keep)
    total = Constant(*_named(_rounded(np.asarray(value), inherited + (count + 2) * EPS * magnitude)))
    if kind == "ReduceL2":
        return _sqrt(call, total)
    return _div(call, total, Constant(np.asarray(float(count)))) if kind == "ReduceMean" else total


def _concat(call: Call, *parts: Constant) -> Constant:
    axis = axis_of(call.attribute("axis", 1), parts[0].value.ndim)
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
    lengths = tuple(int(k) for k in shape.value.ravel())
    check_size(lengths, "a filled constant")
    return Constant(np.full(lengths, filling[0], dtype=filling.dtype))


def _range(call: Call, start: Constant, limit: Constant, delta: Constant) -> Constant:
    first, last, step = (c.value.ravel()[0] for c in (start, limit, delta))
    if not (start.exact and limit.exact and delta.exact) or not step or not np.all(np.isfinite([first, last, step])):
        raise ValueError("a range without an exact step")
    count = max(int(np.ceil((float(last) - float(first)) / float(step))), 0)
    check_size((count,), "a range")
    return Constant(first + np.arange(count) * step)


def cast(call: Call, a: Constant) -> Constant:
    """Cast of a constant; between float types it is the identity, as the network is taken in exact arithmetic."""
    to = call.attribute("to")
    if to in (1, 11, "FLOAT", "DOUBLE"):
        return a if _float(a) else Constant(a.value.astype(float))
    integer = {2: "u1", 3: "i1", 5: "i2", 6: "i4", 7: "i8", 9: "?", "INT64": "i8", "INT32": "i4", "BOOL": "?"}
    if to not in integer or not a.exact:
        raise UnsupportedModel(f"a cast of a constant to type {to} is not folded")
    return Constant(a.value.astype(integer[to]))


def _exact(function: Callable[..., Array]) -> Callable[..., Constant]:
    def apply(call: Call, *operands: Constant) -> Constant:
        if not all(c.exact for c in operands):
            raise UnsupportedModel("a comparison or choice of computed constants is not folded; store the value")
        check_size(np.broadcast_shapes(*(c.shape for c in operands)), "a constant")
        return Constant(np.asarray(function(*(c.value for c in operands))))

    return apply


def _negative(call: Call, a: Constant) -> Constant:
    return Constant(-a.value, "", a.error)


def _absolute(call: Call, a: Constant) -> Constant:
    return Constant(np.abs(a.value), "", a.error)


def _many(function: Callable[..., Constant]) -> Callable[..., Constant]:
    def apply(call: Call, first: Constant, *rest: Constant) -> Constant:
        for operand in rest:
            first = function(call, first, operand)
        return first

    return apply


FOLDED: dict[str, Callable[..., Constant]] = {
    "Add": _add,
    "Sub": lambda call, a, b: _add(call, a, b, -1),
    "Mul": _mul,
    "Div": _div,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "Sum": _many(_add),
    "Neg": _negative,
    "Abs": _absolute,
    "Sqrt": _sqrt,
    "Reciprocal": lambda call, a: _div(call, Constant(np.ones(())), a),
    "Pow": _pow,
    "Exp": _exp,
    "Concat": _concat,
    "Pad": _pad,
    "ConstantOfShape": _constant_of_shape,
    "Range": _range,
    "Cast": cast,
    **dict.fromkeys(
        (
            "ReduceSum",
            "ReduceMean",
            "ReduceL1",
            "ReduceL2",
            "ReduceSumSquare",
            "ReduceMax",
            "ReduceMin",
            "ReduceProd",
        ),
        _reduce,
    ),
    "Where": _exact(np.where),
    "Equal": _exact(np.equal),
    "Greater": _exact(np.greater),
    "Less": _exact(np.less),
    "Not": _exact(np.logical_not),
    "And": _exact(np.logical_and),
    "Or": _exact(np.logical_or),
    "Max": _many(_exact(np.maximum)),
    "Min": _many(_exact(np.minimum)),
    "Mod": _exact(np.mod),
    "Floor": _exact(np.floor),
    "Ceil": _exact(np.ceil),
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

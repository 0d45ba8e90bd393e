"""Elementwise operators: activations, sums, products with constants, maxima and minima, by name: `ELEMENTWISE`."""

from __future__ import annotations

import numpy as np

from sdpcert.network import activations, piecewise
from sdpcert.network.activations import Activation
from sdpcert.network.affine import Scale, Sum
from sdpcert.network.earlier import by_earlier_rules
from sdpcert.network.piecewise_linear import Softshrink
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.error_bounds import EPS
from sdpcert.readers.operators.gates import gated_activation
from sdpcert.readers.operators.linear import add_values, scaled, single, tree
from sdpcert.readers.operators.values import Call, Constant, Dynamic, Handler, Value, axis_of

Array = np.ndarray


def _activation(kind: type[Activation]) -> Handler:
    """A handler for the operator that a kind of activation names as its own."""

    def handle(call: Call) -> Dynamic:
        value = call.dynamic()
        attributes = {name: call.attribute(name) for name in call.attributes}
        try:
            made = kind.from_onnx(attributes, call.opset)
        except ValueError as error:
            raise UnsupportedModel(str(error)) from None
        return call.builder.layer(made, value.shape, value)

    return handle


def _swish(default: float) -> Handler:
    """`x sigmoid(beta x)`, which is `silu(beta x) / beta`; the attribute `alpha` is beta."""

    def handle(call: Call) -> Dynamic:
        beta = float(call.attribute("alpha", default))
        value = call.dynamic()
        if beta == 0:
            return scaled(call, value, 0.5)
        inner = scaled(call, value, beta)
        exact = abs(np.frexp(beta)[0]) == 0.5
        return scaled(call, call.builder.layer(activations.silu(), value.shape, inner), 1 / beta, 0.0 if exact else EPS)

    return handle


def _shrink(call: Call) -> Value | list[Dynamic]:
    """Soft shrinking as an activation; by the earlier rules `x - clip(x, -lambd, lambd)`."""
    value, end = call.dynamic(), float(call.attribute("lambd", 0.5))
    if not by_earlier_rules() or end <= 0 or end != call.attribute("bias", 0.0):
        return _activation(Softshrink)(call)
    middle = call.builder.layer(activations.clip(-end, end), value.shape, value)
    return call.builder.layer(Sum((1, -1)), value.shape, value, middle)


def _thresholded(call: Call) -> Dynamic:
    if call.attribute("alpha", 1.0) != 0:
        raise UnsupportedModel("it jumps at alpha; with alpha = 0 it does not")
    value = call.dynamic()
    return call.builder.layer(activations.relu(), value.shape, value)


def _pow(call: Call) -> Dynamic:
    value, exponent = call.dynamic(), call.scalar(1)
    if exponent != 1:
        raise UnsupportedModel("its slope is not bounded, or not everywhere")
    return value


def _prelu(call: Call) -> Dynamic:
    value, slope = call.dynamic(), call.required(1)
    array = slope.weight()
    if not slope.exact:
        raise UnsupportedModel("its slopes are computed with rounding; store their values")
    if call.opset < 7 and array.ndim == 1 and array.size > 1:  # one slope per channel, before broadcasting was defined
        array = array.reshape(-1, *(1,) * (len(value.shape) - 2))
    if np.broadcast_shapes(value.shape, array.shape) != value.shape:
        raise ValueError(f"slopes of shape {array.shape} do not fit a tensor of shape {value.shape}")
    value, array = call.builder.meet(value, array)
    return call.builder.layer(activations.leaky_relu(array), value.shape, value)


def _clip(call: Call) -> Dynamic:
    value = call.dynamic()
    lower, upper = call.scalar(1, "min", -np.inf), call.scalar(2, "max", np.inf)
    if lower is None or upper is None or np.isnan(lower) or np.isnan(upper):
        raise ValueError("an end of the clamp is not a number")
    if (lower, upper) == (-np.inf, np.inf):
        return value
    if lower == upper:
        if not np.isfinite(lower):
            raise ValueError("both ends of the clamp are infinite")
        return call.builder.layer(Scale(0.0, lower), value.shape, value)
    kind = activations.relu() if (lower, upper) == (0.0, np.inf) else activations.clip(lower, upper)
    return call.builder.layer(kind, value.shape, value)


def _operands(call: Call) -> list[Dynamic | Constant]:
    values = call.operands
    if len(values) != len(call.inputs) or (call.operator not in ("Sum", "Mean", "Max", "Min") and len(values) != 2):
        raise ValueError(f"it has {len(values)} operands")
    axis = call.attribute("axis")
    if call.opset < 7 and axis is not None and len(values) == 2:
        rank, other = (len(v.shape) for v in values)
        if axis_of(axis, rank) + other != rank:  # then neither runtime reads it as it was meant
            raise UnsupportedModel(
                f"its broadcasting from axis {axis} is of operator sets before 7; convert the model to a newer one"
            )
    return values


def _add(call: Call) -> Dynamic:
    return add_values(call, _operands(call), (1,) * len(call.inputs))


def _sub(call: Call) -> Dynamic:
    return add_values(call, _operands(call), (1, -1))


def _mean(call: Call) -> Dynamic:
    count = len(call.inputs)
    return scaled(call, _add(call), 1 / count, EPS)


def _mul(call: Call) -> Dynamic:
    a, b = _operands(call)
    if isinstance(a, Dynamic) and isinstance(b, Dynamic):
        return _gated(call, a, b)
    value, constant = (a, b) if isinstance(a, Dynamic) else (b, a)
    assert isinstance(value, Dynamic)
    assert isinstance(constant, Constant)
    value, factor = call.builder.meet(value, constant)
    return scaled(call, value, factor, constant.relative_error())


def _gated(call: Call, a: Dynamic, b: Dynamic) -> Dynamic:
    """Products `x g(x)` that are written out for SiLU, Swish, hard swish, Mish and GELU; others are refused."""
    if a.shape == b.shape:
        for value, gate in ((a, b), (b, a)):
            found = gated_activation(call.builder.graph, value.number, gate.number)
            if found is not None:
                argument = scaled(call, Dynamic(found.source, a.shape), found.inner, found.errors[0])
                return scaled(call, call.builder.layer(found.kind, a.shape, argument), found.outer, found.errors[1])
    raise UnsupportedModel(
        "both operands are computed from the network's input, and it is no x g(x) that is known here; of such products "
        "only SiLU, Swish and QuickGELU (x sigmoid(b x)), hard swish, Mish and GELU have a form"
    )


def _div(call: Call) -> Dynamic:
    a, b = _operands(call)
    if not isinstance(b, Constant):
        raise UnsupportedModel("its divisor is computed from the network's input")
    assert isinstance(a, Dynamic)
    value, divisor = call.builder.meet(a, b)
    if np.any(divisor == 0):
        raise ValueError("its divisor has an entry that is zero")
    relative = b.relative_error()
    powers = bool(np.all(np.abs(np.frexp(divisor)[0]) == 0.5))
    return scaled(call, value, 1 / divisor, 0.0 if powers and not relative else 2 * relative + EPS)


def _neg(call: Call) -> Dynamic:
    return scaled(call, call.dynamic(), -1.0)


def _extremum(call: Call) -> Dynamic:
    builder, largest = call.builder, call.operator == "Max"
    values = _operands(call)
    shape = np.broadcast_shapes(*(v.shape for v in values))
    tensors = [builder.broadcast(v, shape) for v in values if isinstance(v, Dynamic)]
    result = tree(call, tensors, piecewise.maximum if largest else piecewise.minimum)
    for constant in (v for v in values if isinstance(v, Constant)):
        if not constant.exact:
            raise UnsupportedModel("its constant is computed with rounding; store its value")
        result, end = builder.meet(result, constant)
        # max(x, c) is a clamp from below, which is a ReLU moved to c.
        zero = largest and not np.any(end)
        kind = activations.relu() if zero else activations.clip(*((end, np.inf) if largest else (-np.inf, end)))
        result = builder.layer(kind, result.shape, result)
    return result


def _cast(call: Call) -> Dynamic:
    if call.attribute("to") not in (*call.builder.casts, "FLOAT", "DOUBLE"):
        raise UnsupportedModel("a cast to a type that does not hold all numbers of the input's rounds")
    return call.dynamic()


ELEMENTWISE: dict[str, Handler] = {
    **{kind.onnx: _activation(kind) for kind in activations.KINDS if kind.onnx is not None},
    "Swish": _swish(1.0),
    "QuickGelu": _swish(float(single(1.702))),
    "Shrink": _shrink,
    "ThresholdedRelu": _thresholded,
    "Pow": _pow,
    "PRelu": _prelu,
    "Clip": _clip,
    "Add": _add,
    "Sum": _add,
    "Sub": _sub,
    "Mean": _mean,
    "Mul": _mul,
    "Div": _div,
    "Neg": _neg,
    "Max": _extremum,
    "Min": _extremum,
    "Cast": _cast,
}

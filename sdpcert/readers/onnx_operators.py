"""ONNX operators on tensors that depend on the input: activations, affine maps, sums, moves and maxima.

Each handler takes a `Call` and returns what the node computes. Convolution and pooling are in `onnx_windows`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from sdpcert.network import activations, piecewise
from sdpcert.network.activations import Activation
from sdpcert.network.affine import Concat, Conv2d, Dense, Scale, Sum
from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.onnx_constants import EPS
from sdpcert.readers.onnx_moves import MOVES, pad, padding_of
from sdpcert.readers.onnx_values import Call, Constant, Dynamic, axes_of, axis_of, entries

Array = np.ndarray
Handler = Callable[[Call], Dynamic | list[Dynamic]]
#: Attributes are stored in float32, so are their defaults.
single = np.float32


def scaled(call: Call, value: Dynamic, factor: Array | float, error: float = 0.0) -> Dynamic:
    """A tensor times a factor that broadcasts against it without batch axis."""
    factor = np.asarray(factor, dtype=float)
    if not np.all(np.isfinite(factor)):
        raise ValueError("a factor is not finite")
    if np.all(factor == 1) and error == 0:
        return value
    return call.builder.layer(Scale(factor, 0.0, error), value.shape, value)


def shifted(call: Call, value: Dynamic, shift: Array) -> Dynamic:
    """A tensor plus an array that broadcasts against it without batch axis.

    The bias that follows a dense layer or a convolution becomes its bias; the layer without it is dropped later where
    nothing else reads it.
    """
    graph = call.builder.graph
    if not np.any(shift):
        return value
    node = graph.nodes[value.number - 1] if value.number else None
    if node is not None and isinstance(node.layer, Dense) and node.layer.bias is None:
        if shift.size in (1, node.shape[-1]) and shift.size == max(shift.shape[-1:], default=1):
            bias = np.broadcast_to(shift.ravel(), node.shape[-1:])
            return Dynamic(graph.add(replace(node.layer, bias=bias), *node.inputs), value.shape)
    if node is not None and isinstance(node.layer, Conv2d) and node.layer.bias is None and node.shape[1:] != (1, 1):
        if shift.size == 1 or (shift.ndim == 3 and shift.shape[1:] == (1, 1)):
            bias = np.broadcast_to(shift.ravel(), node.shape[:1])
            return Dynamic(graph.add(replace(node.layer, bias=bias), *node.inputs), value.shape)
    return call.builder.layer(Scale(1.0, shift), value.shape, value)


def _activation(make: Callable[[Call], Activation]) -> Handler:
    def handle(call: Call) -> Dynamic:
        value = call.dynamic()
        return call.builder.layer(make(call), value.shape, value)

    return handle


def _selu(call: Call) -> Activation:
    old = call.opset < 6
    alpha = call.attribute("alpha", float(single(1.6732 if old else 1.67326319217681884765625)))
    return activations.selu(alpha, call.attribute("gamma", float(single(1.0507 if old else 1.05070102214813232421875))))


def _gelu(call: Call) -> Activation:
    return activations.gelu_tanh() if call.attribute("approximate", "none") == "tanh" else activations.gelu()


def _swish(call: Call) -> Activation:
    if call.attribute("alpha", 1.0) != 1.0:
        raise UnsupportedModel("only its usual form with alpha = 1 is known")
    return activations.silu()


def _slope(call: Call) -> float:
    return call.attribute("alpha", float(single(0.01)))


def _hard_sigmoid(call: Call) -> Activation:
    return activations.hard_sigmoid(call.attribute("alpha", float(single(0.2))), call.attribute("beta", 0.5))


def _prelu(call: Call) -> Dynamic:
    value, slope = call.dynamic(), call.required(1)
    array = slope.weight()
    if not slope.exact:
        raise UnsupportedModel("its slopes are computed with rounding; store their values")
    if call.opset < 7 and array.ndim == 1 and array.size > 1:  # one slope a channel, before broadcasting was defined
        array = array.reshape(-1, *(1,) * (len(value.shape) - 2))
    if np.broadcast_shapes(value.shape, array.shape) != value.shape:
        raise ValueError(f"slopes of shape {array.shape} do not fit a tensor of shape {value.shape}")
    value, array = call.builder.meet(value, array)
    return call.builder.layer(activations.leaky_relu(array), value.shape, value)


def _clip(call: Call) -> Dynamic:
    value = call.dynamic()
    lower, upper = call.scalar(1, "min", -np.inf), call.scalar(2, "max", np.inf)
    assert lower is not None and upper is not None
    if np.isnan(lower) or np.isnan(upper):
        raise ValueError("an end of the clamp is not a number")
    if (lower, upper) == (-np.inf, np.inf):
        return value
    kind = activations.relu() if (lower, upper) == (0.0, np.inf) else activations.clip(lower, upper)
    return call.builder.layer(kind, value.shape, value)


def _legacy(call: Call, constant: Constant, rank: int) -> Constant:
    """Broadcasting as it was before operator set 7: the axes of the second operand start at `axis`."""
    axis = call.attribute("axis")
    if call.opset >= 7 or axis is None or constant is not call.inputs[1]:
        return constant
    trailing = rank - axis_of(axis, rank) - constant.value.ndim
    if trailing < 0:
        raise ValueError(f"its second operand of shape {constant.shape} does not fit from axis {axis} on")
    shape = (*constant.shape, *(1,) * trailing)
    return Constant(constant.value.reshape(shape), constant.name, np.reshape(constant.error, shape) if not constant.exact else 0.0)


def add_values(call: Call, terms: list[Dynamic | Constant], signs: tuple[int, ...]) -> Dynamic:
    """The signed sum of tensors and constants, broadcast against each other."""
    builder = call.builder
    shape = np.broadcast_shapes(*(t.shape for t in terms))
    check_size(shape, "an intermediate tensor")
    moving = [(t, s) for t, s in zip(terms, signs) if isinstance(t, Dynamic)]
    tensors = [builder.broadcast(t, shape) for t, _ in moving]
    if len(tensors) == 1:
        total = scaled(call, tensors[0], moving[0][1])
    else:
        total = builder.layer(Sum(tuple(s for _, s in moving)), shape, *tensors)
    fixed = [s * t.weight() for t, s in zip(terms, signs) if isinstance(t, Constant)]
    if not fixed:
        return total
    total, shift = builder.meet(total, np.asarray(sum(fixed[1:], start=fixed[0])))
    return shifted(call, total, shift)


def _operands(call: Call) -> list[Dynamic | Constant]:
    values = [v for v in call.inputs if v is not None]
    rank = max(len(v.shape) for v in values)
    return [_legacy(call, v, rank) if isinstance(v, Constant) else v for v in values]


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
    assert isinstance(value, Dynamic) and isinstance(constant, Constant)
    value, factor = call.builder.meet(value, constant)
    return scaled(call, value, factor, constant.relative_error())


def _gated(call: Call, a: Dynamic, b: Dynamic) -> Dynamic:
    """Products `x g(x)` that exporters write for SiLU, Mish, hard swish and GELU; other products are refused."""
    nodes = call.builder.graph.nodes
    for x, gate in ((a, b), (b, a)):
        node = nodes[gate.number - 1] if gate.number else None
        if node is None or x.shape != gate.shape:
            continue
        name = node.layer.name if isinstance(node.layer, Activation) else ""
        inside = node.inputs[0]
        before = nodes[inside - 1] if inside else None
        if name == "sigmoid" and inside == x.number:
            return call.builder.layer(activations.silu(), x.shape, x)
        if name == "tanh" and before and before.inputs == (x.number,):
            if isinstance(before.layer, Activation) and before.layer.name == "softplus":
                return call.builder.layer(activations.mish(), x.shape, x)
    raise UnsupportedModel("both operands are computed from the network's input, and such a product is no slope-restricted map")


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


def _dense(call: Call, value: Dynamic, weight: Constant, rows: Callable[[Array], Array]) -> Dynamic:
    """`x W'` on the last axis with W = rows(weight) of shape (out, in)."""
    array = np.ascontiguousarray(rows(weight.weight()))
    if not value.shape or value.shape[-1] != array.shape[1]:
        raise ValueError(f"a weight of shape {weight.shape} does not fit a tensor of shape {value.shape}")
    layer = Dense(array, None, weight.relative_error())
    return call.builder.layer(layer, (*value.shape[:-1], len(array)), value)


def _swapped(array: Array) -> Array:
    return np.swapaxes(array, -1, -2)


def _matmul(call: Call) -> Dynamic:
    a, b = call.inputs
    if isinstance(a, Dynamic) and isinstance(b, Dynamic):
        raise UnsupportedModel("both operands are computed from the network's input (as in attention)")
    weight, value = (b, a) if isinstance(a, Dynamic) else (a, b)
    assert isinstance(weight, Constant) and isinstance(value, Dynamic)
    if weight.value.ndim > 2:
        lead = weight.shape[:-2]
        if set(lead) != {1} or len(lead) > len(value.shape) - 2:
            raise UnsupportedModel(f"a stack of weights of shape {weight.shape}")
        weight = Constant(weight.value.reshape(weight.shape[-2:]), weight.name, np.max(weight.error))
        if not weight.exact:
            raise UnsupportedModel("a stack of computed weights")
    if weight.value.ndim == 0 or not value.shape:
        raise ValueError("a scalar cannot enter a matrix product")
    builder = call.builder
    vector = weight.value.ndim == 1
    if value is a:
        result = _dense(call, value, weight, lambda w: w[None] if vector else w.T)
        return builder.rearrange(result, lambda x: x[..., 0]) if vector else result
    if len(value.shape) > 1:
        value = builder.rearrange(value, _swapped)
    result = _dense(call, value, weight, lambda w: w[None] if vector else w)
    if vector:
        return builder.rearrange(result, lambda x: x[..., 0])
    return builder.rearrange(result, _swapped) if len(result.shape) > 1 else result


def _gemm(call: Call) -> Dynamic:
    a, b, c = call.value(0), call.value(1), call.value(2)
    if isinstance(a, Dynamic) and isinstance(b, Dynamic):
        raise UnsupportedModel("both factors are computed from the network's input")
    left, right = bool(call.attribute("transA", 0)), bool(call.attribute("transB", 0))
    builder = call.builder
    if isinstance(a, Dynamic):
        if not isinstance(b, Constant) or b.value.ndim != 2:
            raise ValueError("its second factor must be a matrix")
        if len(a.shape) != 2:  # operator sets before 7 flatten what is given
            a = builder.rearrange(a, lambda x: x.reshape(x.shape[0], -1) if x.ndim else x.reshape(1, 1))
        a = builder.rearrange(a, np.transpose) if left else a
        result = _dense(call, a, b, (lambda w: w) if right else np.transpose)
    elif isinstance(a, Constant) and isinstance(b, Dynamic):
        if a.value.ndim != 2 or len(b.shape) != 2:
            raise ValueError("its factors must be matrices")
        b = b if right else builder.rearrange(b, np.transpose)
        result = builder.rearrange(_dense(call, b, a, np.transpose if left else (lambda w: w)), np.transpose)
    else:
        raise UnsupportedModel("it has no factor that is computed from the network's input")
    result = scaled(call, result, call.attribute("alpha", 1.0))
    if c is None:
        return result
    beta = call.attribute("beta", 1.0)
    if isinstance(c, Dynamic):
        c = scaled(call, c, beta)
    else:
        c = Constant(c.weight() * beta, c.name)
    if np.broadcast_shapes(c.shape, result.shape) != result.shape:
        raise ValueError(f"its bias of shape {c.shape} does not fit the product of shape {result.shape}")
    return add_values(call, [result, c], (1, 1))


def _batch_normalization(call: Call) -> Dynamic:
    value = call.dynamic()
    if call.attribute("training_mode", 0):
        raise UnsupportedModel("it is in training mode; export the model in evaluation mode")
    if call.opset < 9 and not call.attribute("spatial", 1):
        raise UnsupportedModel("its old form with one statistic a pixel")
    constants = [call.required(k) for k in range(1, 5)]
    if not all(c.exact for c in constants):
        raise UnsupportedModel("its parameters are computed with rounding; store their values")
    channels = value.shape[1] if len(value.shape) > 1 else 1
    if any(c.shape != (channels,) for c in constants):
        raise ValueError(f"its parameters do not have one entry for each of {channels} channels")
    scale, bias, mean, variance = (c.weight() for c in constants)
    spread = variance + call.attribute("epsilon", float(single(1e-5)))
    if np.any(spread <= 0):
        raise ValueError("its variance plus epsilon is not positive")
    # One rounding in the sum (halved by the root), one in the root, one in the quotient: below 4 units of 2^-53.
    factor = scale / np.sqrt(spread)
    shape = (channels, *(1,) * (len(value.shape) - 2)) if len(value.shape) > 1 else ()
    result = scaled(call, value, factor.reshape(shape), 2 * EPS)
    return shifted(call, result, (bias - mean * factor).reshape(shape))


def _reduce(call: Call) -> Dynamic:
    """Sum, mean, maximum and minimum over axes; global pooling is the same over the spatial axes."""
    value, rank = call.dynamic(), len(call.dynamic().shape)
    kind, keep = call.operator, bool(call.attribute("keepdims", 1))
    if kind.startswith("Global"):
        axes, keep = tuple(range(2, rank)), True
    else:
        given = call.integers(1, "axes")
        if not given and call.attribute("noop_with_empty_axes", 0):
            return value
        axes = axes_of(given, rank) if given else tuple(range(rank))
    count = int(np.prod([value.shape[k] for k in axes]))
    others = [k for k in range(rank) if k not in axes]
    rest = tuple(value.shape[k] for k in others)
    final = tuple(1 if k in axes else n for k, n in enumerate(value.shape)) if keep else rest
    last = call.builder.rearrange(value, lambda x: x.transpose(*others, *axes).reshape(*rest, count))
    if kind in ("ReduceMax", "ReduceMin", "GlobalMaxPool"):
        parts = [call.builder.rearrange(last, lambda x, k=k: x[..., k]) for k in range(count)]
        choose = piecewise.minimum if kind == "ReduceMin" else piecewise.maximum
        return call.builder.rearrange(_tree(call, parts, choose), lambda x: x.reshape(final))
    result = call.builder.layer(Dense(np.ones((1, count))), (*rest, 1), last)
    result = call.builder.rearrange(result, lambda x: x.reshape(final))
    return result if kind == "ReduceSum" else scaled(call, result, 1 / count, 0.0 if count & (count - 1) == 0 else EPS)


def _tree(call: Call, parts: list[Dynamic], choose: Callable[..., int]) -> Dynamic:
    shape = parts[0].shape
    while len(parts) > 1:
        pairs = [
            Dynamic(choose(call.builder.graph, a.number, b.number), shape) for a, b in zip(parts[0::2], parts[1::2])
        ]
        parts = pairs + ([parts[-1]] if len(parts) % 2 else [])
    return parts[0]


def _extremum(call: Call) -> Dynamic:
    builder, largest = call.builder, call.operator == "Max"
    values = _operands(call)
    shape = np.broadcast_shapes(*(v.shape for v in values))
    tensors = [builder.broadcast(v, shape) for v in values if isinstance(v, Dynamic)]
    result = _tree(call, tensors, piecewise.maximum if largest else piecewise.minimum)
    for constant in (v for v in values if isinstance(v, Constant)):
        if not constant.exact:
            raise UnsupportedModel("its constant is computed with rounding; store its value")
        result, end = builder.meet(result, constant)
        # max(x, c) is a clamp from below, which is a ReLU moved to c.
        zero = largest and not np.any(end)
        kind = activations.relu() if zero else activations.clip(*((end, np.inf) if largest else (-np.inf, end)))
        result = builder.layer(kind, result.shape, result)
    return result


def _concat(call: Call) -> Dynamic:
    parts = [v for v in call.inputs if v is not None]
    axis = axis_of(call.attribute("axis", 1), len(parts[0].shape))
    builder, start = call.builder, 0
    indices, fills, tensors = [], [], []
    for part in parts:
        if isinstance(part, Dynamic):
            indices.append(entries(part.shape) + start)
            fills.append(np.zeros(part.shape))
            start += int(np.prod(part.shape))
            tensors.append(builder.rearrange(part, np.ravel))
        else:
            indices.append(np.full(part.shape, -1))
            fills.append(part.weight())
    joined = tensors[0] if len(tensors) == 1 else builder.layer(Concat(0), (start,), *tensors)
    result = builder.move(joined, np.concatenate(indices, axis=axis))
    fill = np.concatenate(fills, axis=axis)
    return shifted(call, result, builder.meet(result, fill)[1]) if np.any(fill) else result


def _pad(call: Call) -> Dynamic:
    value = call.dynamic()
    widths, mode, fill = padding_of(call, len(value.shape))
    indices = pad(entries(value.shape), widths, mode, -1)
    result = call.builder.move(value, indices)
    if mode != "constant" or fill == 0:
        return result
    if not np.isfinite(fill):
        raise ValueError("its filling is not finite")
    return shifted(call, result, call.builder.meet(result, np.where(indices < 0, fill, 0.0))[1])


def _cast(call: Call) -> Dynamic:
    if call.attribute("to") not in (1, 11, "FLOAT", "DOUBLE"):
        raise UnsupportedModel("only casts between float32 and float64 are linear")
    return call.dynamic()


def move(call: Call) -> Dynamic | list[Dynamic]:
    """An operator of `MOVES` on a tensor that depends on the input."""
    value = call.dynamic()
    indices = MOVES[call.operator](call, entries(value.shape))
    if isinstance(indices, list):
        return [call.builder.move(value, part) for part in indices]
    return call.builder.move(value, indices)


OPERATORS: dict[str, Handler] = {
    "Relu": _activation(lambda call: activations.relu()),
    "LeakyRelu": _activation(lambda call: activations.leaky_relu(_slope(call))),
    "Sigmoid": _activation(lambda call: activations.sigmoid()),
    "Tanh": _activation(lambda call: activations.tanh()),
    "Elu": _activation(lambda call: activations.elu(call.attribute("alpha", 1.0))),
    "Selu": _activation(_selu),
    "Celu": _activation(lambda call: activations.celu(call.attribute("alpha", 1.0))),
    "Softplus": _activation(lambda call: activations.softplus()),
    "Softsign": _activation(lambda call: activations.softsign()),
    "HardSigmoid": _activation(_hard_sigmoid),
    "Gelu": _activation(_gelu),
    "Mish": _activation(lambda call: activations.mish()),
    "Swish": _activation(_swish),
    "Atan": _activation(lambda call: activations.arctan()),
    "Abs": _activation(lambda call: activations.absolute()),
    "PRelu": _prelu,
    "Clip": _clip,
    "Add": _add,
    "Sum": _add,
    "Sub": _sub,
    "Mean": _mean,
    "Mul": _mul,
    "Div": _div,
    "Neg": _neg,
    "MatMul": _matmul,
    "Gemm": _gemm,
    "BatchNormalization": _batch_normalization,
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin"), _reduce),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool"), _reduce),
    "Max": _extremum,
    "Min": _extremum,
    "Concat": _concat,
    "Pad": _pad,
    "Cast": _cast,
    **dict.fromkeys(MOVES, move),
}

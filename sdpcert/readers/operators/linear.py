"""Matrix products, batch normalisation and reductions over axes, by name: `LINEAR`; scaling and sums for the others."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sdpcert.network import piecewise
from sdpcert.network.activations import absolute
from sdpcert.network.affine import AffineLayer, Dense, Scale, Sum
from sdpcert.network.block_norm import BlockNorm
from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.readers.operators.error_bounds import EPS
from sdpcert.readers.operators.values import Call, Constant, Dynamic, Handler, axes_of

Array = np.ndarray
#: Attributes are stored in float32, so are their defaults.
single = np.float32
#: Below this, a computed factor may have lost more to underflow than its relative error says.
SMALLEST = 1e-290
#: Why norms of several entries are refused where they are.
NORM = (
    "only l1 norms, and l2 norms over windows or axes that do not overlap, have a form; certify what is before it and "
    "what is after it and multiply the bounds"
)
#: Most entries that one maximum is taken over.
MAX_COMPARED = 4096


def scaled(call: Call, value: Dynamic, factor: Array | float, error: float = 0.0) -> Dynamic:
    """A tensor times a factor that broadcasts against it without batch axis."""
    factor = np.asarray(factor, dtype=float)
    if not np.all(np.isfinite(factor)):
        raise ValueError("a factor is not finite")
    if np.all(factor == 1) and error == 0:
        return value
    if error and np.any((factor != 0) & (np.abs(factor) < SMALLEST)):
        raise UnsupportedModel(f"a factor below {SMALLEST:g} is computed with underflow; scale the weights")
    return call.builder.layer(Scale(factor, 0.0, error), value.shape, value)


def shifted(call: Call, value: Dynamic, shift: Array) -> Dynamic:
    """A tensor plus an array that broadcasts against it without batch axis.

    The bias that follows a dense layer or a convolution becomes its bias; the layer without it is dropped later where
    nothing else reads it.
    """
    graph = call.builder.graph
    if not np.all(np.isfinite(shift)):
        raise ValueError("what is added is not finite")
    if not np.any(shift):
        return value
    node = graph.nodes[value.number - 1] if value.number else None
    if node is not None and isinstance(node.layer, AffineLayer):
        layer = node.layer.shifted(shift, node.shape)
        if layer is not None:
            return Dynamic(graph.add(layer, *node.inputs), value.shape)
    return call.builder.layer(Scale(1.0, shift), value.shape, value)


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
    fixed = [s * t.shift() for t, s in zip(terms, signs) if isinstance(t, Constant)]
    if not fixed:
        return total
    total, shift = builder.meet(total, np.asarray(sum(fixed[1:], start=fixed[0])))
    return shifted(call, total, shift)


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
    a, b = call.operands
    if isinstance(a, Dynamic) and isinstance(b, Dynamic):
        raise UnsupportedModel("both operands are computed from the network's input (as in attention)")
    weight, value = (b, a) if isinstance(a, Dynamic) else (a, b)
    assert isinstance(weight, Constant)
    assert isinstance(value, Dynamic)
    if weight.value.ndim > 2:
        lead = weight.shape[:-2]
        if set(lead) != {1} or len(lead) > len(value.shape) - 2:
            raise UnsupportedModel(f"a stack of weights of shape {weight.shape}")
        if not weight.exact:
            raise UnsupportedModel("a stack of computed weights")
        weight = Constant(weight.value.reshape(weight.shape[-2:]), weight.name)
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
        c = Constant(c.shift() * beta, c.name)
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
    if np.any((factor == 0) & (scale != 0)):
        raise UnsupportedModel(f"a factor below {SMALLEST:g} is computed with underflow; scale the weights")
    shape = (channels, *(1,) * (len(value.shape) - 2)) if len(value.shape) > 1 else ()
    result = scaled(call, value, factor.reshape(shape), 2 * EPS)
    return shifted(call, result, (bias - mean * factor).reshape(shape))


def _reduce_axes(call: Call) -> Dynamic:
    """Sum, mean, maximum and minimum over axes; global pooling is the same over the spatial axes."""
    value, rank = call.dynamic(), len(call.dynamic().shape)
    kind, keep = call.operator, bool(call.attribute("keepdims", 1))
    power = power_of(call) if kind == "GlobalLpPool" else {"ReduceL1": 1, "ReduceL2": 2}.get(kind)
    if power == 1:
        value = call.builder.layer(absolute(), value.shape, value)
    if kind.startswith("Global"):
        axes, keep = tuple(range(2, rank)), True
    else:
        given = call.integers(1, "axes")
        if not given and call.attribute("noop_with_empty_axes", 0):
            if kind == "ReduceL2":
                raise UnsupportedModel("what an l2 norm over no axes is differs between runtimes; write Abs")
            return value
        axes = axes_of(given, rank) if given else tuple(range(rank))
    count = int(np.prod([value.shape[k] for k in axes]))
    if count == 0:
        raise ValueError("it reduces an empty axis")
    others = [k for k in range(rank) if k not in axes]
    rest = tuple(value.shape[k] for k in others)
    final = tuple(1 if k in axes else n for k, n in enumerate(value.shape)) if keep else rest
    last = call.builder.rearrange(value, lambda x: x.transpose(*others, *axes).reshape(*rest, count))
    if power == 2:
        return call.builder.rearrange(norms(call, last), lambda x: x.reshape(final))
    if kind in ("ReduceMax", "ReduceMin", "GlobalMaxPool"):
        if count > MAX_COMPARED:
            raise UnsupportedModel(f"it compares {count} entries, more than {MAX_COMPARED}")
        parts = [call.builder.rearrange(last, lambda x, k=k: x[..., k]) for k in range(count)]
        choose = piecewise.minimum if kind == "ReduceMin" else piecewise.maximum
        return call.builder.rearrange(tree(call, parts, choose), lambda x: x.reshape(final))
    result = call.builder.layer(Dense(np.ones((1, count))), (*rest, 1), last)
    result = call.builder.rearrange(result, lambda x: x.reshape(final))
    if kind in ("ReduceSum", "ReduceL1", "GlobalLpPool"):
        return result
    return scaled(call, result, 1 / count, 0.0 if count & (count - 1) == 0 else EPS)


def power_of(call: Call) -> int:
    """The p of the norm that is pooled by, 1 or 2; others are refused."""
    power = call.attribute("p", 2)
    if power not in (1, 2):
        raise UnsupportedModel(f"it pools by the l{power} norm: {NORM}")
    return int(power)


def norms(call: Call, value: Dynamic) -> Dynamic:
    """The l2 norms along the last axis of a tensor, which has one entry then."""
    count = value.shape[-1]
    made = call.builder.layer(BlockNorm(count) if count > 1 else absolute(), value.shape, value)
    return call.builder.rearrange(made, lambda x: x[..., :1])


def tree(call: Call, parts: list[Dynamic], choose: Callable[..., int]) -> Dynamic:
    """The maximum or minimum of tensors of one shape, compared in pairs, winners with winners."""
    shape = parts[0].shape
    while len(parts) > 1:
        pairs = [
            Dynamic(choose(call.builder.graph, a.number, b.number), shape) for a, b in zip(parts[0::2], parts[1::2])
        ]
        parts = pairs + ([parts[-1]] if len(parts) % 2 else [])
    return parts[0]


LINEAR: dict[str, Handler] = {
    "MatMul": _matmul,
    "Gemm": _gemm,
    "BatchNormalization": _batch_normalization,
    **dict.fromkeys(("ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceL1", "ReduceL2"), _reduce_axes),
    **dict.fromkeys(("GlobalAveragePool", "GlobalMaxPool", "GlobalLpPool"), _reduce_axes),
}

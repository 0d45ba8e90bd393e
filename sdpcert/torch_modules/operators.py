"""Torch functions on traced tensors, by name: `OPERATIONS`.

They go through the operators that ONNX files go through (`onnx_operators`), so that batch normalisation, comparisons
and averages enter in the same exact form, or with the same charge for rounding. Numbers of Python count in float64.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from sdpcert.network.affine import Dense
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.values import Constant, Dynamic, axes_of
from sdpcert.torch_modules.activations import ACTIVATIONS, elementwise
from sdpcert.torch_modules.moves import concatenate, pad, stack
from sdpcert.torch_modules.windows import (
    adaptive_average_pool,
    adaptive_maximum_pool,
    average_pool,
    convolution,
    maximum_pool,
    transposed_convolution,
)

if TYPE_CHECKING:
    from sdpcert.torch_modules.trace import Trace

Handler = Callable[..., Any]
#: What `x.max(dim)` returns; the indices are refused where they are used.
Extremum = namedtuple("Extremum", "values indices")


def _batch_norm(
    trace: Trace,
    source: Dynamic,
    running_mean: Any,
    running_var: Any,
    weight: Any = None,
    bias: Any = None,
    training: bool = False,
    eps: float = 1e-5,
) -> Dynamic:
    if training or running_mean is None or running_var is None:
        raise UnsupportedModel("it divides by statistics of the batch; keep running statistics and use evaluation mode")
    channels = source.shape[1] if len(source.shape) > 1 else 1
    weight = np.ones(channels) if weight is None else weight
    bias = np.zeros(channels) if bias is None else bias
    return trace.call("BatchNormalization", source, weight, bias, running_mean, running_var, epsilon=float(eps))


def _linear(trace: Trace, source: Any, weight: Any, bias: Any = None) -> Dynamic:
    matrix = trace.constant(weight)
    if not isinstance(source, Dynamic):
        raise UnsupportedModel("its bias is computed from the network's input; use torch.matmul and a sum")
    if isinstance(bias, Dynamic) or matrix.value.ndim != 2:
        product = trace.call("MatMul", source, matrix.value.T)
        return product if bias is None else trace.call("Add", product, bias)
    vector = None if bias is None else trace.constant(bias).weight()
    shape = (*source.shape[:-1], len(matrix.value))
    return trace.builder.layer(Dense(matrix.weight(), vector), shape, source)


def _matmul(trace: Trace, source: Any, other: Any) -> Dynamic:
    return trace.call("MatMul", source, other)


def _addmm(trace: Trace, source: Any, mat1: Any, mat2: Any, beta: float = 1, alpha: float = 1) -> Dynamic:
    product = trace.call("Mul", trace.call("MatMul", mat1, mat2), float(alpha))
    return _add(trace, product, source, beta)


def _add(trace: Trace, source: Any, other: Any, alpha: float = 1) -> Dynamic:
    return trace.call("Add", source, _times(trace, other, alpha))


def _sub(trace: Trace, source: Any, other: Any, alpha: float = 1) -> Dynamic:
    return trace.call("Sub", source, _times(trace, other, alpha))


def _times(trace: Trace, value: Any, factor: float) -> Any:
    if factor == 1:
        return value
    return trace.call("Mul", value, float(factor)) if isinstance(value, Dynamic) else value * factor


def _rsub(trace: Trace, source: Any, other: Any, alpha: float = 1) -> Dynamic:
    return _sub(trace, other, source, alpha)


def _mul(trace: Trace, source: Any, other: Any) -> Dynamic:
    return trace.call("Mul", source, other)


def _div(trace: Trace, source: Any, other: Any, rounding_mode: str | None = None) -> Dynamic:
    if rounding_mode is not None:
        raise UnsupportedModel("rounding jumps")
    return trace.call("Div", source, other)


def _rdiv(trace: Trace, source: Any, other: Any) -> Dynamic:
    return _div(trace, other, source)


def _pow(trace: Trace, source: Any, exponent: Any) -> Dynamic:
    if isinstance(source, Dynamic) and isinstance(exponent, int | float) and exponent == 1:
        return source
    raise UnsupportedModel("its slope is not bounded")


def _lerp(trace: Trace, source: Any, end: Any, weight: Any) -> Dynamic:
    return trace.call("Add", source, trace.call("Mul", trace.call("Sub", end, source), weight))


def _where(trace: Trace, condition: Any, input: Any, other: Any) -> Dynamic:
    if isinstance(condition, Dynamic) and isinstance(input, Tensor) and input.dtype == torch.bool:
        condition, input = input, condition  # the method of a tensor, which comes first there
    if not isinstance(condition, Tensor):
        raise UnsupportedModel(
            "a choice that depends on the input may jump; use torch.relu, torch.maximum or torch.clamp"
        )
    mask = condition.to(torch.float64)
    return trace.call("Add", _kept(trace, input, mask), _kept(trace, other, 1 - mask))


def _kept(trace: Trace, value: Any, mask: Tensor) -> Any:
    if isinstance(value, Dynamic):
        return trace.call("Mul", value, mask)
    return torch.where(mask > 0, torch.as_tensor(value, dtype=torch.float64), 0.0)


def _masked_fill(trace: Trace, source: Any, mask: Any, value: Any) -> Dynamic:
    return _where(trace, mask, value, source)


def _extremum(operator: str) -> Handler:
    """`maximum` and `minimum` of two tensors."""

    def handle(trace: Trace, source: Any, other: Any) -> Dynamic:
        return trace.call(operator, source, other)

    return handle


def _greatest(largest: bool) -> Handler:
    """`max` and `min`: of two tensors, of all entries, or along an axis (with indices that may not be used)."""

    def handle(trace: Trace, source: Any, dim: Any = None, keepdim: bool = False, other: Any = None) -> Any:
        other = dim if isinstance(dim, Dynamic | Tensor) else other
        if other is not None:
            return trace.call("Max" if largest else "Min", source, other)
        values = _reduced("ReduceMax" if largest else "ReduceMin", trace, source, dim, keepdim)
        return values if dim is None else Extremum(values, trace.nothing("the place of a maximum jumps with the data"))

    return handle


def _reduction(operator: str) -> Handler:
    def handle(trace: Trace, source: Dynamic, dim: Any = None, keepdim: bool = False) -> Dynamic:
        return _reduced(operator, trace, source, dim, keepdim)

    return handle


def _reduced(operator: str, trace: Trace, source: Dynamic, dim: Any, keepdim: bool) -> Dynamic:
    rank = len(source.shape)
    given = (dim,) if isinstance(dim, int) else tuple(dim or ())
    axes = axes_of(given, rank) if given else tuple(range(rank))
    return trace.call(operator, source, Constant(np.asarray(axes, dtype=np.int64)), keepdims=int(keepdim))


OPERATIONS: dict[str, Handler] = {
    **ACTIVATIONS,
    "batch_norm": _batch_norm,
    "linear": _linear,
    **dict.fromkeys(("matmul", "__matmul__"), _matmul),
    "mm": lambda trace, source, mat2: _matmul(trace, source, mat2),
    "mv": lambda trace, source, vec: _matmul(trace, source, vec),
    "__rmatmul__": lambda trace, source, other: _matmul(trace, other, source),
    "addmm": _addmm,
    **dict.fromkeys(("conv1d", "conv2d"), convolution),
    **dict.fromkeys(("conv_transpose1d", "conv_transpose2d"), transposed_convolution),
    **dict.fromkeys(("avg_pool1d", "avg_pool2d"), average_pool),
    **dict.fromkeys(("max_pool1d", "max_pool2d"), maximum_pool),
    **dict.fromkeys(("adaptive_avg_pool1d", "adaptive_avg_pool2d"), adaptive_average_pool),
    **dict.fromkeys(("adaptive_max_pool1d", "adaptive_max_pool2d"), adaptive_maximum_pool),
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), _add),
    **dict.fromkeys(("sub", "subtract", "__sub__", "__isub__"), _sub),
    **dict.fromkeys(("rsub", "__rsub__"), _rsub),
    **dict.fromkeys(("mul", "multiply", "__mul__", "__rmul__", "__imul__"), _mul),
    **dict.fromkeys(("div", "divide", "true_divide", "__div__", "__truediv__", "__itruediv__"), _div),
    **dict.fromkeys(("__rdiv__", "__rtruediv__"), _rdiv),
    **dict.fromkeys(("neg", "negative", "__neg__"), elementwise("Neg")),
    **dict.fromkeys(("pow", "__pow__", "float_power"), _pow),
    "lerp": _lerp,
    "where": _where,
    "masked_fill": _masked_fill,
    **dict.fromkeys(("maximum", "fmax"), _extremum("Max")),
    **dict.fromkeys(("minimum", "fmin"), _extremum("Min")),
    "max": _greatest(True),
    "min": _greatest(False),
    "sum": _reduction("ReduceSum"),
    "mean": _reduction("ReduceMean"),
    "amax": _reduction("ReduceMax"),
    "amin": _reduction("ReduceMin"),
    **dict.fromkeys(("cat", "concat", "concatenate"), concatenate),
    "stack": stack,
    "pad": pad,
}

"""Torch's sums, products, reductions and choices on traced tensors, by name: `ARITHMETIC`.

Numbers of Python count in float64.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdpcert.network.affine import Dense
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.values import Choice, Dynamic
from sdpcert.torch_modules.arguments import Handler
from sdpcert.torch_modules.sorting import WithIndices
from sdpcert.torch_modules.trace import NoForm, Trace
from sdpcert.torch_modules.translation import translated


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
    return trace.call("Mul", value, float(factor)) if isinstance(value, Dynamic | Choice) else value * factor


def _lerp(trace: Trace, source: Any, end: Any, weight: Any) -> Dynamic:
    return trace.call("Add", source, trace.call("Mul", trace.call("Sub", end, source), weight))


def _where(trace: Trace, condition: Any, input: Any, other: Any) -> Dynamic:
    is_method = isinstance(input, Choice) or (isinstance(input, Tensor) and input.dtype == torch.bool)
    if isinstance(condition, Dynamic) and is_method:  # of a tensor, which comes first there
        condition, input = input, condition
    if not isinstance(condition, Tensor | Choice):
        raise UnsupportedModel(
            "a choice that depends on the input may jump; use torch.relu, torch.maximum or torch.clamp"
        )
    return trace.call("Where", condition, input, other)


def _masked_fill(trace: Trace, source: Any, mask: Any, value: Any) -> Dynamic:
    return _where(trace, mask, value, source)


def _reduction(operator: str) -> Handler:
    return translated(operator, "source", dim=None, keepdim=False)


def _greatest(of_two: str, of_many: str) -> Handler:
    """`max` and `min`: of two tensors, of all entries, or along an axis (with indices that may not be used)."""
    reduced = _reduction(of_many)

    def handle(trace: Trace, source: Any, dim: Any = None, keepdim: bool = False, other: Any = None) -> Any:
        other = dim if isinstance(dim, Dynamic | Tensor) else other
        if other is not None:
            return trace.call(of_two, source, other)
        values = reduced(trace, source=source, dim=dim, keepdim=keepdim)
        return values if dim is None else WithIndices(values, NoForm("the place of a maximum jumps with the data"))

    return handle


_OF_TWO = ("source", "other")
ARITHMETIC: dict[str, Handler] = {
    "batch_norm": _batch_norm,
    "linear": _linear,
    **dict.fromkeys(("matmul", "__matmul__"), translated("MatMul", *_OF_TWO)),
    "mm": translated("MatMul", "source", "mat2"),
    "mv": translated("MatMul", "source", "vec"),
    "__rmatmul__": lambda trace, source, other: trace.call("MatMul", other, source),
    "addmm": _addmm,
    **dict.fromkeys(("add", "__add__", "__radd__", "__iadd__"), _add),
    **dict.fromkeys(("sub", "subtract", "__sub__", "__isub__"), _sub),
    **dict.fromkeys(("rsub", "__rsub__"), lambda trace, source, other, alpha=1: _sub(trace, other, source, alpha)),
    **dict.fromkeys(("mul", "multiply", "__mul__", "__rmul__", "__imul__"), translated("Mul", *_OF_TWO)),
    **dict.fromkeys(
        ("div", "divide", "true_divide", "__div__", "__truediv__", "__itruediv__"),
        translated("Div", *_OF_TWO, rounding_mode=None),
    ),
    **dict.fromkeys(("__rdiv__", "__rtruediv__"), lambda trace, source, other: trace.call("Div", other, source)),
    **dict.fromkeys(("neg", "negative", "__neg__"), translated("Neg", "source")),
    **dict.fromkeys(("pow", "__pow__", "float_power"), translated("Pow", "source", "exponent")),
    "lerp": _lerp,
    "where": _where,
    "masked_fill": _masked_fill,
    **dict.fromkeys(("maximum", "fmax"), translated("Max", *_OF_TWO)),
    **dict.fromkeys(("minimum", "fmin"), translated("Min", *_OF_TWO)),
    "max": _greatest("Max", "ReduceMax"),
    "min": _greatest("Min", "ReduceMin"),
    "sum": _reduction("ReduceSum"),
    "mean": _reduction("ReduceMean"),
    "amax": _reduction("ReduceMax"),
    "amin": _reduction("ReduceMin"),
}

"""Elementwise torch functions on traced tensors, by name: `ACTIVATIONS`."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sdpcert.network.activations import KINDS, Activation
from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.values import Constant, Dynamic
from sdpcert.torch_modules.arguments import declares

if TYPE_CHECKING:
    from sdpcert.torch_modules.trace import Trace

Handler = Callable[..., Any]


def elementwise(operator: str, **names: float) -> Handler:
    """A handler for an activation whose parameters have these names, in torch's order, and these defaults."""

    def handle(trace: Trace, source: Dynamic, **given: float) -> Dynamic:
        return trace.call(operator, source, **{k: float(v) for k, v in {**names, **given}.items()})

    return declares(handle, **names)


def _activation(kind: type[Activation]) -> Handler:
    """A handler for the functions that a kind of activation names as its own, with the arguments of `from_torch`."""

    def handle(trace: Trace, source: Dynamic, **given: Any) -> Dynamic:
        return trace.builder.layer(kind.from_torch(**given), source.shape, source)

    parameters = inspect.signature(kind.from_torch).parameters
    return declares(handle, **{name: parameter.default for name, parameter in parameters.items()})


def _rrelu(
    trace: Trace, source: Dynamic, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False
) -> Dynamic:
    if training:
        raise UnsupportedModel("it draws random numbers in training mode")
    return trace.call("LeakyRelu", source, alpha=(float(lower) + float(upper)) / 2)


def _prelu(trace: Trace, source: Dynamic, weight: Any) -> Dynamic:
    slope = trace.constant(weight)
    if slope.value.size > 1:
        slope = Constant(slope.value.reshape(1, -1, *(1,) * (len(source.shape) - 2)), slope.name)
    return trace.call("PRelu", source, slope)


def _softplus(trace: Trace, source: Dynamic, beta: float = 1.0, threshold: float = 20.0) -> Dynamic:
    beta, threshold = float(beta), float(threshold)
    if not (math.isfinite(beta) and beta > 0):
        raise UnsupportedModel(f"its beta is {beta:g}; only positive ones have a form here")
    _check_jump(trace.current, beta, threshold)
    return trace.call("Div", trace.call("Softplus", trace.call("Mul", source, beta)), beta)


def _check_jump(dtype: torch.dtype, beta: float, threshold: float) -> None:
    """Refuse a softplus that torch executes with a jump, of `log1p(e^-t) / beta` at `t / beta`, that `dtype` shows."""
    if threshold == math.inf:
        return
    jump, unit = softplus_jump(beta, threshold), half_unit(dtype, threshold / beta)
    if jump <= unit:
        return
    enough = next(t for t in range(1, 1000) if softplus_jump(beta, t) <= half_unit(dtype, t / beta))
    raise UnsupportedModel(
        f"with threshold {threshold:g} it jumps by {jump:.2g} at {threshold / beta:g}, where half a unit of {dtype} is "
        f"{unit:.2g}; give it threshold={enough}" + ("" if dtype != torch.float64 else ", or use the module in float32")
    )


def softplus_jump(beta: float, threshold: float) -> float:
    """How far torch's two pieces of softplus are apart where they meet."""
    return math.log1p(math.exp(-threshold)) / beta if threshold > -700 else math.inf


def half_unit(dtype: torch.dtype, value: float) -> float:
    """Half of the distance of the numbers of a type around a value."""
    kind = torch.finfo(dtype)
    return (
        max(2.0 ** math.floor(math.log2(abs(value))) * kind.eps, kind.smallest_normal * kind.eps) / 2 if value else 0.0
    )


def _log_sigmoid(trace: Trace, source: Dynamic) -> Dynamic:
    return trace.call("Neg", trace.call("Softplus", trace.call("Neg", source)))


def _tanh_shrink(trace: Trace, source: Dynamic) -> Dynamic:
    return trace.call("Sub", source, trace.call("Tanh", source))


def _clamp(trace: Trace, source: Dynamic, min: Any = None, max: Any = None) -> Dynamic:
    if isinstance(min, Tensor | Dynamic) or isinstance(max, Tensor | Dynamic):
        source = source if min is None else trace.call("Max", source, min)
        return source if max is None else trace.call("Min", source, max)
    return trace.call("Clip", source, min=min, max=max)


def _hardtanh(trace: Trace, source: Dynamic, min_val: float = -1.0, max_val: float = 1.0) -> Dynamic:
    return _clamp(trace, source, min_val, max_val)


def _threshold(trace: Trace, source: Dynamic, threshold: float, value: float) -> Dynamic:
    if threshold != value:
        raise UnsupportedModel(f"it jumps from {value} to {threshold}; with equal numbers it does not")
    return trace.call("Max", source, float(value))


def _dropout(trace: Trace, source: Dynamic, p: float = 0.5, training: bool = True) -> Dynamic:
    if training and p > 0:
        raise UnsupportedModel("it draws random numbers even in evaluation mode; give it training=self.training")
    return source


ACTIVATIONS: dict[str, Handler] = {
    **{name: _activation(kind) for kind in KINDS for name in kind.torch_functions},
    "relu6": lambda trace, source: _clamp(trace, source, 0.0, 6.0),
    "rrelu": _rrelu,
    "prelu": _prelu,
    "softplus": _softplus,
    **dict.fromkeys(("logsigmoid", "log_sigmoid"), _log_sigmoid),
    "tanhshrink": _tanh_shrink,
    "hardtanh": _hardtanh,
    **dict.fromkeys(("threshold", "_threshold"), _threshold),
    **dict.fromkeys(("clamp", "clip"), _clamp),
    "clamp_min": lambda trace, source, min: _clamp(trace, source, min, None),
    "clamp_max": lambda trace, source, max: _clamp(trace, source, None, max),
    **dict.fromkeys(("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout"), _dropout),
    "feature_alpha_dropout": _dropout,
}

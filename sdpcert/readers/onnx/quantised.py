"""Weights in few bits as the real numbers that they stand for: dequantised integers and half precision."""

from __future__ import annotations

import numpy as np

from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.error_bounds import is_exact, rounded_product_is_exact, with_rounding
from sdpcert.readers.operators.values import Call, Constant, axis_of

Array = np.ndarray
#: Largest finite numbers of float16 and bfloat16, by number in TensorProto.DataType.
_LARGEST = {10: 65504.0, 16: float.fromhex("0x1.fep127")}


def dequantized(call: Call, quantised: Constant, scale: Constant, zero: Constant | None = None) -> Constant:
    """`DequantizeLinear` of constants: `(q - zero) scale`, per tensor, along an axis, or in blocks along it.

    The product has no error if it fits into float64, as that of a scale in float32 and integers of 8 bits does.
    """
    if quantised.value.dtype.kind not in "iu" or scale.value.dtype.kind != "f":
        raise UnsupportedModel("only integers with a scale in floating point are read")
    if quantised.value.dtype.itemsize > 4:
        raise UnsupportedModel(f"its integers are of type {quantised.value.dtype}; at most 32 bits are read")
    if not scale.exact:
        raise UnsupportedModel("its scale is computed with rounding; store its value")
    whole = quantised.value.astype(np.int64)
    if zero is not None:
        if zero.value.dtype.kind not in "iu" or zero.shape != scale.shape:
            raise ValueError(f"its zero point of shape {zero.shape} does not fit its scale of shape {scale.shape}")
        whole = whole - _spread(call, zero.value.astype(np.int64), quantised.shape)
    factor = _spread(call, scale.value, quantised.shape)
    numbers = whole.astype(float)
    value = numbers * factor
    if rounded_product_is_exact(numbers, factor, value):
        return Constant(value)
    return Constant(value, "", with_rounding(value, 0.0, 1, (numbers != 0) & (factor != 0)))


def _spread(call: Call, parameter: Array, shape: tuple[int, ...]) -> Array:
    """A scale or zero point for every entry of a tensor of the given shape."""
    if parameter.size == 1 and parameter.ndim <= 1:
        return np.broadcast_to(parameter.reshape(()), shape)
    axis = axis_of(call.attribute("axis", 1), len(shape))
    block = int(call.attribute("block_size", 0))
    if not block:
        if parameter.shape != (shape[axis],):
            raise ValueError(f"a scale of shape {parameter.shape} does not fit axis {axis} of a tensor {shape}")
        return np.broadcast_to(parameter.reshape(-1, *(1,) * (len(shape) - axis - 1)), shape)
    blocks = tuple(-(-n // block) if k == axis else n for k, n in enumerate(shape))
    if block < 0 or parameter.shape != blocks:
        raise ValueError(f"scales of shape {parameter.shape} do not fit blocks of {block} of a tensor {shape}")
    return np.take(np.repeat(parameter, block, axis=axis), np.arange(shape[axis]), axis=axis)


def rounded_to_half(a: Constant, kind: int) -> Constant:
    """A stored constant rounded to float16 (10) or bfloat16 (16), to even; refused if it overflows."""
    if not is_exact(a.error):
        raise UnsupportedModel("a computed constant is cast to half precision; store its value")
    if kind == 10:
        with np.errstate(over="ignore"):
            value = a.value.astype(np.float16).astype(float)
    else:
        mantissa, exponent = np.frexp(a.value)
        step = np.maximum(exponent - 8, -133)  # 8 digits, fewer below 2^-126
        value = np.ldexp(np.rint(np.ldexp(mantissa, exponent - step)), step)
    if np.any(np.isfinite(a.value) & ~(np.abs(value) <= _LARGEST[kind])):
        raise UnsupportedModel("a constant overflows when it is cast to half precision")
    return Constant(value)


def bfloat16(bits: Array) -> Array:
    """The numbers whose bfloat16 representations are given as uint16."""
    return (bits.astype(np.uint32) << 16).view(np.float32)


def nibbles(data: Array, count: int, signed: bool) -> Array:
    """`count` integers of 4 bits from bytes, the low half of each byte first."""
    pairs = np.stack([data & 15, data >> 4], axis=-1).ravel()[:count]
    return ((pairs.astype(np.int8) ^ 8) - 8).astype(np.int8) if signed else pairs.astype(np.uint8)

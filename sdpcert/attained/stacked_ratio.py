"""The difference of two outputs of a stacked form, in twice the precision with a running error bound.

The stored weights are meant, low parts included, also where blocks carry a radius.
"""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np

from sdpcert.arithmetic.error_bound import bounds
from sdpcert.arithmetic.exact import Total, add_product, two_product, two_sum
from sdpcert.network.activation import FLOAT64, FUNCTION_ERROR
from sdpcert.network.stacked import Group, StackedForm

Array = np.ndarray


def sure_difference(form: StackedForm, x: Array, x_prime: Array, room: float = 1.0) -> Array:
    """Floats that are at most the entries of |f(x) - f(x')|; zero where the error bound is not finite.

    The error bound counts `room` times.
    """
    zero = np.zeros((2, form.inputs))
    sources = [(np.stack([x, x_prime]), zero, zero)]
    for number, group in enumerate(form.groups, start=1):
        sources.append(_activate(group, *_affine(form, number, sources, group.bias)))
    high, low, error = _affine(form, form.output_row, sources, np.zeros(form.outputs))
    difference = (high[0] - high[1]) + (low[0] - low[1])
    unsure = error.sum(axis=0) + 4 * 2.0**-53 * (np.abs(high[0] - high[1]) + np.abs(low).sum(axis=0))
    sure = np.maximum(np.abs(difference) - bounds(unsure) * (room * (1 + 1e-9)), 0.0)
    return np.where(np.isfinite(sure), sure, 0.0)


def quotient_down(difference: Array, x: Array, x_prime: Array) -> float:
    """The largest float that is at most |difference| / |x - x'|, for x not x'."""
    numerators, bits = _integers(difference)
    both, more = _integers(np.concatenate([x, x_prime]))
    above = sum(n * n for n in numerators)
    below = sum((a - b) ** 2 for a, b in zip(both[: len(x)], both[len(x) :], strict=True))
    return root_down(Fraction(above << 2 * max(more - bits, 0), below << 2 * max(bits - more, 0)))


def _integers(numbers: Array) -> tuple[list[int], int]:
    """Integers n and one number of bits with n / 2^bits the floats, exactly."""
    mantissas, exponents = np.frexp(numbers)
    bits = int(np.max(np.where(mantissas != 0, 53 - exponents, -(2**30)), initial=0))
    whole = np.ldexp(mantissas, 53).astype(np.int64).tolist()
    return [n << e + bits - 53 if n else 0 for n, e in zip(whole, exponents.tolist(), strict=True)], bits


def root_down(square: Fraction) -> float:
    """The largest float whose square is at most `square`."""
    shift = (square.denominator.bit_length() - square.numerator.bit_length()) // 2
    scaled = square * Fraction(4) ** shift
    try:
        root = math.ldexp(math.sqrt(scaled), -shift)
    except OverflowError:
        return float(np.finfo(float).max)
    while Fraction(root) ** 2 > square:
        root = math.nextafter(root, 0.0)
    return root


def _affine(
    form: StackedForm, to: int, sources: list[tuple[Array, Array, Array]], bias: Array
) -> tuple[Array, Array, Array]:
    """Preactivations of both inputs, shape (2, size), as high + low with an error bound."""
    total = Total(np.broadcast_to(bias, (2, len(bias))))
    for source, block in form.row(to).items():
        high, low, error = sources[source]
        add_product(total, high, block.weights)
        if source == 0 and block.low is None:  # the inputs are what they are
            continue
        inner = block.weights.shape[1]
        magnitude = np.abs(low) @ np.abs(block.weights).T
        spread = error @ block.size.T
        total.add(low @ block.weights.T, (inner + 4) * 2.0**-52 * magnitude + spread * (1 + inner * 2.0**-51))
        if block.low is not None:
            magnitude = np.abs(high) @ np.abs(block.low).T
            missing = np.abs(low) @ np.abs(block.low).T
            total.add(high @ block.low.T, (inner + 4) * 2.0**-52 * magnitude + missing * (1 + inner * 2.0**-51))
    return total.high, total.low, total.error * (1 + 1e-9)


def _activate(group: Group, high: Array, low: Array, error: Array) -> tuple[Array, Array, Array]:
    steepest = np.maximum(np.abs(group.alpha), np.abs(group.beta))
    total, error = high + low, group.gathered(error)
    segment = group.segment(total)
    if segment is not None:
        # Where rounding the sum moves it past a kink, the other piece is off by at most that.
        slope, at_zero = segment
        product, rest = two_product(high, slope)
        out, rounding = two_sum(product, at_zero)
        moved = 0.0 if group.activation.pieces is not None else 2.0**-52 * steepest * np.abs(total)
        rounded = 2.0**-100 * (np.abs(product) + np.abs(at_zero)) + 2.0**-1070
        return out, rest + low * slope + rounding, steepest * error + moved + rounded
    value = group.evaluate(high)
    size = np.abs(value) + (steepest * np.abs(high) if group.activation.cancels else 0.0)
    relative, _ = group.activation.evaluation_error(FLOAT64) or (0.0, 0.0)
    slack = max(FUNCTION_ERROR, relative) * size + 2 * steepest * group.gathered(np.abs(low)) + 2.0**-1070
    return value, np.zeros_like(low), steepest * error + slack

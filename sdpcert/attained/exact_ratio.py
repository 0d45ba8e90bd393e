"""The difference of two outputs of a piecewise-linear stacked form in integers, with nothing rounded.

Floats are dyadic, and so is everything that such a form computes of them. In a deep network running error bounds grow
with the absolute values of the weights, layer by layer, and may leave nothing of a difference that is there.

The stored weights and biases are meant, low parts included, also where they carry a radius.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import reduce
from operator import or_

import numpy as np

from sdpcert.network.piecewise_linear import PiecewiseLinear
from sdpcert.network.stacked import Block, Group, StackedForm

Array = np.ndarray
#: Products of weights and values that may be taken, and fraction bits that a value may have.
MOST_PRODUCTS, MOST_BITS = 1e6, 20_000
#: Operations of a search for every product, by the time that they take, as measured at 50 and 100 layers of 80; and the
#: layers up to which running error bounds usually leave enough of a difference.
OPERATIONS, SHALLOW = 1.5e4, 16


@dataclass(frozen=True)
class _Dyadic:
    """The numbers `integers / 2**bits`, an array of Python integers."""

    integers: Array
    bits: int

    @staticmethod
    def of(numbers: Array) -> _Dyadic:
        """Floats, exactly."""
        mantissas, exponents = np.frexp(numbers)
        exponents = np.where(mantissas != 0, exponents, 53)
        bits = int(np.max(53 - exponents, initial=0))
        whole = np.ldexp(mantissas, 53).astype(np.int64)
        scaled = [m << e + bits - 53 for m, e in zip(whole.ravel().tolist(), exponents.ravel().tolist(), strict=True)]
        ones = reduce(or_, map(abs, scaled), 1 << bits)
        spare = min((ones & -ones).bit_length() - 1, bits)
        shorter = np.array([s >> spare for s in scaled], dtype=object)
        return _Dyadic(shorter.reshape(np.shape(numbers)), bits - spare)

    def shifted(self, bits: int) -> Array:
        """The integers for more fraction bits."""
        return self.integers << (bits - self.bits) if bits > self.bits else self.integers

    def __add__(self, other: _Dyadic) -> _Dyadic:
        bits = max(self.bits, other.bits)
        return _Dyadic(self.shifted(bits) + other.shifted(bits), bits)


def is_possible(form: StackedForm) -> bool:
    """Whether every activation is piecewise linear, every number finite, and the work is little."""
    products = sum(block.weights.size for block in form.blocks.values())
    kinds = all(isinstance(group.activation, PiecewiseLinear) for group in form.groups)
    biases = all(np.all(np.isfinite(group.bias)) for group in form.groups)
    return kinds and products <= MOST_PRODUCTS and biases and all(block.finite for block in form.blocks.values())


def operations(form: StackedForm) -> float:
    """What evaluating a pair is likely to take, in operations of a search; 0 where integers are not likely needed."""
    if len(form.groups) <= SHALLOW or not is_possible(form):
        return 0.0
    return OPERATIONS * sum(block.weights.size for block in form.blocks.values())


def squared_quotient(form: StackedForm, x: Array, x_prime: Array) -> Fraction | None:
    """The square of |f(x) - f(x')| / |x - x'|, for x not x'; None where numbers would be too long."""
    inputs = _Dyadic.of(np.stack([x, x_prime], axis=1))
    outputs = _evaluate(form, inputs)
    if outputs is None:
        return None
    above, below = (sum(int(a - b) ** 2 for a, b in both.integers) for both in (outputs, inputs))
    return Fraction(above << 2 * inputs.bits, below << 2 * outputs.bits)


def _evaluate(form: StackedForm, inputs: _Dyadic) -> _Dyadic | None:
    """The outputs without their offset, of inputs in columns."""
    sources = [inputs]
    for number, group in enumerate(form.groups, start=1):
        sources.append(_activate(group, _read(form, number, sources) + _Dyadic.of(group.bias[:, None])))
        if sources[-1].bits > MOST_BITS:
            return None
    return _read(form, form.output_row, sources)


def _read(form: StackedForm, to: int, sources: list[_Dyadic]) -> _Dyadic:
    total = _Dyadic(np.zeros((form.sizes[to], 1), dtype=object), 0)
    for source, block in form.row(to).items():
        for weights in _parts(block):
            matrix = _Dyadic.of(weights)
            read = sources[source]
            total = total + _Dyadic(matrix.integers.dot(read.integers), matrix.bits + read.bits)
    return total


def _parts(block: Block) -> list[Array]:
    return [block.weights] if block.low is None else [block.weights, block.low]


def _activate(group: Group, values: _Dyadic) -> _Dyadic:
    """The piece that every value lies on, at the value."""
    assert isinstance(group.activation, PiecewiseLinear)
    slopes = at_zero = np.zeros(values.integers.shape)
    for first, slope, value in group.activation.segments:
        place, own_slope, own_value = (group.per_neuron(n)[:, None] for n in (first, slope, value))
        known = _Dyadic.of(np.where(np.isfinite(place), place, 0.0))
        bits = max(values.bits, known.bits)
        beyond = (values.shifted(bits) > known.shifted(bits)).astype(bool)
        beyond = np.where(np.isfinite(place), beyond, place < 0)
        slopes, at_zero = np.where(beyond, own_slope, slopes), np.where(beyond, own_value, at_zero)
    slope = _Dyadic.of(slopes)
    return _Dyadic(slope.integers * values.integers, slope.bits + values.bits) + _Dyadic.of(at_zero)

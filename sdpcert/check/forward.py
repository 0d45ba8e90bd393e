"""What a network computes at one point, in integers: exact where activations are piecewise linear, else enclosed."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import repeat

from .backward import IntegerNetwork, Weights
from .integers import fixed, fraction_bits
from .network import Group
from .reading import within

#: Fraction bits of numbers at most; what has more is rounded outward.
MOST_BITS = 2048
#: Fraction bits of the values of smooth activations.
VALUE_BITS = 192


@dataclass(frozen=True)
class Numbers:
    """Numbers within `radii` of `middles`, both over 2^bits; `radii` is empty if all are zero."""

    middles: list[int]
    radii: list[int]
    bits: int

    @staticmethod
    def between(low: list[Fraction], high: list[Fraction]) -> Numbers:
        """Numbers between these ends, rounded outward if they have too many bits."""
        bits = min(max((x.denominator.bit_length() - 1 for x in (*low, *high)), default=0), MOST_BITS)
        least = [(x.numerator << bits) // x.denominator for x in low]
        most = [-((-x.numerator << bits) // x.denominator) for x in high]
        if least == most:
            return Numbers(least, [], bits)
        return Numbers(list(map(operator.add, least, most)), list(map(operator.sub, most, least)), bits + 1)

    @property
    def ends(self) -> tuple[list[Fraction], list[Fraction]]:
        """Both ends of every number."""
        unit, radii = 1 << self.bits, self.radii or [0] * len(self.middles)
        low = [Fraction(x - r, unit) for x, r in zip(self.middles, radii, strict=True)]
        high = [Fraction(x + r, unit) for x, r in zip(self.middles, radii, strict=True)] if self.radii else low
        return low, high


def margins(network: IntegerNetwork, point: Sequence[float]) -> tuple[list[Fraction], list[Fraction]]:
    """Lower and upper ends of the preactivations of the last group, the same where all is piecewise linear and certain.

    Raises `Rejected` if an activation has no known values.
    """
    bits = fraction_bits(point)
    return preactivations(network, Numbers([fixed(x, bits) for x in point], [], bits))


def preactivations(network: IntegerNetwork, inputs: Numbers) -> tuple[list[Fraction], list[Fraction]]:
    """The same for all inputs that are within their radii; raises `Rejected` likewise."""
    found = [inputs]
    groups = network.network.groups
    for g, group in enumerate(groups, 1):
        ends = _preactivations(network, g, found).ends
        if g == len(groups):
            return ends
        with within(f"group {g}"):
            found.append(_activations(group, *ends))
    return [], []


def _preactivations(network: IntegerNetwork, group: int, found: list[Numbers]) -> Numbers:
    """The preactivations of a group from the numbers of all sources below."""
    biases, bias_radii = network.biases[group]
    inward = network.inward[group]
    bits = max([network.bias_bits, *(weights.bits + found[weights.source].bits for weights in inward)])
    middles, radii = ([x << bits - network.bias_bits for x in numbers] for numbers in (biases, bias_radii))
    for weights in inward:
        source = found[weights.source]
        shift = bits - weights.bits - source.bits
        more = _times(weights, source.middles, len(biases))
        middles = [x + (y << shift) for x, y in zip(middles, more, strict=True)]
        if source.radii:
            more = _times(weights, source.radii, len(biases), sizes=True)
            radii = [x + (y << shift) for x, y in zip(radii, more, strict=True)]
        if weights.radius:
            size = weights.radius * (sum(map(abs, source.middles)) + sum(source.radii))
            radii = [x + (size << shift) for x in radii]
    return Numbers(middles, radii if any(radii) else [], bits)


def _times(weights: Weights, numbers: list[int], rows: int, sizes: bool = False) -> list[int]:
    """The products of the rows of weights, or of their absolute values, with numbers."""
    totals = [0] * rows
    for (some, column), x in zip(weights.columns, numbers, strict=True):
        if x:
            products = map(operator.mul, map(abs, column) if sizes else column, repeat(x))
            if some is None:
                totals = list(map(operator.add, totals, products))
            else:
                for i, product in zip(some, products, strict=True):
                    totals[i] += product
    return totals


def _activations(group: Group, low: list[Fraction], high: list[Fraction]) -> Numbers:
    """The activations of a group whose preactivations have these ends."""
    found = [
        group.activation.enclosure(i, ends, (group.alpha[i], group.beta[i]), VALUE_BITS)
        for i, ends in enumerate(zip(low, high, strict=True))
    ]
    return Numbers.between([below for below, _ in found], [above for _, above in found])

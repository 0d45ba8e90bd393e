"""The outputs of a network at one input, enclosed by the checker's own functions: what a counterexample rests on."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from functools import cached_property

import numpy as np

from sdpcert.certificate.region_network import network_document
from sdpcert.check import forward, forward_floating
from sdpcert.check import network as networks
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.forward import Numbers
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.reading import Rejected
from sdpcert.network.graph import Network

#: Lower and upper ends, which may be infinite.
Ends = tuple[Sequence[Fraction | float], Sequence[Fraction | float]]
#: Multiplications of integers that a point may take.
MOST_PRODUCTS = 3 * 10**7
#: Fraction bits of an input that has infinitely many.
BITS = 256


class OutputsAt:
    """Encloses the outputs of a network, in real arithmetic on its weights, at rational inputs."""

    def __init__(self, network: Network) -> None:
        form = network.carried
        self.network = networks.read(network_document(form), "network")
        self.products = sum(block.weights.size for block in form.blocks.values())

    def ends(self, point: Sequence[Fraction]) -> Ends:
        """Ends (lower, upper) of every output: exact where activations are piecewise linear and integers are little
        work, otherwise floating point with its errors; infinite where nothing is known.
        """
        try:
            if self.products <= MOST_PRODUCTS:
                return forward.preactivations(self._integers, _numbers(point))
        except Rejected:
            pass
        return self.roughly(point)

    def roughly(self, point: Sequence[Fraction]) -> Ends:
        """The same in floating point, for inputs that float64 holds; nothing is known at others."""
        inputs = np.array([float(x) for x in point])
        size = self.network.groups[-1].size
        if any(Fraction(float(y)) != x for x, y in zip(point, inputs, strict=True)):
            return [-np.inf] * size, [np.inf] * size
        low, high = forward_floating.margins(self._floating, inputs)
        return low.tolist(), high.tolist()

    @cached_property
    def _integers(self) -> IntegerNetwork:
        return IntegerNetwork(self.network)

    @cached_property
    def _floating(self) -> FloatingNetwork:
        return FloatingNetwork(self.network)


def _numbers(point: Sequence[Fraction]) -> Numbers:
    """The inputs as the checker's integers; what has no finite binary fraction is between two that have."""
    low = [_down(x) for x in point]
    return Numbers.between(low, [-_down(-x) for x in point])


def _down(number: Fraction) -> Fraction:
    if number.denominator & (number.denominator - 1) == 0:
        return number
    return Fraction((number.numerator << BITS) // number.denominator, 1 << BITS)

"""Margins of a label over other classes at points, as the checkers enclose them: in floating point, or in integers."""

from __future__ import annotations

import math
import sys
from fractions import Fraction
from functools import cached_property

import numpy as np

from sdpcert.certificate.region_network import network_document
from sdpcert.check import forward, forward_floating
from sdpcert.check import network as networks
from sdpcert.check.backward import IntegerNetwork
from sdpcert.check.differences import Differences
from sdpcert.check.network_floating import FloatingNetwork
from sdpcert.check.reading import Rejected
from sdpcert.network.stacked import StackedForm

Array = np.ndarray
#: Points that are enclosed at once.
BATCH = 500
#: Multiplications of integers that a point may take.
MOST_PRODUCTS = 10**7


class Enclosure:
    """A form that `with_differences` made, as its file states it.

    A number is known in floating point within its errors; integers say more where that leaves open what is asked.
    """

    def __init__(self, form: StackedForm) -> None:
        self.differences = Differences.of(networks.read(network_document(form), "network"))
        self.products = sum(block.weights.size for block in form.blocks.values())

    def margins(self, points: Array, labels: Array) -> tuple[Array, Array]:
        """Lower and upper ends of the margins (points, classes) of labels (points,) at points (points, inputs).

        They are infinite at the label itself, the lower one with the sign of the upper one, and where nothing is known.
        """
        parts = [forward_floating.margins(self._floating, points[k : k + BATCH]) for k in range(0, len(points), BATCH)]
        low, high = (np.concatenate(part) for part in zip(*parts, strict=True))
        return self._of_labels(low, high, labels)

    def exactly(self, point: Array, label: int) -> tuple[Array, Array]:
        """The same at one point in integers, as far as that is little work; arrays (classes,)."""
        classes = self.differences.classes
        try:
            if self.products > MOST_PRODUCTS:
                raise Rejected("too much work")
            ends = forward.margins(self._integers, point.tolist())
        except Rejected:
            return np.full(classes, -np.inf), np.full(classes, np.inf)
        low, high = np.array([[_down(end) for end in ends[0]], [-_down(-end) for end in ends[1]]])
        found = self._of_labels(low[None], high[None], np.array([label]))
        return found[0][0], found[1][0]

    def lost(self, points: Array, labels: Array) -> Array:
        """Whether (points,) some other class's output is at least that of the label, for certain."""
        return np.asarray(np.any(self.margins(points, labels)[1] <= 0, axis=1))

    def _of_labels(self, low: Array, high: Array, labels: Array) -> tuple[Array, Array]:
        """The margins of labels from the ends of all differences (points, pairs)."""
        count, classes = len(labels), self.differences.classes
        least, most = np.full((2, count, classes), np.inf)
        for label in np.unique(labels):
            rows = np.flatnonzero(labels == label)
            for other in range(classes):
                if other != label:
                    neuron, sign = self.differences.neuron(int(label), other)
                    ends = low[rows, neuron], high[rows, neuron]
                    least[rows, other], most[rows, other] = ends if sign > 0 else (-ends[1], -ends[0])
        return least, most

    @cached_property
    def _floating(self) -> FloatingNetwork:
        return FloatingNetwork(self.differences.network)

    @cached_property
    def _integers(self) -> IntegerNetwork:
        return IntegerNetwork(self.differences.network)


def _down(number: Fraction) -> float:
    """A float64 that is at most a number, and near it."""
    try:
        near = float(number)
    except OverflowError:
        return -math.inf if number < 0 else sys.float_info.max
    return math.nextafter(near, -math.inf) if near > number else near

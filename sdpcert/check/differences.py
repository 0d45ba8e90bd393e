"""A classifier's outputs and their differences as the last two groups of a network.

The last group but one has the outputs of the classifier as neurons that pass on what they read; the last one has a
neuron for each pair (y, j) of classes, y < j, in the order (0, 1), (0, 2), ..., (1, 2), ..., whose preactivation is
output y minus output j. So bounds of the last group say which class is ahead of which.
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations
from math import isqrt

from .activations import PiecewiseLinear
from .blocks import Block
from .network import Group, Network
from .pieces import Requirement
from .reading import Rejected

#: An end of an interval, which may be infinite or no number.
Number = Fraction | float
#: Ends of an interval of a margin: the label's output minus that of another class.
Margin = tuple[Number, Number]


@dataclass(frozen=True)
class Differences:
    """A network whose last group has the differences of the outputs of `classes` classes, which is checked."""

    network: Network
    classes: int

    @staticmethod
    def of(network: Network) -> Differences:
        """The differences of a network; raises `Rejected` if its last groups are not as this file says."""
        if len(network.groups) < 2:
            raise Rejected("the network has no groups of outputs and of their differences")
        outputs, last = network.groups[-2:]
        classes = (1 + isqrt(1 + 8 * last.size)) >> 1
        if outputs.size < 2 or outputs.size != classes or classes * (classes - 1) != 2 * last.size:
            raise Rejected("the last group of the network has not one neuron for each pair of the group before")
        if not _passes_on(outputs):
            raise Rejected("the last group but one of the network does not pass on what it reads")
        if any(last.bias) or any(last.bias_radius):
            raise Rejected("the last group of the network has biases")
        above, target = len(network.groups) - 1, len(network.groups)
        blocks = [block for block in network.blocks if block.target >= target]
        places = [(block.target, block.source, block.rows) for block in blocks]
        wanted = [(target, above, last.size), (target + 1, above, last.size)]
        if places != wanted or not all(_is_difference(block, classes) for block in blocks):
            raise Rejected("the last group and the outputs of the network are not the differences of the group before")
        return Differences(network, classes)

    def neuron(self, label: int, other: int) -> tuple[int, int]:
        """The neuron whose preactivation is a margin, and the sign that it has there."""
        first, second = min(label, other), max(label, other)
        before = first * (2 * self.classes - first - 1) >> 1
        return before + second - first - 1, 1 if label < other else -1

    def requirement(self, label: int, other: int, limit: Fraction) -> Requirement:
        """That a margin is above a limit, as one of a neuron of the last group."""
        neuron, sign = self.neuron(label, other)
        return Requirement(neuron, "low", limit) if sign > 0 else Requirement(neuron, "high", -limit)

    def margins(self, label: int, low: Sequence[Number], high: Sequence[Number]) -> dict[int, Margin]:
        """The margins over all other classes if the last group's preactivations are between these ends."""
        found: dict[int, Margin] = {}
        for other in range(self.classes):
            if other != label:
                neuron, sign = self.neuron(label, other)
                ends = low[neuron], high[neuron]
                found[other] = ends if sign > 0 else (-ends[1], -ends[0])
        return found

    def of_pair(self, one: int, other: int) -> Network:
        """The network without its last group, and with output `one` minus output `other` as its only output."""
        groups = self.network.groups[:-1]
        kept = [block for block in self.network.blocks if block.target <= len(groups)]
        row = Block(len(groups) + 1, len(groups), 1, self.classes, 0.0, _row(self.classes, one, other))
        return replace(self.network, outputs=1, groups=groups, blocks=(*kept, row))


def _row(classes: int, one: int, other: int) -> array[float]:
    row = array("d", bytes(8 * classes))
    row[one], row[other] = 1.0, -1.0
    return row


def _is_difference(block: Block, classes: int) -> bool:
    """Whether the rows of a block are the differences of all pairs, in their order and exactly."""
    if block.radius or block.low is not None:
        return False
    pairs = enumerate(combinations(range(classes), 2))
    return all(block.weights[k * classes : (k + 1) * classes] == _row(classes, *pair) for k, pair in pairs)


def _passes_on(group: Group) -> bool:
    activation = group.activation
    return (
        isinstance(activation, PiecewiseLinear)
        and not activation.starts
        and all(slope == 1 for slope in activation.slopes[0])
        and not any(activation.values[0])
    )

"""Bounds of preactivations on a piece, replayed in integers.

The row of a bound descends to the inputs, where its least value over the box and the ball is known. A coefficient of a
neuron is replaced by that of its preactivation with a line below the activation if it is positive, above it if it is
negative. On a bounded region coefficients are rounded down after every layer: that matters where what they multiply is
negative, and what is dropped times the sum of the largest such numbers is taken off.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence

from .backward import Coefficients, Descent, IntegerNetwork, units
from .integers import fixed, fraction_bits, rounded_to, rounded_up
from .pieces import BoundsStep, Lines
from .reading import Rejected
from .region import Region
from .state import Decision, State

#: Fraction bits of coefficients beyond those of the weights.
MORE_BITS = 96
#: Further fraction bits of norms and of constants.
GUARD = 64


class Bounding(Descent):
    """Rows on a piece, each with a constant that never is too large, over 2^bits of the piece's sizes."""

    def __init__(self, network: IntegerNetwork, state: State, region: Region, bits: int, rows: int) -> None:
        super().__init__(network)
        self.state, self.region, self.bits = state, region, bits
        self.kept_bits = network.bits + MORE_BITS
        self.constants = [0] * rows
        self.own_lines: dict[int, Lines] = {}

    def add(self, numbers: Sequence[int], bits: int) -> None:
        """Add one number, over 2^bits, to each row, rounded down."""
        rounded = (rounded_to(x, bits, self.bits, True) for x in numbers)
        self.constants = list(map(operator.add, self.constants, rounded))

    def least(self, direct: dict[int, Coefficients]) -> list[int]:
        """What each row, with these coefficients of preactivations, is at least on the piece."""
        inputs = self.run(direct)
        if inputs is not None:
            self.add(*self._least_of(inputs))
        return self.constants

    # ---------------------------------------------------------------- through the layers

    def through(self, group: int, neurons: Coefficients) -> Coefficients:
        known = self.state.neurons(group)
        neurons = self._rounded(neurons, known.depths)
        own = self.own_lines.get(group)
        places = {} if own is None else {neuron: k for k, neuron in enumerate(own.neurons)}
        slope_bits = fraction_bits(
            slope for pair in known.lines for line in pair if line is not None for slope in line[:1]
        )
        if own is not None:
            slope_bits = max(slope_bits, fraction_bits(own.lower), fraction_bits(own.upper))
        constants, columns = [0] * len(self.constants), []
        for j, column in enumerate(neurons.columns):
            found = [0] * len(column)
            if any(column):
                k = places.get(j)
                for row, x in enumerate(column):
                    if not x:
                        continue
                    if own is None or k is None:
                        line = known.lines[j][0 if x > 0 else 1]
                    else:
                        slopes = own.lower if x > 0 else own.upper
                        line = known.line(j, slopes[row * len(own.neurons) + k], x > 0)
                    if line is None:
                        side = "below" if x > 0 else "above"
                        raise Rejected(f"there is no line {side} the activation of neuron {j} of group {group}")
                    found[row] = x * fixed(line[0], slope_bits)
                    constants[row] += x * line[1]
            columns.append(found)
        self.add(constants, neurons.bits + self.bits)
        return self._rounded(Coefficients(neurons.bits + slope_bits, columns), known.preactivation_depths)

    def reads(self, group: int, coefficients: Coefficients) -> None:
        biases, radii = self.network.biases[group]
        sums = [0] * len(self.constants)
        for column, bias, radius in zip(coefficients.columns, biases, radii, strict=True):
            if bias or radius:
                sums = [s + bias * x - radius * abs(x) for s, x in zip(sums, column, strict=True)]
        self.add(sums, coefficients.bits + self.network.bias_bits)
        for weights in self.network.inward[group]:
            if weights.radius:
                total = self.state.total(weights.source, self.bits)
                sizes = coefficients.sizes()
                if total is None:
                    if any(sizes):
                        raise Rejected(f"weights of group {group} are uncertain, and what they multiply has no bound")
                    continue
                self.add(
                    [-weights.radius * total * size for size in sizes],
                    weights.bits + self.bits + coefficients.bits,
                )

    def _rounded(self, coefficients: Coefficients, depths: list[int | None]) -> Coefficients:
        """The coefficients with fewer fraction bits, if it is known how far the numbers may be below zero.

        What is dropped of each is between zero and 2^(-kept_bits), and matters only where its number is negative.
        """
        dropped = coefficients.bits - self.kept_bits
        if dropped <= 0 or self.state.box is None:  # on all inputs nothing may be rounded
            return coefficients
        total = 0
        for column, depth in zip(coefficients.columns, depths, strict=True):
            if any(column):
                if depth is None:
                    return coefficients
                total += depth
        self.add([-total] * len(self.constants), self.bits + self.kept_bits)
        return Coefficients(self.kept_bits, [[x >> dropped for x in column] for column in coefficients.columns])

    # ---------------------------------------------------------------- at the inputs

    def _least_of(self, inputs: Coefficients) -> tuple[list[int], int]:
        """What the sum of the inputs with these coefficients is at least, for each row, and its fraction bits."""
        box = self.state.box
        if box is None:
            if any(any(column) for column in inputs.columns):
                raise Rejected("a bound reads inputs that have no ends")
            return [0] * len(self.constants), 0
        least = [0] * len(self.constants)
        for column, low, high in zip(inputs.columns, box.low, box.high, strict=True):
            least = [t + x * (low if x > 0 else high) for t, x in zip(least, column, strict=True)]
        bits = inputs.bits + box.bits + GUARD
        least = [x << GUARD for x in least]
        if self.region.center is None:
            return least, bits
        at_center, squares = [0] * len(least), [0] * len(least)
        for column, center in zip(inputs.columns, self.region.center, strict=True):
            fixed_center = fixed(center, box.bits)
            at_center = [t + x * fixed_center for t, x in zip(at_center, column, strict=True)]
            squares = [t + x * x for t, x in zip(squares, column, strict=True)]
        radius = fixed(self.region.radius, box.bits)
        norms = [math.isqrt((x << 2 * GUARD) - 1) + 1 if x else 0 for x in squares]  # rounded up
        on_ball = [(c << GUARD) - radius * norm for c, norm in zip(at_center, norms, strict=True)]
        return list(map(max, least, on_ball)), bits


def check_bounds(step: BoundsStep, network: IntegerNetwork, state: State, region: Region, bits: int) -> None:
    """Prove the bounds of a step on a piece; raise `Rejected` that names the first that is not proved."""
    rows = len(step.neurons)
    sign = 1 if step.side == "low" else -1
    bounding = Bounding(network, state, region, bits, rows)
    bounding.own_lines = {lines.group: lines for lines in step.lines}
    direct = {step.group: units(list(step.neurons), len(state.neurons(step.group).low), sign)}
    if step.multipliers is not None and any(step.multipliers):
        add_decisions(direct, bounding, step.multipliers, state.decisions, state)
    for row, (value, least) in enumerate(zip(step.values, bounding.least(direct), strict=True)):
        if least < rounded_up(sign * value, bits):
            raise Rejected(f"neuron {step.neurons[row]} of group {step.group} is not proved to be as {step.side}")


def add_decisions(
    direct: dict[int, Coefficients], bounding: Bounding, multipliers: Sequence[float], decisions: Sequence[Decision],
    state: State,
) -> None:  # fmt: skip
    """Take the half-spaces of the decisions, each with a multiplier for each row, off the rows."""
    bits, at_bits = fraction_bits(multipliers), fraction_bits(decision.at for decision in decisions)
    rows, constants = len(bounding.constants), [0] * len(bounding.constants)
    columns: dict[int, list[list[int]]] = {}
    for d, decision in enumerate(decisions):
        weights = [fixed(x, bits) * decision.sign for x in multipliers[d :: len(decisions)]]
        if not any(weights):
            continue
        size = len(state.neurons(decision.group).low)
        group = columns.setdefault(decision.group, [[0] * rows for _ in range(size)])
        group[decision.neuron] = [x - w for x, w in zip(group[decision.neuron], weights, strict=True)]
        at = fixed(decision.at, at_bits)
        constants = [c + w * at for c, w in zip(constants, weights, strict=True)]
    for group, found in columns.items():
        more = Coefficients(bits, found)
        direct[group] = direct[group].plus(more) if group in direct else more
    bounding.add(constants, bits + at_bits)

"""Preactivations of a piece as affine functions of an ellipsoid's coordinates and of undecided neurons, in integers.

Decided neurons are replaced by the affine functions that they are. Coefficients are shortened on the way down, and
what that may change on the piece is added up, as is what radii of weights and biases may.
"""

from __future__ import annotations

import operator
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

from .backward import Coefficients, Descent, IntegerNetwork, units
from .integers import fixed, fraction_bits, rounded_to
from .reading import Rejected
from .region import Region
from .state import Box, State

#: Bits of the largest coefficient of some rows that are kept, and of their constants.
KEPT_BITS = 96
#: Fraction bits of the ellipsoid's size beyond those that it needs to be seen at all.
SIZE_BITS = 128


@dataclass(frozen=True)
class Ellipsoid:
    """All `x = center + scales y` with `|y|^2 <= square`; on the piece `|y_j| <= reach_j`.

    `center` is over 2^center_bits, `reach` over 2^reach_bits, rounded up; so is `square`. `scales` None is all ones.
    """

    center: list[int]
    center_bits: int
    scales: array[float] | None
    reach: list[int]
    reach_bits: int
    square: Fraction

    @staticmethod
    def around(region: Region, box: Box | None, scales: array[float] | None) -> Ellipsoid:
        """The ball of a region, or the ellipsoid with these semi-axes, up to a factor, around its box."""
        if box is None:
            raise Rejected("the inputs have no ends")
        bits = box.bits + 1
        unit = 1 << bits
        if scales is None:
            if region.center is None:
                raise Rejected("the region has no ball")
            center = [fixed(c, bits) for c in region.center]
            radius = fixed(region.radius, bits)
            halves = [
                Fraction(min(radius, max(2 * high - c, c - 2 * low)), unit)
                for c, low, high in zip(center, box.low, box.high, strict=True)
            ]
            square = Fraction(radius, unit) ** 2
        else:
            center = list(map(operator.add, box.low, box.high))
            widths = map(operator.sub, box.high, box.low)
            ratios = (s.as_integer_ratio() for s in scales)
            halves = [Fraction(width * d, unit * n) for width, (n, d) in zip(widths, ratios, strict=True)]
            square = None
        least = min((x for x in halves if x), default=Fraction(1))
        reach_bits = SIZE_BITS + max(least.denominator.bit_length() - least.numerator.bit_length(), 0)
        reach = [-(-(x.numerator << reach_bits) // x.denominator) for x in halves]
        if square is None:
            square = Fraction(sum(x * x for x in reach), 1 << 2 * reach_bits)
        return Ellipsoid(center, bits, scales, reach, reach_bits, square)


@dataclass(frozen=True)
class AffineRows:
    """Preactivations `constant + inputs y + neurons z`, up to errors, of some neurons of one group.

    Args:
        inputs: coefficients of y.
        neurons: for each group below those of its undecided neurons.
        constants: one column.
        errors: what each row may be wrong by on the piece.
    """

    inputs: Coefficients
    neurons: dict[int, Coefficients]
    constants: Coefficients
    errors: list[Fraction]


class AffineDescent(Descent):
    """Rows on a piece; constants and errors are over 2^bits of the piece's sizes."""

    def __init__(self, network: IntegerNetwork, state: State, bits: int, rows: int) -> None:
        super().__init__(network)
        self.state, self.bits = state, bits
        self.constants, self.errors = [0] * rows, [0] * rows
        self.found: dict[int, Coefficients] = {}

    def add(self, numbers: Sequence[int], bits: int) -> None:
        """Add one number, over 2^bits, to the constant of each row."""
        below, above = ([rounded_to(x, bits, self.bits, down) for x in numbers] for down in (True, False))
        self.constants = list(map(operator.add, self.constants, below))
        if below != above:
            self.errors = [e + 1 for e in self.errors]

    def charge(self, numbers: Sequence[int], bits: int) -> None:
        """Add one number >= 0, over 2^bits, to the error of each row."""
        rounded = (rounded_to(x, bits, self.bits, False) for x in numbers)
        self.errors = list(map(operator.add, self.errors, rounded))

    def rows(self, group: int, neurons: list[int], ellipsoid: Ellipsoid) -> AffineRows:
        """The preactivations of some neurons of a group."""
        size = len(self.state.neurons(group).low)
        inputs = self.run({group: units(neurons, size)})
        if inputs is None:
            inputs = Coefficients(0, [[0] * len(neurons) for _ in ellipsoid.center])
        at_center = [0] * len(neurons)
        for column, center in zip(inputs.columns, ellipsoid.center, strict=True):
            if center:
                at_center = [t + x * center for t, x in zip(at_center, column, strict=True)]
        self.add(at_center, inputs.bits + ellipsoid.center_bits)
        if ellipsoid.scales is not None:
            bits = fraction_bits(ellipsoid.scales)
            factors = [fixed(s, bits) for s in ellipsoid.scales]
            columns = [[x * f for x in column] for column, f in zip(inputs.columns, factors, strict=True)]
            inputs = Coefficients(inputs.bits + bits, columns)
        inputs = self._shortened(inputs, ellipsoid.reach, ellipsoid.reach_bits)
        constants = self._shortened(Coefficients(self.bits, [self.constants]), [1], 0)
        below = {source: found.shortest() for source, found in self.found.items()}
        errors = [Fraction(error, 1 << self.bits) for error in self.errors]
        return AffineRows(inputs, below, constants, errors)

    # ---------------------------------------------------------------- through the layers

    def through(self, group: int, neurons: Coefficients) -> Coefficients:
        known = self.state.neurons(group)
        neurons = self._shortened(neurons, known.sizes, self.bits)
        self.found[group] = Coefficients(neurons.bits, [neurons.columns[j] for j in known.undecided])
        undecided, bits = set(known.undecided), fraction_bits(alpha for alpha, _ in known.slopes)
        zeros = [0] * len(self.constants)
        constants, errors, columns = zeros, zeros, []
        for j, column in enumerate(neurons.columns):
            if j in undecided or not any(column):
                columns.append(zeros)
                continue
            values = known.at_zero(j)
            if values is None:
                raise Rejected(f"neuron {j} of group {group} is decided, but its value at zero is not known")
            low, high = values
            if low:
                constants = [c + x * low for c, x in zip(constants, column, strict=True)]
            if low < high:
                errors = [e + abs(x) * (high - low) for e, x in zip(errors, column, strict=True)]
            slope = fixed(known.slopes[j][0], bits)
            columns.append([x * slope for x in column] if slope else zeros)
        self.add(constants, neurons.bits + self.bits)
        self.charge(errors, neurons.bits + self.bits)
        return Coefficients(neurons.bits + bits, columns)

    def reads(self, group: int, coefficients: Coefficients) -> None:
        biases, radii = self.network.biases[group]
        sums, uncertain = [0] * len(self.constants), [0] * len(self.constants)
        for column, bias, radius in zip(coefficients.columns, biases, radii, strict=True):
            if bias:
                sums = [s + bias * x for s, x in zip(sums, column, strict=True)]
            if radius:
                uncertain = [u + radius * abs(x) for u, x in zip(uncertain, column, strict=True)]
        self.add(sums, coefficients.bits + self.network.bias_bits)
        self.charge(uncertain, coefficients.bits + self.network.bias_bits)
        for weights in self.network.inward[group]:
            if weights.radius:
                sizes = coefficients.sizes()
                total = self.state.total(weights.source, self.bits)
                if total is not None:
                    found = [weights.radius * total * size for size in sizes]
                    self.charge(found, weights.bits + self.bits + coefficients.bits)
                elif any(sizes):
                    raise Rejected(f"weights of group {group} are uncertain, and what they multiply has no bound")

    def _shortened(self, coefficients: Coefficients, sizes: Sequence[int | None], bits: int) -> Coefficients:
        """The coefficients rounded to fewer bits, if there are bounds (over 2^bits) of all that they multiply."""
        coefficients = coefficients.shortest()
        columns = coefficients.columns
        most = max((max(max(column), -min(column)) for column in columns), default=0)
        dropped = min(most.bit_length() - KEPT_BITS, coefficients.bits)
        if dropped <= 0:
            return coefficients
        total = 0
        for column, size in zip(columns, sizes, strict=True):
            if any(column):
                if size is None:
                    return coefficients
                total += size
        half = 1 << dropped - 1
        self.charge([total * half] * len(self.constants), bits + coefficients.bits)
        return Coefficients(coefficients.bits - dropped, [[x + half >> dropped for x in column] for column in columns])

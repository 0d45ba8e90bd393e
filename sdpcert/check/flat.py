"""Pieces without interior: half-spaces of their decisions, weighed, leave at most a hyperplane; in exact arithmetic."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from fractions import Fraction

from .activations import Ends
from .backward import Coefficients, Descent, IntegerNetwork, units
from .integers import fixed, fraction_bits
from .pieces import Flat
from .reading import Rejected
from .region import Region
from .state import State


class LinearForms(Descent):
    """Preactivations of a piece as exact affine functions of the inputs: constants are over 2^constant_bits."""

    def __init__(
        self, network: IntegerNetwork, state: State, rows: int, found: dict[tuple[int, int], Ends] | None = None
    ) -> None:
        super().__init__(network)
        self.state = state
        self.constants, self.constant_bits = [0] * rows, 0
        #: Slopes and values of the neurons that read nothing that moves, as far as somebody asked.
        self.at_constants: dict[tuple[int, int], Ends] = {} if found is None else found

    def add(self, numbers: Sequence[int], bits: int) -> None:
        """Add one number, over 2^bits, to each row."""
        common = max(bits, self.constant_bits)
        before = (x << common - self.constant_bits for x in self.constants)
        self.constants = list(map(operator.add, before, (x << common - bits for x in numbers)))
        self.constant_bits = common

    def through(self, group: int, neurons: Coefficients) -> Coefficients:
        known, used = self.state.neurons(group), {}
        for j, column in enumerate(neurons.columns):
            if any(column):
                affine = known.activation.affine(j, known.interval(j))
                used[j] = self._at_constant(group, j) if affine is None else affine
        bits = fraction_bits(number for affine in used.values() for number in affine)
        columns, constants = [[0] * len(self.constants) for _ in neurons.columns], [0] * len(self.constants)
        for j, (slope, value) in used.items():
            slope, value = fixed(slope, bits), fixed(value, bits)
            columns[j] = [x * slope for x in neurons.columns[j]]
            constants = [c + x * value for c, x in zip(constants, neurons.columns[j], strict=True)]
        self.add(constants, neurons.bits + bits)
        return Coefficients(neurons.bits + bits, columns)

    def _at_constant(self, group: int, neuron: int) -> Ends:
        """Slope and value at zero of a piece of an activation whose preactivation is constant, at that constant."""
        if (group, neuron) not in self.at_constants:
            known, own = self.state.neurons(group), LinearForms(self.network, self.state, 1, self.at_constants)
            inputs = own.run({group: units([neuron], len(known.low))})
            affine = None
            if inputs is None or not any(map(any, inputs.columns)):
                constant = Fraction(own.constants[0], 1 << own.constant_bits)
                affine = known.activation.affine(neuron, (constant, constant))
            if affine is None:
                raise Rejected(f"neuron {neuron} of group {group} is not linear on the piece")
            self.at_constants[group, neuron] = affine
        return self.at_constants[group, neuron]

    def reads(self, group: int, coefficients: Coefficients) -> None:
        biases, radii = self.network.biases[group]
        sums, uncertain = [0] * len(self.constants), any(weights.radius for weights in self.network.inward[group])
        for i, column in enumerate(coefficients.columns):
            if any(column):
                if radii[i] or uncertain:
                    raise Rejected(f"weights or bias of neuron {i} of group {group} are uncertain")
                sums = [s + biases[i] * x for s, x in zip(sums, column, strict=True)]
        self.add(sums, coefficients.bits + self.network.bias_bits)


def check_flat(end: Flat, network: IntegerNetwork, state: State, region: Region) -> None:
    """Prove that a piece has no interior; raise `Rejected` if the weights do not show it."""
    used = [(decision, w) for decision, w in zip(state.decisions, end.weights, strict=True) if w]
    forms = LinearForms(network, state, len(used))
    direct: dict[int, Coefficients] = {}
    for row, (decision, _) in enumerate(used):
        size = len(state.neurons(decision.group).low)
        columns = direct.setdefault(decision.group, Coefficients(0, [[0] * len(used) for _ in range(size)])).columns
        columns[decision.neuron][row] = 1
    inputs = forms.run(direct)
    at_bits = fraction_bits(decision.at for decision, _ in used)
    forms.add([-fixed(decision.at, at_bits) for decision, _ in used], at_bits)
    if inputs is None:
        inputs = Coefficients(0, [[0] * len(used) for _ in range(network.network.inputs)])
    signed = [decision.sign * weight for decision, weight in used]
    h = [sum(map(operator.mul, column, signed)) for column in inputs.columns]
    constant = sum(map(operator.mul, forms.constants, signed))
    moving = [j for j, fixed_input in enumerate(region.fixed(network.network.inputs)) if not fixed_input]
    sign = sign_of_maximum(h, inputs.bits, constant, forms.constant_bits, state, region)
    if sign < 0:
        return
    if sign > 0:
        raise Rejected("the weighed half-spaces have points inside of the region")
    if not any(h[j] for j in moving) and not any(any(inputs.columns[j]) for j in moving):
        raise Rejected("the weighed preactivations do not move with the inputs")


def sign_of_maximum(h: list[int], bits: int, constant: int, constant_bits: int, state: State, region: Region) -> int:
    """A number whose sign is at least that of the greatest value of `h'x + constant` on a piece.

    Coefficients are over 2^bits, the constant over 2^constant_bits.
    """
    box = state.box
    if box is None:
        return 1 if any(h) else constant
    common = max(bits + box.bits, constant_bits)
    constant <<= common - constant_bits
    more = common - bits - box.bits
    top = sum(x * (high if x > 0 else low) for x, low, high in zip(h, box.low, box.high, strict=True))
    on_box = (top << more) + constant
    if region.center is None or on_box < 0:
        return on_box
    # What is fixed takes its part of the radius: a ball within a box has points nearer to the center there.
    center = [fixed(c, box.bits) for c in region.center]
    square, at_center, norm = fixed(region.radius, box.bits) ** 2, constant, 0
    for x, c, low, is_fixed in zip(h, center, box.low, region.fixed(len(h)), strict=True):
        if is_fixed:
            square -= (low - c) ** 2
            at_center += x * low << more
        else:
            norm += x * x
            at_center += x * c << more
    # at_center + radius |h| over the inputs that move, compared with zero in squares.
    reach = square * norm << 2 * more
    on_ball = reach - at_center**2 if at_center <= 0 else 1
    return min(on_box, on_ball)

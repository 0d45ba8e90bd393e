"""A cover proved in integers: every piece with what it has from its parent, its steps, and its end."""

from __future__ import annotations

from fractions import Fraction

from . import definite
from .backward import IntegerNetwork
from .bounding import GUARD, MORE_BITS, check_bounds
from .flat import check_flat
from .pieces import (
    Bounded,
    BoundsStep,
    Divided,
    Empty,
    End,
    Flat,
    LinesStep,
    QuadraticStep,
    Separated,
    SlopesStep,
    Split,
    Step,
    check_separated,
)
from .quadratic import check_quadratic
from .reading import Rejected, within
from .reduced import reduced
from .state import State, first_state, input_bits


def prove(divided: Divided) -> None:
    """Prove what is claimed of a network on a region that is divided into pieces; raise `Rejected`."""
    replay, pieces = Replay(divided), divided.pieces
    states: dict[int, tuple[State, int]] = {}  # of pieces that are split, with the children still to come
    for number, piece in enumerate(pieces):
        with within(piece.name):
            if piece.parent is None or piece.side is None:
                state = replay.first
            else:
                before, children = states.pop(piece.parent)
                if children > 1:
                    states[piece.parent] = before, children - 1
                split = pieces[piece.parent].end
                if not isinstance(split, Split):
                    raise Rejected("its parent is not split")
                state = before.on_side(split, piece.side)
            state = replay.after(number, state)
            if isinstance(piece.end, Split):
                states[number] = state, 2


class Replay:
    """What all pieces of one region have in common."""

    def __init__(self, divided: Divided) -> None:
        self.network, self.region, self.upper = IntegerNetwork(divided.network), divided.region, divided.upper
        self.pieces, self.requirements = divided.pieces, divided.requirements
        splits = [piece.end for piece in divided.pieces if isinstance(piece.end, Split)]
        self.bits = self.network.bits + MORE_BITS + GUARD + input_bits(self.region, splits)
        self.first = first_state(divided.network, self.region, splits, self.bits)

    def after(self, number: int, state: State) -> State:
        """The state of a piece after its steps, which are proved, as its end is."""
        piece = self.pieces[number]
        for k, step in enumerate(piece.steps):
            with within(f"steps[{k}]"):
                if state.empty:
                    raise Rejected("the piece is empty already")
                state = self._after_step(step, state)
        with within("end", number):
            if state.empty is not isinstance(piece.end, Empty):
                raise Rejected("the piece is empty" if state.empty else "no interval of the piece is empty")
            self._check_end(piece.end, state)
        return state

    def _after_step(self, step: Step, state: State) -> State:
        match step:
            case BoundsStep():
                check_bounds(step, self.network, state, self.region, self.bits)
                cut = state.neurons(step.group).with_ends(step.side, step.neurons, step.values)
                return state.with_neurons(step.group, cut, step.neurons)
            case LinesStep(lines):
                neurons = state.neurons(lines.group).with_lines(lines.neurons, lines.lower, lines.upper)
                return state.with_neurons(lines.group, neurons)
            case SlopesStep():
                neurons = state.neurons(step.group)
                neurons.check_slopes(step.neurons, step.alpha, step.beta)
                return state.with_neurons(step.group, neurons.with_slopes(step.neurons, step.alpha, step.beta))
            case QuadraticStep():
                check_quadratic(step, self.network, state, self.region, self.bits)
                cut = state.neurons(step.group).with_ends(step.side, [step.neuron], [step.value])
                return state.with_neurons(step.group, cut, [step.neuron])

    def _check_end(self, end: End, state: State) -> None:
        match end:
            case Bounded():
                if Fraction(self.upper) ** 2 < Fraction(4) ** end.exponent * Fraction(end.rho):
                    raise Rejected("upper is less than 2^s sqrt(rho)")
                definite.prove(reduced(end, self.network, state, self.region))
            case Flat():
                check_flat(end, self.network, state, self.region)
            case Separated():
                last = state.groups[-1]
                check_separated(self.requirements, last.low, last.high)
            case _:
                pass

"""A cover proved in floating point with rigorous error bounds: every piece's steps, and its end; needs NumPy.

The pieces are visited from the whole region down, one path at a time, so that few states are kept at once.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cached_property

import numpy as np

from . import definite
from .backward import IntegerNetwork
from .backward_floating import unproved
from .condition_floating import prove_condition
from .flat import check_flat
from .network_floating import FloatingNetwork
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
from .quadratic_floating import prove_quadratic
from .reading import Rejected, within
from .reduced import reduced as exactly
from .reduced_floating import Reduced, reduce
from .rounding import require_rounding_to_nearest
from .state import State as ExactState
from .state import first_state
from .state_floating import State

#: Multiplications of integers that a condition may take where floating point does not do: some seconds.
MAX_WORK = 2 * 10**8


def prove(divided: Divided) -> None:
    """Prove what is claimed of a network on a region that is divided into pieces; raise `Rejected`."""
    require_rounding_to_nearest()
    children: list[list[int]] = [[] for _ in divided.pieces]
    for p, piece in enumerate(divided.pieces):
        if piece.parent is not None:
            children[piece.parent].append(p)
    with np.errstate(all="ignore"):  # what overflows proves nothing
        replay = FloatingReplay(divided)
        waiting = [(0, State.of(replay.network, divided.region))]
        while waiting:
            number, before = waiting.pop()
            piece = divided.pieces[number]
            with within(piece.name):
                state = replay.after(number, before)
                if isinstance(piece.end, Split):
                    for child in reversed(children[number]):
                        waiting.append((child, state.on_side(piece.end, divided.pieces[child].side or "")))


class FloatingReplay:
    """What all pieces of one cover have in common."""

    def __init__(self, divided: Divided) -> None:
        self.divided, self.network = divided, FloatingNetwork(divided.network)
        self.pieces = divided.pieces

    def after(self, number: int, state: State) -> State:
        """The state of a piece after its steps, which are proved, as its end is."""
        piece = self.pieces[number]
        for k, step in enumerate(piece.steps):
            with within(f"steps[{k}]"):
                if state.is_empty:
                    raise Rejected("the piece is empty already")
                state = self._after_step(step, state)
        with within("end", number):
            if state.is_empty is not isinstance(piece.end, Empty):
                raise Rejected("the piece is empty" if state.is_empty else "no interval of the piece is empty")
            self._check_end(piece.end, state)
        return state

    def _after_step(self, step: Step, state: State) -> State:
        match step:
            case BoundsStep():
                self._check_bounds(step, state)
                return state.after_bounds(step)
            case LinesStep():
                return state.after_lines(step)
            case SlopesStep():
                return state.after_slopes(step)
            case QuadraticStep():
                prove_quadratic(state, step)
                return state.after_quadratic(step)

    def _check_bounds(self, step: BoundsStep, state: State) -> None:
        failed = unproved(state, step)
        if len(failed):
            neuron = f"neuron {step.neurons[int(failed[0])]} of group {step.group}"
            why = "" if state.region.bounded else "; on all inputs that may need integers"
            raise Rejected(f"{neuron} is not proved to be as {step.side} in floating point{why}")

    def _check_end(self, end: End, state: State) -> None:
        match end:
            case Bounded():
                self._check_bounded(end, state)
            case Flat():
                self._check_flat(end, state)
            case Separated():
                last = state.neurons[-1].known
                check_separated(self.divided.requirements, last.low.tolist(), last.high.tolist())
            case _:
                pass

    def _check_bounded(self, end: Bounded, state: State) -> None:
        if Fraction(self.divided.upper) ** 2 < Fraction(4) ** end.exponent * Fraction(end.rho):
            raise Rejected("upper is less than 2^s sqrt(rho)")
        reduced = reduce(state)
        for g, (mask, values) in enumerate(zip(reduced.active, end.multipliers, strict=True), 1):
            if len(values) != int(np.sum(mask)):
                raise Rejected(f"group {g} has not one multiplier for each neuron that is not decided")
        multipliers = np.concatenate([np.zeros(0), *(np.array(values) for values in reversed(end.multipliers))])
        try:
            prove_condition(reduced, end.rho, end.exponent, multipliers)
        except Rejected:
            # Long chains of decided neurons may cancel more than float64 holds; then few rows are left.
            if not reduced.is_doubtful or self._work(reduced) > MAX_WORK:
                raise
            definite.prove(exactly(end, self._exact_network, self._exact_state(state), state.region))

    # ---------------------------------------------------------------- in integers

    @cached_property
    def _exact_network(self) -> IntegerNetwork:
        return IntegerNetwork(self.divided.network)

    def _exact_state(self, state: State) -> ExactState:
        cuts = [split for split, _ in state.cuts]
        exact = first_state(self.divided.network, state.region, cuts, 0)
        for group, neurons in enumerate(state.neurons, 1):
            own, every, known = exact.neurons(group), range(len(neurons.lower)), neurons.known
            own = own.with_ends("low", every, known.low.tolist()).with_ends("high", every, known.high.tolist())
            exact = exact.with_neurons(group, own.with_slopes(every, known.alpha.tolist(), known.beta.tolist()))
        for split, side in (*state.cuts, *((Split(d.group, d.neuron, d.at), d.side) for d in state.decisions)):
            exact = exact.on_side(split, side)
        return exact

    def _work(self, reduced: Reduced) -> int:
        """About how many multiplications of integers a condition takes."""
        weights = sum(block.matrix.size for blocks in self.network.blocks for block in blocks)
        rows, columns = reduced.matrix.shape
        return rows * weights + rows * rows * columns + (rows + min(rows, reduced.moving)) ** 3

    def _check_flat(self, end: Flat, state: State) -> None:
        """Prove that a piece is flat: nothing may be rounded, and affine functions are all it takes."""
        check_flat(end, self._exact_network, self._exact_state(state), state.region)

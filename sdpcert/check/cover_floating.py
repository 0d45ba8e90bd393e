"""Restrictions and covers proved in floating point with rigorous error bounds; needs NumPy.

The pieces are visited from the whole region down, children after their parents, so that the states that are kept are
those of one path. Each step of a piece is verified, and so is its end.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from .backward_floating import unproved
from .condition_floating import prove_condition
from .cover import Cover
from .network_floating import FloatingNetwork
from .pieces import Bounded, BoundsStep, Empty, Flat, LinesStep, Piece, SlopesStep, Split
from .reading import Rejected, within
from .reduced_floating import reduce
from .rounding import require_rounding_to_nearest
from .state_floating import State


def prove(cover: Cover) -> None:
    """Prove the bound of every piece; raise Rejected."""
    require_rounding_to_nearest()
    children: list[list[int]] = [[] for _ in cover.pieces]
    for p, piece in enumerate(cover.pieces):
        if piece.parent is not None:
            children[piece.parent].append(p)
    with np.errstate(all="ignore"):
        waiting = [(0, State.of(FloatingNetwork(cover.network), cover.region))]
        while waiting:
            p, before = waiting.pop()
            piece = cover.pieces[p]
            with within(piece.name):
                state = after_steps(before, piece)
                ENDS[type(piece.end)](cover, state, piece.end)
                if isinstance(piece.end, Split):
                    waiting += [(q, state.on_side(piece.end, cover.pieces[q].side or "")) for q in children[p]]


def after_steps(state: State, piece: Piece) -> State:
    """The state of a piece after its steps, all of which are verified."""
    for k, step in enumerate(piece.steps):
        with within(f"steps[{k}]"):
            if state.is_empty:
                raise Rejected("a step follows one after which the piece is empty")
            state = STEPS[type(step)](state, step)
    return state


def after_bounds(state: State, step: BoundsStep) -> State:
    """The state after bounds, which are verified."""
    failed = unproved(state, step)
    if len(failed):
        neuron = step.neurons[int(failed[0])]
        problem = f"the bound of neuron {neuron} of group {step.group} is not proved in floating point"
        remedy = "" if state.region.bounded else "; on all inputs a proof in integers is needed"
        raise Rejected(problem + remedy)
    neurons, values = np.array(step.neurons, dtype=int), np.array(step.values)
    return state.with_neurons(step.group, state.neurons[step.group - 1].bounded(step.side, neurons, values))


def prove_bounded(cover: Cover, state: State, end: Bounded) -> None:
    """Prove the condition at the end of a piece."""
    not_empty(state)
    if Fraction(cover.upper) ** 2 < Fraction(4) ** end.exponent * Fraction(end.rho):
        raise Rejected("upper is less than 2^s sqrt(rho)")
    reduced = reduce(state)
    for g, (mask, values) in enumerate(zip(reduced.active, end.multipliers, strict=True), 1):
        if len(values) != int(np.sum(mask)):
            raise Rejected(f"the multipliers of group {g} are not one for each neuron that is not decided")
    multipliers = np.concatenate([np.zeros(0), *(np.array(values) for values in reversed(end.multipliers))])
    prove_condition(reduced, end.rho, end.exponent, multipliers)


def prove_empty(cover: Cover, state: State, end: Empty) -> None:
    """Prove that a piece has no points."""
    if not state.is_empty:
        raise Rejected("no interval of a neuron is empty")


def prove_flat(cover: Cover, state: State, end: Flat) -> None:
    """Prove that a piece has no interior points: this has to be exact."""
    not_empty(state)
    raise Rejected("that a piece is flat needs a proof in integers")


def prove_split(cover: Cover, state: State, end: Split) -> None:
    """A split needs no proof: two pieces take the place of this one."""
    not_empty(state)


def not_empty(state: State) -> None:
    """Raise Rejected if an interval of some neuron is empty."""
    if state.is_empty:
        raise Rejected("the interval of a neuron is empty, and the end is not")


STEPS: dict[type, Callable[..., State]] = {
    BoundsStep: after_bounds,
    LinesStep: State.after_lines,
    SlopesStep: State.after_slopes,
}
ENDS: dict[type, Callable[..., None]] = {
    Bounded: prove_bounded,
    Empty: prove_empty,
    Flat: prove_flat,
    Split: prove_split,
}

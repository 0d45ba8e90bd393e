"""Bounds of all preactivations of a piece, and the steps that prove them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from sdpcert.regions.ascent import Limits, ascend
from sdpcert.regions.backward import Relaxation, Rows, sided
from sdpcert.regions.condensed import Condensed
from sdpcert.regions.pieces import BoundsStep, Lines, LinesStep, SlopesStep, Step
from sdpcert.regions.state import Decision, State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: How far stated slopes of smooth activations are widened on each side, as a share of the steepest slope.
LEAST_WIDTH = 1e-8
#: An interval that becomes shorter by less than this share is left as it is.
WORTH = 1e-3
#: A bound that is so far beyond what it has to pass is not sought any better.
ROOM = 1e-6


@dataclass(frozen=True)
class Effort:
    """How hard bounds are sought.

    `iterations` steps optimise the lines of every row (0: the piece's own lines), with multipliers of the half-spaces
    of splits if `multipliers`, as long as all steps of a piece take no more than `work` multiplications.
    """

    iterations: int = 0
    multipliers: bool = True
    work: float = 1e10


@dataclass(frozen=True, eq=False)
class Wanted(ShortRepr):
    """Those bounds of the last group that matter; one above `enough` need not be better."""

    rows: Rows
    enough: Array | float = np.inf


def tighten(
    state: State, effort: Effort, changed: Decision | None = None, wanted: Wanted | None = None
) -> tuple[State, list[Step]]:
    """Bound the preactivations of a piece again; returns the state after, and the steps that prove it.

    `changed` is the decision that made the piece, if one did: what is looked at first for a contradiction. `wanted`
    leaves out all other bounds of the last group. Stops at a contradiction, which `State.is_empty` shows.
    """
    tightening = _Tightening(state, effort, wanted)
    if not state.is_empty:
        tightening.run(changed)
    return tightening.state, tightening.steps


class _Tightening:
    """A state, the steps that led to it, and its lines, which are always those of the state: a checker's are, too."""

    def __init__(self, state: State, effort: Effort, wanted: Wanted | None) -> None:
        self.state, self.effort, self.work, self.wanted = state, effort, effort.work, wanted
        self.steps: list[Step] = []
        self.relaxation = Relaxation(state)
        self.condensed = Condensed()

    def run(self, changed: Decision | None) -> None:
        """Bound the groups in their order, each with the lines that the ones before have now."""
        if changed is not None and self._uses_half_spaces:
            self._contradict(changed)
        for group in range(1, len(self.state.form.groups) + 1):
            if self.state.is_empty:
                return
            if self.wanted is not None and group == self.wanted.rows.group:
                self._bound_wanted(self.wanted)
                return
            self._bound(group)
            if not self.state.is_empty:
                self._slopes(group)
                self._lines(group)

    @property
    def _uses_half_spaces(self) -> bool:
        return self.effort.multipliers and self.effort.iterations > 0 and bool(self.state.decisions)

    def _take(self, step: Step, group: int) -> None:
        self.state = self.state.after(step)
        self.steps.append(step)
        self.relaxation.after(self.state, group)

    def _contradict(self, changed: Decision) -> None:
        """Bound the neuron that was split last on its other side: half-spaces before may rule this side out.

        If the piece has no points while its parent may have some, then this half-space is part of the reason.
        """
        neurons = self._bounded(changed.group, np.array([changed.neuron]))
        end = (self.state.low if changed.side == "above" else self.state.high)[changed.group - 1][neurons]
        rows = Rows(changed.group, neurons, np.full(len(neurons), -changed.sign))
        self._ascend(rows, 2 * self.effort.iterations, -changed.sign * end * (1 + ROOM) + ROOM)

    def _bound(self, group: int) -> None:
        """Bound what is undecided in a group, and what has no bounds yet."""
        low, high = self.state.low[group - 1], self.state.high[group - 1]
        without = ~(np.isfinite(low) & np.isfinite(high))
        first = without if self.effort.iterations else without | self.state.undecided[group - 1]
        self._state_bounds(Rows(group, *sided(self._bounded(group, np.flatnonzero(first)))))
        if self.effort.iterations and not self.state.is_empty:
            undecided = self._bounded(group, np.flatnonzero(self.state.undecided[group - 1]))
            # A neuron of two pieces that meet at zero needs no better bound than one that decides it.
            enough = ROOM if self.state.form.groups[group - 1].activation.pieces is not None else np.inf
            self._ascend(Rows(group, *sided(undecided)), self.effort.iterations, enough)

    def _bound_wanted(self, wanted: Wanted) -> None:
        """Bound the rows of the last group that matter."""
        self._state_bounds(wanted.rows)
        if self.effort.iterations and not self.state.is_empty:
            self._ascend(wanted.rows, self.effort.iterations, wanted.enough)

    def _bounded(self, group: int, neurons: Array) -> Array:
        """Those neurons that read nothing without bounds: on all inputs, few but those that are constant."""
        return neurons[np.isfinite(self.relaxation.sizes(group)[0][neurons])] if len(neurons) else neurons

    def _ascend(self, rows: Rows, iterations: int, enough: Array | float) -> None:
        """Optimise rows, and state those that this makes better."""
        group, half_spaces = rows.group, self._uses_half_spaces
        bending = any(len(self.condensed.bend(self.relaxation, h)) for h in range(1, group))
        if not len(rows.neurons) or not (half_spaces or bending):
            return
        low, high = self.state.low[group - 1][rows.neurons], self.state.high[group - 1][rows.neurons]
        before = np.where(rows.signs > 0, low, -high)
        least = _least(low, high)
        limits = Limits(iterations, self.work, half_spaces)
        found = ascend(self.relaxation, self.condensed, rows, limits, before + least, enough)
        self.work -= found.work
        worth = _worth(found.reached, before, least)
        usual = worth & (found.start >= found.reached - least) & ~((found.reached > 0) & (found.start <= 0))
        for chosen, source in ((usual, rows), (worth & ~usual, found.rows)):
            self._state_bounds(source.select(np.flatnonzero(chosen)))

    def _state_bounds(self, rows: Rows) -> None:
        """Prove rows, and state the bounds that are worth it."""
        g = rows.group - 1
        sides: tuple[tuple[Literal["low", "high"], float], ...] = (("low", 1.0), ("high", -1.0))
        for side, sign in sides:
            own = rows.select(np.flatnonzero(rows.signs == sign))
            if self.state.is_empty or not len(own.neurons):
                continue
            low, high = self.state.low[g][own.neurons], self.state.high[g][own.neurons]
            values = self.relaxation.bound(own)
            worth = np.isfinite(values) & _worth(values, low if side == "low" else -high, _least(low, high))
            if np.any(worth):
                stated = own.select(np.flatnonzero(worth))
                values = sign * values[worth]
                step = BoundsStep(side, rows.group, stated.neurons, values, stated.lines, stated.multipliers)
                self._take(step, rows.group)

    def _slopes(self, group: int) -> None:
        """State narrower slopes of smooth activations."""
        own, g = self.state.form.groups[group - 1], group - 1
        if own.is_piecewise_linear:
            return
        low, high = self.state.low[g], self.state.high[g]
        alpha, beta = own.slopes_on(low, high)
        # Slopes that differ by an ulp have multipliers that no matrix in float64 bears.
        room = np.where(own.linear_on(low, high)[0], 0.0, LEAST_WIDTH * own.activation.steepest)
        alpha = np.maximum(alpha - room, self.state.alpha[g])
        beta = np.minimum(beta + room, self.state.beta[g])
        before = self.state.beta[g] - self.state.alpha[g]
        worth = np.isfinite(low) & np.isfinite(high) & (beta - alpha < before * (1 - WORTH)) & (alpha <= beta)
        if np.any(worth):
            neurons = np.flatnonzero(worth)
            self._take(SlopesStep(group, neurons, alpha[neurons], beta[neurons]), group)

    def _lines(self, group: int) -> None:
        """State the lines that later bounds use."""
        g = group - 1
        if not any(source == group for to, source in self.state.form.blocks if to <= len(self.state.form.groups)):
            return
        envelope = self.relaxation.relaxed(group).envelope
        lower, upper = envelope.below.middle_slopes, envelope.above.middle_slopes
        moved = (lower != self.state.lower[g]) | (upper != self.state.upper[g])
        neurons = np.flatnonzero(envelope.finite & ~envelope.linear & moved)
        if len(neurons):
            self._take(LinesStep(Lines(group, neurons, lower[neurons], upper[neurons])), group)


def _least(low: Array, high: Array) -> Array:
    """What a bound has to gain so that it is worth a statement: anything, where the other side has none."""
    return np.where(np.isfinite(low) & np.isfinite(high), WORTH * (high - low), 0.0)


def _worth(values: Array, before: Array, least: Array) -> Array:
    """Where a lower bound gains more than `least`, or passes zero, where most activations bend."""
    return (values > before) & ((values - before > least) | ((before < 0) & (values >= 0)))

"""Bounds of all preactivations of a piece, and the steps that prove them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.regions.ascent import ascend
from sdpcert.regions.backward import Relaxation, Rows, sided
from sdpcert.regions.condensed import Condensed
from sdpcert.regions.pieces import BoundsStep, Lines, LinesStep, SlopesStep, Step
from sdpcert.regions.state import Decision, State

Array = np.ndarray
#: An interval that becomes shorter by less than this share is left as it is.
WORTH = 1e-3


@dataclass(frozen=True)
class Effort:
    """How hard bounds are sought: steps of optimising lines, and whether half-spaces of splits are used."""

    iterations: int = 0
    multipliers: bool = True


def tighten(state: State, effort: Effort, changed: Decision | None = None) -> tuple[State, list[Step]]:
    """Bound the preactivations of a piece again; returns the state after, and the steps that prove it.

    `changed` is the split that made the piece, if one of a neuron did: what came before is left as it is. Stops at a
    contradiction, which `State.is_empty` shows.
    """
    work = _Work(state, effort)
    if not state.is_empty:
        work.run(changed)
    return work.state, work.steps


class _Work:
    def __init__(self, state: State, effort: Effort) -> None:
        self.state, self.effort = state, effort
        self.steps: list[Step] = []
        self.relaxation = Relaxation(state)
        self.condensed = Condensed()

    def run(self, changed: Decision | None) -> None:
        if changed is not None and self.effort.iterations and self.effort.multipliers:
            self._contradict(changed)
        for group in range(1, len(self.state.form.groups) + 1):
            if self.state.is_empty:
                return
            self._bound(group)
            self._slopes(group)
            self._lines(group)
            self.relaxation.after(self.state, group)

    def _contradict(self, changed: Decision) -> None:
        """Bound the neuron that was split last on its other side: half-spaces before may rule this side out.

        If the piece has no points while its parent may have some, then this half-space is part of the reason.
        """
        sign = -changed.sign
        self._ascend(Rows(changed.group, np.array([changed.neuron]), np.array([sign])), 2 * self.effort.iterations)

    def _take(self, step: Step) -> None:
        self.state = self.state.after(step)
        self.steps.append(step)

    def _bound(self, group: int) -> None:
        wanted = self._wanted(group)
        if not len(wanted):
            return
        neurons, signs = sided(wanted)
        rows = Rows(group, neurons, signs)
        if not self.effort.iterations:
            self._state(rows, self.relaxation.bound(rows))
            return
        if not np.all(np.isfinite(self.state.low[group - 1]) & np.isfinite(self.state.high[group - 1])):
            self._state(rows, self.relaxation.bound(rows))
            neurons, signs = sided(self._wanted(group))
            rows = Rows(group, neurons, signs)
        if len(neurons):
            self._ascend(rows, self.effort.iterations)

    def _ascend(self, rows: Rows, iterations: int) -> None:
        """Optimise rows, and state those that this makes better."""
        half_spaces = self.effort.multipliers and bool(self.state.decisions)
        group = rows.group
        if not half_spaces and not any(len(self.condensed.bend(self.relaxation, h)) for h in range(1, group)):
            return
        found = ascend(self.relaxation, self.condensed, rows, iterations, half_spaces)
        low, high = self.state.low[group - 1][rows.neurons], self.state.high[group - 1][rows.neurons]
        width, before = high - low, np.where(rows.signs > 0, low, -high)
        with np.errstate(invalid="ignore"):
            deciding = (before < 0) & (found.reached > 0)
            worth = (found.reached - before > WORTH * width) | deciding
        usual = worth & (found.start >= found.reached - WORTH * width) & ~(deciding & (found.start <= 0))
        for chosen, source in ((usual, rows), (worth & ~usual, found.rows)):
            if np.any(chosen):
                part = source.select(np.flatnonzero(chosen))
                self._state(part, self.relaxation.bound(part))

    def _wanted(self, group: int) -> Array:
        """The neurons of a group whose intervals matter."""
        low, high = self.state.low[group - 1], self.state.high[group - 1]
        undecided = self.state.undecided[group - 1].copy()
        undecided |= ~(np.isfinite(low) & np.isfinite(high))
        # What reads something without bounds has none either: on all inputs, all but neurons that are constant.
        return np.flatnonzero(undecided & np.isfinite(self.relaxation.sizes(group)[0]))

    def _state(self, rows: Rows, values: Array) -> None:
        """State the bounds that are worth it."""
        group = rows.group
        low, high = self.state.low[group - 1][rows.neurons], self.state.high[group - 1][rows.neurons]
        for side, sign in (("low", 1.0), ("high", -1.0)):
            before = low if side == "low" else -high
            gain = values - before
            finite = np.isfinite(high) & np.isfinite(low)
            width = np.where(finite, high - low, 0.0)
            zero = (before < 0) & (values >= 0)
            worth = (rows.signs == sign) & np.isfinite(values) & (gain > 0) & ((gain > WORTH * width) | zero)
            if not np.any(worth):
                continue
            chosen = rows.select(np.flatnonzero(worth))
            step = BoundsStep(side, group, chosen.neurons, sign * values[worth], chosen.lines, chosen.multipliers)
            self._take(step)

    def _slopes(self, group: int) -> None:
        """State narrower slopes of smooth activations."""
        own, g = self.state.form.groups[group - 1], group - 1
        if own.is_piecewise_linear:
            return
        low, high = self.state.low[g], self.state.high[g]
        alpha, beta = own.slopes_on(low, high)
        alpha = np.maximum(np.nextafter(alpha, -np.inf), self.state.alpha[g])
        beta = np.minimum(np.nextafter(beta, np.inf), self.state.beta[g])
        before = self.state.beta[g] - self.state.alpha[g]
        worth = np.isfinite(low) & np.isfinite(high) & (beta - alpha < before * (1 - WORTH)) & (alpha <= beta)
        if np.any(worth):
            neurons = np.flatnonzero(worth)
            self._take(SlopesStep(group, neurons, alpha[neurons], beta[neurons]))

    def _lines(self, group: int) -> None:
        """State the lines that later bounds use."""
        g = group - 1
        if not any(source == group for to, source in self.state.form.blocks if to <= len(self.state.form.groups)):
            return
        relaxation = self.relaxation
        relaxation.after(self.state, group)
        envelope = relaxation.relaxed(group).envelope
        lower, upper = envelope.below.middle_slopes, envelope.above.middle_slopes
        moved = (lower != self.state.lower[g]) | (upper != self.state.upper[g])
        neurons = np.flatnonzero(envelope.finite & ~envelope.linear & moved)
        if len(neurons):
            self._take(LinesStep(Lines(group, neurons, lower[neurons], upper[neurons])))

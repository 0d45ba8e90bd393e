"""Quadratic facts of a piece, for bounds of a preactivation by weighing them, in float64 without any proof.

On a piece `fact >= 0` for products of two affine functions of (1, v, z), v and z a neuron's preactivation and
activation, and for the ellipsoid around the region. With weights w >= 0 for which

    s v_t - value - sum_j w_j fact_j - ball (R2 - |y|^2)

is nonnegative for all y and z, `s v_t >= value` on the piece: the S-procedure. Neurons whose slope is decided are
substituted, so all preactivations are affine functions of the inputs and of the activations of undecided neurons.
Coordinates are scaled: the ellipsoid is the unit ball, and intervals of preactivations and activations are [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.network.piecewise_linear import PiecewiseLinear
from sdpcert.network.stacked import Group
from sdpcert.regions.backward import Relaxation
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: The forms of a neuron that facts are products of, in (1, v, z). With the two pieces p and q of a kinked neuron and
#: kappa = 1 if q is the steeper one, else -1, they are kappa (z - p), kappa (z - q), v - low and high - v; for another
#: one z - below, above - z, 1 and 1. An end that is infinite is replaced by 1.
FIRST, SECOND, FROM_LOW, TO_HIGH = range(4)
FORMS = 4
#: The facts of a neuron as products of two forms. For a kinked one those of the format are t0, t4 and t5: its others
#: are sums of these and squares with weights >= 0 (`docs/mathematics.md`), so they prove nothing more. For another one
#: they are t0, t2 and t1.
FACTS = ((FIRST, SECOND), (SECOND, FROM_LOW), (FIRST, TO_HIGH))
#: Facts of a kinked neuron in the format, and of another one.
KINKED, OTHER = 6, 3


@dataclass(frozen=True, eq=False)
class Ellipsoid(ShortRepr):
    """All `center + axes y` with `|y|^2 <= square`; `scales` are the axes, None for a ball."""

    center: Array
    scales: Array | None
    square: float

    @staticmethod
    def of(state: State, scales: Array | None = None) -> Ellipsoid:
        """The region's ball, or an ellipsoid around the piece's box with semi-axes in the ratio of `scales`.

        Raises ValueError if the region has no ball, or no end, or scales are not positive and finite.
        """
        if scales is None:
            sphere = state.region.sphere(state.form.inputs)
            if sphere is None:
                raise ValueError("quadratic bounds need a ball, or scales of the inputs of a box")
            return Ellipsoid(sphere[0], None, sphere[1] ** 2)
        if not state.region.bounded:
            raise ValueError("quadratic bounds need a region with an end in every direction")
        if not np.all(np.isfinite(scales) & (scales > 0)):
            raise ValueError("quadratic bounds: scales must be positive and finite")
        center = (state.box_low + state.box_high) / 2
        half = np.maximum(state.box_high - center, center - state.box_low)
        return Ellipsoid(center, scales, float(np.sum(np.square(half / scales))))

    @property
    def axes(self) -> Array | float:
        """The semi-axes in the scaled inputs, |y| <= 1."""
        return (1.0 if self.scales is None else self.scales) * np.sqrt(self.square)


@dataclass(frozen=True, eq=False)
class Sources(ShortRepr):
    """Affine functions `constants + inputs y + neurons z_U` of the scaled inputs and of undecided neurons."""

    constants: Array
    inputs: Array
    neurons: Array

    def weighed(self, weights: Array) -> Sources:
        """Linear combinations, one for each row of `weights`; columns of zeros cost nothing."""
        used = np.flatnonzero(np.any(weights != 0, axis=0))
        if len(used) < weights.shape[1]:
            weights, own = weights[:, used], self.select(used)
        else:
            own = self
        return Sources(
            weights @ own.constants, blas.product(weights, own.inputs), blas.product(weights, own.neurons)
        )

    def plus(self, other: Sources) -> Sources:
        """The sum, where neurons come in that the other one does not read."""
        neurons = other.neurons.copy()
        neurons[:, : self.neurons.shape[1]] += self.neurons
        return Sources(self.constants + other.constants, self.inputs + other.inputs, neurons)

    def select(self, rows: Array) -> Sources:
        """Some of the functions."""
        return Sources(self.constants[rows], self.inputs[rows], self.neurons[rows])


@dataclass(frozen=True, eq=False)
class QuadraticProblem(ShortRepr):
    """Maximise t over weights w >= 0 with `target - t - sum_j w_j fact_j - ball (1 - |y|^2) >= 0` for all (y, z).

    Vectors have `order` entries, the coefficients of 1, of `inputs` inputs, and of the undecided neurons. `rows` has the
    preactivations of these neurons and then decisions, as `sign (v - at)` up to a factor. `forms` are (FORMS, neurons,
    3) coefficients in (1, v, z), and `signs` (facts, neurons) those of the products of forms that are facts. The bound
    of the preactivation is `scale * t`. `sizes` are the numbers of undecided neurons of the groups.
    """

    target: Array
    rows: Array
    inputs: int
    forms: Array
    signs: Array
    scale: float
    sizes: tuple[int, ...]
    facts: Facts
    neuron: int
    sign: float

    @property
    def order(self) -> int:
        """Order of the matrix."""
        return len(self.target)

    @property
    def neurons(self) -> int:
        """How many undecided neurons there are."""
        return self.signs.shape[1]

    @property
    def decisions(self) -> int:
        """How many half-spaces there are."""
        return len(self.rows) - self.neurons

    def point(self, inputs: Array) -> Array:
        """The input that scaled, reduced ones belong to, moved into the region's box and ball."""
        return self.facts.point(inputs)


class Facts:
    """The quadratic facts of a piece that bounds of preactivations of one group can use, shared by all of them."""

    def __init__(self, state: State, group: int, scales: Array | None = None, relaxation: Relaxation | None = None):
        self.state, self.group = state, group
        self.relaxation = Relaxation(state) if relaxation is None else relaxation
        self.ellipsoid = Ellipsoid.of(state, scales)
        self.undecided = [np.flatnonzero(mask) for mask in state.undecided[: group - 1]]
        self._sources: list[Sources] = [self._inputs()]
        own, forms, signs, places, middles, halves = [], [], [], [], [], []
        for number in range(1, group):
            rows = self.preactivations(number)
            chosen = self.undecided[number - 1]
            self._sources.append(self._activations(number, rows))
            own.append(rows.select(chosen))
            for every, part in zip((forms, signs, places, middles, halves), self._facts(number), strict=True):
                every.append(part)
        self.decisions = [k for k, d in enumerate(state.decisions) if d.group < group]
        count = sum(map(len, self.undecided))
        self._own = [_widened(rows, count) for rows in own]
        self._forms = np.concatenate([np.zeros((FORMS, 0, 3)), *forms], axis=1)
        self.signs = np.concatenate([np.zeros((len(FACTS), 0)), *signs], axis=1)
        self.places = np.concatenate([np.zeros((len(FACTS), 0), np.int64), *places], axis=1)
        self.middles, self.halves = np.concatenate([np.zeros(0), *middles]), np.concatenate([np.zeros(0), *halves])
        self._scale()

    def _inputs(self) -> Sources:
        inputs = self.state.form.inputs
        return Sources(self.ellipsoid.center, np.diag(np.broadcast_to(self.ellipsoid.axes, inputs)), np.zeros((inputs, 0)))

    def preactivations(self, number: int, neurons: Array | slice = slice(None)) -> Sources:
        """Some preactivations of a group."""
        form = self.state.form
        bias = form.groups[number - 1].bias[neurons]
        total = Sources(bias, np.zeros((len(bias), form.inputs)), np.zeros((len(bias), 0)))
        for source, block in sorted(form.row(number).items()):
            weights = block.weights[neurons] if block.low is None else block.weights[neurons] + block.low[neurons]
            part = self._first(weights) if source == 0 else self._sources[source].weighed(weights)
            total = total.plus(part)
        return total

    def _first(self, weights: Array) -> Sources:
        """Combinations of the inputs."""
        return Sources(
            weights @ self.ellipsoid.center, weights * self.ellipsoid.axes, np.zeros((len(weights), 0))
        )

    def _activations(self, number: int, rows: Sources) -> Sources:
        """The activations of a group: a decided neuron is affine, an undecided one a variable of its own."""
        alpha, _ = self.state.slopes(number)
        envelope = self.relaxation.relaxed(number).envelope
        low, high = self.state.low[number - 1], self.state.high[number - 1]
        chosen = self.undecided[number - 1]
        middle = np.clip(0.0, low, high)
        at_zero = self.state.form.groups[number - 1].evaluate(middle[None])[0] - alpha * middle
        slope = np.where(envelope.linear, envelope.slope, alpha)
        at_zero = np.where(envelope.linear, envelope.at_zero, at_zero)
        slope[chosen] = at_zero[chosen] = 0.0
        before, count = sum(map(len, self.undecided[: number - 1])), len(chosen)
        neurons = np.zeros((len(slope), before + count))
        neurons[:, : rows.neurons.shape[1]] = slope[:, None] * rows.neurons
        neurons[chosen, before + np.arange(count)] = 1.0
        return Sources(slope * rows.constants + at_zero, slope[:, None] * rows.inputs, neurons)

    def _facts(self, number: int) -> tuple[Array, Array, Array, Array, Array]:
        """Forms and signs of a group's undecided neurons, where the format has their facts (-1: a neuron of which
        nothing is known), and middles and halves of activations.
        """
        chosen, group = self.undecided[number - 1], self.state.form.groups[number - 1]
        relaxed = self.relaxation.relaxed(number)
        low, high = self.state.low[number - 1][chosen], self.state.high[number - 1][chosen]
        known = relaxed.envelope.known[chosen]
        below = np.stack([relaxed.at_zero_below[chosen], relaxed.lower[chosen]])
        above = np.stack([relaxed.at_zero_above[chosen], relaxed.upper[chosen]])
        kinked, kappa, left, right = kinks(group, chosen, low, high)
        from_low, to_high = kinked & np.isfinite(low), kinked & np.isfinite(high)
        one, zero = np.ones(len(chosen)), np.zeros(len(chosen))
        first = np.where(kinked, [-kappa * left[0], -kappa * left[1], kappa], [-below[0], -below[1], one])
        second = np.where(kinked, [-kappa * right[0], -kappa * right[1], kappa], [above[0], above[1], -one])
        third = np.where(from_low, [-np.where(from_low, low, 0.0), one, zero], [one, zero, zero])
        fourth = np.where(to_high, [np.where(to_high, high, 0.0), -one, zero], [one, zero, zero])
        forms = np.stack([first, second, third, fourth]).transpose(0, 2, 1)
        signs = np.stack([np.where(kinked, -1.0, 1.0), one, one])
        places = np.stack([np.where(kinked | known, 0, -1), np.where(from_low, 4, 2), np.where(to_high, 5, 1)])
        envelope = relaxed.envelope
        ends = [np.min(envelope.below.values[:, chosen], axis=0), np.max(envelope.above.values[:, chosen], axis=0)]
        middle = np.where(known, (ends[0] + ends[1]) / 2, 0.0)
        # As far as the activation's own lines reach: weights of t0 are then like those that its preactivation bears.
        steepest = np.maximum(np.abs(forms[FIRST, :, 1]), np.abs(forms[SECOND, :, 1]))
        half = np.maximum(
            np.where(known, (ends[1] - ends[0]) / 2, 0.0),
            np.where(np.isfinite(high - low), steepest * (high - low) / 2, 0.0),
        )
        return forms, signs, places, middle, np.where(half > 0, half, 1.0)

    def _scale(self) -> None:
        """Rows in scaled neurons and as few inputs as they need, and forms with entries of at most one."""
        count = self.signs.shape[1]
        halfspaces = [self._halfspace(k) for k in self.decisions]
        rows = _joined([*self._own, *(_widened(row, count) for row in halfspaces)], self.state.form.inputs, count)
        wide = rows.inputs
        if wide.shape[1] > len(wide):
            self._basis, triangular = np.linalg.qr(wide.T)
            wide = triangular.T
        else:
            self._basis = None
        self.inputs = wide.shape[1]
        self.rows = np.concatenate(
            [(rows.constants + rows.neurons @ self.middles)[:, None], wide, rows.neurons * self.halves], axis=1
        )
        # v = middle + half v^, z = middle + half z^
        reach = np.linalg.norm(self.rows[:, 1 : 1 + self.inputs], axis=1) + np.abs(
            self.rows[:, 1 + self.inputs :]
        ).sum(axis=1)
        low, high = (
            np.concatenate([np.zeros(0), *(end[g][own] for g, own in enumerate(self.undecided))])
            for end in (self.state.low, self.state.high)
        )
        finite = np.isfinite(low) & np.isfinite(high)
        middle = np.where(finite, (np.where(finite, low, 0.0) + np.where(finite, high, 0.0)) / 2, self.rows[:count, 0])
        half = np.where(finite, np.where(finite, high, 0.0) / 2 - np.where(finite, low, 0.0) / 2, reach[:count])
        half = np.where(half > 0, half, 1.0)
        self.rows[:count, 0] -= middle
        self.rows[:count] /= half[:, None]
        self.decision_scales = np.maximum(reach[count:] + np.abs(self.rows[count:, 0]), 1e-300)
        self.rows[count:] /= self.decision_scales[:, None]
        forms = self._forms.copy()
        forms[..., 0] += forms[..., 1] * middle + forms[..., 2] * self.middles
        forms[..., 1] *= half
        forms[..., 2] *= self.halves
        self.form_scales = np.maximum(np.abs(forms).max(axis=2), 1e-300)
        self.forms = forms / self.form_scales[..., None]

    def _halfspace(self, decision: int) -> Sources:
        d = self.state.decisions[decision]
        row = self.preactivations(d.group, np.array([d.neuron]))
        return Sources(d.sign * (row.constants - d.at), d.sign * row.inputs, d.sign * row.neurons)

    def problem(self, neuron: int, sign: float) -> QuadraticProblem:
        """The problem of bounding `sign v` from below for one neuron of the group."""
        row = _widened(self.preactivations(self.group, np.array([neuron])), self.signs.shape[1])
        inputs = row.inputs[0]
        rows, count = self.rows, self.inputs
        if self._basis is not None:
            along = self._basis.T @ inputs
            across = float(np.sqrt(max(inputs @ inputs - along @ along, 0.0)))
            inputs, count = np.append(along, across), self.inputs + 1
            rows = np.insert(rows, 1 + self.inputs, 0.0, axis=1)
        constant = row.constants[0] + row.neurons[0] @ self.middles
        target = sign * np.concatenate([[constant], inputs, row.neurons[0] * self.halves])
        scale = float(np.linalg.norm(inputs) + np.abs(target[1 + count :]).sum())
        scale = scale if scale > 0 else max(abs(constant), 1.0)
        return QuadraticProblem(
            target / scale, rows, count, self.forms, self.signs, scale, tuple(map(len, self.undecided)), self, neuron, sign
        )

    def point(self, inputs: Array) -> Array:
        """The input that scaled, reduced ones belong to, moved into the region's box and ball."""
        scaled = inputs if self._basis is None else self._basis @ inputs[: self.inputs]
        region = self.state.region
        found = self.ellipsoid.center + scaled * self.ellipsoid.axes
        if isinstance(region, Ball):
            step = found - region.center
            length = float(np.linalg.norm(step))
            found = region.center + step * min(1.0, region.radius * (1 - 1e-12) / max(length, 1e-300))
        return np.clip(found, self.state.box_low, self.state.box_high)

    def multipliers(self, weights: Array) -> tuple[Array, ...]:
        """Weights of the scaled facts, (facts, neurons), as the format has them: an array for each group before."""
        scales = np.stack([self.form_scales[left] * self.form_scales[right] for left, right in FACTS])
        weights, count = weights / scales, weights.shape[1]
        numbers = np.where(self.signs[0] < 0, KINKED, OTHER)
        starts = np.cumsum(numbers) - numbers
        every = np.zeros(int(numbers.sum()))
        for values, places in zip(weights, self.places, strict=True):
            every[starts + places] = values
        ends = np.cumsum([0, *map(len, self.undecided)])
        cuts = np.append(starts, len(every))[ends] if count else np.zeros(len(ends), np.int64)
        return tuple(every[a:b] for a, b in zip(cuts[:-1], cuts[1:], strict=True))


def kinks(group: Group, neurons: Array, low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
    """Which neurons are linear but for one kink inside of their interval, the sign of the change of slope there, and
    value at zero and slope of the pieces left and right of it, (2, neurons) each.
    """
    count = np.zeros(len(neurons), dtype=np.int64)
    kappa = np.ones(len(neurons))
    left, right = np.zeros((2, len(neurons))), np.zeros((2, len(neurons)))
    if isinstance(group.activation, PiecewiseLinear):
        pieces = [[group.per_neuron(number)[neurons] for number in piece] for piece in group.activation.segments]
        for (_, slope, value), (start, next_slope, next_value) in zip(pieces, pieces[1:], strict=False):
            inside = (low < start) & (start < high) & (slope != next_slope)
            count += inside
            left = np.where(inside, np.stack([value, slope]), left)
            right = np.where(inside, np.stack([next_value, next_slope]), right)
    kinked = count == 1
    kappa = np.where(kinked & (right[1] < left[1]), -1.0, 1.0)
    return kinked, kappa, left, right


def _widened(rows: Sources, count: int) -> Sources:
    neurons = np.zeros((len(rows.constants), count))
    neurons[:, : rows.neurons.shape[1]] = rows.neurons
    return Sources(rows.constants, rows.inputs, neurons)


def _joined(parts: list[Sources], inputs: int, count: int) -> Sources:
    return Sources(
        np.concatenate([np.zeros(0), *(part.constants for part in parts)]),
        np.concatenate([np.zeros((0, inputs)), *(part.inputs for part in parts)]),
        np.concatenate([np.zeros((0, count)), *(part.neurons for part in parts)]),
    )

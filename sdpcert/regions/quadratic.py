"""Quadratic facts of a piece, for bounds of a preactivation by weighing them, in float64 without any proof.

On a piece `fact >= 0` for products of affine functions of (1, v, z), v and z a neuron's preactivation and activation,
and for the ellipsoid around the region. With weights w >= 0 for which

    s v_t - value - sum_j w_j fact_j - sum_d w_d sign_d (v_d - at_d) - ball (R2 - |y|^2)

is nonnegative for all inputs y and activations z, `s v_t >= value` on the piece: the S-procedure. All preactivations
are affine functions of the inputs and of the activations of undecided neurons. Coordinates are scaled: the ellipsoid is
the unit ball, and intervals of preactivations and activations are about [-1, 1].
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import pairwise

import numpy as np

from sdpcert.arithmetic import blas
from sdpcert.arithmetic.span import SPANNED, span
from sdpcert.network.piecewise_linear import PiecewiseLinear
from sdpcert.network.stacked import Group
from sdpcert.regions.backward import Relaxation
from sdpcert.regions.ellipsoid import Ellipsoid
from sdpcert.regions.region import Ball
from sdpcert.regions.state import State
from sdpcert.regions.substituted import AffineRows, Substituted
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: The forms of a neuron that facts are products of, in (1, v, z). With the two pieces p and q of a kinked neuron and
#: kappa = 1 if q is the steeper one, else -1, they are kappa (z - p), kappa (z - q), v - low and high - v; for another
#: one z - below, above - z, 1 and 1. An end that is infinite makes its form 1.
FIRST, SECOND, FROM_LOW, TO_HIGH = range(4)
FORMS = 4
#: The facts of a neuron as products of two forms. Those of a kinked one are t0, t4 and t5 of the format: the others
#: are sums of these and of squares with weights >= 0, so they prove nothing more. Those of another one, and of a
#: missing end, are t0, t2 and t1.
FACTS = ((FIRST, SECOND), (SECOND, FROM_LOW), (FIRST, TO_HIGH))
#: Facts of a kinked neuron in the format, and of another one.
KINKED, OTHER = 6, 3


@dataclass(frozen=True, eq=False)
class QuadraticProblem(ShortRepr):
    """Maximise t over weights w >= 0 with `target - t - sum_j w_j fact_j - ball (1 - |y|^2) >= 0` for all (y, z).

    Vectors have `order` entries, the coefficients of 1, of `inputs` inputs, and of the undecided neurons. `rows` are
    the preactivations of these neurons, then decisions as `sign (v - at)` up to a factor. `forms` are (FORMS, neurons,
    3) coefficients in (1, v, z), and `signs` (facts, neurons) those of the products of forms that are facts. The bound
    of the preactivation, times its sign, is `scale * t`. `sizes` are the numbers of undecided neurons of the groups,
    `basis` are directions of the scaled inputs that the problem's are along, None if they are the same.
    """

    target: Array
    rows: Array
    inputs: int
    forms: Array
    signs: Array
    scale: float
    sizes: tuple[int, ...]
    basis: Array | None

    def lifted(self, inputs: Array) -> Array:
        """Scaled inputs, or coefficients of theirs, from the problem's fewer ones."""
        return inputs if self.basis is None else self.basis @ inputs

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

    @property
    def parts(self) -> list[slice]:
        """Where the undecided neurons of every group are that has any."""
        ends = np.cumsum([0, *self.sizes])
        return [slice(int(a), int(b)) for a, b in pairwise(ends) if a < b]


class Facts:
    """The quadratic facts of a piece that bounds of preactivations of one group can use: shared by all of them.

    `forms` are (FORMS, neurons, 3), `signs` (facts, neurons), for the undecided neurons of all groups before, and
    `places` says where the format has the facts, -1 where nothing is known of a neuron. Activations are scaled to be
    within `halves` of their `middles`, about.
    """

    def __init__(self, state: State, group: int, relaxation: Relaxation | None = None) -> None:
        self.state, self.group = state, group
        self.substituted = Substituted(state, group, relaxation)
        self.undecided = self.substituted.undecided
        made = [self._of_group(number) for number in range(1, group)]
        empty = (
            np.zeros((FORMS, 0, 3)),
            np.zeros((len(FACTS), 0)),
            np.zeros((len(FACTS), 0), np.int64),
            np.zeros((2, 0)),
        )
        forms, signs, places, activations = zip(empty, *made, strict=True)
        self.forms = np.concatenate(forms, axis=1)
        self.middles, self.halves = np.concatenate(activations, axis=1)
        self.signs, self.places = np.concatenate(signs, axis=1), np.concatenate(places, axis=1)
        self.decisions = [k for k, d in enumerate(state.decisions) if d.group < group]

    @property
    def sufficient(self) -> bool:
        """Whether something is known of every undecided neuron; otherwise there is no bound."""
        return bool(np.all(self.places >= 0))

    def scaled(self, scales: Array | None = None) -> ScaledFacts:
        """The facts with the region's ball, or with the ellipsoid around the piece's box that has these scales.

        Raises ValueError as `Ellipsoid.of` does.
        """
        return self._on_ball if scales is None else ScaledFacts(self, Ellipsoid.of(self.state, scales))

    @cached_property
    def _on_ball(self) -> ScaledFacts:
        return ScaledFacts(self, Ellipsoid.of(self.state))

    @cached_property
    def sizes(self) -> Array:
        """Sums of the magnitudes that the facts add up, as the format has them, (facts, neurons)."""
        state, owns = self.state, list(enumerate(self.undecided))
        reach = [np.maximum(np.abs(state.low[g][own]), np.abs(state.high[g][own])) for g, own in owns]
        v = np.concatenate([np.zeros(0), *reach])
        z = np.abs(self.middles) + self.halves
        most = np.stack([np.ones(len(v)), np.where(np.isfinite(v), v, 0.0), z], axis=1)
        forms = np.einsum("fni,ni->fn", np.abs(self.forms), most)
        return np.stack([forms[left] * forms[right] for left, right in FACTS])

    def half_space(self, decision: int) -> AffineRows:
        """`sign (v - at)` of one of the state's decisions."""
        d = self.state.decisions[decision]
        row = self.substituted.rows(d.group, np.array([d.neuron]))
        return AffineRows(row.constants - d.at, row.inputs, row.neurons).times(np.array([d.sign]))

    def _of_group(self, number: int) -> tuple[Array, Array, Array, Array]:
        """Forms, signs and places of a group's undecided neurons; middles and half-widths of their activations."""
        chosen, group = self.undecided[number - 1], self.state.form.groups[number - 1]
        relaxed = self.substituted.relaxation.relaxed(number)
        low, high = self.state.low[number - 1][chosen], self.state.high[number - 1][chosen]
        envelope, one, zero = relaxed.envelope.select(chosen), np.ones(len(chosen)), np.zeros(len(chosen))
        known = envelope.known
        lines = [
            np.where(known, np.stack([line[0][chosen], line[1][chosen]]), 0.0)
            for line in ((relaxed.at_zero_below, relaxed.lower), (relaxed.at_zero_above, relaxed.upper))
        ]
        below, above = lines
        kinked, kappa, left, right = kinks(group, chosen, low, high)
        from_low, to_high = kinked & np.isfinite(low), kinked & np.isfinite(high)
        ends = np.where(from_low, low, 0.0), np.where(to_high, high, 0.0)
        forms = [
            np.where(kinked, [-kappa * left[0], -kappa * left[1], kappa], [-below[0], -below[1], one]),
            np.where(kinked, [-kappa * right[0], -kappa * right[1], kappa], [above[0], above[1], -one]),
            np.where(from_low, [-ends[0], one, zero], [one, zero, zero]),
            np.where(to_high, [ends[1], -one, zero], [one, zero, zero]),
        ]
        forms = np.stack(forms).transpose(0, 2, 1)
        signs = np.stack([np.where(kinked, -1.0, 1.0), one, one])
        places = np.stack([np.where(kinked | known, 0, -1), np.where(from_low, 4, 2), np.where(to_high, 5, 1)])
        reach = [np.min(envelope.below.values, axis=0), np.max(envelope.above.values, axis=0)]
        middle = np.where(known, (reach[0] + reach[1]) / 2, 0.0)
        # Weights of t0 are then like those that its preactivation bears.
        steepest = np.max(np.abs(forms[: SECOND + 1, :, 1]), axis=0)
        bounded = np.isfinite(high - low)
        half = np.maximum(
            np.where(known, (reach[1] - reach[0]) / 2, 0.0),
            steepest * np.where(bounded, np.where(bounded, high, 0.0) - np.where(bounded, low, 0.0), 0.0) / 2,
        )
        return forms, signs, places, np.stack([middle, np.where(half > 0, half, 1.0)])

    def multipliers(self, weights: Array) -> tuple[Array, ...]:
        """Weights (facts, neurons) as the format has them: an array for each group before."""
        numbers = np.where(self.signs[0] < 0, KINKED, OTHER)
        starts = np.cumsum(numbers) - numbers
        every = np.zeros(int(numbers.sum()))
        for values, places in zip(weights, self.places, strict=True):
            every[starts + places] = values
        ends = np.append(starts, len(every))[np.cumsum([0, *map(len, self.undecided)])]
        return tuple(every[a:b] for a, b in pairwise(ends))


class ScaledFacts:
    """The facts of a piece in scaled coordinates, with an ellipsoid.

    Scaled facts times `units` (facts, neurons) are those of the format, scaled half-spaces times `decision_units` those
    of the decisions.
    """

    def __init__(self, facts: Facts, ellipsoid: Ellipsoid) -> None:
        self.facts, self.ellipsoid = facts, ellipsoid
        state, count, inputs = facts.state, facts.substituted.count, facts.state.form.inputs
        halves = [facts.half_space(k) for k in facts.decisions]
        rows = AffineRows.joined([facts.substituted.own, *halves], inputs, count)
        wide = rows.inputs * ellipsoid.axes
        constants = rows.constants + rows.inputs @ ellipsoid.center + rows.neurons @ facts.middles
        self._basis = span(wide)
        wide = wide if self._basis is None else blas.product(wide, self._basis)
        self.inputs = wide.shape[1]
        self.rows = np.concatenate([constants[:, None], wide, rows.neurons * facts.halves], axis=1)
        reach = np.linalg.norm(wide, axis=1) + np.abs(self.rows[:, 1 + self.inputs :]).sum(axis=1)
        low, high = (
            np.concatenate([np.zeros(0), *(end[g][own] for g, own in enumerate(facts.undecided))])
            for end in (state.low, state.high)
        )
        finite = np.isfinite(low) & np.isfinite(high)
        low, high = (
            np.where(finite, low, constants[:count] - reach[:count]),
            np.where(finite, high, constants[:count] + reach[:count]),
        )
        middle, half = low / 2 + high / 2, high / 2 - low / 2
        half = np.where(half > 0, half, 1.0)
        self.rows[:count, 0] -= middle
        self.rows[:count] /= half[:, None]
        self.decision_units = np.maximum(reach[count:] + np.abs(constants[count:]), 1e-300)
        self.rows[count:] /= self.decision_units[:, None]
        forms = facts.forms.copy()
        forms[..., 0] += forms[..., 1] * middle + forms[..., 2] * facts.middles
        forms[..., 1] *= half
        forms[..., 2] *= facts.halves
        sizes = np.maximum(np.abs(forms).max(axis=2), 1e-300)
        self.forms = forms / sizes[..., None]
        self.units = np.stack([sizes[left] * sizes[right] for left, right in FACTS])

    def problem(self, neuron: int, sign: float) -> QuadraticProblem:
        """The problem of bounding `sign v` from below for one neuron of the group."""
        facts = self.facts
        row = facts.substituted.rows(facts.group, np.array([neuron])).widened(facts.substituted.count)
        inputs = row.inputs[0] * self.ellipsoid.axes
        constant = row.constants[0] + row.inputs[0] @ self.ellipsoid.center + row.neurons[0] @ facts.middles
        rows, count, basis = self.rows, self.inputs, self._basis
        if basis is not None:
            along = basis.T @ inputs
            beside = inputs - basis @ along
            across, inputs = float(np.linalg.norm(beside)), along
            if across > SPANNED * float(np.linalg.norm(along)):
                basis = np.concatenate([basis, beside[:, None] / across], axis=1)
                inputs, count = np.append(along, across), self.inputs + 1
                rows = np.insert(rows, count, 0.0, axis=1)
        target = sign * np.concatenate([[constant], inputs, row.neurons[0] * facts.halves])
        scale = float(np.linalg.norm(inputs) + np.abs(target[1 + count :]).sum())
        scale = scale if scale > 0 else max(abs(constant), 1.0)
        sizes = tuple(map(len, facts.undecided))
        return QuadraticProblem(target / scale, rows, count, self.forms, facts.signs, scale, sizes, basis)

    def point(self, problem: QuadraticProblem, inputs: Array) -> Array:
        """The input that a problem's inputs belong to, moved into the region's box and ball."""
        state = self.facts.state
        found = self.ellipsoid.center + problem.lifted(inputs) * self.ellipsoid.axes
        if isinstance(state.region, Ball):
            step = found - state.region.center
            length = float(np.linalg.norm(step))
            found = state.region.center + step * min(1.0, state.region.radius * (1 - 1e-12) / max(length, 1e-300))
        return np.clip(found, state.box_low, state.box_high)


def kinks(group: Group, neurons: Array, low: Array, high: Array) -> tuple[Array, Array, Array, Array]:
    """Which neurons are linear but for one kink inside of their interval, the sign of the change of slope there, and
    value at zero and slope of the pieces left and right of it, (2, neurons) each.
    """
    count = np.zeros(len(neurons), dtype=np.int64)
    left, right = np.zeros((2, len(neurons))), np.zeros((2, len(neurons)))
    if isinstance(group.activation, PiecewiseLinear):
        pieces = [[group.per_neuron(number)[neurons] for number in piece] for piece in group.activation.segments]
        for (_, slope, value), (start, next_slope, next_value) in pairwise(pieces):
            inside = (low < start) & (start < high) & (slope != next_slope)
            count += inside
            left = np.where(inside, np.stack([value, slope]), left)
            right = np.where(inside, np.stack([next_value, next_slope]), right)
    kinked = count == 1
    return kinked, np.where(kinked & (right[1] < left[1]), -1.0, 1.0), left, right

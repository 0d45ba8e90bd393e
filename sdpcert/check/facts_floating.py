"""The facts of undecided neurons with their weights, as quadratic forms in floating point; needs NumPy.

A fact is a product of two affine functions of (1, v, z), v and z a neuron's preactivation and activation, that is at
least zero on the piece. The weighed facts of one neuron are added up to a single form.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from .reading import Rejected
from .rounding import SLACK, SUBNORMAL, gamma
from .state_floating import Neurons

Array = np.ndarray

#: Facts of a neuron with a kink inside of its interval, and of another one.
KINKED, OTHER = 6, 3


@dataclass(frozen=True, eq=False)
class WeighedFacts:
    """The sums of the weighed facts of N neurons: forms (N, 3, 3) over (1, v, z), with bounds of their errors.

    `used` are the places, among the undecided neurons of the groups, of those with a weight; `v` and `z` bound their
    values. `count` is the number of all undecided neurons.
    """

    forms: Array
    errors: Array
    used: Array
    v: Array
    z: Array
    count: int

    @staticmethod
    def of(known: Neurons, undecided: Array, multipliers: Sequence[float], group: int) -> WeighedFacts:
        """The facts of the undecided neurons of a group; raises `Rejected` if one has a weight and does not hold."""
        weights, count = np.array(multipliers, dtype=float), len(undecided)
        kinked, p, q = known.kinked(undecided)
        numbers = np.where(kinked, KINKED, OTHER)
        if len(weights) != int(numbers.sum()):
            raise Rejected(f"{len(weights)} multipliers for the undecided neurons of group {group}")
        starts = np.cumsum(numbers) - numbers
        places = starts[:, None] + np.arange(KINKED)
        inside = np.arange(KINKED) < numbers[:, None]
        taken = np.zeros((count, KINKED))
        taken[inside] = weights[places[inside]]
        used = np.flatnonzero(np.any(taken != 0, axis=1))
        left, right = _factors(known, undecided[used], kinked[used], p[used], q[used])
        taken = taken[used][:, :, None]
        exists = np.isfinite(left).all(axis=2) & np.isfinite(right).all(axis=2)
        if np.any((taken[:, :, 0] > 0) & ~exists):
            raise Rejected(f"a fact of a neuron of group {group} has a weight and needs an end or a line that is not")
        left, right = (np.where(taken > 0, factor, 0.0) for factor in (left, right))
        forms = np.einsum("nfi,nfj->nij", taken * left, right)
        sizes = np.einsum("nfi,nfj->nij", np.abs(taken * left), np.abs(right))
        largest = 1 + np.abs(taken).max(axis=1) + np.abs(left).max(axis=1) + np.abs(right).max(axis=1)
        lost = gamma(KINKED + 6) * sizes + SUBNORMAL * KINKED * largest.max(axis=1, initial=1.0)[:, None, None]
        forms, lost = ((x + x.transpose(0, 2, 1)) / 2 for x in (forms, lost))
        places = undecided[used]
        return WeighedFacts(forms, lost * SLACK, used, known.known.largest[places], known.sizes.sizes[places], count)

    @staticmethod
    def joined(parts: list[WeighedFacts]) -> WeighedFacts:
        """All facts, in the order of the parts."""
        offset, used = 0, [np.zeros(0, dtype=int)]
        for part in parts:
            used.append(part.used + offset)
            offset += part.count
        forms, errors = (
            np.concatenate([np.zeros((0, 3, 3)), *some])
            for some in ([part.forms for part in parts], [part.errors for part in parts])
        )
        v, z = (np.concatenate([np.zeros(0), *some]) for some in ([x.v for x in parts], [x.z for x in parts]))
        return WeighedFacts(forms, errors, np.concatenate(used), v, z, offset)

    def charge(self, errors: Array) -> float:
        """How much less the facts may be on the piece: for the errors of forms, and of preactivations."""
        most = np.stack([np.ones_like(self.v), self.v, self.z], axis=1)
        rounding = np.einsum("nij,ni,nj->n", self.errors, most, most)
        size = np.abs(self.forms[:, 1])
        rows = errors * (2 * size[:, 0] + 2 * size[:, 2] * self.z + size[:, 1] * (2 * self.v + errors))
        return float(np.sum(rounding + rows)) * SLACK


def _factors(known: Neurons, neurons: Array, kinked: Array, p: Array, q: Array) -> tuple[Array, Array]:
    """Two affine functions of (1, v, z) for each fact, which is their product; (neurons, facts, 3) each.

    `p` and `q` have the slopes and constants of the pieces on the left and on the right of a kink.
    """
    count = len(neurons)
    low, high = known.known.low[neurons], known.known.high[neurons]
    lines = known.lines
    below, above = (np.stack([lines.slopes[k][neurons], lines.values[k][neurons]], axis=1) for k in (0, 1))
    sign = np.where(q[:, 0] > p[:, 0], 1.0, -1.0)
    chord = np.where(sign[:, None] > 0, above, below)
    # An activation with a kink is one of two lines, another one is between two.
    first, second = (np.where(kinked[:, None], *pair) for pair in ((p, above), (q, below)))
    one, zero = np.ones(count), np.zeros(count)
    unit = np.stack([one, zero, zero], axis=1)

    def beyond(line: Array, factor: Array) -> Array:
        """`factor (z - line)`."""
        return np.stack([-factor * line[:, 1], -factor * line[:, 0], factor], axis=1)

    left = [
        beyond(first, -one),
        np.where(kinked[:, None], beyond(p, sign), beyond(below, one)),
        np.where(kinked[:, None], beyond(q, sign), beyond(above, -one)),
        beyond(chord, -sign),
        beyond(q, sign),
        beyond(p, sign),
    ]
    right = [
        beyond(second, one),
        unit,
        unit,
        unit,
        np.stack([-low, one, zero], axis=1),
        np.stack([high, -one, zero], axis=1),
    ]
    return np.stack(left, axis=1), np.stack(right, axis=1)

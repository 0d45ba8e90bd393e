"""A point over frequencies made ready for the checkers: every frequency positive definite with room for rounding.

What a checker must be able to show is that D M(k) D exceeds its own rounding at every frequency k. Rounding of the
solver and frequencies outside its working set are repaired by a share of a strictly feasible point; the room that is
left is tested with the floating-point Cholesky factor of D M D - room I, and the verdict is the checker's.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from sdpcert.arithmetic import threads
from sdpcert.condition.factor import Factor
from sdpcert.condition.frequency import Frequency, FrequencyCondition
from sdpcert.network.torus import TorusForm
from sdpcert.running.short_repr import ShortRepr
from sdpcert.solvers.forward import strictly_feasible
from sdpcert.solvers.primal_dual import PARALLEL_ORDER
from sdpcert.solvers.solution import SolverError

Array = np.ndarray
#: Shares of the strictly feasible point that are tried, ascending; beyond the last one the proof fails closed.
SHARES = (0.0, *(10.0 ** (k / 2) for k in range(-26, -5)))


@dataclass(frozen=True, eq=False)
class TorusProof(ShortRepr):
    """A point that has room at every frequency: `rho`, multipliers by group (one per channel), metric of the output.

    The bound is `2**exponent * sqrt(rho)`; `scaling` has the exponents of D; `tau` is the share of the repair.
    """

    rho: float
    multipliers: tuple[Array, ...]
    metric: Array
    exponent: int
    scaling: Array
    tau: float


def prove_torus(condition: FrequencyCondition, y: Array) -> TorusProof | None:
    """The point y, repaired as little as needed, or None if no repair up to the last share is enough.

    `condition` has no head: its output is measured in the plain norm, or in the metric that its output blocks carry.
    """
    inside = None
    frequencies = _worst_first(condition, y)
    for share in SHARES:
        point = y
        if share > 0:
            inside = _interior(condition, y) if inside is None else inside
            if inside is None:
                return None
            point = (1 - share) * y + share * inside
        if np.all(np.isfinite(point)) and np.all(point >= 0) and _has_room(condition, point, frequencies):
            return TorusProof(
                float(point[0]),
                condition.multipliers(point),
                np.ones(condition.form.outputs),
                condition.exponent,
                _scaling(condition, point),
                share,
            )
    return None


def room_needed(form: TorusForm) -> float:
    """What the floating-point checker may lose to rounding, relative to a unit diagonal, with a factor of three to
    spare.
    """
    order = 2 * (form.inputs + form.channels)
    taps = max((len(block.offsets) for block in form.blocks.values()), default=1)
    return 3 * 2.0**-53 * order * (2 * order + taps + 30)


def _scaling(condition: FrequencyCondition, y: Array) -> Array:
    """Exponents of D for the original network, from the diagonal at frequency zero."""
    diagonal = np.abs(condition.inequality((0, 0)).matrix(y).diagonal())
    own = np.round(np.log2(np.where(diagonal > 0, diagonal, 1.0)) / 2).astype(int)
    sizes = [condition.form.inputs, *(g.size for g in condition.form.groups)]
    return own + np.repeat(condition.exponents[:-1], sizes)


def _worst_first(condition: FrequencyCondition, y: Array) -> list[Frequency]:
    known = set(condition.frequencies)
    return [*condition.frequencies, *(k for k in condition.form.frequencies if k not in known)]


def _interior(condition: FrequencyCondition, y: Array) -> Array | None:
    """A strictly feasible point of all frequencies; the closed form of the working set is one more often than not."""
    frequencies = _worst_first(condition, y)
    exponent = condition.exponent
    for theta, room in ((0.4, 1.5), (0.25, 3.0), (0.1, 10.0), (0.02, 100.0)):
        try:
            point = strictly_feasible(condition, theta, room)
        except SolverError:
            return None
        point = point * 2.0 ** (2 * (condition.exponent - exponent))
        condition.rescale_output(exponent - condition.exponent)
        if _has_room(condition, point, frequencies, 1e-4):
            return point
    return None


def _has_room(condition: FrequencyCondition, y: Array, frequencies: list[Frequency], room: float = 0.0) -> bool:
    room = max(room, room_needed(condition.form))

    def definite(k: Frequency) -> bool:
        part = condition.inequality(k)
        matrix = part.matrix(y)
        # D has powers of two: D M D has a diagonal between a half and two.
        return Factor.of(matrix.with_diagonal(-2 * room * np.abs(matrix.diagonal()))) is not None

    if condition.inequalities[0].order < PARALLEL_ORDER:
        return all(map(definite, frequencies))
    with threads.mapping(threads.WORKERS) as mapped:
        for first in range(0, len(frequencies), 8 * threads.WORKERS):
            if not all(mapped(definite, frequencies[first : first + 8 * threads.WORKERS])):
                return False
    return True

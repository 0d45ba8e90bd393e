"""The bound of one piece: its condition, solved as far as somebody wants to know it, and stated with room to spare.

All functions are those of a module and what they take and give can be pickled: they run in other processes too.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from sdpcert.arithmetic.spectra import eigenpairs, spectral_norm
from sdpcert.certify.branching.node import Node, Witness
from sdpcert.condition.block_matrix import BlockMatrix
from sdpcert.condition.factor import Factor
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError
from sdpcert.regions.emptiness import Interior, interior
from sdpcert.regions.pieces import Bounded, Empty, Step
from sdpcert.regions.reduced import Reduced, reduced_form
from sdpcert.regions.state import Decision, State
from sdpcert.regions.tighten import Effort, tighten
from sdpcert.solvers.least_rho import least_rho
from sdpcert.solvers.primal_dual import Point, minimise
from sdpcert.solvers.solution import Budget

Array = np.ndarray
#: How much larger than what was found the stated point is made, relative, until its matrix has room.
ROOM = (1e-9, 1e-8, 1e-7, 1e-6, 1e-5)
#: The least eigenvalue of a matrix with unit diagonal that counts as room, relative to its order.
LEAST_EIGENVALUE = 1e-12
#: Relative excess of the stated square over that of a norm in float64.
NORM_ROOM = 1e-9
#: How far below the target a bound has to be so that it is still there with room, relative.
BELOW = 1e-8
#: A bound that is this part of what is attained is as good as none: so large it is stated, whatever was found.
NEEDLESS = 0.5
#: How hard bounds of preactivations are sought while splits are compared, and for pieces that are kept.
QUICK, THOROUGH = Effort(0), Effort(10)


@dataclass(frozen=True)
class Goals:
    """How well bounds are wanted: to `tol`, relative, within `seconds`.

    Below `target` or above it is all that matters, and nothing below what is `attained`. `exponent` is that of every
    point of a search: bounds are `2**exponent * sqrt(rho)`. `effort` is that of bounding preactivations.
    """

    exponent: int
    tol: float = 1e-6
    target: float = 0.0
    attained: float = 0.0
    seconds: float = float("inf")
    effort: Effort = THOROUGH

    @property
    def budget(self) -> Budget:
        """For a solver."""
        low = self.target * (1 - BELOW)
        high = self.target if self.target > 0 else float("inf")
        return Budget(self.tol, self.seconds, low_enough=low, high_enough=high)


def bound_piece(state: State, goals: Goals, parent: Node | None = None, changed: Decision | None = None) -> Node:
    """The bound of a piece; not above that of the piece `parent` that it is a part of.

    `changed` is the decision that is new. Raises `SolverError` if there is neither a point of the condition nor a
    parent.
    """
    found = Interior()
    if not state.is_empty:
        found = interior(state, None if parent is None else parent.interior)
        if found.flat is not None:
            return Node(state, (), found.flat, 0.0, 0.0, True, Interior())
    state, steps = tighten(state, goals.effort, changed)
    if steps and not found.is_complete and not state.is_empty:  # neurons that are linear now have half-spaces
        found = interior(state, found)
        if found.flat is not None:
            return Node(state, tuple(steps), found.flat, 0.0, 0.0, True, Interior())
    return _bounded(state, tuple(steps), goals, parent, found)


def refined(node: Node, parent: Node, goals: Goals) -> Node:
    """A piece that may be done with better bounds, bounded again."""
    if node.is_closed or node.is_exact or node.bound <= goals.target:
        return node
    state, steps = node.state, []
    if goals.effort.iterations and state.region.bounded:
        state, steps = tighten(state, goals.effort)
    if not steps and node.dual >= goals.target:
        return node
    again = _bounded(state, (*node.steps, *steps), goals, node, node.interior)
    return replace(again, witness=node.witness) if again.bound <= node.bound else node


def _bounded(state: State, steps: tuple[Step, ...], goals: Goals, parent: Node | None, found: Interior) -> Node:
    """The piece with a state after some steps."""
    if state.is_empty:
        return Node(state, steps, Empty(), 0.0, 0.0, True, Interior())
    known = None if parent is None else parent.interior.point
    witness = None if found.point is None or found.point is known else witness_at(state, found.point)
    reduced = reduced_form(state)
    if not reduced.groups:
        norm = _norm(reduced)
        bound = max(norm, NEEDLESS * goals.attained)
        rho = _square(bound, goals.exponent) * (1 + NORM_ROOM) if bound else 0.0
        stated = Bounded(rho, goals.exponent, reduced.multipliers([], goals.exponent))
        return Node(state, steps, stated, bound_of(stated), norm, True, found, witness)
    problem = _Problem(reduced, goals)
    if parent is not None:
        problem.inherit(state, parent)
    problem.solve()
    stated = problem.stated()
    bound = bound_of(stated)
    return Node(state, steps, stated, bound, problem.dual, False, found, witness, problem.contradictions)


def bound_of(end: Bounded) -> float:
    """`2**exponent * sqrt(rho)`, in float64."""
    return float(np.ldexp(np.sqrt(end.rho), end.exponent))


def witness_at(state: State, point: Array) -> Witness | None:
    """How much the network stretches at a point."""
    jacobian = state.form.jacobian(point)[:, state.moving]
    if not np.all(np.isfinite(jacobian)) or not np.any(jacobian):
        return None
    unit = jacobian / np.max(np.abs(jacobian))
    spectrum = eigenpairs(unit @ unit.T if len(unit) <= len(unit.T) else unit.T @ unit)
    if spectrum is None:
        return None
    leading = spectrum[1][:, -1]
    leading = unit.T @ leading if len(unit) <= len(unit.T) else leading
    direction = np.zeros(len(point))
    direction[state.moving] = leading / np.linalg.norm(leading)
    return Witness(float(np.linalg.norm(jacobian @ direction[state.moving])), point, direction)


def _norm(reduced: Reduced) -> float:
    block = reduced.form.blocks.get((1, 0))
    return 0.0 if block is None else spectral_norm(block.weights)


def _square(bound: float, exponent: int) -> float:
    return max(float(np.ldexp(bound, -exponent)) ** 2, 2.0**-900)


class _Problem:
    """The condition of a piece, and the best point of it so far: multipliers of live neurons at the condition's scale.

    A point is a vector y as solvers have it; `best` is None before there is one. `contradictions` are those of `Node`.
    """

    def __init__(self, reduced: Reduced, goals: Goals) -> None:
        self.reduced, self.goals = reduced, goals
        self.condition = Condition(reduced.form, "neuron")
        self.best: Array | None = None
        self.dual = 0.0
        self.contradictions: tuple[Array, ...] | None = None

    @property
    def bound(self) -> float:
        """The bound of the best point."""
        if self.best is None:
            return float("inf")
        return float(np.ldexp(np.sqrt(max(self.best[0], 0.0)), self.condition.exponent))

    def inherit(self, state: State, parent: Node) -> None:
        """Take over the parent's multipliers: for slopes [a', b'] within [a, b] times `(b - a) / (b' - a')`.

        That makes `(z - a' v)(z - b' v)` at least `(z - a v)(z - b v)` for all v and z, so that the parent's rho is
        enough.
        """
        if not isinstance(parent.end, Bounded):
            return
        before = parent.state.undecided
        every = []
        for number in self.reduced.groups:
            mask, values = before[number - 1], np.zeros(len(before[number - 1]))
            values[mask] = parent.end.multipliers[number - 1]
            (a, b), (c, d) = parent.state.slopes(number), state.slopes(number)
            live = self.reduced.live[number - 1]
            every.append(values[live] * ((b - a)[live] / (d - c)[live]))
        shift = 2 * (parent.end.exponent - self.condition.exponent)
        scaled = [np.ldexp(t, shift - 2 * a) for t, a in zip(every, self.condition.scaling.neurons, strict=True)]
        rho = min(least_rho(self.condition, np.concatenate(scaled)), float(np.ldexp(parent.end.rho, shift)))
        self._offer(np.concatenate([[rho], *scaled]))

    def solve(self) -> None:
        """Solve the condition unless the best point is low enough already."""
        if self.bound <= self.goals.target * (1 - BELOW):
            return
        inherited, exponent = self.best, self.condition.exponent
        try:
            point = minimise(self.condition, self.goals.budget, margin=1.0)
        except SolverError:
            if self.best is None:
                raise
            return
        if inherited is not None:  # the condition was rescaled for the solver
            self.best = np.ldexp(inherited, 2 * (exponent - self.condition.exponent))
        self.dual = point.dual
        self._contradict(point)
        self._offer(point.y)
        polished = np.array(point.y)
        polished[0] = least_rho(self.condition, polished[1:])
        if np.isfinite(polished[0]) and polished[0] > 0:
            self._offer(polished)

    def _contradict(self, point: Point) -> None:
        """Where the dual matrix has neurons that are on none of their slopes.

        It has vectors z and v for every neuron with `(z - a v) . (z - b v) = 0` in the optimum. A neuron that is
        decided is on one of the slopes a and b: the multiplier times the lesser square of the distances is what that
        costs the dual objective, to first order.
        """
        if not point.dual_matrices:
            return
        condition, matrix = self.condition, point.dual_matrices[0]
        through = condition.times_k(matrix)
        first = condition.inputs
        z = np.diagonal(matrix)[first:]
        mixed = np.diagonal(through[:, first:])
        v = np.diagonal(condition.times_k(through.T))
        flat, steep = (
            np.maximum(z - 2 * slope * mixed + slope**2 * v, 0.0) for slope in (condition.alpha, condition.beta)
        )
        cost = condition.spread(point.y) * np.where(steep <= flat, steep, -flat)
        every = [np.zeros(len(mask)) for mask in self.reduced.live]
        for number, rows in zip(self.reduced.groups, condition.rows[1:], strict=True):
            every[number - 1][self.reduced.live[number - 1]] = cost[rows]
        self.contradictions = tuple(every)

    def _offer(self, y: Array) -> None:
        if np.all(np.isfinite(y)) and (self.best is None or y[0] < self.best[0]):
            self.best = y

    def stated(self) -> Bounded:
        """The best point, enlarged until its matrix has room in float64, as a certificate states it."""
        assert self.best is not None
        condition, goals = self.condition, self.goals
        least = float(np.ldexp(NEEDLESS * goals.attained, -condition.exponent)) ** 2
        y = self.best
        for room in ROOM:
            # (1 + t) M + t F'F + t rho E0: room in the output's directions, and in the input's.
            y = self.best * (1 + room)
            y[0] = max(y[0] * (1 + room), least)
            if _has_room(condition.matrix(y)):
                break
        shift = 2 * (condition.exponent - goals.exponent)
        live = [np.ldexp(t, shift) for t in condition.multipliers(condition.arrays.asarray(y))]
        rho = float(np.ldexp(y[0], shift))
        return Bounded(rho, goals.exponent, self.reduced.multipliers(live, goals.exponent))


def _has_room(matrix: BlockMatrix) -> bool:
    """Whether the matrix, with its diagonal brought to one, is positive definite by some margin."""
    diagonal = matrix.diagonal()
    if not np.all(diagonal > 0):
        return False
    unit = matrix.scaled(diagonal**-0.5)
    return Factor.of(unit.with_diagonal(-LEAST_EIGENVALUE * len(diagonal))) is not None

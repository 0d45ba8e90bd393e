"""One multiplier per neuron by sweeps over overlapping segments of a deep network.

With all multipliers outside of some consecutive groups fixed, the groups before them act as a metric of what they
read and the groups after them as an output (`separators.py`): what is left is the condition of a small network,
which the primal-dual method solves. Its optimum is the new rho; multipliers before the segment are scaled with rho,
those after it stay. No step raises rho, and every step leaves a feasible point. Memory grows with the depth and not
with its square.

Segments overlap by half: the multipliers at the end of one are far from their best values until the next one sees
them in the middle. The point of a segment is taken a little inside, and the accuracy grows from sweep to sweep, so
that the metrics of its neighbours stay well conditioned.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from math import inf

import numpy as np

from sdpcert.arithmetic.blas import cholesky, triangular_solve
from sdpcert.condition.matrix import Condition
from sdpcert.errors import SolverError
from sdpcert.network.stacked import Block, StackedForm
from sdpcert.solvers.effort import Effort, estimate_of_shape
from sdpcert.solvers.primal_dual import minimise
from sdpcert.solvers.separators import Rows, SeparatorForm, root
from sdpcert.solvers.solution import Budget, Progress, Solution
from sdpcert.solvers.work import Shape

Array = np.ndarray
#: Neurons of a segment, if two groups have no more.
NEURONS = 320
#: Relative accuracy of the first sweep, and how much better each is than what the one before gained.
FIRST, BETTER = 1e-2, 4.0
#: How much is added to the least rho that multipliers allow, relative: float64's rounding along the network.
ROUNDING = 1e-9
#: Iterations of the primal-dual method in a segment at these accuracies, over those of an estimate.
ITERATIONS = 0.4
#: Seconds of Python in a segment.
OVERHEAD = 0.03
#: A segment is not begun unless this many iterations of it fit what is left of the time: fewer gain nothing.
LEAST_ITERATIONS = 4
#: Seconds of an iteration over the cube of the order, before any was measured.
PACE = 1e-9


def sweep(
    form: StackedForm, solution: Solution, budget: Budget, neurons: int = NEURONS, first: float = FIRST
) -> Iterator[Solution]:
    """Better and better points from a feasible one with finite multipliers, one for each sweep that gains something.

    Segments hold up to `neurons` neurons, or one group; those of the first sweep are solved to a relative accuracy of
    `first`. Ends when a sweep gains less than the tolerance of the budget, when time is over or after a
    KeyboardInterrupt; what the last sweep gained by then is offered.
    """
    run = _Sweeps(form, solution, budget, neurons, first)
    best = solution.bound
    while not run.ended:
        before = run.rho
        try:
            run.forward()
            if not run.ended:
                run.backward()
        except KeyboardInterrupt:
            run.ended, run.status = True, "interrupted"
        gained = 1 - np.sqrt(run.rho / before)
        offered = run.solution() if gained > 0 else None
        run.refine(gained)
        if offered is not None and offered.bound < best:
            best = offered.bound
            yield offered


def segments_of(form: StackedForm, neurons: int = NEURONS) -> list[tuple[int, int]]:
    """First and last group of every segment: the next one begins where half of the neurons are behind."""
    sizes = [0, *(g.size for g in form.groups)]
    found: list[tuple[int, int]] = []
    a, count = 1, len(form.groups)
    while True:
        b = a
        while b < count and sum(sizes[a : b + 2]) <= neurons:
            b += 1
        found.append((a, b))
        if b == count:
            return found
        half, a = sum(sizes[a : b + 1]) / 2, a + 1
        while a <= b and sum(sizes[found[-1][0] : a + 1]) <= half:
            a += 1


def estimate_sweep(form: StackedForm, neurons: int = NEURONS) -> Effort:
    """The effort of one sweep there and back."""
    seconds = largest = 0.0
    for a, b in segments_of(form, neurons):
        inside = [g.size for g in form.groups[a - 1 : b]]
        readers = {s for (to, s), _ in form.blocks.items() if s < a <= to}
        outside = sum(form.groups[s - 1].size if s else min(form.inputs, form.groups[0].size) for s in readers)
        one = estimate_of_shape(Shape.chain([outside, *inside]), sum(inside))
        seconds += 2 * (ITERATIONS * one.seconds + OVERHEAD)
        largest = max(largest, one.memory)
    sizes = [g.size for g in form.groups]
    return Effort(seconds, largest + 8.0 * 4 * sum(size**2 for size in sizes))


class _Sweeps:
    """The point, and what the next segment sees of the groups before and after it."""

    def __init__(self, form: StackedForm, solution: Solution, budget: Budget, neurons: int, first: float) -> None:
        self.form, self.start, self.budget, self.tol = form, solution, budget, first
        self.rows = Rows(form, solution.exponent)
        self.segments = segments_of(form, neurons)
        self.rho = solution.rho * (1 + ROUNDING)
        scaled = zip(solution.multipliers, self.rows.scaling.neurons, strict=True)
        self.t: list[Array] = [np.zeros(0), *(np.ldexp(t, -2 * a) * (1 + ROUNDING) for t, a in scaled)]
        self.steps, self.ended, self.status, self.pace = 0, False, "stalled", PACE
        self.history: list[Progress] = []

    # -- one sweep -----------------------------------------------------------------------------------------------------

    def forward(self) -> None:
        """All segments from the input to the output."""
        tails = self._tails()
        given, done = self.rows.input_form(), 0
        for (a, b), tail in zip(self.segments, tails, strict=True):
            while given is not None and done < a - 1:
                done += 1
                given = self.rows.with_head(given, done, self.t[done] / self.rho)
            if self._is_over(a, b):
                return
            self._solve(a, b, given, tail)

    def backward(self) -> None:
        """All segments from the output to the input."""
        heads = self._heads()
        given, left = self.rows.output_form(), self.rows.groups
        for (a, b), head in zip(reversed(self.segments), reversed(heads), strict=True):
            while given is not None and left > b:
                given = self.rows.with_tail(given, left, self.t[left])
                left -= 1
            if self._is_over(a, b):
                return
            self._solve(a, b, head, given)

    def _tails(self) -> list[SeparatorForm | None]:
        """What follows each segment."""
        given: SeparatorForm | None = self.rows.output_form()
        found: list[SeparatorForm | None] = []
        left = self.rows.groups
        for _, b in reversed(self.segments):
            while given is not None and left > b:
                given = self.rows.with_tail(given, left, self.t[left])
                left -= 1
            found.append(given)
        return found[::-1]

    def _heads(self) -> list[SeparatorForm | None]:
        """What precedes each segment, for rho = 1."""
        given: SeparatorForm | None = self.rows.input_form()
        found: list[SeparatorForm | None] = []
        done = 0
        for a, _ in self.segments:
            while given is not None and done < a - 1:
                done += 1
                given = self.rows.with_head(given, done, self.t[done] / self.rho)
            found.append(given)
        return found

    def _is_over(self, a: int, b: int) -> bool:
        """Whether no time is left to solve groups a to b."""
        seconds = LEAST_ITERATIONS * self.pace * float(sum(self.rows.sizes[a - 1 : b + 1])) ** 3
        if self.budget.elapsed + seconds > self.budget.seconds:
            self.ended, self.status = True, "time limit"
        return self.ended

    # -- one segment ---------------------------------------------------------------------------------------------------

    def _solve(self, a: int, b: int, head: SeparatorForm | None, tail: SeparatorForm | None) -> None:
        """Take the better multipliers of groups a to b; those before are scaled with rho."""
        small = None if head is None or tail is None else self._segment(a, b, head, tail)
        if small is None:
            return
        condition = Condition(small)
        left = Budget(self.tol, self.budget.seconds - self.budget.elapsed)
        started = time.perf_counter()
        try:
            point = minimise(condition, left, margin=1.0)
        except SolverError:
            return
        self.pace = (time.perf_counter() - started) / (max(point.iterations, 1) * float(condition.order) ** 3)
        if point.status == "interrupted":
            self.ended, self.status = True, "interrupted"
        rho = float(np.ldexp(point.y[0], 2 * point.exponent))
        found = [np.ldexp(t, 2 * point.exponent) for t in condition.multipliers(condition.arrays.asarray(point.y))]
        if 0 < rho < self.rho and all(np.all(np.isfinite(t) & (t > 0)) for t in found):
            before = [t * (rho / self.rho) for t in self.t[:a]]
            self.t, self.rho = [*before, *found, *self.t[b + 1 :]], rho
        self._report()

    def _segment(self, a: int, b: int, head: SeparatorForm, tail: SeparatorForm) -> StackedForm | None:
        """The groups a to b as a network that reads what the head measures and writes what the tail does."""
        rows, blocks = self.rows, {}
        metric = cholesky(head.matrix)
        output = root(tail) if b < rows.groups else rows.joined(rows.groups + 1, tail.sources)
        if metric is None or output is None:
            return None
        inputs = len(metric)
        for to in range(a, b + 1):
            if set(rows.rows[to]) & set(head.sources):
                read = triangular_solve(metric, rows.joined(to, head.sources).T).T
                blocks[to - a + 1, 0] = Block(np.ascontiguousarray(read))
            for s, weights in rows.rows[to].items():
                if s >= a:
                    blocks[to - a + 1, s - a + 1] = Block(weights)
        row, columns = b - a + 2, rows.slices(tail.sources)
        for s in tail.sources:
            if s >= a:
                blocks[row, s - a + 1] = Block(np.ascontiguousarray(output[:, columns[s]]))
        outer = [s for s in tail.sources if s < a]
        if outer:
            places = rows.slices(head.sources)
            read = np.zeros((len(output), inputs))
            for s in outer:
                read[:, places[s]] = output[:, columns[s]]
            blocks[row, 0] = Block(np.ascontiguousarray(triangular_solve(metric, read.T).T))
        return StackedForm(inputs, len(output), self.form.groups[a - 1 : b], blocks, np.zeros(len(output)))

    # -- what is told --------------------------------------------------------------------------------------------------

    def _report(self) -> None:
        self.steps += 1
        upper = float(np.ldexp(np.sqrt(self.rho), self.start.exponent))
        line = Progress(self.steps, upper, 0.0, self.budget.elapsed)
        self.history.append(line)
        if self.budget.report is not None:
            self.budget.report(line)

    def refine(self, gained: float) -> None:
        """What a sweep gained, relative, decides how accurate the next one is, and whether there is one."""
        finest = self.budget.tol / BETTER
        if gained <= self.budget.tol and self.tol <= finest:
            self.ended = True
        self.tol = max(min(self.tol, gained) / BETTER, finest)

    def solution(self) -> Solution | None:
        """The point, with the least rho that its multipliers allow; None if that is no point."""
        given: SeparatorForm | None = self.rows.input_form()
        for g in range(1, self.rows.groups + 1):
            given = None if given is None else self.rows.with_head(given, g, self.t[g] / self.rho)
        rho = inf if given is None else self.rows.gain(given) * (1 + ROUNDING)
        if not rho < inf:
            return None
        scaled = [t * (rho / self.rho) for t in self.t[1:]]
        original = tuple(self.rows.scaling.multipliers(scaled))
        return replace(
            self.start, rho=rho, multipliers=original, status=self.status, iterations=self.steps,
            history=tuple(self.history),
        )  # fmt: skip

"""The rungs of a stacked form's condition, the cheapest first: which are climbed, and what the next one would cost.

Closed forms cost what a pass through the network does. Sweeps over segments have one multiplier per neuron at memory
that grows with the depth, but no dual bound; the condition as a whole has one, and costs the cube of all neurons. A
rung that does not fit the memory is never begun; without a time limit `auto` begins none that is estimated above ten
minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from sdpcert.arithmetic.pace import ASSUMED
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.effort import Effort, estimate
from sdpcert.solvers.segments import estimate_sweep, segments_of
from sdpcert.solvers.work import Shape, Work

#: Seconds that a rung may be estimated at, without a time limit, for `auto` to begin it.
LONGEST = 600.0
#: A condition that is estimated at fewer seconds is solved as a whole at once, without cheaper rungs before it.
QUICK = 5.0
#: The share of what the condition as a whole is estimated at that sweeps before it may take.
SHARE_OF_SWEEPS = 0.1
#: How many times longer than a sweep the condition as a whole has to be estimated at for sweeps to come first.
WORTH = 4.0
#: How many times what is left of a time limit the condition as a whole may be estimated at: every iterate is a bound,
#: and after 77 percent of the iterations it was within 8e-5 of the optimum on six networks (after 60 within 0.16).
ANYTIME = 1.3
#: How many times what is left of a time limit it may be estimated at for its first iterations to be made: they show its
#: pace, and estimates are true within a factor of two.
DOUBT = 2.0
#: One multiplier per layer in blocks: iterations, seconds of Python for a group in each, and operations in each for
#: every vector, over the squares of the groups, with as many vectors as groups within bounds.
ITERATIONS, OVERHEAD, SQUARES, LEAST_VECTORS, MOST_VECTORS = 22, 2e-3, 80.0, 32, 128


@dataclass(frozen=True)
class Ladder:
    """What the rungs of a form are estimated to cost, and what they may.

    `method` is "auto", "neuron" or "layer"; limits are in seconds and bytes, infinite for none. `whole` is the last
    rung, with `in_blocks` by the blocks of the network, or in so many `iterations`; `assumed` are its seconds at the
    assumed pace, which decide what is solved at once: the same network climbs the same way whatever the load.
    """

    method: str
    whole: Effort
    sweep: Effort
    segments: int
    time_limit: float = inf
    memory_limit: float = inf
    in_blocks: bool = False
    assumed: float = inf
    iterations: int = 0

    @staticmethod
    def of(form: StackedForm, method: str, time_limit: float = inf, memory_limit: float = inf) -> Ladder:
        """The ladder of a reduced form with neurons."""
        variables = "layer" if method == "layer" else "neuron"
        assumed, in_blocks = estimate(form, variables, ASSUMED).total, False
        whole = estimate(form, variables)
        if method == "layer" and not (assumed <= QUICK and whole.fits(time_limit, memory_limit)):
            blocks = estimate_layers(form)
            in_blocks = blocks.total < whole.total or whole.memory > memory_limit
            whole = blocks if in_blocks else whole
        count, iterations = len(segments_of(form)), Shape.solved(form).iterations
        return Ladder(
            method, whole, estimate_sweep(form), count, time_limit, memory_limit, in_blocks, assumed, iterations
        )

    @property
    def is_quick(self) -> bool:
        """Whether the condition is solved as a whole before anything cheaper is proved."""
        return not self.in_blocks and self.assumed <= QUICK and self.whole.fits(self.time_limit, self.memory_limit)

    @property
    def longest(self) -> float:
        """Seconds after which no other rung is begun: without a time limit, what is named is climbed, whatever it
        takes.
        """
        return LONGEST if self.method == "auto" and self.time_limit == inf else self.time_limit

    def takes_whole(self, elapsed: float) -> bool:
        """Whether the condition as a whole fits the memory and nearly fits what is left of the time."""
        left = self.longest if self.time_limit == inf else ANYTIME * (self.time_limit - elapsed)
        return self.whole.fits(left, self.memory_limit)

    def tries_whole(self, elapsed: float) -> bool:
        """Whether the condition as a whole does not nearly fit what is left of the time, and might nevertheless."""
        left = DOUBT * (self.time_limit - elapsed)
        doubtful = not self.takes_whole(elapsed) and self.whole.fits(left, self.memory_limit)
        return self.time_limit < inf and doubtful and not self.in_blocks

    @property
    def needed(self) -> float:
        """Iterations of a run that is tried without which it is not worth its time."""
        return self.iterations / ANYTIME

    @property
    def sweeps(self) -> bool:
        """Whether sweeps over segments are a rung: they have one multiplier per neuron, and more than one segment."""
        return self.method != "layer" and self.segments > 1 and self.sweep.memory <= self.memory_limit

    def begins_sweeps(self, elapsed: float) -> bool:
        """Whether sweeps are begun: some segments are solved in the time that is left, and they pay. The first sweep
        has to leave the condition as a whole its time.
        """
        if not self.sweeps or elapsed >= self.time_limit:
            return False
        if self.takes_whole(elapsed):
            return self.whole.seconds > WORTH * self.sweep.seconds and self.takes_whole(elapsed + self.sweep.seconds)
        return self.time_limit < inf or self.sweep.seconds <= self.longest

    def ends_sweeps(self, spent: float, elapsed: float) -> bool:
        """Whether no other sweep is begun after `spent` seconds of them: the condition as a whole gains more, or time
        is over.
        """
        if self.takes_whole(elapsed):
            ample = self.takes_whole(elapsed + self.sweep.seconds)
            return spent > SHARE_OF_SWEEPS * self.whole.seconds or not ample
        return elapsed + self.sweep.seconds > self.longest and self.time_limit == inf

    def next_rung(self, swept: bool) -> str:
        """What the next rung would cost, and why it was not begun."""
        what, effort = "one multiplier per neuron for all layers at once", self.whole
        if self.method == "layer":
            what = "one multiplier per layer"
        elif self.sweeps and not swept:
            what, effort = "a sweep over segments with one multiplier per neuron", self.sweep
        if effort.memory > self.memory_limit:
            why = f"above the memory limit of {self.memory_limit / 2**30:.1f} GiB"
        elif self.time_limit < inf:
            why = "above what is left of the time limit"
        else:
            why = "above ten minutes: a longer time limit begins it"
        return f"the next rung, {what}, is estimated at {effort}, {why}"


def estimate_layers(form: StackedForm) -> Effort:
    """The effort of one multiplier per layer by the blocks of the network (`solvers/family.py`)."""
    sizes = [g.size for g in form.groups]
    cubes, squares = sum(float(size) ** 3 for size in sizes), sum(float(size) ** 2 for size in sizes)
    vectors = min(max(len(sizes), LEAST_VECTORS), MOST_VECTORS)
    products = 10 * cubes + vectors * squares * (SQUARES + 2 * len(sizes))
    work = Work(products, python=OVERHEAD * len(sizes)) * ITERATIONS
    memory = 8.0 * (20 * squares + vectors * (20.0 * sum(sizes) + 3.0 * len(sizes) * max(sizes)))
    return Effort(work.at(work.pace), memory, Shape.of(form).proof().at(work.pace))

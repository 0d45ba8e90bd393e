"""The rungs of a stacked form's condition, the cheapest first: which are climbed, and what the next one would cost.

Closed forms cost what a pass through the network does. Sweeps over segments have one multiplier per neuron at memory
that grows with the depth, but no dual bound; the condition as a whole has one, and costs the cube of all neurons. A
rung that does not fit the memory is never begun; without a time limit `auto` begins none that is estimated above ten
minutes.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.effort import Effort, estimate
from sdpcert.solvers.segments import estimate_sweep, segments_of

#: Seconds that a rung may be estimated at, without a time limit, for `auto` to begin it.
LONGEST = 600.0
#: A condition that is estimated at fewer seconds is solved as a whole at once, without cheaper rungs before it.
QUICK = 5.0
#: How many times longer than a sweep the condition as a whole has to be estimated at for sweeps to come first.
WORTH = 4.0


@dataclass(frozen=True)
class Ladder:
    """What the rungs of a form are estimated to cost, and what they may.

    `method` is "auto", "neuron" or "layer"; limits are in seconds and bytes, infinite for none.
    """

    method: str
    whole: Effort
    sweep: Effort
    segments: int
    time_limit: float
    memory_limit: float

    @staticmethod
    def of(form: StackedForm, method: str, time_limit: float = inf, memory_limit: float = inf) -> Ladder:
        """The ladder of a reduced form with neurons."""
        whole = estimate(form, "layer" if method == "layer" else "neuron")
        return Ladder(method, whole, estimate_sweep(form), len(segments_of(form)), time_limit, memory_limit)

    @property
    def is_quick(self) -> bool:
        """Whether the condition is solved as a whole before anything cheaper is proved."""
        return self.whole.fits(min(self.time_limit, QUICK), self.memory_limit)

    @property
    def longest(self) -> float:
        """Seconds after which no other rung is begun: what is named is climbed, whatever it takes."""
        return min(self.time_limit, LONGEST if self.method == "auto" else inf)

    def takes_whole(self, elapsed: float) -> bool:
        """Whether the condition as a whole fits the memory and what is left of the time."""
        left = self.time_limit - elapsed
        return self.whole.fits(min(left, self.longest), self.memory_limit)

    @property
    def sweeps(self) -> bool:
        """Whether sweeps over segments are a rung: they have one multiplier per neuron, and more than one segment."""
        return self.method != "layer" and self.segments > 1 and self.sweep.memory <= self.memory_limit

    def begins_sweeps(self, elapsed: float) -> bool:
        """Whether sweeps are begun: some segments are solved in the time that is left, and they pay."""
        if not self.sweeps or elapsed >= self.time_limit:
            return False
        if self.takes_whole(elapsed):
            return self.whole.seconds > WORTH * self.sweep.seconds
        return self.time_limit < inf or self.sweep.seconds <= self.longest

    def next_rung(self) -> str:
        """What the condition as a whole would cost, and why it was not begun."""
        what = "one multiplier per layer" if self.method == "layer" else "one multiplier per neuron at once"
        if self.whole.memory > self.memory_limit:
            why = f"above the memory limit of {self.memory_limit / 2**30:.1f} GiB"
        elif self.time_limit < inf:
            why = "above what is left of the time limit"
        else:
            why = "above ten minutes; a time limit, or a method by name, begins it"
        return f"the next rung, {what}, is estimated at {self.whole}, {why}"

"""What every solver returns, and the interface of a solver."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from sdpcert.errors import SolverError as SolverError
from sdpcert.network.stacked import StackedForm
from sdpcert.running.phases import expected
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Iterations after which a run knows its pace.
PACED = 2


@dataclass(frozen=True)
class Progress:
    """One line of a solver's log: the bound and the dual bound are on the Lipschitz constant.

    A line with a `message` comes before the first iteration, when nothing is known yet. One with a `phase` says what is
    begun, and what that is estimated to take if it is long. In a branch and bound `iteration` counts the pieces that
    were looked at, `lower` is attained, and `open` pieces are left.
    """

    iteration: int
    upper: float
    lower: float
    seconds: float
    message: str = ""
    open: int | None = None
    phase: str = ""

    @property
    def text(self) -> str:
        """The line as a terminal shows it."""
        if self.message or self.phase:
            return self.message or self.phase
        if self.open is None:
            return f"iteration {self.iteration}  bound {self.upper:.9g}  gap {self.gap:.1e}  {self.seconds:.1f} s"
        both = f"upper {self.upper:.9g}  attained {self.lower:.9g}"
        return f"{both}  {self.open} open  {self.iteration} pieces  {self.seconds:.1f} s"

    @property
    def gap(self) -> float:
        """`(upper - lower) / upper`."""
        if not np.isfinite(self.upper):
            return 1.0
        return (self.upper - self.lower) / self.upper if self.upper > 0 else 0.0


@dataclass
class Budget:
    """When to stop and whom to tell: relative accuracy `tol` of the bound, wall-clock seconds, a progress callback.

    The native solver also stops once its bound is not above `low_enough`, or its dual bound, roughly known, is not
    below `high_enough`; and after its first iterations if at their pace less than `needed` of them fit the time.
    """

    tol: float = 1e-6
    seconds: float = float("inf")
    report: Callable[[Progress], None] | None = None
    started: float = field(default_factory=time.perf_counter)
    low_enough: float = 0.0
    high_enough: float = float("inf")
    needed: float = 0.0

    def begin(self, phase: str, seconds: float = 0.0) -> None:
        """Tell whoever follows what is begun, and the seconds that it is estimated to take."""
        if self.report is not None:
            self.report(Progress(0, float("inf"), 0.0, self.elapsed, phase=phase + expected(seconds)))

    @property
    def elapsed(self) -> float:
        """Seconds since the start."""
        return time.perf_counter() - self.started

    @property
    def spent(self) -> bool:
        """Whether the time is over."""
        return self.elapsed > self.seconds

    def ends(self, iteration: int, began: float) -> bool:
        """Whether a run ends that `began` at some seconds and has made so many iterations."""
        now = self.elapsed
        late = iteration == PACED and now + (self.needed - iteration) * (now - began) / iteration > self.seconds
        return late or self.spent


@dataclass(frozen=True, eq=False)
class Solution(ShortRepr):
    """A point of the condition that a solver offers; nothing in it is believed before it is proved.

    The bound is `2**exponent * sqrt(rho)`; `multipliers` has one array per group, one entry per neuron, for the
    original network whose output is scaled by `2**-exponent`. `dual` is a lower bound on the optimum of the condition
    in the units of the bound (0 if none is known). `vector`, where there is one, has a positive entry a_i for every
    coordinate of the original network, in order, with `M_ii a_i >= sum over j != i of |M_ij| a_j`: it proves the point.
    """

    rho: float
    multipliers: tuple[Array, ...]
    exponent: int
    dual: float
    iterations: int
    status: str
    history: tuple[Progress, ...] = ()
    vector: Array | None = None

    @property
    def bound(self) -> float:
        """The bound that the point claims."""
        return float(np.ldexp(np.sqrt(max(self.rho, 0.0)), self.exponent))


class Solver(Protocol):
    """A function from a reduced stacked form to a point; `method` is "neuron" or "layer"."""

    def __call__(self, form: StackedForm, method: str, budget: Budget, device: str = "cpu") -> Solution:
        """Solve the condition; raise `SolverError` if the solver gives no point."""
        ...

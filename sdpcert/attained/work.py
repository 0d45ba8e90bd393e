"""How much a search may do, counted in operations and never by the clock: the same seed gives the same result."""

from __future__ import annotations

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers.effort import ITERATIONS, estimate
from sdpcert.solvers.effort import RATE as ESTIMATED_RATE

#: Operations a second that the search makes on one core, about.
RATE = 9e9
#: What a search may spend whatever solving costs: about 20 ms.
LEAST = 1.5e8
#: Seconds of the estimate that are no arithmetic.
OVERHEAD = 0.04
#: What a search plans to spend at most unless more effort is asked for: about eight seconds.
MOST = 8e10


class Work:
    """Operations left to a search that is planned for `planned` of them and may spend `effort` times as many."""

    def __init__(self, planned: float, effort: float = 1.0) -> None:
        self.planned = planned
        self.operations = planned * effort
        self.spent = 0.0

    def spend(self, operations: float) -> None:
        """Count operations that are made."""
        self.spent += operations

    @property
    def left(self) -> float:
        """Operations that are left; never negative."""
        return max(self.operations - self.spent, 0.0)

    @property
    def left_of_plan(self) -> float:
        """Operations that a search of effort 1 would have left; never negative."""
        return max(self.planned - self.spent, 0.0)


def default_operations(network: Network | StackedForm) -> float:
    """What solving with one multiplier per neuron is estimated to take, within `LEAST` and `MOST`.

    A stacked form is solved as it is, a `Network` over frequencies.
    """
    if isinstance(network, StackedForm):
        seconds = estimate(network, "neuron").seconds
    else:
        seconds = _seconds_over_frequencies(network)
    return min(max(RATE * (seconds - OVERHEAD), LEAST), MOST)


def _seconds_over_frequencies(network: Network) -> float:
    """A cautious estimate of solving over frequencies: 25 of them with the network's channels, and what is linear."""
    shapes = [n.shape for n in network.nodes if isinstance(n.layer, Activation) and not n.layer.is_linear]
    cells = min((float(np.prod(s[1:])) for s in shapes if len(s) == 3), default=np.inf)
    images = sum(float(np.prod(s)) for s in shapes if len(s) == 3) + float(np.prod(network.input_shape))
    order = images / cells  # channels on the coarsest grid: strides make several of one
    head = 0.2 if any(len(s) == 1 for s in shapes) else 0.0
    return 0.1 + head + 8e-5 * network.neurons + ITERATIONS * 25 * 32.0 * order**3 / ESTIMATED_RATE

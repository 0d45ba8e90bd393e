"""How much a search may do, counted in operations: the same seed gives the same result.

The clock ends a search only where it has a deadline, which on a loaded machine comes before the operations are spent.
"""

from __future__ import annotations

import time

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm

#: Operations a second that the search makes on one core, about.
RATE = 9e9
#: What a search may spend whatever solving costs: about 20 ms.
LEAST = 1.5e8
#: Operations for every cube of the order of a condition, about what solving it with one multiplier per neuron takes
#: the same core. A measured rate would make a search depend on the machine's load.
SOLVING = 180.0
#: What a search plans to spend at most unless more effort is asked for: about eight seconds.
MOST = 8e10


class Work:
    """Operations left to a search that is planned for `planned` of them and may spend `effort` times as many.

    After the `deadline`, in seconds of `time.perf_counter`, none are left.
    """

    def __init__(self, planned: float, effort: float = 1.0, deadline: float = np.inf) -> None:
        self.planned, self.deadline = planned, deadline
        self.operations = planned * effort
        self.spent = 0.0

    def spend(self, operations: float) -> None:
        """Count operations that are made."""
        self.spent += operations

    @property
    def left(self) -> float:
        """Operations that are left; never negative."""
        return 0.0 if self._late else max(self.operations - self.spent, 0.0)

    @property
    def left_of_plan(self) -> float:
        """Operations that a search of effort 1 would have left; never negative."""
        return 0.0 if self._late else max(self.planned - self.spent, 0.0)

    @property
    def _late(self) -> bool:
        return self.deadline < np.inf and time.perf_counter() > self.deadline


def default_operations(network: Network | StackedForm) -> float:
    """What solving with one multiplier per neuron takes, about, within `LEAST` and `MOST`.

    A stacked form is solved as it is, a `Network` over frequencies.
    """
    if isinstance(network, StackedForm):
        readers = sum(len(block.weights) for (_, source), block in network.blocks.items() if source == 0)
        operations = SOLVING * float(min(network.inputs, readers) + network.neurons) ** 3
    else:
        operations = _operations_over_frequencies(network)
    return min(max(operations, LEAST), MOST)


def _operations_over_frequencies(network: Network) -> float:
    """Solving over frequencies: cubes of the channels at 25 of them, complex, and what is linear."""
    shapes = [n.shape for n in network.nodes if isinstance(n.layer, Activation) and not n.layer.is_linear]
    cells = min((float(np.prod(s[1:])) for s in shapes if len(s) == 3), default=np.inf)
    images = sum(float(np.prod(s)) for s in shapes if len(s) == 3) + float(np.prod(network.input_shape))
    order = images / cells  # channels on the coarsest grid: strides make several of one
    head = 0.2 if any(len(s) == 1 for s in shapes) else 0.0
    return RATE * (0.06 + head + 8e-5 * network.neurons) + 8 * 25 * SOLVING * order**3

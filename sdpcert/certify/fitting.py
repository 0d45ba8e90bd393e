"""What bounding a network in one form or another would take, found before anything large is made."""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from sdpcert.network.activation import Activation
from sdpcert.network.graph import Network
from sdpcert.network.lattice import Lattice
from sdpcert.network.layouts import arranged
from sdpcert.network.unrolled_size import unrolled_bytes
from sdpcert.solvers.effort import Effort, SizesOnTorus, effort_over_frequencies, estimate_of_shape
from sdpcert.solvers.work import Shape

#: Neurons and inputs above which a convolutional network is certified over frequencies, unless asked otherwise.
LARGEST_UNROLLED = 4000
#: Estimated seconds above which nothing is begun that nobody gave the time for.
PATIENCE = 600.0


@dataclass(frozen=True)
class Fitting:
    """The forms that a network has and what they take: `Effort`s, None where there is no such form."""

    size: int
    unrolling: float
    unrolled: Effort
    solved: Effort | None
    closed: Effort | None
    obstacle: str = ""

    @staticmethod
    def of(network: Network, method: str) -> Fitting:
        """What the forms of a network take by one method ("auto" is one multiplier per neuron)."""
        size, neurons = network.neurons + int(np.prod(network.input_shape)), network.neurons
        method = "neuron" if method == "auto" else method
        unrolling = unrolled_bytes(network)
        layers = (int(np.prod(node.shape)) for node in network.nodes if _has_neurons(node.layer))
        whole = estimate_of_shape(Shape.chain([int(np.prod(network.input_shape)), *layers]), neurons)
        unrolled = Effort(whole.seconds, max(whole.memory, unrolling), whole.proof)
        try:
            sizes, composed, head = _on_torus(network)
        except ValueError as error:
            return Fitting(size, unrolling, unrolled, None, None, str(error))
        solved, closed = effort_over_frequencies(sizes, method), effort_over_frequencies(composed, "product")
        solved, closed = (Effort(e.seconds, e.memory + head, e.proof) for e in (solved, closed))
        return Fitting(size, unrolling, unrolled, solved, closed)

    def is_small(self, time_limit: float, memory_limit: float) -> bool:
        """Whether the network is unrolled: it is small, and that fits."""
        return self.size <= LARGEST_UNROLLED and self.unrolled.fits(time_limit, memory_limit)

    def is_solved_over_frequencies(self, memory_limit: float, patience: float = PATIENCE) -> bool:
        """Whether solving over frequencies is possible and fits."""
        return self.solved is not None and self.solved.fits(patience, memory_limit)

    def is_bounded_over_frequencies(self, memory_limit: float) -> bool:
        """Whether the product of norms over frequencies fits."""
        return self.closed is not None and self.closed.fits(inf, memory_limit)

    def is_unrolled_at_all(self, memory_limit: float) -> bool:
        """Whether the stacked form fits, for the bounds that need nothing larger."""
        return self.unrolling <= memory_limit


def _on_torus(network: Network) -> tuple[SizesOnTorus, SizesOnTorus, float]:
    """The sizes of front and head on the smallest torus, together and one after the other, and the bytes that unrolling
    the head takes.

    Raises ValueError if the network does not begin with shift-invariant layers.
    """
    front = arranged(network).network
    lattice = Lattice.of(front)
    rows, columns = lattice.torus(None)

    def channels(value: int) -> int:
        return front.shape(value)[0] * int(np.prod(lattice.phases(lattice.levels[value])))

    groups = tuple(channels(k) for k in lattice.trunk if _has_neurons(front.nodes[k - 1].layer))
    sizes = SizesOnTorus(rows * columns, channels(0), groups, channels(lattice.cut))
    if front.output == lattice.cut:
        return sizes, sizes, 0.0
    after = front.between(lattice.cut, front.output)
    nonlinear = [n for n in after.nodes if _has_neurons(n.layer)]
    inputs = int(np.prod(after.input_shape))
    readers = int(np.prod(nonlinear[0].shape if nonlinear else after.output_shape))
    together, composed = (
        replace(sizes, head=(min(inputs, rows), after.neurons, len(nonlinear)))
        for rows in (channels(lattice.cut) * readers, readers)
    )
    return together, composed, unrolled_bytes(after)


def _has_neurons(layer: object) -> bool:
    return isinstance(layer, Activation) and not layer.is_linear

"""Whether a network computes what its original computes: its outputs, and how much of a difference rounding explains.

The original runs in a type of its own, the network in float64, so they differ by rounding, and by how much depends on
the network. It is measured: the network is evaluated again with random errors of the size that the type makes in each
layer. So a deep chain whose outputs hardly move is still compared sharply, and one that amplifies rounding is not
refused for it.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.graph import Network

Array = np.ndarray
#: Most numbers that the values of all layers take for one part of a batch: some 200 MB.
PART = 25_000_000
#: How often the effect of rounding is measured.
REPEATED = 4


def part_of(network: Network) -> int:
    """How many inputs are evaluated at once: so many that the values of all layers fit into `PART`, at least one."""
    return max(1, PART // (sum(math.prod(node.shape) for node in network.nodes) or 1))


def outputs_of(network: Network, inputs: Array, function: Callable[[Array], Array] | None = None) -> Array:
    """The outputs (samples, outputs) of the network, or of a function in its place, evaluated in parts of the batch."""
    step = part_of(network)
    parts = [(function or network)(inputs[k : k + step]) for k in range(0, len(inputs), step)]
    return np.concatenate(parts).reshape(len(inputs), -1)


def effect_of_rounding(
    network: Network, inputs: Array, outputs: Array, unit: float, generator: np.random.Generator
) -> Array:
    """How much errors of the unit roundoff `unit` in every layer change `outputs`, as a root mean square of each row.

    `outputs` are those of the network on `inputs`; one row may hold the outputs on several inputs in a row.
    """

    def perturbed(part: Array) -> Array:
        return _perturbed(network, part, unit, generator)

    moved = [outputs_of(network, inputs, perturbed).reshape(outputs.shape) - outputs for _ in range(REPEATED)]
    return np.sqrt(np.mean(np.square(moved), axis=(0, 2)))


def _perturbed(network: Network, inputs: Array, unit: float, generator: np.random.Generator) -> Array:
    """The output with errors of the given unit roundoff made in every layer, at random and independent."""
    values = [inputs]
    for node in network.nodes:
        given = [values[k] for k in node.inputs]
        value = node.layer(*given)
        if isinstance(node.layer, Activation):
            size = np.abs(value)
            if node.layer.roundings is None:  # runtimes approximate these to some units, relative to 1 near 0
                size = 8 * (size + np.minimum(np.abs(given[0]), 1.0))
        elif not node.layer.roundings:
            values.append(value)
            continue
        else:
            size = node.layer.perturbation(given)
        values.append(value + unit * size * generator.standard_normal(value.shape))
    return values[network.output]

"""How much memory a network takes while it is unrolled, found on the graph before anything is made."""

from __future__ import annotations

import numpy as np

from sdpcert.network.activation import Activation
from sdpcert.network.nodes import LayerGraph

#: Copies of the coefficients of the value being made: products as high and low, sums of them, error bounds.
COPIES = 5


def unrolled_bytes(network: LayerGraph) -> float:
    """About how many bytes bringing the network to its stacked form takes at its peak.

    A value has coefficients for every source that reaches it, but for values that are only moved entries of one source.
    """
    sources = {0: float(np.prod(network.input_shape))}  # numbers of every source, by the value that it is
    read: dict[int, frozenset[int]] = {0: frozenset({0})}
    moved, last, stored, peak = {0}, network.last_uses, 0.0, 0.0

    def entries(value: int) -> float:
        return sum(sources[k] for k in read[value]) * float(np.prod(network.shape(value)))

    for number, node in enumerate(network.nodes, start=1):
        if number not in last:
            continue
        arguments = sum(entries(k) for k in node.inputs if k in moved)  # coefficients that are made to be read
        read[number] = frozenset[int]().union(*(read[k] for k in node.inputs))
        single = node.inputs[0] in moved and len(node.inputs) == 1
        made = entries(number)
        if isinstance(node.layer, Activation):
            if not node.layer.is_linear:
                stored += made
                sources[number] = float(np.prod(node.shape))
                read[number] = frozenset({number})
                moved.add(number)
        elif single and node.layer.places(network.shape(node.inputs[0])) is not None:
            moved.add(number)
            arguments = made = 0.0
        elif single and node.layer.reads_columns(network.shape(node.inputs[0])):
            arguments = 0.0
        live = sum(entries(k) for k in read if k not in moved and last[k] >= number)
        peak = max(peak, stored + live + arguments + COPIES * made)
    return 8.0 * (peak + entries(network.output))

"""Whether a network reads an image through the sums over its channels alone, decided on its layers' numbers.

A head after a torus may only be folded into it as a function of these sums (`TorusForm.pooled`) if its true weights
are the same in every place. Equal results of a floating-point evaluation do not show that: weights that differ from
place to place by less than rounding leave the sums alone and still react to what the sums do not see.
"""

from __future__ import annotations

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.nodes import LayerGraph


def reads_channel_sums(network: LayerGraph) -> bool:
    """Whether every layer that reads pixels of the input, moved or not, adds up whole channels with one weight each.

    False if stored weights do not show it: those of a layer that were rounded may differ from place to place.
    """
    shape = network.input_shape
    pixels = {0: np.arange(int(np.prod(shape))).reshape(shape)}  # values whose entries are pixels, -1 for zero
    places = int(np.prod(shape[1:]))
    for number, node in enumerate(network.nodes, start=1):
        if not any(k in pixels for k in node.inputs):
            continue
        layer, first = node.layer, pixels.get(node.inputs[0])
        if first is None:
            return False
        if isinstance(layer, Activation):
            if not layer.is_linear or np.any(np.asarray(layer.alpha) != 1):
                return False
            pixels[number] = first
            continue
        moved = layer.places(*map(network.shape, node.inputs)) if len(node.inputs) == 1 else None
        if moved is not None:
            pixels[number] = np.where(moved >= 0, first.ravel()[moved], -1)
        elif not layer.adds_channels(first, node.shape, places):
            return False
    return network.output not in pixels

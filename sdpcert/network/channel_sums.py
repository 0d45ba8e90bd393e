"""Whether a network reads an image through the sums over its channels alone, decided on its layers' numbers.

A head after a torus may only be folded into it as a function of these sums (`TorusForm.pooled`) where its true weights
are the same in every place. Equal results of a floating-point evaluation do not show that: weights that differ from
place to place by less than rounding leave the sums alone and still react to what the sums do not see.
"""

from __future__ import annotations

import numpy as np

from sdpcert.network.activations import Activation
from sdpcert.network.affine import Conv2d, Dense, Rearrange
from sdpcert.network.nodes import LayerGraph

Array = np.ndarray


def reads_channel_sums(network: LayerGraph) -> bool:
    """Whether every layer that reads pixels of the input, moved or not, adds up whole channels with one weight each.

    False where stored weights do not show it: those of a layer that were rounded may differ from place to place.
    """
    shape = network.input_shape
    pixels = {0: np.arange(int(np.prod(shape))).reshape(shape)}  # values whose entries are pixels, -1 for zero
    places = int(np.prod(shape[1:]))
    for number, node in enumerate(network.nodes, start=1):
        if not any(k in pixels for k in node.inputs):
            continue
        layer, first = node.layer, pixels.get(node.inputs[0])
        if isinstance(layer, Activation) and layer.is_linear and np.all(np.asarray(layer.alpha) == 1):
            pixels[number] = pixels[node.inputs[0]]
        elif isinstance(layer, Rearrange) and first is not None:
            pixels[number] = np.where(layer.indices >= 0, first.ravel()[layer.indices], -1)
        elif isinstance(layer, Dense) and first is not None:
            rows = first.reshape(-1, first.shape[-1])
            if layer.coefficient_error or not all(_adds_channels(row, layer.weight, places) for row in rows):
                return False
        elif isinstance(layer, Conv2d) and first is not None:
            if not _adds_image(layer, first, node.shape, places):
                return False
        else:
            return False
    return network.output not in pixels


def _adds_channels(row: Array, weight: Array, places: int) -> bool:
    """Whether the columns of `weight` that read the pixels `row` are equal within each channel, all pixels of it."""
    order = np.argsort(row, kind="stable")
    ordered, columns = row[order], weight[:, order]
    if ordered[0] < 0 or len(ordered) % places:
        return False
    ordered = ordered.reshape(-1, places)
    if np.any(ordered != ordered[:, :1] + np.arange(places)) or np.any(ordered[:, 0] % places):
        return False
    columns = columns.reshape(len(weight), -1, places)
    return bool(np.all(columns == columns[:, :, :1]))


def _adds_image(layer: Conv2d, image: Array, output: tuple[int, ...], places: int) -> bool:
    """Whether a convolution has one window, the whole image, and in it one weight for each pair of channels."""
    if layer.coefficient_error or layer.circular or any(layer.padding) or output[1:] != (1, 1):
        return False
    if layer.kernel.shape[2:] != image.shape[1:] or np.any(layer.kernel != layer.kernel[:, :, :1, :1]):
        return False
    ordered = np.sort(image.reshape(len(image), -1), axis=1)
    whole = ordered.shape[1] == places and np.all(ordered == ordered[:, :1] + np.arange(places))
    return bool(whole and np.all(ordered[:, 0] % places == 0) and np.all(ordered >= 0))

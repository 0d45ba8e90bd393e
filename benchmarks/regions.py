"""Local and exact constants: what is proved on balls and boxes, and what branch and bound reaches.

python -m benchmarks.regions
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from sdpcert.network import Network
from sdpcert.network.activations import leaky_relu

Array = np.ndarray
#: Of the published local benchmark: centre, half-widths of its boxes, |J| at the centre, best log10(bound / |J|).
CHAIN_CENTER = (0.4, 1.8, -0.5, -1.3, 0.9)
CHAIN_HALF_WIDTHS = (5.0, 1.0, 0.2, 0.04, 0.008, 0.0016, 0.00032)
CHAIN_ATTAINED = 0.00153859184
CHAIN_PUBLISHED = (9.07, 8.79, 7.74, 0.77, 0.14, 0.16, 0.0)


def leaky_chain(seed: int = 10126, hidden: int = 29, width: int = 128, inputs: int = 5, outputs: int = 2) -> Network:
    """The network of the local benchmark of ECLipsE-Gen-Local: 30 affine layers with leaky ReLU 0.01 between them.

    NumPy's legacy generator draws, layer by layer and the last one included: the layer's spectral norm, uniform in
    [2, 2.5]; its weights, normal and then scaled to that norm; its biases, normal. The Jacobian at `CHAIN_CENTER` has
    the published norm 0.0015385918, which no other order of the draws or number of layers gives.
    """
    random = np.random.RandomState(seed)
    sizes = [inputs, *[width] * hidden, outputs]
    weights, biases = [], []
    for before, size in pairwise(sizes):
        norm = random.uniform(2, 2.5)
        weight = random.randn(size, before)
        weights.append(weight / np.linalg.norm(weight, 2) * norm)
        biases.append(random.randn(size))
    return Network.mlp(weights, biases, leaky_relu(0.01))

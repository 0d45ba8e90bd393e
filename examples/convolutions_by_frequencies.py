"""Convolutions certified over DFT frequencies: exact on a torus, an upper bound with zero padding.

On a torus the optimum over frequencies is that of the unrolled network, with one small Hermitian matrix a frequency.
With zero padding the image is embedded in a larger torus; the bound is then above the unrolled optimum, and falls
towards it as the image grows: what is lost is lost at the border.

Expected (measured): circular 4x4 unrolled and over frequencies 2.57950881; with zero padding on 3x3, 5x5 and 8x8 the
bound over frequencies is 127 %, 37 % and 18 % above the unrolled optimum.
"""

from __future__ import annotations

import numpy as np

import sdpcert
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d
from sdpcert.network.graph import Graph, Network


def chain(image: int, circular: bool) -> Network:
    """Three convolutions with 3x3 filters, channels 2-3-3-2."""
    generator = np.random.default_rng(0)
    graph, value = Graph((2, image, image)), 0
    for k, (inner, out) in enumerate([(2, 3), (3, 3), (3, 2)]):
        kernel = generator.standard_normal((out, inner, 3, 3)) / np.sqrt(9 * inner)
        value = graph.add(relu(), value) if k else value
        value = graph.add(Conv2d(kernel, padding=(1, 1, 1, 1), circular=circular), value)
    return graph.network(value, source=f"chain on {image}x{image}")


def main() -> dict[str, float]:
    """Print both optima on a torus, and how far zero padding is above the unrolled optimum as the image grows."""
    torus = chain(4, circular=True)
    values = {
        "circular, unrolled": sdpcert.certify(torus, "neuron", form="unrolled").upper,
        "circular, frequencies": sdpcert.certify(torus, "neuron", form="frequency").upper,
    }
    for image in (3, 5, 8):
        network = chain(image, circular=False)
        unrolled = sdpcert.certify(network, "neuron", form="unrolled").upper
        values[f"zero padding {image}x{image}, above"] = (
            sdpcert.certify(network, "neuron", form="frequency").upper / unrolled - 1
        )
    for name, value in values.items():
        print(f"{name:28s} {value:.9g}")
    return values


if __name__ == "__main__":
    main()

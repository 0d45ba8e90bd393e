"""A deep, narrow network: the optimum lies orders of magnitude below the product of norms, and is still proved.

For such networks published solver values were noise: their tolerances are absolute while the optimum shrinks with
depth. Here the network is brought to unit scale first, and the dual bound shows that the value is the optimum.

Expected (measured): product 3.70001805, closed form 0.084818397, one multiplier per neuron 0.0058823419, gap 8.2e-10.
"""

from __future__ import annotations

import numpy as np

import sdpcert
from sdpcert.solvers import closed_form


def main() -> dict[str, float]:
    """Print the ladder of a chain of 16 hidden layers of 16 neurons and return it."""
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal((16, 16)) for _ in range(17)]
    weights = [1.08 * w / np.linalg.norm(w, 2) for w in weights]
    network = sdpcert.Network.mlp(weights)
    certificate = sdpcert.certify(network)
    values = {
        "product": sdpcert.certify(network, "product").upper,
        "closed form": closed_form(network.stacked).bound,
        "neuron": certificate.upper,
        "gap": certificate.gap,
    }
    for name, value in values.items():
        print(f"{name:12s} {value:.9g}")
    return values


if __name__ == "__main__":
    main()

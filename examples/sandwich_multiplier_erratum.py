"""The sandwich network's multiplier is Psi^2 (the paper's appendix), not Psi^2 / 2 (its main text).

Two hidden layers are needed to see it: with one, half the multiplier can be feasible by luck. The smallest eigenvalue
of the condition is computed for random parameters, and `sdpcert derive sandwich_network` proves the right one for all
parameters and refutes the half by exact numbers. Source: Wang, Manchester, ICML 2023, Theorem 3.1.

Expected (measured): smallest eigenvalue with Psi^2 0.00315136, with Psi^2 / 2 -0.44569031; proved constant 2.99999785
of the claimed 3.
"""

from __future__ import annotations

import numpy as np
import torch

import sdpcert
from sdpcert.layers import SandwichNetwork
from sdpcert.network.construction import ConstructedNetwork


def main() -> dict[str, float]:
    """Print the smallest eigenvalues and the proved constant, and return them."""
    torch.manual_seed(0)
    network = sdpcert.from_torch(SandwichNetwork([4, 6, 5, 3], 3.0, dtype=torch.float64), (4,))
    assert isinstance(network, ConstructedNetwork)
    form, known = network.stacked, network.construction
    rho, multipliers = known.squared_gain, known.of_neurons(form.groups)
    w0, w1, w2 = (form.blocks[k + 1, k].weights for k in range(3))

    def least(factor: float) -> float:
        t0, t1 = (factor * np.diag(given) for given in multipliers)
        zero = np.zeros((5, 4))
        matrix = np.block(
            [
                [rho * np.eye(4), -w0.T @ t0, zero.T],
                [-t0 @ w0, 2 * t0, -w1.T @ t1],
                [zero, -t1 @ w1, 2 * t1 - w2.T @ w2],
            ]
        )
        return float(np.linalg.eigvalsh(matrix)[0])

    values = {
        "Psi^2": least(1.0),
        "Psi^2 / 2": least(0.5),
        "proved": sdpcert.certify(network, "by-construction").upper,
    }
    for name, value in values.items():
        print(f"{name:10s} {value:+.8f}")
    return values


if __name__ == "__main__":
    main()

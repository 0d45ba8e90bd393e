"""A solver that says "optimal" can be below the truth; sdpcert never passes such a number on.

The weights are nonnegative, so without biases the Lipschitz constant is exactly the norm of the product of the
matrices. SCS at a low accuracy claims less than that. Its point is repaired and proved, or the status is
"unproved".

Expected (measured): the norm of the product is 0.0546288660; SCS claims 0.0543448958, which is false; certified from
its point 0.0546493239, natively 0.0546288660.
"""

from __future__ import annotations

import itertools

import numpy as np

import sdpcert
from sdpcert.solvers import SOLVERS, Budget


def main() -> dict[str, float]:
    """Print what SCS claims, the exact constant, and what is certified from SCS's point and natively."""
    generator = np.random.default_rng(2)
    sizes = (3, 12, 16, 12, 2)
    weights = [generator.random((b, a)) / np.sqrt(a * b) for a, b in itertools.pairwise(sizes)]
    exact = float(np.linalg.norm(np.linalg.multi_dot(weights[::-1]), 2))
    network = sdpcert.Network.mlp(weights)
    claimed = SOLVERS["scs"](network.stacked.reduced(), "neuron", Budget(tol=1e-3)).bound
    values = {
        "exact": exact,
        "scs claims": claimed,
        "certified from scs": sdpcert.certify(network, solver="scs", tol=1e-3).upper,
        "certified natively": sdpcert.certify(network).upper,
    }
    for name, value in values.items():
        print(f"{name:19s} {value:.10f}")
    return values


if __name__ == "__main__":
    main()

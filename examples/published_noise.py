"""Bounds of deep networks that were solver noise: "optimal", and wrong by any factor.

The optimum of the condition shrinks with depth while a solver's tolerances stay as they are. Values published for one
chain of 32 layers of 16 neurons were 2.9620e-4 and 4.2346e-4, from formulations that are mathematically equal; its
optimum is 2.34915868e-4. Here the same is seen on chains of four neurons per layer whose weights have norm one. The
problem is handed to CVXPY as it is usually written, unscaled, and both solvers report "optimal".

Expected (measured; the solvers' noise may differ between machines):

    layers      Clarabel           SCS        proved          dual   signs known
        12  3.318968e-02  3.215608e-02  3.318966e-02  3.318966e-02  2.576848e-02
        24  4.547409e-04  1.449114e-05  4.540608e-04  4.540608e-04  5.336061e-05
        32  8.812988e-05  0.000000e+00  1.543367e-05  1.543367e-05  1.152121e-06

SCS is below the dual bound in every row: no multipliers prove what it claims. Clarabel is 5.7 times too large at 32
layers. sdpcert scales the network first, proves the bound in integers and states the dual bound, in which noise would
be seen as a gap (below 1e-8 in each row). These are bounds of the condition that the solvers were given (`unshared`).
The last column is what `certify` proves of the network: without biases, a row of weights of one sign makes a ReLU
neuron linear, and a linear neuron needs no multiplier.
"""

from __future__ import annotations

import math

import cvxpy as cp
import numpy as np

import sdpcert

Array = np.ndarray
WIDTH = 4


def claimed(weights: list[Array], solver: str) -> float:
    """The square root of rho that a solver of CVXPY returns for LipSDP with one multiplier per neuron."""
    hidden = len(weights) - 1
    affine = np.zeros((WIDTH * hidden, WIDTH * (hidden + 1)))
    for k, weight in enumerate(weights[:-1]):
        affine[WIDTH * k : WIDTH * (k + 1), WIDTH * k : WIDTH * (k + 1)] = weight
    after = np.eye(WIDTH * hidden, WIDTH * (hidden + 1), k=WIDTH)
    inputs, outputs = (np.zeros((WIDTH * (hidden + 1),) * 2) for _ in range(2))
    inputs[:WIDTH, :WIDTH], outputs[-WIDTH:, -WIDTH:] = np.eye(WIDTH), weights[-1].T @ weights[-1]
    rho, multipliers = cp.Variable(nonneg=True), cp.Variable(WIDTH * hidden, nonneg=True)
    slopes = after.T @ cp.diag(multipliers) @ (after - affine)
    condition = rho * inputs + slopes + slopes.T - outputs
    problem = cp.Problem(cp.Minimize(rho), [(condition + condition.T) / 2 >> 0])
    problem.solve(solver=solver)
    assert problem.status == "optimal"
    return math.sqrt(max(float(rho.value), 0.0))  # type: ignore[arg-type]


def main() -> dict[str, float]:
    """Print what the solvers claim beside what is proved, and return the numbers."""
    values: dict[str, float] = {}
    print("layers      Clarabel           SCS        proved          dual   signs known")
    for layers in (12, 24, 32):
        generator = np.random.default_rng(0)
        weights = [generator.standard_normal((WIDTH, WIDTH)) for _ in range(layers + 1)]
        weights = [weight / np.linalg.norm(weight, 2) for weight in weights]
        network = sdpcert.Network.mlp(weights)
        certificate = sdpcert.certify(network.unshared)
        row = {"clarabel": claimed(weights, "CLARABEL"), "scs": claimed(weights, "SCS")}
        row |= {"proved": certificate.upper, "dual": certificate.sdp_lower or 0.0}
        row["signs known"] = sdpcert.certify(network).upper
        print(f"{layers:6d}" + "".join(f"{value:14.6e}" for value in row.values()))
        values |= {f"{layers} layers, {name}": value for name, value in row.items()}
    return values


if __name__ == "__main__":
    main()

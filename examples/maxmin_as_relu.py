"""MaxMin (GroupSort of two) enters the condition exactly, as one ReLU neuron a pair: max(a, b) = b + relu(a - b).

That is tighter than the published constraint for sorting, which uses only that norm and sum are preserved: with it
the condition is the chain rho I >= W_0' T_1 W_0, T_i >= W_i' T_(i+1) W_i, T_l >= W_l' W_l with T_i = lambda I + gamma
1 1' on every pair (Pauli et al. 2024, the feed-forward script).

Expected (measured): product of norms 2.83861306, the published chain 1.69770, ReLU embedding 1.29404979, attained
1.29277414.
"""

from __future__ import annotations

import itertools

import cvxpy as cp
import numpy as np

import sdpcert


def published_chain(weights: list[np.ndarray]) -> float:
    """The published bound for MaxMin networks, solved with Clarabel (a solver's value, not a proof)."""
    constraints = []
    needed: cp.Expression | np.ndarray = weights[-1].T @ weights[-1]
    for weight in reversed(weights[:-1]):
        pairs = len(weight) // 2
        scale, shared = cp.Variable(pairs, nonneg=True), cp.Variable(pairs)
        own = np.kron(np.eye(pairs), np.ones((2, 1)))
        multiplier = cp.diag(own @ scale) + own @ cp.diag(shared) @ own.T
        constraints.append(multiplier - needed >> 0)
        needed = weight.T @ multiplier @ weight
    rho = cp.Variable()
    constraints.append(rho * np.eye(weights[0].shape[1]) - needed >> 0)
    return float(np.sqrt(cp.Problem(cp.Minimize(rho), constraints).solve(solver="CLARABEL")))  # type: ignore[arg-type]


def main() -> dict[str, float]:
    """Print the ladder of a random MaxMin network and return it."""
    generator = np.random.default_rng(1)
    sizes = (4, 8, 8, 3)
    weights = [generator.standard_normal((b, a)) / np.sqrt(a) for a, b in itertools.pairwise(sizes)]
    certificate = sdpcert.certify(sdpcert.Network.mlp(weights, activation="maxmin"))
    values = {
        "product of norms": float(np.prod([np.linalg.norm(w, 2) for w in weights])),
        "published chain": published_chain(weights),
        "ReLU embedding": certificate.upper,
        "attained": certificate.lower,
    }
    for name, value in values.items():
        print(f"{name:17s} {value:.8f}")
    return values


if __name__ == "__main__":
    main()

"""SDP-based Lipschitz layers: the residual layer x - 2 W T^-1 phi(W'x + b) for every q > 0."""

import numpy as np

import sdpcert
from sdpcert.symbolic import Comparison, Derivation, Layer, Part, diagonal, identity, indices, matrix, rule, total

W, q = matrix("W", "n", "m"), diagonal("q", "m")
i, j = indices("i j")
gram = W.T @ W
T = rule("T", "m", i, total(abs(gram[i, j]) * q[j] / q[i], j))


def residual(T, multipliers):
    return Layer(H=identity("n"), G=-2 * W @ T**-1, U=W.T, multipliers=multipliers)


layer = residual(T, 2 * T**-1)
halved = residual(half := rule("T", "m", i, total(abs(gram[i, j]) * q[j] / q[i], j) / 2), 2 * half**-1)


def numbers():
    """Certify two layers of random weights; the by-construction constant is one."""
    rng = np.random.default_rng(0)
    weight, scale = rng.standard_normal((6, 4)), np.exp(rng.standard_normal(4))
    diagonal_of_T = np.abs(weight.T @ weight) @ scale / scale
    # y = x - 2 W T^-1 relu(W'x) as a network whose neurons pass x on in positive and negative parts.
    inner = np.vstack([np.eye(6), -np.eye(6), weight.T])
    outer = np.hstack([np.eye(6), -np.eye(6), -2 * weight / diagonal_of_T])
    certificate = sdpcert.certify(sdpcert.Network.mlp([inner, outer]))
    return [Comparison("attained by one SLL layer", certificate.lower, "<=", 1.0)]


derivation = Derivation(
    title="SLL",
    source="Araujo, Havens, Delattre, Allauzen, Hu: A Unified Algebraic Perspective on Lipschitz Neural Networks, "
    "ICLR 2023, Theorems 2 and 3",
    statement=r"For $q>0$ and $T_{ii}=\sum_j|W^\top W|_{ij}\,q_j/q_i$ the layer "
    r"$x\mapsto x-2WT^{-1}\sigma(W^\top x+b)$ is 1-Lipschitz for every $\sigma$ with slopes in $[0,1]$.",
    parts=[Part(layer.claim("SLL"), layer=layer)],
    controls=[Part(halved.claim("half the row sum"), layer=halved)],
    numbers=numbers,
)

"""SDP-based Lipschitz layers: the residual layer x - 2 W T^-1 phi(W'x + b) for every q > 0."""

from fractions import Fraction

import numpy as np

from sdpcert.certify import certify
from sdpcert.network import Network
from sdpcert.symbolic import (
    Comparison,
    Derivation,
    Layer,
    Part,
    diagonal,
    identity,
    indices,
    matrix,
    positive,
    rule,
    total,
)

W, q = matrix("W", "n", "m"), diagonal("q", "m")
i, j = indices("i j")
gram = W.T @ W
T = rule("T", "m", i, total(abs(gram[i, j]) * q[j] / q[i], j))
half = rule("T", "m", i, total(abs(gram[i, j]) * q[j] / q[i], j) / 2)


def residual(T, multipliers):
    return Layer(H=identity("n"), G=-2 * W @ T**-1, U=W.T, multipliers=multipliers)


layer, halved = residual(T, 2 * T**-1), residual(half, 2 * half**-1)

# Theorem 1: any diagonal T >= W'W; instances scale row sums by random q.
dominating = diagonal("T", "m", definition=lambda instance: instance.value(T))
dominates = [positive(dominating, gram)]
linear, nonlinear = Layer(H=W @ dominating ** Fraction(-1, 2)), residual(dominating, 2 * dominating**-1)

# As published: |q| + 10^-6 in the denominator alone; q is as small as training made it.
tiny = diagonal("q", "m", definition=lambda instance: instance.value(q) / instance.array([10**6])[0], latex="q")
one_sided = rule("T", "m", i, total(abs(gram[i, j]) * tiny[j], j) * (tiny[i] + Fraction(1, 10**6)) ** -1)
published = residual(one_sided, 2 * one_sided**-1)
swapped = rule("S", "m", i, total(abs(gram[i, j]) * q[i] / q[j], j))
mixed = residual(T, 2 * swapped**-1)


def numbers():
    """Certify layers of random weights and q, as an SDP and by construction."""
    import torch

    from sdpcert.layers import SLLLinear
    from sdpcert.torch_modules.reader import from_torch

    rng = np.random.default_rng(0)
    weight, scale = rng.standard_normal((6, 4)), np.exp(rng.standard_normal(4))
    rows = np.abs(weight.T @ weight) @ scale / scale
    # y = x - 2 W T^-1 relu(W'x) as a network whose neurons pass x on in positive and negative parts.
    inner = np.vstack([np.eye(6), -np.eye(6), weight.T])
    outer = np.hstack([np.eye(6), -np.eye(6), -2 * weight / rows])
    attained = certify(Network.mlp([inner, outer])).lower
    torch.manual_seed(0)
    made = SLLLinear(6, 9, dtype=torch.float64)
    with torch.no_grad():
        made.weight.normal_()
        dict(made.rule.named_parameters())["log_scale"].normal_()
        made.bias.normal_()
    network = from_torch(made, (6,))
    constructed = certify(network, method="by-construction")
    solved = certify(network, method="neuron")
    return [
        Comparison("attained by one SLL layer", attained, "<=", 1.0),
        Comparison("constant proved by the multiplier $2T^{-1}$, random $q$", constructed.upper, "<=", 1.0),
        Comparison("optimum of the condition for the same layer", solved.upper, "<=", constructed.upper, 1e-6),
        Comparison("attained by the same layer", constructed.lower, "<=", solved.upper),
    ]


derivation = Derivation(
    title="SDP-based Lipschitz layers (SLL)",
    source="Araujo, Havens, Delattre, Allauzen, Hu: A Unified Algebraic Perspective on Lipschitz Neural Networks, "
    "ICLR 2023",
    statement=r"Let $T$ be positive diagonal with $W^\top W\preceq T$. Then $x\mapsto WT^{-1/2}x+b$ and "
    r"$x\mapsto x-2WT^{-1}\sigma(W^\top x+b)$ are 1-Lipschitz for every $\sigma$ with slopes in $[0,1]$. "
    r"For every $q>0$ the choice $T_{ii}=\sum_j|W^\top W|_{ij}\,q_j/q_i$ is such a $T$ (any positive number where "
    r"the sum is zero).",
    parts=[
        Part(linear.claim("Linear layer", dominates), layer=linear),
        Part(nonlinear.claim("Residual layer", dominates), layer=nonlinear),
        Part(layer.claim("SLL"), layer=layer),
    ],
    controls=[
        Part(halved.claim("Half the row sum"), layer=halved),
        Part(
            published.claim(
                "Rounding guard on one side", text=r"$q_i+10^{-6}$ in the denominator, $q_j$ in the numerator."
            ),
            layer=published,
        ),
        Part(
            mixed.claim(
                "Multiplier with $q$ swapped",
                text=r"The layer has $T$, its multiplier is $2S^{-1}$ with $q_i/q_j$ for $q_j/q_i$.",
            )
        ),
    ],
    numbers=numbers,
    remark=r"$q_i/q_j$ in both places is right as well (it is the rule for $1/q$); in one of them the off-diagonal "
    r"block no longer "
    r"vanishes. That version is no certificate although the layer is 1-Lipschitz.",
)

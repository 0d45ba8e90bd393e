"""Orthogonal layers: W'W = I keeps distances; W', and the residual layer x - 2 W phi(W'x + b), are 1-Lipschitz."""

import numpy as np

from sdpcert.certify import certify
from sdpcert.symbolic import Claim, Comparison, Derivation, Layer, Part, equal, identity, matrix, orthonormal, vector
from sdpcert.symbolic.steps import Congruence

W = orthonormal("W", "n", "m")
dx = vector("dx", "m", latex=r"\Delta x")
facts = [equal(W.T @ W, identity("m"))]
turned = Layer(H=W.T)
residual = Layer(H=identity("n"), G=-2 * W, U=W.T, multipliers=2 * identity("m"))
complement = identity("n") - W @ W.T

distances = Claim("Isometry", equal((W @ dx).T @ (W @ dx), dx.T @ dx), facts, r"$x\mapsto Wx+b$ keeps distances.")


def unit_columns(instance):
    """Columns of norm one, each from an orthogonal matrix of its own."""
    n, m = instance.size("n"), instance.size("m")
    return np.hstack([instance.orthogonal(f"column {k}", n)[:, :1] for k in range(m)])


V = matrix("V", "n", "m", definition=unit_columns)
square = orthonormal("W", "n", "n")
normalised = Layer(H=V)
both = Layer(H=identity("n") + square)
tripled = Layer(H=identity("n"), G=-3 * W, U=W.T, multipliers=3 * identity("m"))


def numbers():
    """Certify an orthogonal layer, and one that has half as many outputs."""
    import torch

    from sdpcert.layers import CayleyLinear
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    tall, wide = (CayleyLinear(n, m, dtype=torch.float64) for n, m in ((4, 7), (8, 4)))
    certificates = [certify(from_torch(layer, (n,)), method="by-construction") for layer, n in ((tall, 4), (wide, 8))]
    return [
        Comparison(f"{what} constant of {layer}", value, relation, bound)
        for certificate, layer in zip(certificates, ["$W$ with $W^\\top W=I$", "the transpose of such a $W$"])
        for what, value, relation, bound in (
            ("proved", certificate.upper, "<=", 1.0),
            ("attained (weights are shrunk by $2^{-20}$)", certificate.lower, ">=", 1 - 2e-6),
        )
    ]


derivation = Derivation(
    title="Orthogonal layers",
    source="Araujo, Havens, Delattre, Allauzen, Hu: A Unified Algebraic Perspective on Lipschitz Neural Networks, "
    "ICLR 2023 (with $T=I$)",
    statement=r"If $W^\top W=I$ then $x\mapsto Wx+b$ is an isometry, and $x\mapsto W^\top x+b$ and "
    r"$x\mapsto x-2W\sigma(W^\top x+b)$ are 1-Lipschitz, for every $\sigma$ with slopes in $[0,1]$.",
    parts=[
        Part(distances),
        Part(
            turned.claim("Transpose", facts, r"$x\mapsto W^\top x+b$."),
            [Congruence(turned.condition(), identity("n"), complement)],
            turned,
        ),
        Part(residual.claim("Residual layer", facts), layer=residual),
    ],
    controls=[
        Part(normalised.claim("Columns of norm one", text=r"The columns of $V$ have norm one."), layer=normalised),
        Part(both.claim("Sum with the identity", text=r"$x\mapsto x+Wx$ with a square orthogonal $W$."), layer=both),
        Part(tripled.claim("Factor 3 in place of 2", facts), layer=tripled),
    ],
    numbers=numbers,
    remark=r"Every way to make $W$ orthogonal (Cayley transform, matrix exponential, Bj\"orck's iteration at its "
    r"limit, Householder "
    r"products) falls under this; that these do make it so is shown with them.",
)

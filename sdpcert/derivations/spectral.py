"""Spectral normalisation: x -> W x / |W|, with any upper bound of the norm."""

from fractions import Fraction

import numpy as np

from sdpcert.certify import certify
from sdpcert.network import Network
from sdpcert.symbolic import Comparison, Derivation, Layer, Part, indices, largest, matrix, rule, scalar, squared_norm

W = matrix("W", "n", "m")
i, k = indices("i k")
n, bounded = squared_norm("s", W, latex=r"s^2")
half = Fraction(1, 2)
layer = Layer(H=W * n**-half)


def rayleigh(instance):
    """|W v|^2 / |v|^2 for a free v: what power iteration returns after any number of steps."""
    weight = instance.value(W)
    start = instance.draw("v", weight.shape[1], 1)
    value = (start.T @ weight.T @ weight @ start)[0, 0] / (start.T @ start)[0, 0]
    if value == 0:
        raise ZeroDivisionError("the start is mapped to zero")
    return instance.diagonal([instance.root(value) ** 2])


estimate = scalar("s", positive=True, definition=rayleigh, latex=r"s^2")
estimated = Layer(H=W * estimate**-half)
longest = rule("T", "m", k, largest((W.T @ W)[i, i], i))
by_columns = Layer(H=W @ longest**-half)
unrooted = Layer(H=W * n**-1)


def numbers():
    """Certify a linear map and its normalised version."""
    import torch

    from sdpcert.layers import SpectralLinear
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    layer = SpectralLinear(7, 5, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    certificate = certify(from_torch(layer, (7,)), method="by-construction")
    weight = layer.weight.detach().numpy()
    plain = certify(Network.mlp([weight]))
    return [
        Comparison(r"proved constant of a layer of random weights", certificate.upper, "<=", 1.0),
        Comparison(r"attained by it (weights are shrunk by $2^{-20}$)", certificate.lower, ">=", 1 - 2e-6),
        Comparison(r"proved norm of its weight $W$", plain.upper, "==", float(np.linalg.norm(weight, 2)), 1e-9),
    ]


derivation = Derivation(
    title="Spectral normalisation",
    source="Miyato, Kataoka, Koyama, Yoshida: Spectral Normalization for Generative Adversarial Networks, ICLR 2018",
    statement=r"For $s\ge\|W\|$, $s>0$, the layer $x\mapsto\frac1sWx+b$ is 1-Lipschitz.",
    parts=[
        Part(
            layer.claim("Spectral normalisation", [bounded], r"$s^2$ is written for the square of the bound."),
            layer=layer,
        )
    ],
    controls=[
        Part(
            estimated.claim("Power iteration", text=r"$s=\|Wv\|/\|v\|$ for some $v$ is at most $\|W\|$."),
            layer=estimated,
        ),
        Part(
            by_columns.claim("Longest column", text=r"$T=s^2I$ with $s$ the largest norm of a column of $W$."),
            layer=by_columns,
        ),
        Part(unrooted.claim("Square of the norm", [bounded], r"The map $x\mapsto Wx/s^2$."), layer=unrooted),
    ],
    numbers=numbers,
    remark=r"The claim is $\|Wx\|^2/s^2\le\|x\|^2$. A lower bound of $\|W\|$, which power iteration returns, does "
    r"not do.",
)

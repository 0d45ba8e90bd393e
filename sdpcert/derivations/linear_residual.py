"""Linear residual layers (LiResNet): (x + V x) / s with a bound s of |I + V|."""

from fractions import Fraction

from sdpcert.symbolic import Comparison, Derivation, Layer, Part, identity, matrix, scalar, squared_norm

V, one = matrix("V", "n", "n"), identity("n")
half = Fraction(1, 2)
whole = one + V
s, bounded = squared_norm("s", whole, latex=r"s^2")
layer = Layer(H=whole * s**-half)

# Wrong versions.
branch, of_branch = squared_norm("t", V, latex=r"t^2")
alone = Layer(H=whole * branch**-half)


def pythagoras(instance):
    """1 + |V|^2, as if identity and branch were orthogonal."""
    return instance.diagonal([instance.root(1 + instance.norm_above(instance.value(V))) ** 2])


longer = scalar("u", positive=True, definition=pythagoras, latex=r"u^2")
apart = Layer(H=whole * longer**-half)


def numbers():
    """Certify the layer for random weights, and compare its norm with the sum of the norms."""
    import numpy as np
    import torch

    from sdpcert.certify import certify
    from sdpcert.layers import LinearResidual
    from sdpcert.network import Network
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    made = LinearResidual(6, dtype=torch.float64)
    torch.nn.init.normal_(made.weight)
    proved = certify(from_torch(made, (6,)), method="by-construction")
    weight = made.weight.detach().numpy()
    summed = certify(Network.mlp([np.eye(6) + weight]))
    return [
        Comparison("proved constant for random weights", proved.upper, "<=", 1.0),
        Comparison(r"attained (weights are shrunk by $2^{-20}$)", proved.lower, ">=", 1 - 2e-6),
        Comparison(r"proved norm of $I+V$", summed.upper, "<=", 1 + float(np.linalg.norm(weight, 2))),
    ]


derivation = Derivation(
    title="Linear residual layers (LiResNet)",
    source="Hu, Zou, Wang, Leino, Fredrikson: Unlocking Deterministic Robustness Certification on ImageNet, "
    "NeurIPS 2023",
    statement=r"For $s\ge\|I+V\|$, $s>0$, the layer $x\mapsto\frac1s(x+Vx)+b$ is 1-Lipschitz.",
    parts=[
        Part(
            layer.claim("Linear residual layer", [bounded], r"$s^2$ is written for the square of the bound."),
            layer=layer,
        )
    ],
    controls=[
        Part(alone.claim("The branch alone", [of_branch], r"$s=\|V\|$ leaves the identity out."), layer=alone),
        Part(
            apart.claim(
                "As if they were orthogonal",
                text=r"$s^2=1+\|V\|^2$ is too small if $V$ has the "
                r"direction of the identity.",
            ),
            layer=apart,
        ),
    ],
    numbers=numbers,
    remark=r"A nonlinear branch has to be bounded by $1+\|V\|$; of a linear one the sum is one matrix, whose norm "
    r"may be far below.",
)

"""Orthonormal rows by Cholesky's factor (CHORD): L^-1 V with L L' = V V'."""

from typing import Any

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    equal,
    identity,
    inverse,
    matrix,
    orthonormal,
)
from sdpcert.symbolic.steps import Congruence, Identity

one = identity("m")
#: At least as many columns as rows.
ROOM: dict[str, Any] = {"n": lambda sizes: max(sizes["n"], sizes["m"])}


def lower(instance):
    """A lower triangular matrix that has an inverse."""
    made = instance.draw("L", instance.size("m"), instance.size("m"))
    for row in range(len(made)):
        made[row, row + 1 :] = 0
        made[row, row] = abs(made[row, row]) + 1
    return made


L = matrix("L", "m", "m", definition=lower)
frame = orthonormal("O", "n", "m")
V = matrix("V", "m", "n", definition=lambda instance: instance.value(L @ frame.T))
R = inverse("R", L, latex="L^{-1}")
factor = equal(V @ V.T, L @ L.T)
W = R @ V
layer = Layer(H=W)
complement = identity("n") - W.T @ W

# Wrong versions.
transposed = Layer(H=R.T @ V)
halved = Layer(H=2 * W)


def numbers():
    """Certify the layer for random weights, and for weights of rank one."""
    import torch

    from sdpcert.certify import certify
    from sdpcert.layers import CholeskyLinear
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    layer = CholeskyLinear(7, 4, dtype=torch.float64)
    torch.nn.init.normal_(layer.weight)
    random = certify(from_torch(layer, (7,)), method="by-construction")
    layer.weight.data = layer.weight.data[:, :1] @ layer.weight.data[:1]
    poor = certify(from_torch(layer, (7,)), method="by-construction")
    return [
        Comparison("proved constant for random weights", random.upper, "<=", 1.0),
        Comparison(r"attained (weights are shrunk by $2^{-20}$)", random.lower, ">=", 1 - 1e-5),
        Comparison("proved constant for weights of rank one", poor.upper, "<=", 1.0),
    ]


derivation = Derivation(
    title="Orthonormal rows by Cholesky's factor (CHORD)",
    source="Hu, Leino, Wang, Fredrikson: A Recipe for Improved Certifiable Robustness, ICLR 2024",
    statement=r"If $LL^\top=VV^\top$ and $L$ has an inverse, then $W=L^{-1}V$ has orthonormal rows, $WW^\top=I$, and "
    r"$x\mapsto Wx+b$ is 1-Lipschitz.",
    parts=[
        Part(
            Claim("Orthonormal rows", equal(W @ W.T, one), [factor], sizes=ROOM),
            [Identity(W @ W.T, one, "because $L^{-1}VV^\\top L^{-\\top}=L^{-1}LL^\\top L^{-\\top}$")],
        ),
        Part(
            layer.claim("As a layer", [factor], **ROOM),
            [Congruence(layer.condition(), identity("n"), complement)],
            layer,
        ),
    ],
    controls=[
        Part(
            transposed.claim("The other triangle", [factor], r"$x\mapsto L^{-\top}Vx$.", **ROOM),
            layer=transposed,
        ),
        Part(halved.claim("Twice the rows", [factor], **ROOM), layer=halved),
    ],
    numbers=numbers,
    remark=r"$L$ is Cholesky's factor: one factorisation and one triangular solve a step, no iteration. With fewer "
    r"inputs than outputs the transpose is taken.",
)

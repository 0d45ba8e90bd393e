"""AOL: the linear layer x -> P D x with D_ii = (sum_j |P'P|_ij)^(-1/2) is 1-Lipschitz for every P."""

from fractions import Fraction

from sdpcert.certify import certify
from sdpcert.symbolic import Comparison, Derivation, Layer, Part, indices, matrix, rule, total

P, square = matrix("P", "n", "m"), matrix("P", "n", "n")
i, j = indices("i j")
gram = P.T @ P


def scaled(T, weight=P, exponent=Fraction(-1, 2)):
    """The linear layer x -> P T^exponent x."""
    return Layer(H=weight @ T**exponent)


T = rule("T", "m", i, total(abs(gram[i, j]), j))
layer = scaled(T)
halved = scaled(rule("T", "m", i, total(abs(gram[i, j]), j) / 2))
of_weight = scaled(rule("T", "n", i, total(abs(square[i, j]), j)), square)
own = scaled(rule("T", "m", i, abs(gram[i, i])))
whole = scaled(T, exponent=Fraction(-1))


def numbers():
    """Certify a layer of random weights, wide and tall, and a rank-one layer, where the rule is tight."""
    import numpy as np
    import torch

    from sdpcert.layers import AOLLinear
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    found = []
    for n, m in ((4, 7), (7, 4), (5, 5)):
        made = AOLLinear(n, m, dtype=torch.float64)
        with torch.no_grad():
            made.weight.normal_()
            if n == m:
                made.weight.copy_(torch.outer(*torch.randn(2, n, dtype=torch.float64)))
        certificate = certify(from_torch(made, (n,)), method="by-construction")
        weight = made.weight.detach().numpy()
        scale = np.abs(weight.T @ weight).sum(1) ** -0.5
        exact = float(np.linalg.norm(weight * scale, 2))
        kind = "rank-one" if n == m else f"random ${m}\\times{n}$"
        found += [
            Comparison(f"proved constant, {kind} weights", certificate.upper, "<=", 1.0),
            Comparison(f"attained, against $\\|PD\\|$, {kind} weights", certificate.lower, "==", exact, 3e-6),
        ]
    return found


derivation = Derivation(
    title="Almost-orthogonal layers (AOL)",
    source="Prach, Lampert: Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks, ECCV 2022",
    statement=r"Let $P\in\mathbb R^{n\times m}$ and $D$ diagonal with \[D_{ii}=\Bigl(\sum_j|P^\top "
    r"P|_{ij}\Bigr)^{-1/2}\] where "
    r"the sum is not zero, $D_{ii}=0$ otherwise. Then $x\mapsto PDx+b$ is 1-Lipschitz.",
    parts=[Part(layer.claim("AOL", text=r"Here $D=T^{-1/2}$, and $T_{ii}=1$ where the sum is zero."), layer=layer)],
    controls=[
        Part(halved.claim("Half the row sum"), layer=halved),
        Part(of_weight.claim(r"Row sums of $P$ in place of $P^\top P$"), layer=of_weight),
        Part(own.claim("Norms of the columns alone"), layer=own),
        Part(whole.claim("Without the root", text=r"The map $x\mapsto PT^{-1}x$."), layer=whole),
    ],
    numbers=numbers,
    remark=r"Where a sum is zero, the column of $P$ is zero, and so is that of $PD$ for any $D_{ii}$: the theorem's "
    r"convention and "
    r"the claim's give the same map. Instances round $T_{ii}$ up to squares of rational numbers, so that $T^{-1/2}$ "
    r"is rational.",
)

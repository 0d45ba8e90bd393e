"""AOL's bias towards orthogonal columns: the deficit tr(I - T^-1 W'W) is the sum of |W'W|_ij / T_i over i != j."""

import numpy as np

from sdpcert.certify import certify
from sdpcert.network import Network
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Part,
    diagonal,
    equal,
    identity,
    indices,
    matrix,
    positive,
    rule,
    symmetric,
    total,
)
from sdpcert.symbolic.expression import letter
from sdpcert.symbolic.steps import Dominance, Identity, Sandwiches
from sdpcert.symbolic.steps.diagonal_trace import DiagonalTrace, diagonal_part, ones, trace_symbol
from sdpcert.symbolic.symbols import Symbol

W = matrix("W", "n", "m")
i, j = indices("i j")
gram, one, e = W.T @ W, identity("m"), ones("1", "m")
Delta = diagonal_part("Delta", gram, i, positive=True)
formula = total(abs(gram[i, j]), j, i)


def off_diagonal_sums(instance):
    """Sums of |W'W| over the rows, without the diagonal."""
    return instance.diagonal([formula.at(instance, {i: k}) for k in range(instance.size("m"))])


B = letter(Symbol("b", "m", "m", "diagonal", definition=off_diagonal_sums, latex="B", formula=(i, formula)))
T = diagonal("T", "m", definition=lambda instance: instance.value(Delta + B))
sums = equal(B, T - Delta)
t = trace_symbol("t", one - T**-1 @ gram)
words = r"No column of $W$ is zero; $T=\Delta+B$ is AOL's $T$, and $\mathbf 1$ is the vector of ones."
deficit = Claim("Deficit", equal(t, e.T @ (T**-1 @ B) @ e), [sums], words)
steps = [DiagonalTrace(t, e, one, -(T**-1), one, Delta), Identity(deficit.show)]

# The deficit as a matrix: 0 <= T - W'W <= 2 B. Here W'W = Delta - O, and B is 1 for columns orthogonal to all others.
O = symmetric("O", "m", definition=lambda instance: instance.value(Delta - gram))
split = [equal(gram, Delta - O)]
S = rule("B", "m", i, total(abs(O[i, j]), j))
two_sided = Claim(
    "Bound of the deficit",
    positive(2 * S, Delta + S - gram),
    split,
    r"$W^\top W=\Delta-O$ with the diagonal $\Delta$.",
)


def numbers():
    """The norm that is left of random AOL layers, against the mean of the eigenvalues that the deficit leaves."""
    import torch

    from sdpcert.layers import AOLLinear

    found = []
    for seed, (m, n) in enumerate([(4, 9), (6, 6)]):
        torch.manual_seed(seed)
        made = AOLLinear(m, n, dtype=torch.float64)
        with torch.no_grad():
            made.weight.normal_()
        weight = made.weight.detach().numpy()
        N = np.abs(weight.T @ weight)
        rows = N.sum(1)
        left = 1 - ((rows - np.diag(N)) / rows).sum() / m
        proved = certify(Network.mlp([weight / np.sqrt(rows)]))
        found += [
            Comparison(
                f"proved $\\|WD\\|^2$ against $1-\\operatorname{{tr}}(I-DW^\\top WD)/m$, random ${n}\\times{m}$",
                proved.upper**2,
                ">=",
                left,
            ),
            Comparison("and against 1", proved.upper**2, "<=", 1.0, 1e-9),
        ]
    return found


derivation = Derivation(
    title="The bias of AOL towards orthogonal columns",
    source="Prach, Lampert: Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks, ECCV 2022; "
    "Araujo, Havens, Delattre, Allauzen, Hu: A Unified Algebraic Perspective on Lipschitz Neural Networks, ICLR 2023 "
    "(a bias of AOL in another form)",
    statement=r"Let $W$ have no zero column, $T_{ii}=\sum_j|W^\top W|_{ij}$, $D=T^{-1/2}$, $B_{ii}=\sum_{j\ne "
    r"i}|W^\top W|_{ij}$. The "
    r"deficit $I-DW^\top WD=D(T-W^\top W)D\succeq0$ of the layer $x\mapsto WDx$ satisfies "
    r"\[\operatorname{tr}(I-DW^\top WD)="
    r"\sum_i\sum_{j\ne i}\frac{|W^\top W|_{ij}}{T_{ii}},\qquad I-DW^\top WD\preceq2T^{-1}B.\] The deficit is zero if "
    r"and "
    r"only if the columns of "
    r"$W$ are orthogonal, and then $WD$ has orthonormal columns.",
    parts=[
        Part(deficit, steps),
        Part(two_sided, [Dominance(S, O), Sandwiches(two_sided.show, S - O)]),
    ],
    controls=[
        Part(Claim("Every pair counted once", equal(2 * t, e.T @ (T**-1 @ B) @ e), [sums], words)),
        Part(Claim("Half the bound", positive(S, Delta + S - gram), split)),
        Part(Claim("Orthogonal for every $W$", positive(gram, T), [sums], words)),
    ],
    numbers=numbers,
    remark=r"$\operatorname{tr}(I-DW^\top WD)=\operatorname{tr}(I-T^{-1}W^\top W)$ since $D^2=T^{-1}$; the double "
    r"sum is "
    r"$\mathbf 1^\top T^{-1}B\mathbf 1$. Its terms are nonnegative: it is zero if and only if every $|W^\top "
    r"W|_{ij}$, $i\ne j$, "
    r"is, and then $T=W^\top W$. The second claim times $D$ from both sides is the bound (where $B_{ii}=0$ the "
    r"claim has 1 in its "
    r"place; then row and column $i$ of $T-W^\top W$ are zero, so that 0 is right as well). The sum of the squared "
    r"singular values "
    r"of $WD$ is $m$ minus the deficit: it reaches $m$ exactly for orthogonal columns. Nothing is said about where "
    r"training ends.",
)

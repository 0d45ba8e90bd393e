"""Several nonlinear layers inside a residual block; composed blocks, whose conditions telescope."""

import numpy as np

from sdpcert.certify import certify
from sdpcert.derivations.condition import increment, least_constant, small
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    diagonal,
    identity,
    matrix,
    positive,
    scalar,
    slopes,
    symmetric_block,
    vector,
    zero,
)
from sdpcert.symbolic.steps import Sandwiches, Term
from sdpcert.symbolic.written import written


def tame(name, rows, columns, latex=None):
    """A matrix with small entries in instances, so that some constant makes a condition hold."""
    return matrix(name, rows, columns, latex=latex, definition=small(name, rows, columns))


# Two nonlinear layers inside a block: v_1 = U_1 x, v_2 = U_2 x + W z_1, y = H x + G_1 z_1 + G_2 z_2.
H, G1, G2 = tame("F", "k", "n", "H"), tame("G_1", "k", "m_1"), tame("G_2", "k", "m_2")
U1, U2, W = matrix("U_1", "m_1", "n"), matrix("U_2", "m_2", "n"), tame("W_21", "m_2", "m_1")
L1, L2 = diagonal("Lambda_1", "m_1"), diagonal("Lambda_2", "m_2")
dx = vector("dx", "n", latex=r"\Delta x")
D1, D2 = slopes("D_1", "m_1"), slopes("D_2", "m_2")
dz1 = vector("dz_1", "m_1", latex=r"\Delta z_1", definition=lambda i: i.value(D1 @ U1 @ dx))
dz2 = vector("dz_2", "m_2", latex=r"\Delta z_2", definition=lambda i: i.value(D2 @ (U2 @ dx + W @ dz1)))


def two_layers(rho):
    """The condition of the block with two nonlinear layers."""
    return symmetric_block(
        [
            [rho * identity("n") - H.T @ H, -H.T @ G1 - U1.T @ L1, -H.T @ G2 - U2.T @ L2],
            [2 * L1 - G1.T @ G1, -W.T @ L2 - G1.T @ G2],
            [2 * L2 - G2.T @ G2],
        ]
    )


rho = scalar("rho", latex=r"\gamma^2", definition=least_constant(two_layers(0), "n"))
dv1, reads1 = increment("dv_1", U1 @ dx, r"\Delta v_1")
dv2, reads2 = increment("dv_2", U2 @ dx + W @ dz1, r"\Delta v_2")
dy, writes = increment("dy", H @ dx + G1 @ dz1 + G2 @ dz2, r"\Delta y")
sectors = [positive(dz1.T @ L1 @ (dv1 - dz1)), positive(dz2.T @ L2 @ (dv2 - dz2))]
bounded = positive(rho * dx.T @ dx, dy.T @ dy)
inside = Claim(
    "Two nonlinear layers in a block",
    bounded,
    [positive(two_layers(rho)), reads1, reads2, writes, *sectors],
    r"$v_1=U_1x+b_1$, $v_2=U_2x+W_{21}z_1+b_2$, $z_i=\sigma(v_i)$, $y=Hx+G_1z_1+G_2z_2$.",
)
scaled_sectors = [Term(s.matrix.entries[0][0], coefficient=2) for s in sectors]
inside_proof = [Sandwiches(bounded, Term(two_layers(rho), block([[dx], [dz1], [dz2]])), *scaled_sectors)]


# Any number of them: W is any matrix for which v = U x + W z, z = phi(v) has solutions.
def triangular(name, size, parts=4):
    """A definition: a strictly lower triangular matrix, its entries divided by `parts`."""
    return lambda instance: np.tril(small(name, size, size, parts)(instance), -1)


F, G, U, Lambda = tame("F", "k", "n", "H"), tame("G", "k", "m"), matrix("U", "m", "n"), diagonal("Lambda", "m")
V, D = matrix("W", "m", "m", definition=triangular("W", "m")), slopes("D", "m")


def solution(coupling):
    """The vector dz = D (U dx + W dz), row by row."""

    def definition(instance):
        slope, first, W = instance.value(D), instance.value(U @ dx), instance.value(coupling)
        found = first - first
        for k in range(len(first)):
            found[k] = slope[k, k] * (first[k] + W[k] @ found)
        return found

    return vector("dz", "m", latex=r"\Delta z", definition=definition)


dz = solution(V)
parts = {"H": F, "G": G, "U": U, "multipliers": Lambda}
constant = scalar(
    "rho", latex=r"\gamma^2", definition=least_constant(Layer(**parts, W=V, squared_lipschitz=0).condition(), "n")
)
deep = Layer(**parts, W=V, squared_lipschitz=constant)
(dv, reads), (out, shows) = (
    increment("dv", U @ dx + V @ dz, r"\Delta v"),
    increment("dy", F @ dx + G @ dz, r"\Delta y"),
)
sector = positive(dz.T @ Lambda @ (dv - dz))
deep_bound = positive(constant * dx.T @ dx, out.T @ out)
any_number = Claim(
    "Any number of layers in a block",
    deep_bound,
    [positive(deep.condition()), reads, shows, sector],
    r"$v=Ux+Wz+b$ with strictly block lower triangular $W$ has the layers of the block one after the other in $z$.",
)
deep_proof = [
    Sandwiches(
        deep_bound, Term(deep.condition(), block([[dx], [dz]])), Term(sector.matrix.entries[0][0], coefficient=2)
    )
]

# Two blocks one after the other, x_1 = H_1 x + G_1 z_1, y = H_2 x_1 + G_2 z_2, each with its own condition.
A1, B1, C1 = tame("H_1", "k", "n"), tame("G_1", "k", "m_1"), matrix("U_1", "m_1", "n")
A2, B2, C2 = tame("H_2", "l", "k"), tame("G_2", "l", "m_2"), matrix("U_2", "m_2", "k")
V1, V2 = (matrix(f"W_{k}", f"m_{k}", f"m_{k}", definition=triangular(f"W_{k}", f"m_{k}")) for k in (1, 2))


def own(number, **weights):
    """A block with the least constant of its condition."""
    rest = Layer(**weights, squared_lipschitz=0).condition()
    limit = scalar(f"rho_{number}", latex=rf"\gamma_{number}^2", definition=least_constant(rest, weights["H"].columns))
    return limit, Layer(**weights, squared_lipschitz=limit)


rho1, first = own(1, H=A1, G=B1, U=C1, W=V1, multipliers=L1)
rho2, second = own(2, H=A2, G=B2, U=C2, W=V2, multipliers=L2)
hypotheses = [positive(rho2), positive(first.condition()), positive(second.condition())]


def composed(weight):
    """The condition of both blocks together with the multipliers weight Lambda_1 and Lambda_2."""
    M, H, G = weight * L1, A2 @ A1, A2 @ B1
    return symmetric_block(
        [
            [rho1 * rho2 * identity("n") - H.T @ H, -H.T @ G - C1.T @ M, -H.T @ B2 - (C2 @ A1).T @ L2],
            [2 * M - M @ V1 - V1.T @ M - G.T @ G, -((C2 @ B1).T) @ L2 - G.T @ B2],
            [2 * L2 - L2 @ V2 - V2.T @ L2 - B2.T @ B2],
        ]
    )


def composed_with_names(weight):
    """The same, printed with names for the products of weights."""
    H, G = matrix("H", "l", "n", r"\hat H"), matrix("G", "l", "m_1", r"\hat G")
    U, W = matrix("U", "m_2", "n", r"\hat U"), matrix("W", "m_2", "m_1", r"\hat W")
    M = weight * L1
    shown = symmetric_block(
        [
            [rho1 * rho2 * identity("n") - H.T @ H, -H.T @ G - C1.T @ M, -H.T @ B2 - U.T @ L2],
            [2 * M - M @ V1 - V1.T @ M - G.T @ G, -W.T @ L2 - G.T @ B2],
            [2 * L2 - L2 @ V2 - V2.T @ L2 - B2.T @ B2],
        ]
    )
    return written(positive(composed(weight)), positive(shown), {H: A2 @ A1, G: A2 @ B1, U: C2 @ A1, W: C2 @ B1})


telescoped = Claim(
    "Composition",
    composed_with_names(rho2),
    hypotheses,
    r"The composition is the block with $H=H_2H_1$, $G=(H_2G_1\ G_2)$, $U=\begin{pmatrix}U_1\\U_2H_1\end{pmatrix}$, "
    r"$W=\begin{pmatrix}W_1&0\\U_2G_1&W_2\end{pmatrix}$.",
)
first_of = block(
    [[identity("n"), zero("n", "m_1"), zero("n", "m_2")], [zero("m_1", "n"), identity("m_1"), zero("m_1", "m_2")]]
)
passes = block([[A1, B1, zero("k", "m_2")], [zero("m_2", "n"), zero("m_2", "m_1"), identity("m_2")]])
telescope = [
    Sandwiches(telescoped.show, Term(first.condition(), first_of, rho2), Term(second.condition(), passes)),
]

# Wrong: the coupling W left out of the condition; multipliers of the first block not weighted.
read = matrix("G", "k", "m")
coupled = matrix("W", "m", "m", definition=triangular("W", "m", 1))
ignored = Layer(G=read, U=U, multipliers=Lambda, squared_lipschitz=0).condition()
lonely = scalar("rho", latex=r"\gamma^2", definition=least_constant(ignored, "n"))
uncoupled = Layer(G=read, U=U, W=coupled, multipliers=Lambda, squared_lipschitz=lonely)
dw = solution(coupled)
without = Claim(
    "Coupling left out",
    positive(lonely * dx.T @ dx, (read @ dw).T @ (read @ dw)),
    [
        positive(Layer(G=read, U=U, multipliers=Lambda, squared_lipschitz=lonely).condition()),
        positive(dw.T @ Lambda @ (U @ dx + coupled @ dw - dw)),
    ],
    r"The condition without $W$, for the block $Gz$, $z=\sigma(Ux+Wz+b)$ with strictly lower triangular $W$.",
)


def numbers():
    """Certify a chain of two SLL layers and a linear one: by construction, and the optimum of its condition."""
    import torch

    from sdpcert.layers import AOLLinear, SLLLinear
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(
        SLLLinear(5, 6, dtype=torch.float64), SLLLinear(5, 4, dtype=torch.float64), AOLLinear(5, 3, dtype=torch.float64)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    network = from_torch(model, (5,))
    constructed = certify(network, method="by-construction")
    solved = certify(network, method="neuron")
    return [
        Comparison("constant proved with the telescoping multipliers", constructed.upper, "<=", 1.0),
        Comparison("optimum of the condition of the same network", solved.upper, "<=", constructed.upper, 1e-6),
        Comparison("attained", constructed.lower, "<=", solved.upper),
    ]


derivation = Derivation(
    title="Multi-layer blocks and composition",
    source="Araujo, Havens, Delattre, Allauzen, Hu: A Unified Algebraic Perspective on Lipschitz Neural Networks, "
    "ICLR 2023 (one nonlinear layer); Fazlyab, Robey, Hassani, Morari, Pappas: "
    "Efficient and Accurate Estimation of Lipschitz Constants for Deep Neural Networks, NeurIPS 2019 (several)",
    statement=r"(i) Let $y=Hx+Gz$, $z=\sigma(Ux+Wz+b)$ with strictly block lower triangular $W$, slopes in $[0,1]$ "
    r"and a positive diagonal "
    r"$\Lambda$. If \[\begin{pmatrix}\gamma^2I-H^\top H&-H^\top G-U^\top\Lambda\\\cdot&2\Lambda-\Lambda "
    r"W-W^\top\Lambda-G^\top G\end{pmatrix}"
    r"\succeq0\] (the dot stands for what symmetry gives) then $x\mapsto y$ is $\gamma$-Lipschitz. (ii) If two "
    r"blocks satisfy their conditions with "
    r"$(\gamma_1,\Lambda_1)$ and "
    r"$(\gamma_2,\Lambda_2)$, then their composition satisfies its own with $\gamma=\gamma_1\gamma_2$ and "
    r"$\Lambda=\operatorname{diag}(\gamma_2^2\Lambda_1,\Lambda_2)$.",
    parts=[Part(any_number, deep_proof), Part(inside, inside_proof), Part(telescoped, telescope)],
    controls=[
        Part(without, layer=uncoupled),
        Part(
            Claim(
                "Multipliers not weighted",
                composed_with_names(1),
                hypotheses,
                r"The multipliers $\Lambda_1$, $\Lambda_2$.",
            )
        ),
    ],
    numbers=numbers,
    remark=r"By induction the condition of a composition of $L$ blocks holds with $\gamma=\gamma_1\cdots\gamma_L$ "
    r"and the multipliers "
    r"$\gamma_{l+1}^2\cdots\gamma_L^2\Lambda_l$: in (ii) the first block may itself be a composition. The second "
    r"claim is the first with two "
    r"layers written out. That the sector inequality holds is the argument of the condition's first claim.",
)

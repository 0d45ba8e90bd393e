"""Every network that satisfies the LipSDP condition strictly is a sandwich network: A_k, B_k follow layer by layer."""

from fractions import Fraction

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Part,
    block,
    diagonal,
    diagonal_block,
    equal,
    identity,
    inverse,
    matrix,
    positive,
    scalar,
    sqrt2,
    symmetric,
    symmetric_block,
    zero,
)
from sdpcert.symbolic.steps import Sandwiches, Term
from sdpcert.symbolic.written import written

half = Fraction(1, 2)

# Normalisation, with two hidden layers.
gamma = scalar("gamma", positive=True)
root = gamma ** (1 / 2)
V0, V1, V2 = matrix("W_0", "n_1", "n_0"), matrix("W_1", "n_2", "n_1"), matrix("W_2", "n_3", "n_2")
Psi0, Psi1 = diagonal("Psi_0", "n_1"), diagonal("Psi_1", "n_2")
ones = [identity(f"n_{k}") for k in range(4)]
lipsdp = symmetric_block(
    [
        [gamma * ones[0], -V0.T @ Psi0**2, 0, 0],
        [2 * Psi0**2, -V1.T @ Psi1**2, 0],
        [2 * Psi1**2, -V2.T],
        [gamma * ones[3]],
    ]
)
M0 = -half * sqrt2 * root**-1 * Psi0 @ V0
M1 = -half * Psi1 @ V1 @ Psi0**-1
M2 = -half * sqrt2 * root**-1 * V2 @ Psi1**-1
normalised = symmetric_block([[ones[0], M0.T, 0, 0], [ones[1], M1.T, 0], [ones[2], M2.T], [ones[3]]])
scaling = diagonal_block(root * ones[0], sqrt2 * Psi0, sqrt2 * Psi1, root * ones[3])

# One step: A is A_{k-1}, E and R are what comes after layer k.
A = matrix("A_{k-1}", "m", "m")
Ai = inverse("A_i", A, latex=r"A_{k-1}^{-1}")


def contraction(instance):
    """B with a norm of at most 1/2."""
    drawn = instance.draw("B", instance.size("n"), instance.size("m"))
    return drawn / (2 * instance.root(instance.norm_above(drawn)))


N = matrix("N_k", "n", "m", definition=lambda instance: -contraction(instance) @ instance.value(A).T)
E = matrix("E", "n", "h")
R = symmetric(
    "R", "h", definition=lambda i: i.value(E).T @ i.value(E) * 4 + i.identity(i.size("h")) * i.array([half])[0]
)


def room(instance):
    """A number hardly below the least eigenvalue of the whole matrix."""
    inverted = instance.inverse(instance.value(whole))
    return instance.diagonal([1 / instance.root(instance.norm_above(inverted))])


epsilon = scalar("epsilon", positive=True, latex=r"\varepsilon", definition=room)
B = -N @ Ai.T
one = identity("n")
whole = symmetric_block([[A @ A.T, N.T, 0], [one, E], [R]])
remaining = symmetric_block([[one - B @ B.T, E], [R]])
margin = diagonal_block(epsilon * identity("m"), epsilon * one, epsilon * identity("h"))
elimination = block([[Ai.T @ B.T, zero("m", "h")], [one, zero("n", "h")], [zero("h", "n"), identity("h")]])

# The weight, from N_k and B_k.
Psi, Psin = diagonal("Psi_{k-1}", "m"), diagonal("Psi_k", "n")
W = matrix("W_k", "n", "m")
Bw = half * Psin @ W @ Psi**-1 @ Ai.T

# The Cayley transform of a symmetric A_k.
Y = matrix("F", "p", "n")


def transformed(instance):
    """A symmetric A that is a Cayley transform."""
    one, gram = instance.identity(instance.size("n")), instance.value(Y.T @ Y)
    return instance.inverse(one + gram) @ (one - gram)


A_k = symmetric("A_k", "n", definition=transformed)
B_k = matrix("B_k", "n", "p", definition=lambda i: -(i.identity(i.size("n")) + i.value(A_k)) @ i.value(Y).T)
inverted = inverse("J", one + A_k, latex=r"(I+A_k)^{-1}")
Yk = -B_k.T @ inverted
balanced = [equal(A_k @ A_k + B_k @ B_k.T, one)]
Zk = Yk.T @ Yk

wrong = -N @ Ai

# How the statements are printed.
N0, N1, N2 = matrix("N_0", "n_1", "n_0"), matrix("N_1", "n_2", "n_1"), matrix("N_2", "n_3", "n_2")
Bs, As, Ys, Zs = matrix("B_k", "n", "m"), matrix("A_k", "n", "n"), matrix("Y_k", "p", "n"), symmetric("Z_k", "n")
tridiagonal = symmetric_block([[ones[0], N0.T, 0, 0], [ones[1], N1.T, 0], [ones[2], N2.T], [ones[3]]])
strict = [positive(whole - margin)]
after_margin = diagonal_block(epsilon * one, epsilon * identity("h"))


def numbers():
    """Certify a random network, and the sandwich network that its multipliers give."""
    import numpy as np
    import torch

    import sdpcert.layers as layers
    from sdpcert.certify import certify
    from sdpcert.network import Network
    from sdpcert.torch_modules.reader import from_torch

    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape) for shape in ((5, 4), (4, 5), (3, 4))]
    network = Network.mlp(weights)
    certificate = certify(network, method="neuron")
    gamma = certificate.upper * 1.001
    made = layers.SandwichNetwork.from_network(network, gamma, certificate)
    again = certify(from_torch(made, (4,)), method="by-construction")
    inputs = rng.standard_normal((50, 4))
    outputs = made.eval()(torch.from_numpy(inputs)).detach().numpy()
    apart = max(float(np.abs(network(x) - y).max()) for x, y in zip(inputs, outputs, strict=True))
    return [
        Comparison("proved of the sandwich network, and of the network it copies", again.upper, "<=", gamma),
        Comparison("the same from below", again.upper, ">=", certificate.upper),
        Comparison("largest difference of their outputs", apart, "<=", 1e-8 * gamma),
    ]


derivation = Derivation(
    title="Completeness of the sandwich network",
    source="Wang, Manchester: Direct Parameterization of Lipschitz-Bounded Deep Networks, ICML 2023, Theorem 3.1",
    statement=r"Let the LipSDP condition \[\begin{pmatrix}\gamma I&-U^\top\Lambda&0\\"
    r"\cdot&2\Lambda-\Lambda W-W^\top\Lambda&-Y^\top\\\cdot&\cdot&\gamma I\end{pmatrix}\succ0\] hold strictly for a "
    r"feed-forward network with the weights $W_0,\dots,W_L$, where $U$ stacks $W_0$ and zeros, $W$ has the blocks "
    r"$W_1,\dots,W_{L-1}$ below the diagonal, $Y=(0\ \cdots\ W_L)$, dots stand for what symmetry gives, and a diagonal "
    r"$\Lambda=\operatorname{diag}(\Lambda_0,\dots,"
    r"\Lambda_{L-1})\succ0$. Put $\Psi_k=\Lambda_k^{1/2}$, $\Psi_{-1}=\sqrt{\gamma/2}\,I$, "
    r"$\Psi_L=\sqrt{2/\gamma}\,I$, "
    r"$A_{-1}=I$ and, for $k=0,\dots,L$, \[N_k=-\tfrac12\Psi_kW_k\Psi_{k-1}^{-1},\qquad B_k=-N_kA_{k-1}^{-\top},\qquad "
    r"A_kA_k^\top=I-B_kB_k^\top.\] Then $I-B_kB_k^\top\succ0$, so that such invertible $A_k$ exist, "
    r"$W_k=2\Psi_k^{-1}B_kA_{k-1}^\top\Psi_{k-1}$, and the symmetric positive definite $A_k$ gives a pair "
    r"$(A_k,B_k)$ that is a Cayley "
    r"transform.",
    parts=[
        Part(
            Claim(
                "Normalisation",
                written(
                    equal(scaling @ normalised @ scaling, lipsdp),
                    equal(scaling @ tridiagonal @ scaling, lipsdp),
                    {N0: M0, N1: M1, N2: M2},
                ),
                text=r"For two hidden layers: the condition's matrix, on the right, is $DTD$ with "
                r"$D=\operatorname{diag}(\sqrt\gamma\,I,\sqrt2\Psi_0,\sqrt2\Psi_1,\sqrt\gamma\,I)$ and the block "
                r"tridiagonal $T$ with identities on the diagonal and $N_k=-\frac12\Psi_kW_k\Psi_{k-1}^{-1}$ below it.",
            )
        ),
        Part(
            Claim(
                "One layer is eliminated",
                written(
                    positive(remaining - after_margin),
                    positive(symmetric_block([[one - Bs @ Bs.T, E], [R]]) - after_margin),
                    {Bs: B},
                ),
                strict,
                r"Let $A_{k-1}$ be invertible, $R$ symmetric the part of the matrix after layer $k$ and $E$ what "
                r"couples it "
                r"to layer $k$ (its first block is $N_{k+1}^\top$, the others are zero). With "
                r"$B_k=-N_kA_{k-1}^{-\top}$ the "
                r"matrix that is left is $\begin{pmatrix}I-B_kB_k^\top&E\\E^\top&R\end{pmatrix}\succeq\varepsilon I$ "
                r"with "
                r"the same $\varepsilon$; with $A_kA_k^\top=I-B_kB_k^\top$ it is the matrix of the next step.",
            ),
            [
                Sandwiches(
                    positive(remaining - after_margin),
                    Term(whole - margin, elimination),
                    Term(identity("m"), block([[Ai.T @ B.T, zero("m", "h")]]), epsilon),
                )
            ],
        ),
        Part(
            Claim(
                "$A_k$ exists and is invertible",
                written(positive(one - B @ B.T, epsilon * one), positive(one - Bs @ Bs.T, epsilon * one), {Bs: B}),
                strict,
                r"The corner: every square root $A_k$ of $I-B_kB_k^\top\succeq\varepsilon I$ is invertible.",
            ),
            [
                Sandwiches(
                    positive(one - B @ B.T, epsilon * one),
                    Term(whole - margin, block([[Ai.T @ B.T], [one], [zero("h", "n")]])),
                    Term(identity("m"), Ai.T @ B.T, epsilon),
                )
            ],
        ),
        Part(
            Claim(
                "The weights",
                written(equal(2 * Psin**-1 @ Bw @ A.T @ Psi, W), equal(2 * Psin**-1 @ Bs @ A.T @ Psi, W), {Bs: Bw}),
                [equal(A @ Ai, identity("m"))],
                r"With $N_k=-\frac12\Psi_kW_k\Psi_{k-1}^{-1}$ and $B_k=-N_kA_{k-1}^{-\top}$ the weight is "
                r"$2\Psi_k^{-1}B_kA_{k-1}^\top\Psi_{k-1}$.",
            )
        ),
        Part(
            Claim(
                "The Cayley transform is onto, $A_k$",
                written(equal((one + Zk) @ A_k, one - Zk), equal((one + Zs) @ A_k, one - Zs), {Ys: Yk, Zs: Ys.T @ Ys}),
                balanced,
                r"Let $A_k$ be symmetric with $I+A_k$ invertible. With $X_k=0$, $Y_k=-B_k^\top(I+A_k)^{-1}$ and "
                r"$Z_k=Y_k^\top Y_k$ one has $A_k^\top=(I+Z_k)^{-1}(I-Z_k)$, stated as $(I+Z_k)A_k=I-Z_k$.",
            )
        ),
        Part(
            Claim(
                "The Cayley transform is onto, $B_k$",
                written(
                    equal(B_k.T @ (one + Zk), -2 * Yk), equal(B_k.T @ (one + Zs), -2 * Ys), {Ys: Yk, Zs: Ys.T @ Ys}
                ),
                balanced,
                r"And $B_k^\top=-2Y_k(I+Z_k)^{-1}$, stated as $B_k^\top(I+Z_k)=-2Y_k$.",
            )
        ),
    ],
    controls=[
        Part(
            Claim(
                "$A_{k-1}$ is not transposed",
                written(
                    positive(one - wrong @ wrong.T, epsilon * one),
                    positive(one - Bs @ Bs.T, epsilon * one),
                    {Bs: wrong},
                ),
                strict,
                r"With $B_k=-N_kA_{k-1}^{-1}$ in place of $-N_kA_{k-1}^{-\top}$ there need not be an $A_k$.",
            )
        ),
        Part(
            Claim(
                "The factor 2 is left out",
                written(equal(Psin**-1 @ Bw @ A.T @ Psi, W), equal(Psin**-1 @ Bs @ A.T @ Psi, W), {Bs: Bw}),
                [equal(A @ Ai, identity("m"))],
                r"The weights are not $\Psi_k^{-1}B_kA_{k-1}^\top\Psi_{k-1}$.",
            )
        ),
    ],
    numbers=numbers,
    remark=r"The elimination starts with $A_{-1}=I$ and is repeated for $k=0,\dots,L$ (after the last layer $E$ and "
    r"$R$ are "
    r"absent). A strictly feasible matrix is at least a multiple $\varepsilon I$ of the identity, before and after the "
    r"normalisation. That sandwich networks satisfy the condition is the converse, proved above.",
)

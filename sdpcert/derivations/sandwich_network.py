"""The sandwich network W_k = 2 Psi_k^-1 B_k A_{k-1}' Psi_{k-1} is gamma-Lipschitz, with the multipliers Psi_k^2."""

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    diagonal,
    equal,
    identity,
    matrix,
    positive,
    scalar,
    sqrt2,
    symmetric,
    symmetric_block,
    zero,
)
from sdpcert.symbolic.steps import Congruence, Sandwiches, Term


def pair(index, rows, columns):
    """A (square) and B with A A' + B B' = I, and the equality."""
    name = f"C_{index}"

    def columns_of(instance):
        n, m = instance.size(rows), instance.size(columns)
        return instance.orthogonal(name, n + m)[:, :n]

    A = matrix(f"A_{index}", rows, rows, definition=lambda instance: columns_of(instance)[: instance.size(rows)].T)
    B = matrix(f"B_{index}", rows, columns, definition=lambda instance: columns_of(instance)[instance.size(rows) :].T)
    return A, B, equal(A @ A.T + B @ B.T, identity(rows))


gamma = scalar("gamma", positive=True)
root = gamma ** (1 / 2)
(A0, B0, first), (A1, B1, second), (A2, B2, third) = pair(0, "n_1", "n_0"), pair(1, "n_2", "n_1"), pair(2, "n_3", "n_2")
Psi0, Psi1 = diagonal("Psi_0", "n_1"), diagonal("Psi_1", "n_2")
given = [first, second, third]
W0 = sqrt2 * root * Psi0**-1 @ B0
W1 = 2 * Psi1**-1 @ B1 @ A0.T @ Psi0
W2 = sqrt2 * root * B2 @ A1.T @ Psi1
ones = [identity(f"n_{k}") for k in range(4)]


def bordered(L0, L1):
    """The condition of the paper for two hidden layers with the multipliers L0 and L1."""
    return positive(
        symmetric_block(
            [
                [gamma * ones[0], -W0.T @ L0, 0, 0],
                [2 * L0, -W1.T @ L1, 0],
                [2 * L1, -W2.T],
                [gamma * ones[3]],
            ]
        )
    )


def stacked(T0, T1):
    """The stacked condition with rho = gamma^2 for two hidden layers with the multipliers T0 and T1."""
    rho = gamma**2
    return positive(symmetric_block([[rho * ones[0], -W0.T @ T0, 0], [2 * T0, -W1.T @ T1], [2 * T1 - W2.T @ W2]]))


# Induction: M_k is the form of the first k + 1 hidden layers with 2 Psi B B' Psi in its last corner.
(A, B, inner), (An, Bn, following) = pair("k", "n", "l"), pair("{k+1}", "m", "n")
Psi, Psin = diagonal("Psi_k", "n"), diagonal("Psi_{k+1}", "m")


def front(instance):
    """F with M_k = [F B'Psi_k]'[F B'Psi_k] * 2, as tight as M_k can be."""
    return instance.draw("F", instance.size("l"), instance.size("h"))


P = symmetric("P", "h", definition=lambda instance: 2 * front(instance).T @ front(instance))
N = matrix("N", "h", "n", definition=lambda instance: 2 * front(instance).T @ instance.value(B.T @ Psi))
Wn = 2 * Psin**-1 @ Bn @ A.T @ Psi
before = symmetric_block([[P, N], [2 * Psi @ B @ B.T @ Psi]])
after = symmetric_block([[P, N, 0], [2 * Psi**2, -Wn.T @ Psin**2], [2 * Psin @ Bn @ Bn.T @ Psin]])
Wl = sqrt2 * root * Bn @ A.T @ Psi
last = symmetric_block([[P, N, 0], [2 * Psi**2, -Wl.T], [gamma * identity("m")]])


def first_form():
    """M_0 >= 0 and what it needs."""
    return positive(symmetric_block([[gamma * ones[0], -W0.T @ Psi0**2], [2 * Psi0 @ B0 @ B0.T @ Psi0]])), [first]


# Wrong weights with one hidden layer; where its slopes are one it is a linear map.
wide = Layer(H=sqrt2 * root * B1 @ A0.T @ Psi0 @ (2 * root * Psi0**-1 @ B0), squared_lipschitz=gamma**2)
untransposed = Layer(H=sqrt2 * root * B1 @ A0 @ Psi0 @ (sqrt2 * root * Psi0**-1 @ B0), squared_lipschitz=gamma**2)


def numbers():
    """Certify a sandwich network of random weights by construction, and by the semidefinite program."""
    import torch

    import sdpcert.layers as layers
    from sdpcert.certify import certify
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    network = from_torch(layers.SandwichNetwork([4, 6, 5, 3], gamma=3.0, dtype=torch.float64), (4,))
    certificate = certify(network, method="by-construction")
    solved = certify(network, method="neuron")
    return [
        Comparison(r"proved with the multipliers $\gamma\Psi_k^2$", certificate.upper, "<=", 3.0),
        Comparison("proved by the semidefinite program", solved.upper, "<=", 3.0),
        Comparison("attained by the network", certificate.lower, "<=", 3.0),
    ]


derivation = Derivation(
    title="Sandwich network",
    source="Wang, Manchester: Direct Parameterization of Lipschitz-Bounded Deep Networks, ICML 2023, "
    "Theorem 3.1 with the multiplier of its appendix",
    statement=r"Let $A_kA_k^\top+B_kB_k^\top=I$ with $A_k\in\mathbb R^{n_{k+1}\times n_{k+1}}$, "
    r"$B_k\in\mathbb R^{n_{k+1}\times n_k}$, and $\Psi_k\succ0$ be diagonal, $\gamma>0$, $A_{-1}=I$, "
    r"$\Psi_{-1}=\sqrt{\gamma/2}\,I$, $\Psi_L=\sqrt{2/\gamma}\,I$. The network with the weights "
    r"\[W_k=2\Psi_k^{-1}B_kA_{k-1}^\top\Psi_{k-1},\qquad k=0,\dots,L,\] and slopes in $[0,1]$ is $\gamma$-Lipschitz. "
    r"Its "
    r"condition holds with the multipliers $\Lambda_k=\Psi_k^2$ in the form with the corners $\gamma I$, and with "
    r"$T_k=\gamma\Psi_k^2$ in the form with $\rho=\gamma^2$. (With half of these multipliers, as in the "
    r"main text of the paper, it need not hold.)",
    parts=[
        Part(
            Claim(
                r"Two hidden layers, corners $\gamma I$",
                bordered(Psi0**2, Psi1**2),
                given,
                r"Here $W_0=\sqrt{2\gamma}\,\Psi_0^{-1}B_0$, $W_1=2\Psi_1^{-1}B_1A_0^\top\Psi_0$, "
                r"$W_2=\sqrt{2\gamma}\,B_2A_1^\top\Psi_1$, the multipliers are $\Lambda_k=\Psi_k^2$.",
            ),
            [
                Sandwiches(
                    bordered(Psi0**2, Psi1**2),
                    Term(
                        ones[0], block([[root * ones[0], -sqrt2 * B0.T @ Psi0, zero("n_0", "n_2"), zero("n_0", "n_3")]])
                    ),
                    Term(ones[1], block([[zero("n_1", "n_0"), A0.T @ Psi0, -B1.T @ Psi1, zero("n_1", "n_3")]]), 2),
                    Term(
                        ones[2],
                        block([[zero("n_2", "n_0"), zero("n_2", "n_1"), sqrt2 * A1.T @ Psi1, -root * B2.T]]),
                    ),
                    Term(
                        ones[3],
                        block([[zero("n_3", "n_0"), zero("n_3", "n_1"), zero("n_3", "n_2"), root * A2.T]]),
                    ),
                )
            ],
        ),
        Part(
            Claim(
                r"Two hidden layers, $\rho=\gamma^2$",
                stacked(gamma * Psi0**2, gamma * Psi1**2),
                given,
                r"The same weights with $T_k=\gamma\Psi_k^2$.",
            ),
            [
                Sandwiches(
                    positive(ones[2], B2.T @ B2),
                    Term(ones[2], ones[2] - B2.T @ B2),
                    Term(ones[3], A2.T @ B2),
                ),
                Sandwiches(
                    stacked(gamma * Psi0**2, gamma * Psi1**2),
                    Term(ones[0], block([[gamma * ones[0], -sqrt2 * root * B0.T @ Psi0, zero("n_0", "n_2")]])),
                    Term(ones[1], block([[zero("n_1", "n_0"), A0.T @ Psi0, -B1.T @ Psi1]]), 2 * gamma),
                    Term(
                        ones[2] - B2.T @ B2,
                        block([[zero("n_2", "n_0"), zero("n_2", "n_1"), A1.T @ Psi1]]),
                        2 * gamma,
                    ),
                ),
            ],
        ),
        Part(
            Claim("Induction, first layer", *first_form(), r"The form $M_0$ of the input and the first hidden layer."),
            [Congruence(first_form()[0], ones[0], block([[root * ones[0], -sqrt2 * B0.T @ Psi0]]))],
        ),
        Part(
            Claim(
                "Induction, next layer",
                positive(after),
                [inner, following, positive(before)],
                r"Let $M_k$ be the form of the input and $k+1$ hidden layers whose last corner is "
                r"$2\Psi_kB_kB_k^\top\Psi_k$ "
                r"in place of $2\Lambda_k=2\Psi_k^2$. With $W_{k+1}=2\Psi_{k+1}^{-1}B_{k+1}A_k^\top\Psi_k$, "
                r"$M_k\succeq0$ gives "
                r"$M_{k+1}\succeq0$.",
            ),
            [
                Sandwiches(
                    positive(after),
                    Term(
                        before,
                        block([[identity("h"), zero("h", "n"), zero("h", "m")], [zero("n", "h"), 1, zero("n", "m")]]),
                    ),
                    Term(identity("n"), block([[zero("n", "h"), A.T @ Psi, -Bn.T @ Psin]]), 2),
                )
            ],
        ),
        Part(
            Claim(
                "Induction, output",
                positive(last),
                [inner, following, positive(before)],
                r"Let $k=L-1$, and $W_L=\sqrt{2\gamma}\,B_LA_{L-1}^\top\Psi_{L-1}$ where $B_L$ is written $B_{k+1}$. "
                r"Then "
                r"$M_{L-1}\succeq0$ gives the whole condition with the corner $\gamma I$ of the output.",
            ),
            [
                Sandwiches(
                    positive(last),
                    Term(
                        before,
                        block([[identity("h"), zero("h", "n"), zero("h", "m")], [zero("n", "h"), 1, zero("n", "m")]]),
                    ),
                    Term(identity("n"), block([[zero("n", "h"), sqrt2 * A.T @ Psi, -root * Bn.T]])),
                    Term(identity("m"), block([[zero("m", "h"), zero("m", "n"), root * An.T]])),
                )
            ],
        ),
    ],
    controls=[
        Part(
            Claim(
                r"Half of the multipliers, corners $\gamma I$",
                bordered(Psi0**2 / 2, Psi1**2 / 2),
                given,
                r"Two hidden layers with $\Lambda_k=\frac12\Psi_k^2$.",
            )
        ),
        Part(
            Claim(
                r"Half of the multipliers, $\rho=\gamma^2$",
                stacked(gamma * Psi0**2 / 2, gamma * Psi1**2 / 2),
                given,
                r"Two hidden layers with $T_k=\frac12\gamma\Psi_k^2$.",
            )
        ),
        Part(
            wide.claim(
                r"$\Psi_{-1}=\sqrt\gamma\,I$ before the first layer", given[:2], r"One hidden layer at slopes 1."
            ),
            layer=wide,
        ),
        Part(
            untransposed.claim("$A_0$ is not transposed", given[:2], r"One hidden layer at slopes 1."),
            layer=untransposed,
        ),
    ],
    numbers=numbers,
    remark=r"Together the claims on induction say that the condition holds for every number of layers: its quadratic "
    r"form "
    r"is "
    r"\[\begin{aligned}&|\sqrt\gamma\,\Delta x-\sqrt2B_0^\top\Psi_0\Delta z_0|^2"
    r"+2\sum_{k=1}^{L-1}|A_{k-1}^\top\Psi_{k-1}\Delta z_{k-1}-B_k^\top\Psi_k\Delta z_k|^2"
    r"\\&{}+|\sqrt2A_{L-1}^\top\Psi_{L-1}\Delta z_{L-1}-\sqrt\gamma B_L^\top\Delta y|^2+\gamma|A_L^\top\Delta "
    r"y|^2.\end{aligned}\] "
    r"A feasible condition makes the network $\gamma$-Lipschitz.",
)

"""ECLipsE-Fast: S_i = 2 lambda_i I - lambda_i^2 W S^-1 W', lambda_i = 1/|W S^-1 W'|, is a feasible point of LipSDP."""

from fractions import Fraction

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    equal,
    identity,
    matrix,
    positive,
    scalar,
    symmetric,
    symmetric_block,
    zero,
)
from sdpcert.symbolic.steps import Congruence, Sandwiches, Schur, Term


def at_most(name, M, factor=1):
    """A number lambda with lambda M <= factor I, in instances hardly less than factor / |M|, and that hypothesis."""

    def definition(instance):
        return instance.diagonal([instance.array([factor])[0] / instance.root(instance.norm_above(instance.value(M)))])

    made = scalar(name, positive=True, definition=definition)
    return made, positive(factor * identity(M.rows), made * M)


def at_least(name, M):
    """A number n with n I >= M, in instances hardly more than |M|, and that hypothesis."""

    def definition(instance):
        return instance.diagonal([instance.root(instance.norm_above(instance.value(M)))])

    made = scalar(name, positive=True, definition=definition)
    return made, positive(made * identity(M.rows), M)


# One step: S is S_{i-1}.
S, W = symmetric("S", "n", positive=True), matrix("W", "m", "n")
M, one = W @ S**-1 @ W.T, identity("m")
step, short = at_most("lambda", M)
doubled, long = at_most("lambda", M, 2)

# The scaled matrix of the layers so far: C is the last one's corner, 2 lambda_{i-1} I, and becomes C - S.
P = symmetric("P", "h", definition=lambda i: front(i).T @ square(i) @ front(i))
N = matrix("N", "h", "n", definition=lambda i: front(i).T @ square(i))
C = symmetric("C", "n", definition=lambda i: i.value(S) + square(i))
before = symmetric_block([[P, N], [C - S]])
after = symmetric_block([[P, N, 0], [C, -step * W.T], [step**2 * M]])
rho, reached = at_least("rho", M)
whole = symmetric_block([[rho * P, rho * N], [rho * C - W.T @ W]])
rest = S - rho**-1 * W.T @ W


def front(instance):
    """A free matrix."""
    return instance.draw("F", instance.size("n"), instance.size("h"))


def square(instance):
    """A free positive semidefinite matrix."""
    drawn = instance.draw("G", 1, instance.size("n"))
    return drawn.T @ drawn


# Two hidden layers.
W0, W1, W2 = matrix("W_0", "n_1", "n_0"), matrix("W_1", "n_2", "n_1"), matrix("W_2", "n_3", "n_2")
ones = [identity(f"n_{k}") for k in range(4)]


def following(name, step, M):
    """S_i as a positive definite symbol, and its definition as a hypothesis."""
    formula = 2 * step * identity(M.rows) - step**2 * M
    made = symmetric(name, M.rows, positive=True, definition=lambda instance: instance.value(formula).copy())
    return made, equal(made, formula)


l1, short1 = at_most("lambda_1", W0 @ W0.T)
S1, defined1 = following("S_1", l1, W0 @ W0.T)
l2, short2 = at_most("lambda_2", W1 @ S1**-1 @ W1.T)
S2, defined2 = following("S_2", l2, W1 @ S1**-1 @ W1.T)
rho2, reached2 = at_least("rho", W2 @ S2**-1 @ W2.T)
lipsdp = symmetric_block(
    [
        [rho2 * ones[0], -rho2 * l1 * W0.T, 0],
        [2 * rho2 * l1 * ones[1], -rho2 * l2 * W1.T],
        [2 * rho2 * l2 * ones[2] - W2.T @ W2],
    ]
)
rest2 = S2 - rho2**-1 * W2.T @ W2

# Never worse than the product of norms: |W|^2 = nu, S >= mu I.
nu, norm = at_least("nu", W @ W.T)
mu = scalar("mu", positive=True, definition=lambda i: i.diagonal([1 / i.root(i.norm_above(i.inverse(i.value(S))))]))
above = positive(S, mu * identity("n"))

# Wrong: the quadratic term of S_1 is left out, with one hidden layer.
rho1, reached1 = at_least("rho", Fraction(1, 2) * l1**-1 * W1 @ W1.T)
linear = Layer(U=W0, G=W1, multipliers=rho1 * l1 * ones[1], squared_lipschitz=rho1)


def numbers():
    """Compare the closed form with the product of norms and the semidefinite program, on random weights."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network import Network

    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape) for shape in ((8, 6), (7, 8), (3, 7))]
    S = np.eye(6)
    for weight in weights[:-1]:
        M = weight @ np.linalg.inv(S) @ weight.T
        step = 1 / np.linalg.norm(M, 2)
        S = 2 * step * np.eye(len(M)) - step**2 * M
    bound = float(np.linalg.norm(weights[-1] @ np.linalg.inv(S) @ weights[-1].T, 2) ** 0.5)
    network = Network.mlp(weights)
    return [
        Comparison("product of norms, beside the closed form", certify(network, "product").upper, ">=", bound),
        Comparison("one multiplier per layer", certify(network, "layer").upper, "<=", bound, 1e-5),
        Comparison("attained by the network", certify(network, "neuron").lower, "<=", bound),
    ]


derivation = Derivation(
    title="ECLipsE-Fast",
    source="Xu, Sivaranjani: ECLipsE: Efficient Compositional Lipschitz Constant Estimation for Deep Neural Networks, "
    "NeurIPS 2024",
    statement=r"Let $W_0,\dots,W_l$ be the weights of a network with $l$ hidden layers, none of them zero, $S_0=I$ "
    r"and, for "
    r"$i=1,\dots,l$, \[\lambda_i=\frac1{\|W_{i-1}S_{i-1}^{-1}W_{i-1}^\top\|},\qquad "
    r"S_i=2\lambda_iI-\lambda_i^2W_{i-1}S_{i-1}^{-1}W_{i-1}^\top,\] "
    r"and $\rho=\|W_lS_l^{-1}W_l^\top\|$. Then "
    r"$S_i\succeq\lambda_iI$, the multipliers $T_i=\rho\lambda_iI$ satisfy the LipSDP condition (slopes in $[0,1]$) "
    r"with "
    r"$\rho$, and $\sqrt\rho\le\prod_{i=0}^l\|W_i\|$.",
    parts=[
        Part(
            Claim(
                r"$S_i\succeq\lambda_iI$",
                positive(2 * step * one - step**2 * M, step * one),
                [short],
                r"Here $S=S_{i-1}$, $W=W_{i-1}$, $\lambda=\lambda_i\le1/\|WS^{-1}W^\top\|$. So $S_i$ is invertible.",
            ),
            [Sandwiches(positive(2 * step * one - step**2 * M, step * one), Term(one - step * M, None, step))],
        ),
        Part(
            Claim(
                "Two hidden layers",
                positive(lipsdp),
                [short1, defined1, short2, defined2, reached2],
                r"The LipSDP condition for $T_i=\rho\lambda_iI$. The matrices $S_1$, $S_2$ are positive definite by "
                r"the claim "
                r"above.",
            ),
            [
                Schur(symmetric_block([[S2, W2.T], [rho2 * ones[3]]]), S2**-1, corner=0),
                Congruence(
                    rest2, symmetric_block([[S2, W2.T], [rho2 * ones[3]]]), block([[ones[2]], [-(rho2**-1) * W2]])
                ),
                Sandwiches(
                    positive(lipsdp),
                    Term(ones[0], block([[ones[0], -l1 * W0.T, zero("n_0", "n_2")]]), rho2),
                    Term(S1**-1, block([[zero("n_1", "n_0"), S1, -l2 * W1.T]]), rho2),
                    Term(rest2, block([[zero("n_2", "n_0"), zero("n_2", "n_1"), ones[2]]]), rho2),
                ),
            ],
        ),
        Part(
            Claim(
                "Induction, next layer",
                positive(after),
                [positive(before)],
                r"Divided by $\rho$, let the rows of the layers so far be "
                r"$\begin{pmatrix}P&N\\N^\top&C\end{pmatrix}$, where "
                r"$C$ is the corner of layer $i-1$: $I$ for the input and $2\lambda_{i-1}I$ for a hidden layer. If "
                r"with $C-S$ "
                r"in place of $C$ it is positive semidefinite, $S=S_{i-1}$, then the same holds with one layer more "
                r"and "
                r"$2\lambda_iI-S_i=\lambda_i^2WS^{-1}W^\top$. (For the input, $C-S=0$.)",
            ),
            [
                Sandwiches(
                    positive(after),
                    Term(
                        before,
                        block(
                            [
                                [identity("h"), zero("h", "n"), zero("h", "m")],
                                [zero("n", "h"), identity("n"), zero("n", "m")],
                            ]
                        ),
                    ),
                    Term(S**-1, block([[zero("n", "h"), S, -step * W.T]])),
                )
            ],
        ),
        Part(
            Claim(
                "Induction, output",
                positive(whole),
                [positive(before), reached],
                r"With $S=S_l$, $W=W_l$ and $\rho\ge\|WS^{-1}W^\top\|$ the whole condition holds.",
            ),
            [
                Schur(symmetric_block([[S, W.T], [rho * one]]), S**-1, corner=0),
                Congruence(rest, symmetric_block([[S, W.T], [rho * one]]), block([[identity("n")], [-(rho**-1) * W]])),
                Sandwiches(
                    positive(whole),
                    Term(before, None, rho),
                    Term(rest, block([[zero("n", "h"), identity("n")]]), rho),
                ),
            ],
        ),
        Part(
            Claim(
                "Never worse than the product",
                positive(nu * mu**-1 * one, M),
                [norm, above],
                r"With $S=S_{i-1}\succeq\mu I$, $\mu=\lambda_{i-1}$, and $\nu=\|W\|^2$: "
                r"$1/\lambda_i\le\|W_{i-1}\|^2/\lambda_{i-1}$, "
                r"and $\rho\le\|W_l\|^2/\lambda_l$ ($\lambda_0=1$). Multiplied, $\rho\le\prod_i\|W_i\|^2$.",
            ),
            [
                Sandwiches(
                    positive(mu**-1 * identity("n"), S**-1),
                    Term(identity("n"), mu**-1 * identity("n") - S**-1, mu),
                    Term(S - mu * identity("n"), S**-1),
                ),
                Sandwiches(
                    positive(nu * mu**-1 * one, M),
                    Term(nu * one - W @ W.T, None, mu**-1),
                    Term(mu**-1 * identity("n") - S**-1, W.T),
                ),
            ],
        ),
    ],
    controls=[
        Part(
            Claim(
                r"$\lambda_i$ twice as large",
                positive(2 * doubled * one - doubled**2 * M, doubled * one),
                [long],
                r"With $\lambda_i=2/\|W_{i-1}S_{i-1}^{-1}W_{i-1}^\top\|$ the matrix $S_i$ is singular.",
            )
        ),
        Part(
            linear.claim(
                "Without the quadratic term",
                [short1, reached1],
                r"One hidden layer with $S_1=2\lambda_1I$ and $\rho=\|W_1S_1^{-1}W_1^\top\|$.",
            ),
            layer=linear,
        ),
    ],
    numbers=numbers,
    remark=r"By the two claims on induction the condition holds for every number of layers. The claims need only "
    r"$\lambda_i\le1/\|W_{i-1}S_{i-1}^{-1}W_{i-1}^\top\|$ and $\rho\ge\|W_lS_l^{-1}W_l^\top\|$: norms may be bounded "
    r"from above.",
)

"""Nonnegative networks: multipliers of the condition in closed form, for weights of any sign by row sums of |W'TW|."""

import itertools
from fractions import Fraction

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Part,
    block,
    diagonal,
    equal,
    identity,
    indices,
    largest,
    matrix,
    positive,
    rule,
    scalar,
    scalar_rule,
    symmetric,
    symmetric_block,
    total,
    vector,
    zero,
)
from sdpcert.symbolic.steps import Congruence, Dominance, Identity, Sandwiches, Term

i, j, k = indices("i j k")

# The network with two hidden layers; a_k are free positive vectors, on the diagonals of A_k.
W1, W2, W3 = matrix("W_1", "n_1", "n_0"), matrix("W_2", "n_2", "n_1"), matrix("W_3", "n_3", "n_2")
a0, a1, a2 = (diagonal(f"A_{level}", f"n_{level}", latex=f"A_{level}") for level in range(3))
ones = [identity(f"n_{level}") for level in range(4)]
gram3 = W3.T @ W3
T2 = rule("T_2", "n_2", i, total(abs(gram3[i, j]) * a2[j] / a2[i], j))
gram2 = W2.T @ T2 @ W2
T1 = rule("T_1", "n_1", i, total(abs(gram2[i, j]) * a1[j] / a1[i], j))
gram1 = W1.T @ T1 @ W1
rho = scalar_rule("rho", largest(total(abs(gram1[i, j]) * a0[j] / a0[i], j), i))


def condition(squared, first, second):
    """The condition for slopes in [0, 1] with these multipliers."""
    return symmetric_block(
        [
            [squared * ones[0], -W1.T @ first, 0],
            [2 * first, -W2.T @ second],
            [2 * second - gram3],
        ]
    )


whole = positive(condition(rho, T1, T2))

# Induction from the output to the input: P and N are what the rows after a layer with multipliers T hold.
W, T, a = matrix("W", "n", "m"), diagonal("T", "n"), diagonal("A", "m")
P = symmetric("P", "h", definition=lambda instance: tail(instance).T @ corner(instance) @ tail(instance))
N = matrix("N", "n", "h", definition=lambda instance: instance.value(T) @ tail(instance))
gram = W.T @ T @ W
before = rule("S", "m", i, total(abs(gram[i, j]) * a[j] / a[i], j))
signed = scalar_rule("t", largest(abs(total(gram[i, j] * a[j] / a[i], j)), i))
own = rule("S", "m", k, abs(gram[k, k]))
after = symmetric_block([[T, N], [P]])
longer = symmetric_block([[before, -W.T @ T, zero("m", "h")], [2 * T, N], [P]])


def tail(instance):
    """A free matrix."""
    return instance.draw("R", instance.size("n"), instance.size("h"))


def corner(instance):
    """T, with which [[T, TR], [R'T, R'TR]] is positive semidefinite."""
    return instance.value(T)


# No multipliers do better than a linear network that the slopes allow. Instances have multipliers above the norms.
def above(weight, following):
    """A diagonal matrix that is at least W'SW, S the diagonal matrix `following`."""

    def definition(instance):
        value = instance.value(following)
        top = max(value[index, index] for index in range(len(value)))
        drawn = instance.draw(f"E {weight.columns}", instance.size(weight.columns), 1)
        norm = instance.norm_above(instance.value(weight)) * top
        return instance.diagonal([norm + entry**2 for entry in drawn[:, 0]])

    return definition


L2 = diagonal("Lambda_2", "n_2", latex=r"\Lambda_2", definition=above(W3, identity("n_3")))
L1 = diagonal("Lambda_1", "n_1", latex=r"\Lambda_1", definition=above(W2, L2))
free = scalar("rho", latex=r"\rho", definition=lambda instance: reached(instance))
given = positive(condition(free, L1, L2))
J = W3 @ W2 @ W1


def reached(instance):
    """A number that rho may be with these multipliers."""
    value = instance.value(L1)
    top = max(value[index, index] for index in range(len(value)))
    return instance.diagonal([instance.norm_above(instance.value(W1)) * top])


# Nonnegative weights: the row sums are products with the vectors, and the vectors are the network's values.
def quotient(over, under):
    """The diagonal matrix of the quotients of two vectors."""

    def definition(instance):
        above, below = instance.value(over), instance.value(under)
        return instance.diagonal([above[index, 0] / below[index, 0] for index in range(len(above))])

    return definition


x = vector("a_0", "n_0", latex="a_0")
y1, y2 = W1 @ x, W2 @ W1 @ x
B2 = diagonal("B_2", "n_2", positive=False, latex=r"\Lambda_2", definition=quotient(gram3 @ y2, y2))
B1 = diagonal("B_1", "n_1", positive=False, latex=r"\Lambda_1", definition=quotient(W2.T @ gram3 @ y2, y1))
met = [equal(B2 @ y2, gram3 @ y2), equal(B1 @ y1, W2.T @ gram3 @ y2)]
row1 = equal(2 * B1 @ y1, B1 @ W1 @ x + W2.T @ B2 @ y2)
needed = equal(W1.T @ B1 @ y1, J.T @ J @ x)

# One neuron with slopes between alpha and beta >= |alpha|, beside one with slopes between -beta and beta.
alpha, beta = scalar("alpha", latex=r"\alpha"), scalar("beta", positive=True, latex=r"\beta")
one = identity(1)
sector = symmetric_block([[2 * alpha * beta * one, -(alpha + beta) * one], [2 * one]])
wide = symmetric_block([[-(beta**2) * one, 0 * one], [one]])
narrowed = positive(sector - wide * (1 - alpha * beta**-1))


def nonnegative_weights(seed, sizes):
    """Weights of a network, uniform between 0 and 1."""
    import numpy as np

    rng = np.random.default_rng(seed)
    return [rng.random((rows, columns)) for columns, rows in itertools.pairwise(sizes)]


def numbers():
    """The closed form beside the solver and the norm of the product, for nonnegative weights and for others."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network import Network
    from sdpcert.solvers import absolute

    weights = nonnegative_weights(0, (6, 8, 7, 3))
    exact = float(np.linalg.norm(np.linalg.multi_dot(weights[::-1]), 2))
    network = Network.mlp(weights)
    certificate = certify(network)
    rng = np.random.default_rng(1)
    signs = Network.mlp([w * np.where(rng.random(w.shape) < 0.5, -1.0, 1.0) for w in weights])
    squashed = Network.mlp([np.ones((1, 1))] * 3, [np.zeros(1), np.full(1, 2.0), np.zeros(1)], "tanh")
    return [
        Comparison(
            r"closed form of nonnegative weights, $\|W_3W_2W_1\|$", absolute(network.stacked).bound, "==", exact, 1e-11
        ),
        Comparison("proved by the solver", certificate.upper, "==", exact, 1e-6),
        Comparison("attained by the network", certificate.lower, "==", exact, 1e-6),
        Comparison("closed form of the same weights with signs", absolute(signs.stacked).bound, "==", exact, 1e-11),
        Comparison("proved by the solver for these", certify(signs).upper, "<=", exact, 1e-6),
        Comparison(
            r"attained by $\tanh(\tanh x+2)$ near 0, whose closed form is 1",
            float(squashed(np.array([[1e-4]]))[0, 0] - squashed(np.array([[-1e-4]]))[0, 0]) / 2e-4,
            "<=",
            0.139 * absolute(squashed.stacked).bound,
        ),
    ]


derivation = Derivation(
    title="Nonnegative networks",
    source="This project; Horn, Johnson: Matrix Analysis, Cambridge University Press (nonnegative matrices, theorem of "
    "Perron and Frobenius)",
    statement=r"Let $W_1,\dots,W_L$ be the weights of a network with slopes in $[0,1]$ and "
    r"$a_0,\dots,a_{L-1}$ positive vectors. With $N_L=|W_L^\top W_L|$, $\lambda_k=N_{k+1}a_k/a_k$ (entrywise), "
    r"$\Lambda_k=\operatorname{diag}(\lambda_k)$ "
    r"and $N_k=|W_k^\top\Lambda_kW_k|$, the condition holds for $\rho=\max_i(N_1a_0)_i/a_{0,i}$. If all weights are "
    r"nonnegative, $a_k=W_k\cdots W_1a_0$ and $a_0$ is a Perron vector of $J^\top J$, $J=W_L\cdots W_1$, then "
    r"$\rho=\|J\|^2$, and no multipliers allow less.",
    parts=[
        Part(
            Claim("Two hidden layers", whole, [], r"Here $\Lambda_k=T_k$ and $A_k=\operatorname{diag}(a_k)$."),
            [
                Dominance(T2, gram3),
                Dominance(T1, gram2),
                Dominance(rho, gram1),
                Sandwiches(
                    whole,
                    Term(rho * ones[0] - gram1, block([[ones[0], zero("n_0", "n_1"), zero("n_0", "n_2")]])),
                    Term(T1, block([[-W1, ones[1], zero("n_1", "n_2")]])),
                    Term(T1 - gram2, block([[zero("n_1", "n_0"), ones[1], zero("n_1", "n_2")]])),
                    Term(T2, block([[zero("n_2", "n_0"), -W2, ones[2]]])),
                    Term(T2 - gram3, block([[zero("n_2", "n_0"), zero("n_2", "n_1"), ones[2]]])),
                ),
            ],
        ),
        Part(
            Claim(
                "Induction, one layer more in front",
                positive(longer),
                [positive(after)],
                r"Let the rows of a layer with multipliers $T$ and of all that follows be positive semidefinite with "
                r"$T$ in the corner, in place of $2T$. Then so are the rows of the layer before, with $S$ in the "
                r"corner. The output begins: $T-F^\top F\succeq0$ for $T_{ii}=\sum_j|F^\top F|_{ij}a_j/a_i$; the input "
                r"ends it with $\rho I\succeq S$.",
            ),
            [
                Dominance(before, gram),
                Sandwiches(
                    positive(longer),
                    Term(before - gram, block([[identity("m"), zero("m", "n"), zero("m", "h")]])),
                    Term(T, block([[-W, identity("n"), zero("n", "h")]])),
                    Term(
                        after,
                        block(
                            [
                                [zero("n", "m"), identity("n"), zero("n", "h")],
                                [zero("h", "m"), zero("h", "n"), identity("h")],
                            ]
                        ),
                    ),
                ),
            ],
        ),
        Part(
            Claim(
                "Nonnegative weights: the vector of the network's values",
                row1,
                met,
                r"$W_3^\top W_3$ and $W_2^\top\Lambda_2W_2$ are their own magnitudes then, and $a_1=W_1a_0$, "
                r"$a_2=W_2a_1$, so that $\Lambda_2a_2=W_3^\top W_3a_2$ and $\Lambda_1a_1=W_2^\top\Lambda_2a_2$: "
                r"a row of $M$ times $(a_0,a_1,a_2)$ is zero.",
            ),
            [Identity(row1)],
        ),
        Part(
            Claim(
                "Nonnegative weights: what is needed of the input",
                needed,
                met,
                r"So $N_1a_0=J^\top Ja_0=\|J\|^2a_0$ for a Perron vector $a_0$, and $\rho=\|J\|^2$.",
            ),
            [Identity(needed)],
        ),
        Part(
            Claim(
                "No multipliers allow less",
                positive(free * ones[0], J.T @ J),
                [given],
                r"For weights of any sign: the network in which every slope is 1 is linear.",
            ),
            [
                Congruence(
                    positive(free * ones[0], J.T @ J), condition(free, L1, L2), block([[ones[0]], [W1], [W2 @ W1]])
                )
            ],
        ),
        Part(
            Claim(
                "Other slopes",
                narrowed,
                [positive(alpha + beta)],
                r"On $(v,z)$: $2(z-\alpha v)(z-\beta v)=(1-\alpha/\beta)(z^2-\beta^2v^2)+(1+\alpha/\beta)(z-\beta v)^2$"
                r". So with $\lambda_i/(1-\alpha_i/\beta_i)$ for $\lambda_i$ everything holds with slopes in "
                r"$[\alpha_i,\beta_i]$, $|\alpha_i|\le\beta_i$, and rows of $W_i$ times $\beta_i$.",
            ),
            [
                Sandwiches(
                    narrowed,
                    Term((alpha + beta) * one, block([[-beta * one, one]]), beta**-1),
                )
            ],
        ),
    ],
    controls=[
        Part(Claim("The diagonal in place of the row sums", positive(own, gram))),
        Part(Claim("Row sums without magnitudes", positive(signed * identity("m"), gram))),
        Part(
            Claim(
                "Multipliers half as large",
                positive(condition(rho, T1 * Fraction(1, 2), T2 * Fraction(1, 2))),
            )
        ),
    ],
    numbers=numbers,
    remark=r"The two claims on induction and the output give every depth. That a nonnegative irreducible matrix has a "
    r"positive eigenvector, the Perron vector, is the theorem of Perron and Frobenius; where $J^\top J$ falls apart, "
    r"each connected block has one, with an eigenvalue of at most $\|J\|^2$. A hidden value $a_{k,i}$ is zero only for "
    r"a neuron that no input moves, which is left out. ReLU and leaky ReLU attain $\|J\|$ where every neuron "
    r"is active; $\tanh(\tanh x+2)$ does not attain its closed form, since no input makes both slopes 1.",
)

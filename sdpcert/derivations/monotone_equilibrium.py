"""Monotone equilibrium layers z = phi(W z + U x + b) with W = (1 - mu) I - A'A + S: the constant is |U| / mu."""

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    identity,
    matrix,
    positive,
    scalar,
    skew,
    squared_norm,
    zero,
)
from sdpcert.symbolic.steps import Sandwiches, Term
from sdpcert.symbolic.written import written

mu, A, S = scalar("mu", positive=True, latex=r"\mu"), matrix("A", "k", "m"), skew("S", "m")
U, V = matrix("U", "m", "n"), matrix("V", "p", "m")
one, hidden = identity("n"), identity("m")
(u, of_U), (v, of_V) = squared_norm("u", U), squared_norm("v", V)


def monotone(square, rotation=S):
    """W with `I - W` strongly monotone by mu, for a square of A'A or less."""
    return (1 - mu) * hidden - square + rotation


W = monotone(A.T @ A)
state = Layer(G=hidden, U=U, W=W, multipliers=mu**-1 * hidden, squared_lipschitz=u * mu**-2)
output = Layer(G=V, U=U, W=W, multipliers=v * mu**-1 * hidden, squared_lipschitz=u * v * mu**-2)
reads = block([[one, zero("n", "m")]])
sees = block([[zero("m", "n"), hidden]])


def pieces(factor):
    """The condition of the state, times a factor."""
    return [
        Term(hidden, block([[-(mu**-1) * U, hidden]]), factor),
        Term(of_U.matrix, reads, factor * mu**-2),
        Term(A.T @ A, sees, 2 * factor * mu**-1),
    ]


of_state, of_output = positive(state.condition()), positive(output.condition())
named = matrix("W", "m", "m")
strong = positive(2 * hidden - W - W.T, 2 * mu * hidden)

# Wrong versions.
P = matrix("S", "m", "m")
turned = Layer(G=hidden, U=U, W=monotone(-A.T @ A), multipliers=state.multipliers, squared_lipschitz=u * mu**-2)
general = Layer(G=hidden, U=U, W=monotone(A.T @ A, P), multipliers=state.multipliers, squared_lipschitz=u * mu**-2)
unscaled = Layer(G=hidden, U=U, W=W, multipliers=state.multipliers, squared_lipschitz=u)


def unrolled(W, U, bias, V, steps, length):
    """`V z` after steps of `z := relu((1 - length) z + length (W z + U x + b))`, whose fixed point is the layer's."""
    import numpy as np

    from sdpcert.network import Dense, Graph, relu
    from sdpcert.network.affine import Sum

    graph = Graph((U.shape[1],))
    reads = graph.add(Dense(length * U, length * bias), 0)
    state = graph.add(relu(), reads)
    for _ in range(steps - 1):
        mixed = graph.add(Dense((1 - length) * np.eye(len(W)) + length * W, None), state)
        state = graph.add(relu(), graph.add(Sum(), mixed, reads))
    return graph.network(graph.add(Dense(V, None), state))


def numbers():
    """Certify forward-backward steps of a random layer, which approach its equilibrium."""
    import numpy as np

    from sdpcert.certify import certify

    rng = np.random.default_rng(0)
    A, S, U, V = (rng.standard_normal(shape) for shape in ((4, 4), (4, 4), (4, 3), (2, 4)))
    W, bias, margin = 0.5 * np.eye(4) - A.T @ A / 8 + (S - S.T) / 8, rng.standard_normal(4), 0.5
    bound = float(np.linalg.norm(U, 2) * np.linalg.norm(V, 2) / margin)
    found = []
    for steps in (1, 12):
        certificate = certify(unrolled(W, U, bias, V, steps, 0.5))
        found.append(Comparison(f"attained after {steps} steps", certificate.lower, "<=", bound))
        found.append(Comparison("proved", certificate.upper, "<=", bound))
    return found


derivation = Derivation(
    title="Monotone equilibrium layers",
    source="Winston, Kolter: Monotone Operator Equilibrium Networks, NeurIPS 2020 (the parametrization); Pabbaraju, "
    "Winston, Kolter: Estimating Lipschitz Constants of Monotone Deep Equilibrium Models, ICLR 2021 (the constant)",
    statement=r"Let $\mu>0$, $W=(1-\mu)I-A^\top A+S$ with any $A$ and a skew $S$, and let $\sigma$ have slopes in "
    r"$[0,1]$. If $z=\sigma(Wz+Ux+b)$ and $z'=\sigma(Wz'+Ux'+b)$, then $\|z-z'\|\le\frac{\|U\|}\mu\|x-x'\|$ and "
    r"$\|Vz-Vz'\|\le\frac{\|U\|\|V\|}\mu\|x-x'\|$.",
    parts=[
        Part(
            Claim(
                "$I-W$ is strongly monotone",
                written(strong, positive(2 * hidden - named - named.T, 2 * mu * hidden), {named: W}),
                text=r"So $w^\top(I-W)w\ge\mu\|w\|^2$, which makes the equilibrium exist and be unique.",
            ),
            [Sandwiches(strong, Term(A.T @ A, coefficient=2))],
        ),
        Part(
            state.claim(
                "State",
                [of_U],
                r"$u\ge\|U\|^2$; the multipliers are $\mu^{-1}I$.",
            ),
            [Sandwiches(of_state, *pieces(1))],
            state,
        ),
        Part(
            output.claim("Output", [of_U, of_V], r"$v\ge\|V\|^2$; the multipliers are $v\mu^{-1}I$."),
            [Sandwiches(of_output, *pieces(v), Term(of_V.matrix, sees))],
            output,
        ),
    ],
    controls=[
        Part(turned.claim("$W=(1-\\mu)I+A^\\top A+S$", [of_U], n=1, m=1, k=1), layer=turned),
        Part(general.claim("$S$ is not skew", [of_U], n=1, m=1, k=1), layer=general),
        Part(unscaled.claim(r"The constant $\|U\|$", [of_U], r"No $\mu^{-1}$.", n=1, m=1, k=1), layer=unscaled),
    ],
    numbers=numbers,
    remark=r"Every $W$ with $w^\top(I-W)w\ge\mu\|w\|^2$ is of this form. The equilibrium is the zero of a strongly "
    r"monotone operator where $\sigma$ is the proximal operator of a convex function, as ReLU, tanh and every monotone "
    r"$\sigma$ with slopes in $[0,1]$ are. The bound itself needs no more than the two equations.",
)

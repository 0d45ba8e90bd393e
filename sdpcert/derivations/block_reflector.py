"""Block reflectors: I - 2 V (V'V)^-1 V' is orthogonal; with a guard it is nonexpansive."""

from typing import Any

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    equal,
    identity,
    indices,
    inverse,
    matrix,
    orthonormal,
    positive,
    rule,
    scalar,
)
from sdpcert.symbolic.steps import Identity, Sandwiches, Term
from sdpcert.symbolic.written import written

V, one, hidden = matrix("V", "n", "m"), identity("n"), identity("m")
R = inverse("R", V.T @ V, latex="R")
Q = one - 2 * V @ R @ V.T
layer = Layer(H=Q)
J = orthonormal("J", "n", "p")
columns = Q @ J

# A guard epsilon on the diagonal, with which V may be anything.
guard = scalar("epsilon", positive=True)
guarded = inverse("R", V.T @ V + guard * hidden, latex=r"R_\epsilon")
near = one - 2 * V @ guarded @ V.T
safe = Layer(H=near)

#: V'V has an inverse only if V has as many rows as columns, or more.
ROOM: dict[str, Any] = {"n": lambda sizes: max(sizes["n"], sizes["m"], sizes.get("p", 1))}

# How the statements are printed.
shown = matrix("Q", "n", "n")


def in_words(made):
    """`Q'Q = I` for this Q."""
    return written(equal(made.T @ made, one), equal(shown.T @ shown, one), {shown: made})


# Wrong versions.
i, _ = indices("i j")
lengths = rule("T", "m", i, (V.T @ V)[i, i])
separate = Layer(H=one - 2 * V @ lengths**-1 @ V.T)
once = one - V @ R @ V.T


def numbers():
    """Certify reflectors of random V, and what is left of one with a guard."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network import Network

    rng = np.random.default_rng(0)
    free = rng.standard_normal((6, 3))
    found = []
    for guard in (0.0, 0.1):
        made = np.eye(6) - 2 * free @ np.linalg.inv(free.T @ free + guard * np.eye(3)) @ free.T
        certificate = certify(Network.mlp([made]))
        least = float(np.linalg.norm(made, -2))
        found.append(Comparison(rf"proved norm with the guard {guard}", certificate.upper, "<=", 1.0, 1e-9))
        found.append(Comparison("least singular value", least, "==" if guard == 0 else "<=", 1.0, 1e-9))
    halved = certify(Network.mlp([made[:, :4], free.T / np.linalg.norm(free, 2)]))
    return [*found, Comparison("proved with four of its columns and ReLU", halved.upper, "<=", 1.0, 1e-6)]


derivation = Derivation(
    title="Block reflectors (BRO)",
    source="Lai, Huang, Kung, Chen: Enhancing Certified Robustness via Block Reflector Orthogonal Layers and Logit "
    "Annealing Loss, ICML 2025; Schreiber, Parlett: Block Reflectors: Theory and Computation, SIAM Journal on "
    "Numerical Analysis 25, 1988; This project (the guard)",
    statement=r"(i) If $V^\top V$ is invertible, $Q=I-2V(V^\top V)^{-1}V^\top$ is orthogonal, and $QJ$ has orthonormal "
    r"columns if $J$ has. (ii) For any $V$ and $\epsilon>0$ the layer $x\mapsto x-2V(V^\top V+\epsilon I)^{-1}"
    r"V^\top x$ is 1-Lipschitz.",
    parts=[
        Part(
            Claim(
                "Orthogonal",
                in_words(Q),
                sizes=ROOM,
            ),
            [Identity(Q.T @ Q, one, "because $RV^\\top VR=R$")],
        ),
        Part(
            Claim(
                "Orthonormal columns",
                written(
                    equal(columns.T @ columns, identity("p")),
                    equal((shown @ J).T @ (shown @ J), identity("p")),
                    {shown: Q},
                ),
                text=r"For instance the first $p$ columns of $Q$.",
                sizes=ROOM,
            ),
            [Identity(columns.T @ columns, identity("p"), "because $Q^\\top Q=I$ and $J^\\top J=I$")],
        ),
        Part(layer.claim("As a layer", **ROOM), [Sandwiches(positive(layer.condition()))], layer),
        Part(
            safe.claim(
                "With a guard",
                text=r"$V^\top V+\epsilon I$ has an inverse for every $V$: $I-Q^\top Q=4\epsilon VR_\epsilon^2V^\top$.",
            ),
            [Sandwiches(positive(safe.condition()), Term(hidden, guarded @ V.T, 4 * guard))],
            safe,
        ),
    ],
    controls=[
        Part(
            Claim(
                "Still orthogonal with a guard",
                in_words(near),
            )
        ),
        Part(Claim("Once instead of twice", in_words(once), text=r"This is a projection.", sizes=ROOM)),
        Part(
            separate.claim(
                "Columns one by one", text=r"The diagonal of $V^\top V$ alone: $V$ has to have orthogonal columns."
            ),
            layer=separate,
        ),
    ],
    numbers=numbers,
    remark=r"For one column this is Householder's reflection. A convolution is one such layer for each frequency, with "
    r"conjugate transposes.",
)

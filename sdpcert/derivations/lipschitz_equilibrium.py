"""Lipschitz-bounded equilibrium networks: z = phi(W z + U x + b), y = V z, with gamma prescribed and weights free."""

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
    skew,
    zero,
)
from sdpcert.symbolic.steps import Sandwiches, Term

gamma = scalar("g", positive=True, latex=r"\gamma")
Lambda = diagonal("Lambda", "m", latex=r"\Lambda")
U, V = matrix("U", "m", "n"), matrix("V", "p", "m")
X, S = matrix("X", "m", "m"), skew("S", "m")
one, hidden = identity("n"), identity("m")
sees = block([[zero("m", "n"), hidden]])


def made(square):
    """W with `2 Lambda - Lambda W - W'Lambda` equal to twice the square."""
    return hidden - Lambda**-1 @ (square + S)


spent = (V.T @ V + Lambda @ U @ U.T @ Lambda) * gamma**-1
direct = made(spent / 2 + X.T @ X)


def loop(square):
    """A free W; in instances one that is made of a square."""
    return matrix("W", "m", "m", definition=lambda instance: instance.value(made(square)))


W = loop(spent / 2 + X.T @ X)


def decay(weight):
    """`2 Lambda - Lambda W - W'Lambda`."""
    return 2 * Lambda - Lambda @ weight - weight.T @ Lambda


def bounded(weight, squared=gamma**2, multipliers=gamma * Lambda):
    """The layer with the constant gamma."""
    return Layer(G=V, U=U, W=weight, multipliers=multipliers, squared_lipschitz=squared)


given = positive(decay(W) - spent)
layer, explicit = bounded(W), bounded(direct)
condition, of_explicit = positive(layer.condition()), positive(explicit.condition())
square = Term(one, block([[gamma * one, -U.T @ Lambda]]))

# Wrong versions.
no_output = loop((Lambda @ U @ U.T @ Lambda * gamma**-1) / 2 + X.T @ X)
without_output = positive(decay(no_output) - Lambda @ U @ U.T @ Lambda * gamma**-1)
unseen = bounded(no_output)
halved = bounded(W, gamma**2 / 4)
unscaled = bounded(W, gamma**2, Lambda)


def numbers():
    """Certify forward-backward steps of a layer of random parameters, which approach its equilibrium."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.derivations.monotone_equilibrium import unrolled

    rng = np.random.default_rng(0)
    U, V, X, S = (rng.standard_normal(shape) for shape in ((4, 3), (2, 4), (4, 4), (4, 4)))
    gamma, bias = 2.0, rng.standard_normal(4)
    W = np.eye(4) - ((V.T @ V + U @ U.T) / (2 * gamma) + 0.1 * X.T @ X + 0.3 * (S - S.T))
    found = []
    for steps in (2, 8):
        certificate = certify(unrolled(W, U, bias, V, steps, 0.3))
        found.append(Comparison(f"attained after {steps} steps", certificate.lower, "<=", gamma))
        found.append(Comparison("proved", certificate.upper, ">=", certificate.lower))
    return found


derivation = Derivation(
    title="Lipschitz-bounded equilibrium networks (LBEN)",
    source="Revay, Wang, Manchester: Lipschitz Bounded Equilibrium Networks, arXiv:2010.01732, 2020",
    statement=r"Let $\sigma$ have slopes in $[0,1]$, let $\Lambda$ be positive diagonal, $\gamma>0$, and let "
    r"$z=\sigma(Wz+Ux+b)$, $y=Vz$. (i) If $2\Lambda-\Lambda W-W^\top\Lambda\succeq\frac1\gamma(V^\top V+"
    r"\Lambda UU^\top\Lambda)$ then $x\mapsto y$ is $\gamma$-Lipschitz, with the multipliers $\gamma\Lambda$. (ii) For "
    r"any $U$, $V$, $X$ and skew $S$ this holds for $W=I-\Lambda^{-1}\left(\frac1{2\gamma}(V^\top V+\Lambda UU^\top"
    r"\Lambda)+X^\top X+S\right)$.",
    parts=[
        Part(
            layer.claim("Equilibrium layer", [given], r"This is (i)."),
            [Sandwiches(condition, square, Term(given.matrix, sees, gamma))],
            layer,
        ),
        Part(
            Claim(
                "Well posed",
                positive(decay(W)),
                [given],
                r"$w^\top\Lambda(I-W)w\ge0$; it is positive where $Vw$ or $U^\top\Lambda w$ is not zero.",
            ),
            [Sandwiches(positive(decay(W)), Term(given.matrix), Term(spent))],
        ),
        Part(
            explicit.claim("Direct parametrization", text=r"This is (ii)."),
            [Sandwiches(of_explicit, square, Term(X.T @ X, sees, 2 * gamma))],
            explicit,
        ),
    ],
    controls=[
        Part(
            unseen.claim("Without the output", [without_output], r"$V^\top V$ is missing.", n=1, m=1, p=1), layer=unseen
        ),
        Part(halved.claim("Half the constant", [given], n=1, m=1, p=1), layer=halved),
        Part(
            unscaled.claim(
                r"Multipliers $\Lambda$",
                [given],
                r"For $\gamma\Lambda$: no certificate, although the layer is right.",
                n=1,
                m=1,
                p=1,
            )
        ),
    ],
    numbers=numbers,
    remark=r"$\Lambda=\frac{\|V\|}{\|U\|}I$ gives the monotone equilibrium layer. With $X^\top X\succ0$ "
    r"the equilibrium exists and is unique; the paper adds $\varepsilon I$ to that end.",
)

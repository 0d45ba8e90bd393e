"""Leaky gradient steps: x - (2 / nu) W' phi(W x + b) with nu >= |W|^2 and slopes in [1 - kappa, 1]."""

from sdpcert.derivations.averaged import residual_network, share
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
    slopes,
    squared_norm,
    vector,
)
from sdpcert.symbolic.steps import Sandwiches, Term
from sdpcert.symbolic.written import written

W, c = matrix("W", "m", "n"), share("kappa")
nu, bounded = squared_norm("nu", W, latex=r"\nu")
one, hidden = identity("n"), identity("m")
below_one = positive(1 - c)


def gradient(weight, squared, leak, length=2):
    """The step with the multipliers `(2 / nu kappa) I` for slopes in `[1 - kappa, 1]`, kappa the leak."""
    multipliers = 2 * squared**-1 * leak**-1 * identity(weight.rows)
    outward = -length * squared**-1 * weight.T
    return Layer(H=one, G=outward, U=weight, multipliers=multipliers, low=1 - leak, high=1)


step = gradient(W, nu, c)
condition = positive(step.condition())
transposed = positive(nu * hidden, W @ W.T)
of_transpose = Sandwiches(transposed, Term(hidden, nu * hidden - W @ W.T, nu**-1), Term(bounded.matrix, W.T, nu**-1))
completed = Sandwiches(
    condition,
    Term(hidden, block([[W, -hidden]]), 4 * nu**-1 * c**-1 * (1 - c)),
    Term(transposed.matrix, block([[0 * W, hidden]]), 4 * nu**-2),
)

# Half the step is firmly nonexpansive: dz is the difference of the activation's values, with slopes in [0, 1].
dx = vector("dx", "n", latex=r"\Delta x")
D = slopes("D", "m")
dz = vector("dz", "m", latex=r"\Delta z", definition=lambda instance: instance.value(D @ W @ dx))
dy = dx - nu**-1 * W.T @ dz
sector = positive(dz.T @ (W @ dx), dz.T @ dz)
firm = positive(dx.T @ dy, dy.T @ dy)
named = vector("dy", "n", latex=r"\Delta y")

# Wrong versions.
free_c = scalar("kappa", positive=True)
negative, long, estimate = gradient(W, nu, free_c), gradient(W, nu, c, 3), scalar("nu", positive=True, latex=r"\nu")
unbounded = gradient(W, estimate, c)
undivided = Layer(H=one, G=step.G, U=W, multipliers=2 * nu**-1 * hidden, low=1 - c, high=1)


def numbers():
    """Certify steps of leaky ReLU with random weights, at the greatest step size and beyond."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network.activations import leaky_relu

    rng = np.random.default_rng(0)
    weight, bias = rng.standard_normal((7, 5)), rng.standard_normal(7)
    size = np.linalg.norm(weight, 2) ** 2
    found = []
    for length, relation in ((2, "<="), (3, ">=")):
        network = residual_network(np.eye(5), -length / size * weight.T, weight, leaky_relu(0.25), bias)
        certificate = certify(network)
        if relation == "<=":
            found.append(Comparison(r"proved for $\kappa=3/4$", certificate.upper, "<=", 1.0, 1e-6))
            found.append(Comparison("attained", certificate.lower, "<=", certificate.upper))
        else:
            found.append(Comparison(r"attained with $3/\nu$ in place of $2/\nu$", certificate.lower, ">=", 1.9))
    return found


derivation = Derivation(
    title="Leaky gradient steps",
    source="Meunier, Delattre, Araujo, Allauzen: A Dynamical System Perspective for Lipschitz Neural Networks, ICML "
    "2022 (slopes in $[0,1]$); This project (leaky slopes)",
    statement=r"Let $\nu\ge\|W\|^2$, $\nu>0$, and let $\sigma$ have slopes in $[1-\kappa,1]$, $0<\kappa\le1$. (i) "
    r"The layer $x\mapsto x-\frac2\nu W^\top\sigma(Wx+b)$ is 1-Lipschitz with the multipliers $\frac2{\nu\kappa}I$. "
    r"(ii) For slopes in $[0,1]$ half the step is firmly nonexpansive: $y=x-\frac1\nu W^\top\sigma(Wx+b)$ has "
    r"$\|\Delta y\|^2\le\Delta x^\top\Delta y$.",
    parts=[
        Part(
            step.claim(
                "Leaky gradient step",
                [bounded, below_one],
                r"This is (i), with $\nu(\nu I-WW^\top)=(\nu I-WW^\top)^2+W(\nu I-W^\top W)W^\top$.",
            ),
            [of_transpose, completed],
            step,
        ),
        Part(
            Claim(
                "Half the step",
                written(firm, positive(dx.T @ named, named.T @ named), {named: dy}),
                [bounded, sector],
                r"This is (ii). $\Delta z$ is the difference of the activation's values; the last "
                r"hypothesis holds since the slopes are in $[0,1]$.",
            ),
            [
                of_transpose,
                Sandwiches(firm, Term(sector.matrix, coefficient=nu**-1), Term(transposed.matrix, dz, nu**-2)),
            ],
        ),
    ],
    controls=[
        Part(negative.claim(r"Any $\kappa>0$", [bounded], r"With $\kappa>1$ slopes may be negative."), layer=negative),
        Part(long.claim(r"Step $3/\nu$", [bounded, below_one]), layer=long),
        Part(unbounded.claim(r"Any $\nu>0$", [below_one], r"$\nu\ge\|W\|^2$ is missing."), layer=unbounded),
        Part(
            undivided.claim(
                "Multipliers of slopes in $[0,1]$",
                [bounded, below_one],
                r"$2\nu^{-1}I$, for slopes in $[1-\kappa,1]$: no certificate, although the layer is 1-Lipschitz.",
            )
        ),
    ],
    numbers=numbers,
    remark=r"With $\kappa=1$, (i) is the layer CPL. $W^\top\sigma(Wx+b)$ is the gradient of a convex function with a "
    r"$\nu$-Lipschitz gradient if $\sigma$ is monotone.",
)

"""One Bjorck step 3/2 W - 1/2 W W'W has norm at most one for |W| <= 2 and keeps singular vectors for |W| <= sqrt 3."""

from fractions import Fraction

import numpy as np

from sdpcert.symbolic import Claim, Comparison, Derivation, Layer, Part, identity, matrix, positive
from sdpcert.symbolic.steps import Polynomial

one = identity("m")


def bounded(name, square):
    """A matrix whose squared norm is `square` or little less; in instances singular values spread over the interval."""

    def definition(instance):
        drawn = instance.draw(f"{name} direction", instance.size("n"), instance.size("m"))
        scale = instance.root(instance.norm_above(drawn) / instance.array([square])[0])
        return drawn / scale

    return matrix(name, "n", "m", definition=definition)


def step(V):
    """The map."""
    return Fraction(3, 2) * V - Fraction(1, 2) * V @ V.T @ V


def norm_at_most(V, square):
    """`|V|^2 <= square`."""
    return [positive(square * one, V.T @ V)]


W, V, N = (bounded("W", square) for square in (4, 3, 1))
beyond = matrix("W", "n", "m")
too_far = Layer(H=step(beyond))
unguarded = Layer(H=step(beyond))


def polynomial(*coefficients):
    """Coefficients as fractions over four."""
    return [Fraction(c, 4) for c in coefficients]


def numbers():
    """Certify a layer of orthonormalised weights; and one step at singular values up to 2."""
    import torch

    import sdpcert.layers as layers
    from sdpcert.certify import certify
    from sdpcert.network import Network
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    certificate = certify(from_torch(layers.BjorckLinear(5, 5, dtype=torch.float64), (5,)), method="by-construction")
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((6, 4))
    weight *= 2 / np.linalg.norm(weight, 2)
    stepped = certify(Network.mlp([1.5 * weight - 0.5 * weight @ weight.T @ weight]))
    return [
        Comparison("proved for a Björck layer", certificate.upper, "<=", 1.0),
        Comparison("attained by a Björck layer", certificate.lower, ">=", 1.0, 1e-4),
        Comparison("proved for one step from the norm 2", stepped.upper, "<=", 1.0, 1e-6),
    ]


derivation = Derivation(
    title="Björck orthonormalisation",
    source="Anil, Lucas, Grosse: Sorting Out Lipschitz Function Approximation, ICML 2019; "
    "Björck, Bowie: An Iterative Algorithm for Computing the Best Estimate of an Orthogonal Matrix, SIAM Journal on "
    "Numerical Analysis 8, 1971",
    statement=r"Let $W'=\frac32W-\frac12WW^\top W$. (i) If $\|W\|\le2$ then $\|W'\|\le1$; hence all iterates from "
    r"$\|W\|\le\sqrt3$ on have norms of at most 1. (ii) If $\|W\|\le\sqrt3$ then $W^\top W'\succeq0$: singular vectors "
    r"stay, no singular value changes its sign. (iii) If $\|W\|\le1$ then $W^\top W\preceq W'^\top W'\preceq I$ and "
    r"$I-W'^\top W'\preceq(I-W^\top W)^2$.",
    parts=[
        Part(
            Claim("Norm at most one", positive(one, step(W).T @ step(W)), norm_at_most(W, 4), r"This is (i)."),
            [
                Polynomial(
                    polynomial(4, -9, 6, -1),
                    W.T @ W,
                    0,
                    4,
                    r"because $1-\frac14t(3-t)^2=\frac14(1-t)^2(4-t)\ge0$ for $0\le t\le4$, by functional calculus for "
                    r"$W^\top W$",
                )
            ],
            Layer(H=step(W)),
        ),
        Part(
            Claim("Signs stay", positive(V.T @ step(V)), norm_at_most(V, 3), r"This is (ii)."),
            [
                Polynomial(
                    polynomial(0, 6, -2),
                    V.T @ V,
                    0,
                    3,
                    r"because $\frac12t(3-t)\ge0$ for $0\le t\le3$, by functional calculus for $W^\top W$",
                )
            ],
        ),
        Part(
            Claim("Closer to orthonormal", positive(step(N).T @ step(N), N.T @ N), norm_at_most(N, 1), r"From (iii)."),
            [
                Polynomial(
                    polynomial(0, 5, -6, 1),
                    N.T @ N,
                    0,
                    1,
                    r"because $\frac14t(3-t)^2-t=\frac14t(1-t)(5-t)\ge0$ for $0\le t\le1$",
                )
            ],
        ),
        Part(
            Claim(
                "Quadratic convergence",
                positive((one - N.T @ N) @ (one - N.T @ N), one - step(N).T @ step(N)),
                norm_at_most(N, 1),
                r"From (iii).",
            ),
            [
                Polynomial(
                    polynomial(0, 1, -2, 1),
                    N.T @ N,
                    0,
                    1,
                    r"because $(1-t)^2-\frac14(1-t)^2(4-t)=\frac14t(1-t)^2\ge0$",
                )
            ],
        ),
    ],
    controls=[
        Part(too_far.claim("Norms up to 3", norm_at_most(beyond, 9), r"Beyond 2 the step grows."), layer=too_far),
        Part(
            Claim(
                "Signs for norms up to 2",
                positive(beyond.T @ step(beyond)),
                norm_at_most(beyond, 4),
                r"Between $\sqrt3$ and 2 the norm is at most 1, but singular values turn negative.",
            )
        ),
        Part(unguarded.claim("Without a bound of the norm"), layer=unguarded),
    ],
    numbers=numbers,
    remark=r"On singular values the step is $s\mapsto\frac32s-\frac12s^3$. It does not exceed 1 for any $s\ge0$; its "
    r"magnitude does so from $s=2$ on, its sign changes at $\sqrt3$.",
)

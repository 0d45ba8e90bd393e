"""The Cayley transform, rectangular and square: AA' + BB' = I for any X and Y, and I + Z is always invertible."""

from dataclasses import replace

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    equal,
    identity,
    inverse,
    matrix,
    positive,
    skew,
)
from sdpcert.symbolic.steps import Cayley, Identity, Sandwiches, Term
from sdpcert.symbolic.written import written

one = identity("n")
X, Y, S = matrix("X", "n", "n"), matrix("Y", "m", "n"), skew("S", "n")
Z = X - X.T + Y.T @ Y
R = inverse("R", one + Z)
A, B = (R @ (one - Z)).T, (-2 * Y @ R).T
RS = inverse("R_S", one + S)
Q = RS @ (one - S)

# How the statements are printed.
Zs, N = matrix("Z", "n", "n"), matrix("N", "n", "n")
As, Bs, Qs = matrix("A", "n", "n"), matrix("B", "n", "m"), matrix("Q", "n", "n")


def invertible(Z):
    """`N'N >= I` for N = I + Z."""
    return written(positive((one + Z).T @ (one + Z), one), positive(N.T @ N, one), {Zs: Z, N: one + Zs})


# What is forgotten: the symmetrisation, and that S is skew.
unsymmetric = X + Y.T @ Y
RU = inverse("R_U", one + unsymmetric)
free = inverse("R_X", one + X)
forgotten = Layer(H=RU @ (one - unsymmetric))
general = Layer(H=free @ (one - X))


def printed(claim, shown, names):
    """The claim, its conclusion printed with names for parts of it."""
    return replace(claim, show=written(claim.show, shown, names))


def numbers():
    """Certify a Cayley layer of random weights, square and rectangular."""
    import torch

    import sdpcert.layers as layers
    from sdpcert.certify import certify
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    made = []
    for sizes in ((5, 5), (4, 7)):
        layer = layers.CayleyLinear(*sizes, dtype=torch.float64)
        certificate = certify(from_torch(layer, (sizes[0],)), method="by-construction")
        what = f"Cayley layer {sizes[0]} to {sizes[1]}"
        made.append(Comparison(f"proved for the {what}", certificate.upper, "<=", 1.0))
        made.append(Comparison(f"attained by the {what}", certificate.lower, ">=", 1.0, 1e-5))
    return made


derivation = Derivation(
    title="Cayley transform",
    source="Trockman, Kolter: Orthogonalizing Convolutional Layers with the Cayley Transform, ICLR 2021; "
    "Wang, Manchester: Direct Parameterization of Lipschitz-Bounded Deep Networks, ICML 2023",
    statement=r"Let $X\in\mathbb R^{n\times n}$ and $Y\in\mathbb R^{m\times n}$ be arbitrary and "
    r"$Z=X-X^\top+Y^\top Y$. Then $I+Z$ is invertible, and \[A^\top=(I+Z)^{-1}(I-Z),\qquad B^\top=-2Y(I+Z)^{-1}\] "
    r"satisfy $AA^\top+BB^\top=I$. In particular $Q=(I+S)^{-1}(I-S)$ is orthogonal for every skew $S$.",
    parts=[
        Part(
            Claim(
                "$I+Z$ is invertible",
                invertible(Z),
                text=r"The symmetric part of $Z=X-X^\top+Y^\top Y$ is $Y^\top Y\succeq0$, so that $\|(I+Z)v\|\ge\|v\|$ "
                r"for every $v$: the square matrix $I+Z$ is injective, hence invertible.",
            ),
            [Sandwiches(positive((one + Z).T @ (one + Z), one), Term(Y.T @ Y, coefficient=2), Term(one, Z))],
        ),
        Part(
            Claim(
                "Rectangular",
                written(
                    equal(A @ A.T + B @ B.T, one),
                    equal(As @ As.T + Bs @ Bs.T, one),
                    {Zs: Z, As: (R @ (one - Zs)).T, Bs: (-2 * Y @ R).T},
                ),
            ),
            [Cayley(Z, R, Y), Identity(A @ A.T + B @ B.T, one, "because $(I+Z)^{-1}$ and $I-Z$ commute")],
        ),
        Part(
            Claim(
                "$I+S$ is invertible",
                written(positive((one + S).T @ (one + S), one), positive(N.T @ N, one), {N: one + S}),
                text=r"The same holds for a skew $S$.",
            ),
            [Sandwiches(positive((one + S).T @ (one + S), one), Term(one, S))],
        ),
        Part(
            Claim(
                "Square",
                written(equal(Q.T @ Q, one), equal(Qs.T @ Qs, one), {Qs: RS @ (one - S)}),
                text=r"$Q=(I+S)^{-1}(I-S)$ is orthogonal.",
            ),
            [Cayley(S, RS), Identity(Q.T @ Q, one, "because $(I+S)^{-1}$ and $I-S$ commute")],
        ),
    ],
    controls=[
        Part(
            Claim(
                r"$Z=X+Y^\top Y$",
                written(
                    equal((RU @ (one - unsymmetric)).T @ RU @ (one - unsymmetric) + 4 * RU.T @ Y.T @ Y @ RU, one),
                    equal(As @ As.T + Bs @ Bs.T, one),
                    {Zs: unsymmetric, As: (RU @ (one - Zs)).T, Bs: (-2 * Y @ RU).T},
                ),
                text=r"Without the symmetrisation $-X^\top$ the columns are not orthonormal.",
            ),
        ),
        Part(
            printed(
                forgotten.claim(r"$Z=X+Y^\top Y$ as a layer", text=r"The layer $x\mapsto A^\top x$."),
                positive(one - As @ As.T),
                {Zs: unsymmetric, As: (RU @ (one - Zs)).T},
            ),
            layer=forgotten,
        ),
        Part(
            printed(
                general.claim("$S$ is not skew", text=r"The layer $x\mapsto Qx$ with $Q=(I+X)^{-1}(I-X)$."),
                positive(one - Qs.T @ Qs),
                {Qs: free @ (one - X)},
            ),
            layer=general,
        ),
    ],
    numbers=numbers,
    remark=r"Invertibility is stated as $(I+Z)^\top(I+Z)\succeq I$; that an injective square matrix is invertible is "
    r"all that is added by hand. The symbols $R$ are the inverses, which therefore exist for all values of the free "
    r"symbols.",
)

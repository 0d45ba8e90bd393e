"""A convolution with zero padding is a crop of a circular one on a larger torus, whose norm and condition bound it."""

from dataclasses import replace
from fractions import Fraction

from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    diagonal,
    diagonal_block,
    equal,
    identity,
    matrix,
    orthonormal,
    positive,
    scalar,
    slopes,
)
from sdpcert.symbolic.steps import Identity, Sandwiches, Term
from sdpcert.symbolic.steps.torus import Crop, Kernel, convolution, crop
from sdpcert.symbolic.written import written

enlarged = {"N": lambda sizes: sizes["n"] + sizes["N"]}
larger = {big: (lambda sizes, big=big, own=own: sizes[own] + sizes[big] - 1) for big, own in ("Nn", "Mm", "Qq")}


def bound(M):
    """A number nu >= |M|^2, hardly more in instances, and that as a hypothesis."""

    def definition(instance):
        value = instance.norm_above(instance.value(M))
        return instance.diagonal([value if value != 0 else value + 1])

    made = scalar("nu", positive=True, definition=definition)
    return made, positive(made * identity(M.columns), M.T @ M)


# Any crop.
P, Q = orthonormal("P", "N", "n"), orthonormal("Q", "M", "m")
C = matrix("C", "N", "M")
nu, known = bound(C)
cropped = positive(nu * identity("m"), (P.T @ C @ Q).T @ P.T @ C @ Q)
outside = identity("N") - P @ P.T

# Convolutions of one dimension.
kernel, other = Kernel("c", "n", "N"), Kernel("d", "n", "N")
Z, K = convolution("Z", kernel, "zeros"), convolution("C", kernel, "circular")
Z1, K1 = convolution("Z_1", other, "zeros"), convolution("C_1", other, "circular")
E = crop("P", "N", "n")
nu_K, known_K = bound(K)
padded = Layer(H=Z, squared_lipschitz=nu_K)
D = slopes("D", "n")

# A network in stacked form, on the torus and cropped; norms are small enough for the condition to hold.


def small(name, rows, columns, norm, latex=None):
    """A matrix of that norm or hardly less."""

    def definition(instance):
        drawn = instance.draw(name, instance.size(rows), instance.size(columns))
        return drawn * instance.array([norm])[0] / instance.root(instance.norm_above(drawn))

    return matrix(name, rows, columns, latex, definition)


def between(instance):
    """A diagonal matrix with entries from 1 to 2."""
    drawn = instance.draw("shares", instance.size("M"), 1)
    return instance.diagonal([1 + abs(x) / (1 + abs(x)) for x in drawn[:, 0]])


def least(instance):
    """A number hardly above the least rho with which the condition on the torus holds."""
    top, across, corner = (instance.value(e) for e in (-torus_zero[0], torus_zero[1], torus_zero[2]))
    return instance.diagonal([instance.root(instance.norm_above(top + across @ instance.inverse(corner) @ across.T))])


Px, Pz, Py = crop("P_x", "N", "n"), crop("P_z", "M", "m"), crop("P_y", "Q", "q")
Kx, Kz = matrix("K_x", "M", "N", r"\tilde K_x"), small("K_z", "M", "M", Fraction(1, 8), r"\tilde K_z")
Fx, Fz = matrix("F_x", "Q", "N", r"\tilde F_x"), small("F_z", "Q", "M", Fraction(1, 2), r"\tilde F_z")
L = diagonal("Lambda", "M", latex=r"\tilde\Lambda", definition=between)
Li = diagonal("Lambda_i", "m", latex=r"\Lambda", definition=lambda instance: instance.value(Pz.T @ L @ Pz))
rho = scalar("rho", positive=True, definition=least)
on_torus = Layer(H=Fx, G=Fz, U=Kx, W=Kz, multipliers=L, squared_lipschitz=rho)
whole = on_torus.condition().entries
torus_zero = (whole[0][0] - rho * identity("N"), whole[0][1], whole[1][1])
inside = Layer(
    H=Py.T @ Fx @ Px,
    G=Py.T @ Fz @ Pz,
    U=Pz.T @ Kx @ Px,
    W=Pz.T @ Kz @ Pz,
    multipliers=Li,
    squared_lipschitz=rho,
)

own = {
    matrix("K_x'", "m", "n", "K_x"): Pz.T @ Kx @ Px,
    matrix("K_z'", "m", "m", "K_z"): Pz.T @ Kz @ Pz,
    matrix("F_x'", "q", "n", "F_x"): Py.T @ Fx @ Px,
    matrix("F_z'", "q", "m", "F_z"): Py.T @ Fz @ Pz,
}
kx, kz, fx, fz = own
by_name = Layer(H=fx, G=fz, U=kx, W=kz, multipliers=Li, squared_lipschitz=rho)
cropped_network = inside.claim(
    "Networks",
    [equal(L @ Pz, Pz @ Li), on_torus.claim("").show],
    r"A network on the torus in stacked form, $v=\tilde K_xx+\tilde K_zz$, $y=\tilde F_xx+\tilde F_zz$, slopes in "
    r"$[0,1]$, satisfies the condition with $\rho$ and a positive diagonal $\tilde\Lambda$. Then the cropped network "
    r"with $K_x$, $K_z$, $F_x$, $F_z$ below satisfies it with $\rho$ and $\Lambda=P_z^\top\tilde\Lambda P_z$, the "
    r"multipliers of the image, for which $\tilde\Lambda P_z=P_z\Lambda$ because $\tilde\Lambda$ is diagonal.",
    **larger,
)
cropped_network = replace(cropped_network, show=written(cropped_network.show, positive(by_name.condition()), own))

# Wrong: the torus is no larger than the image; and reflect padding. The reach is 1.
near = Kernel("c", "n", "n", reach=1)
around = convolution("C", near, "circular")
nu_near, known_near = bound(around)
unpadded = Layer(H=convolution("Z", near, "zeros"), squared_lipschitz=nu_near)
reflected = Layer(H=convolution("R", near, "reflect"), squared_lipschitz=nu_near)


def numbers():
    """Certify a small convolutional network pixel by pixel and over the frequencies of a larger torus."""
    import torch
    from torch import nn

    from sdpcert.certify import certify
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    modules = [nn.Conv2d(1, 2, 3, padding=1), nn.ReLU(), nn.Conv2d(2, 1, 3, padding=1)]
    network = from_torch(nn.Sequential(*modules), (1, 4, 4))
    unrolled, torus = certify(network, "neuron"), certify(network, "neuron", form="frequency")
    return [
        Comparison("proved on the larger torus, beside pixel by pixel", torus.upper, ">=", unrolled.upper, 1e-5),
        Comparison("attained by the network", torus.lower, "<=", torus.upper),
    ]


derivation = Derivation(
    title="Zero padding by a larger torus",
    source="Sedghi, Gupta, Long: The Singular Values of Convolutional Layers, ICLR 2019 (circular convolutions); "
    "Prach, Lampert: Almost-Orthogonal Layers for Efficient General-Purpose Lipschitz Networks, ECCV 2022 (zero "
    "padding)",
    statement=r"Let $c$ be a kernel with taps $c_o$, $|o|\le r$, let $Z$ be its convolution on $n$ positions with "
    r"zero padding "
    r"and $C$ its circular convolution on $n'\ge n+r$ positions. Then $Z=P^\top CP$ with the crop $P^\top$ to the "
    r"image, so "
    r"$\|Z\|\le\|C\|$. A network of such convolutions is a crop of the network on the torus whose neurons outside of "
    r"the image "
    r"have slope 0; every $\rho$ and diagonal $\tilde\Lambda$ that satisfy the condition on the torus satisfy it, "
    r"restricted to "
    r"the image, with zero padding.",
    parts=[
        Part(
            Claim(
                "Any crop",
                cropped,
                [known],
                r"Let $P^\top P=I$, $Q^\top Q=I$ and $\|C\|^2\le\nu$. Then $\|P^\top CQ\|^2\le\nu$.",
                {key: larger[key] for key in "NM"},
            ),
            [Sandwiches(cropped, Term(nu * identity("M") - C.T @ C, Q), Term(identity("N"), outside @ C @ Q))],
        ),
        Part(
            Claim(
                "Zero padding is a crop",
                equal(Z, E.T @ K @ E),
                [],
                r"Let $r=N-n$, $Z_{ij}=c_{i-j}$ for $|i-j|\le r$ and 0 otherwise, $C_{ij}=\sum_{o\equiv "
                r"i-j\,(N)}c_o$, and let $P$ "
                r"be the first $n$ columns of the identity of size $N$. (Larger tori: fill the kernel with zeros.)",
                enlarged,
            ),
            [Crop(Z, K, E)],
        ),
        Part(
            padded.claim(
                "Its norm",
                [equal(E.T @ E, identity("n")), known_K],
                r"With the same matrices, $\|C\|^2\le\nu$ gives $\|Z\|^2\le\nu$.",
                **enlarged,
            ),
            [
                Crop(Z, K, E),
                Sandwiches(
                    padded.claim("").show,
                    Term(nu_K * identity("N") - K.T @ K, E),
                    Term(identity("N"), (identity("N") - E @ E.T) @ K @ E),
                ),
            ],
            padded,
        ),
        Part(
            Claim(
                "Slopes",
                equal(Z1 @ D @ Z, E.T @ K1 @ E @ D @ E.T @ K @ E),
                [],
                r"Two convolutions (kernels $c$ and $d$) with slopes $D$ between them: on the torus the slopes are "
                r"$PDP^\top$, "
                r"those of the image, and 0 outside.",
                enlarged,
            ),
            [Crop(Z, K, E), Crop(Z1, K1, E), Identity(Z1 @ D @ Z, E.T @ K1 @ E @ D @ E.T @ K @ E)],
        ),
        Part(
            cropped_network,
            [
                Sandwiches(
                    inside.claim("").show,
                    Term(on_torus.condition(), diagonal_block(Px, Pz)),
                    Term(
                        identity("Q"),
                        block([[(identity("Q") - Py @ Py.T) @ Fx @ Px, (identity("Q") - Py @ Py.T) @ Fz @ Pz]]),
                    ),
                )
            ],
            inside,
        ),
    ],
    controls=[
        Part(
            unpadded.claim(
                "The circular bound of the image's own size",
                [known_near],
                r"Let $r=1$ and $C$ be the circular convolution on the image itself, $n'=n$; $Z$ the one with zero "
                r"padding.",
            ),
            layer=unpadded,
        ),
        Part(
            reflected.claim(
                "The circular bound for reflect padding",
                [known_near],
                r"Let $r=1$ and $R$ be the convolution with reflect padding, $x_{-1}=x_1$ and $x_n=x_{n-2}$.",
            ),
            layer=reflected,
        ),
    ],
    numbers=numbers,
    remark=r"The convolutions here have one dimension and one channel. With more of them positions and offsets are "
    r"tuples, taps "
    r"are matrices, and the argument is the same for every axis. The last claim is about any stacked form: by the "
    r"second one its "
    r"blocks are crops if every convolution is, biases do not matter. Slope 0 is admissible on the torus for slopes "
    r"in $[0,1]$.",
)

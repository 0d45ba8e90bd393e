"""Invertible residual layers y = x + g(x), Lip(g) <= L < 1: a bound from below, and the constant of the inverse."""

from sdpcert.derivations.averaged import contraction, residual_network, share
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    diagonal_block,
    identity,
    matrix,
    positive,
    scalar,
    squared_norm,
    vector,
    zero,
)
from sdpcert.symbolic.steps import Sandwiches, Term
from sdpcert.symbolic.written import written

L = share("L")
dx = vector("dx", "n", latex=r"\Delta x")
one, hidden = identity("n"), identity("m")


def difference(top, name="C"):
    """The difference of the values of a map with the constant `top`."""
    drawn = contraction(name, "n", "n", square=top**2)
    return vector("dg", "n", latex=r"\Delta g", definition=lambda instance: instance.value(drawn @ dx))


dg = difference(L)
dy = dx + dg
smaller, below_one = positive(L**2 * dx.T @ dx, dg.T @ dg), positive(1 - L)
below = positive(dy.T @ dy, (1 - L) ** 2 * dx.T @ dx)
above = positive((1 + L) ** 2 * dx.T @ dx, dy.T @ dy)

# How the statements are printed.
named, ratio = vector("dy", "n", latex=r"\Delta y"), scalar("c")


def in_words(statement, output, value, turned=False):
    """The statement with names for the difference of outputs and for the constant."""
    outputs, inputs = named.T @ named, ratio**2 * dx.T @ dx
    shown = positive(inputs, outputs) if turned else positive(outputs, inputs)
    return written(statement, shown, {named: output, ratio: value})


# With a = L / (1 - L), so that L = a / (1 + a) and 1 / (1 - L) = 1 + a.
a = scalar("a", positive=True)
da = vector(
    "dg",
    "n",
    latex=r"\Delta g",
    definition=lambda instance: (
        instance.value(contraction("C", "n", "n") @ dx) * (instance.number(a) / (1 + instance.number(a)))
    ),
)
within = positive(a**2 * dx.T @ dx, (1 + a) ** 2 * da.T @ da)
back = positive((1 + a) ** 2 * (dx + da).T @ (dx + da), dx.T @ dx)

# g = V phi(U x + b) with slopes in [-1, 1]: the inverse is the implicit layer x = y - V z, z = phi(U y - U V z + b).
U = matrix("U", "m", "n")
u, of_U = squared_norm("u", U)


def fitting(instance):
    """V with (1 + a)^2 u V'V <= a^2 I."""
    drawn = instance.draw("V direction", instance.size("n"), instance.size("m"))
    norm = instance.root(instance.norm_above(drawn) * instance.number(u))
    return drawn * (instance.number(a) / ((1 + instance.number(a)) * (norm if norm != 0 else norm + 1)))


V = matrix("V", "n", "m", definition=fitting)
of_V = positive(a**2 * hidden, (1 + a) ** 2 * u * V.T @ V)


def inverse_layer(outward, squared):
    """The inverse of `x + V phi(U x + b)` for slopes in [-1, 1]."""
    weights = a * u**-1 / 2 * hidden
    return Layer(H=one, G=-outward, U=U, W=-U @ outward, multipliers=weights, squared_lipschitz=squared, low=-1, high=1)


inverse = inverse_layer(V, (1 + a) ** 2)
recovered = block([[one, -V]])
condition = positive(inverse.condition())

# Wrong versions.
M = scalar("L", positive=True)
dh = difference(M, "C")
free = positive((dx + dh).T @ (dx + dh), (1 - M) ** 2 * dx.T @ dx)
squared = positive(dy.T @ dy, (1 - L**2) * dx.T @ dx)
one_plus = positive((1 + L) ** 2 * dy.T @ dy, dx.T @ dx)
forward = inverse_layer(V, 1 + a)


def numbers():
    """Certify a layer of tanh; and the steps x := y - g(x) that invert it."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network import Dense, Graph
    from sdpcert.network.activations import tanh
    from sdpcert.network.affine import Sum

    rng = np.random.default_rng(0)
    U, G, bias, top = rng.standard_normal((5, 4)), rng.standard_normal((4, 5)), rng.standard_normal(5), 0.5
    U, G = U / np.linalg.norm(U, 2), top * G / np.linalg.norm(G, 2)
    layer = residual_network(np.eye(4), G, U, tanh(), bias)
    graph = Graph((4,))
    value = 0
    for _ in range(5):
        inside = graph.add(tanh(), graph.add(Dense(U, bias), value))
        value = graph.add(Sum((1, -1)), 0, graph.add(Dense(G, None), inside))
    inverted, there = graph.network(value), certify(layer)
    certificate = certify(inverted)
    points = rng.standard_normal((2, 50, 4))
    stretched = np.linalg.norm(layer(points[0]) - layer(points[1]), axis=1)
    least = float(np.min(stretched / np.linalg.norm(points[0] - points[1], axis=1)))
    return [
        Comparison("proved for $L=\\frac12$", there.upper, "<=", 1 + top, 1e-6),
        Comparison("least quotient of 50 random pairs", least, ">=", 1 - top),
        Comparison("attained by five steps of its inversion", certificate.lower, "<=", 1 / (1 - top)),
    ]


derivation = Derivation(
    title="Invertible residual layers",
    source="Behrmann, Grathwohl, Chen, Duvenaud, Jacobsen: Invertible Residual Networks, ICML 2019, Lemma 2; This "
    "project (the inverse as a layer)",
    statement=r"Let $0<L<1$ and $y=x+g(x)$ with an $L$-Lipschitz $g$. (i) $(1-L)\|x-x'\|\le\|y-y'\|\le(1+L)\|x-x'\|$, "
    r"and the inverse is $\frac1{1-L}$-Lipschitz. (ii) For $g(x)=V\sigma(Ux+b)$ with slopes in $[-1,1]$ and "
    r"$\|V\|\|U\|\le L$ the inverse is the implicit layer $x=y-Vz$, $z=\sigma(Uy-UVz+b)$, with the multipliers "
    r"$\frac a{2u}I$ for $a=\frac L{1-L}$ and any $u\ge\|U\|^2$.",
    parts=[
        Part(
            Claim("Bound from below", in_words(below, dy, 1 - L), [smaller, below_one], r"The left inequality of (i)."),
            [
                Sandwiches(
                    below,
                    Term(one, L * dx + dg, L**-1),
                    Term(smaller.matrix, coefficient=L**-1 * (1 - L)),
                )
            ],
        ),
        Part(
            Claim(
                "Bound from above",
                in_words(above, dy, 1 + L, turned=True),
                [smaller],
                r"The right inequality of (i), for every $L>0$.",
            ),
            [Sandwiches(above, Term(one, L * dx - dg, L**-1), Term(smaller.matrix, coefficient=1 + L**-1))],
        ),
        Part(
            Claim(
                "Inverse",
                written(
                    back,
                    positive(ratio**2 * named.T @ named, dx.T @ dx),
                    {named: dx + da, ratio: 1 + a},
                ),
                [within],
                r"With $a=\frac L{1-L}$: $L=\frac a{1+a}$ and $\frac1{1-L}=1+a$.",
            ),
            [
                Sandwiches(
                    back,
                    Term(one, dx + (1 + a**-1) * da, a * (1 + a)),
                    Term(within.matrix, coefficient=a**-1),
                )
            ],
        ),
        Part(
            inverse.claim(
                "Inverse of a layer",
                [of_U, of_V],
                r"$u\ge\|U\|^2$, and $(1+a)^2u\|V\|^2\le a^2$ says that $\|V\|\sqrt u\le L$.",
            ),
            [
                Sandwiches(
                    condition,
                    Term(one, block([[one, a**-1 * V]]), a * (1 + a)),
                    Term(of_U.matrix, recovered, a * u**-1),
                    Term(diagonal_block(zero("n", "n"), of_V.matrix.entries[0][0]), coefficient=a**-1 * u**-1),
                )
            ],
            inverse,
        ),
    ],
    controls=[
        Part(
            Claim(
                "Any $L>0$",
                in_words(free, dx + dh, 1 - M),
                [positive(M**2 * dx.T @ dx, dh.T @ dh)],
                r"$L\le1$ is missing.",
            )
        ),
        Part(
            Claim(
                "The square inside",
                written(squared, positive(named.T @ named, (1 - L**2) * dx.T @ dx), {named: dy}),
                [smaller, below_one],
                r"$1-L^2$ in place of $(1-L)^2$.",
            )
        ),
        Part(
            Claim(
                "The inverse with the constant $1+L$",
                written(one_plus, positive(ratio**2 * named.T @ named, dx.T @ dx), {named: dy, ratio: 1 + L}),
                [smaller, below_one],
            )
        ),
        Part(forward.claim("The constant of the inverse, not squared", [of_U, of_V]), layer=forward),
    ],
    numbers=numbers,
    remark=r"That $x\mapsto y-g(x)$ has one fixed point is Banach's theorem, and by (i) $\|x-x^*\|\le\frac1{1-L}"
    r"\|x+g(x)-y\|$ for the solution $x^*$ and any $x$: an error bound for what an inversion returns.",
)

"""Averaged layers: (1 - t) x + t B phi(A x + b) with |A|, |B| <= 1 and slopes in [-1, 1], and convex combinations."""

from fractions import Fraction

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
    number,
    positive,
    scalar,
    vector,
)
from sdpcert.symbolic.steps import Sandwiches, Term
from sdpcert.symbolic.written import written

ONE = number(1)


def contraction(name, rows, columns, latex=None, square=ONE):
    """A matrix whose squared norm is at most `square`; instances come close to it."""

    def definition(instance):
        drawn = instance.draw(f"{name} direction", instance.size(rows), instance.size(columns))
        norm = instance.root(instance.norm_above(drawn) / instance.number(square))
        return drawn / (norm if norm != 0 else norm + 1)

    return matrix(name, rows, columns, latex=latex, definition=definition)


def scale_above(squared):
    """A power of two whose square is at least the positive number `squared`: it keeps fractions short."""
    scale = squared * 0 + 1
    while scale**2 < squared:
        scale = 2 * scale
    while scale**2 >= 4 * squared:
        scale = scale / 2
    return scale


def share(name, top=Fraction(1)):
    """A scalar between 0 and `top`; instances reach both halves of the interval and its upper end."""

    def definition(instance):
        drawn = instance.draw(f"{name} share", 1, 1, positive=True)[0, 0]
        return instance.diagonal([top * (drawn if drawn <= 1 else 1 / drawn)])

    return scalar(name, positive=True, definition=definition)


def shrinks(C):
    """`C'C <= I`."""
    return positive(identity(C.columns), C.T @ C)


t = share("t")
below_one = positive(1 - t)
A, B = contraction("A", "m", "n"), contraction("B", "n", "m")
one, hidden = identity("n"), identity("m")


def averaged(inward, outward, multiplier):
    """`(1 - t) x + t B phi(A x + b)` for slopes in [-1, 1]."""
    multipliers = multiplier * identity(inward.rows)
    return Layer(H=(1 - t) * one, G=t * outward, U=inward, multipliers=multipliers, low=-1, high=1)


half = Fraction(1, 2)
layer = averaged(A, B, half * t)
condition = positive(layer.condition())


def completed(inward, outward):
    """The condition as a square and what |A| and |B| leave of one."""
    made = positive(averaged(inward, outward, half * t).condition())
    into, out = identity(inward.columns), identity(inward.rows)
    return Sandwiches(
        made,
        Term(into, block([[into, -outward]]), t * (1 - t)),
        Term(
            diagonal_block(into - inward.T @ inward, out - outward.T @ outward),
            coefficient=t,
        ),
    )


# B = Q' needs the norm of the transpose.
Q = contraction("Q", "m", "n")
transposed = positive(hidden, Q @ Q.T)
of_transpose = Sandwiches(transposed, Term(hidden, hidden - Q @ Q.T), Term(one - Q.T @ Q, Q.T))
turned = averaged(Q, Q.T, half * t)

# Any nonexpansive map in place of B phi(A x + b): dn is the difference of its values.
dx, d1 = vector("dx", "n", latex=r"\Delta x"), vector("e", "n", latex=r"\Delta_1")


def shorter(name, latex):
    """The difference of the values of a nonexpansive map."""
    drawn = contraction(f"C {name}", "n", "n")
    return vector(name, "n", latex=latex, definition=lambda instance: instance.value(drawn @ dx))


du, dv = shorter("du", r"\Delta u"), shorter("dv", r"\Delta v")
nonexpansive = [positive(dx.T @ dx, d.T @ d) for d in (du, dv)]
dy = (1 - t) * dx + t * du
gap = positive(t * (dx.T @ dx - dy.T @ dy), (1 - t) * (dx - dy).T @ (dx - dy))
mixed = (1 - t) * du + t * dv
combined = positive(dx.T @ dx, mixed.T @ mixed)
named = vector("dy", "n", latex=r"\Delta y")


def in_words(statement, shown, output):
    """The statement with a name for the difference of outputs."""
    return written(statement, shown, {named: output})


# Wrong versions.
w = scalar("t", positive=True)
over = Layer(H=(1 - w) * one, G=w * B, U=A, multipliers=half * w * hidden, low=-1, high=1)
wide = Layer(H=(1 - t) * one, G=t * B, U=A, multipliers=half * t * hidden, low=-2, high=1)
C = matrix("Q", "m", "n")
unbounded = averaged(C, C.T, half * t)
sharper = positive(t * (dx.T @ dx - dy.T @ dy), (dx - dy).T @ (dx - dy))


def residual_network(H, G, U, activation, bias):
    """`H x + G phi(U x + b)` as a network."""
    from sdpcert.network import Dense, Graph
    from sdpcert.network.affine import Sum

    graph = Graph((H.shape[1],))
    neurons = graph.add(activation, graph.add(Dense(U, bias), 0))
    return graph.network(graph.add(Sum(), graph.add(Dense(H, None), 0), graph.add(Dense(G, None), neurons)))


def numbers():
    """Certify averaged layers of absolute values, with an orthogonal Q and with two random contractions."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network.activations import absolute

    rng = np.random.default_rng(0)
    found = []
    orthogonal = np.linalg.qr(rng.standard_normal((5, 5)))[0]
    free = [rng.standard_normal(shape) for shape in ((7, 5), (5, 7))]
    inward, outward = (weight / np.linalg.norm(weight, 2) for weight in free)
    for name, first, second in (("an orthogonal $Q$", orthogonal, orthogonal.T), ("random $A$, $B$", inward, outward)):
        network = residual_network(0.6 * np.eye(5), 0.4 * second, first, absolute(), rng.standard_normal(len(first)))
        certificate = certify(network)
        found += [
            Comparison(f"proved for $t=0.4$ and {name}", certificate.upper, "<=", 1.0, 1e-6),
            Comparison("attained", certificate.lower, "<=", certificate.upper),
        ]
    return found


derivation = Derivation(
    title="Averaged layers",
    source="Baillon, Bruck, Reich: On the Asymptotic Behavior of Nonexpansive Mappings and Semigroups in Banach "
    "Spaces, Houston Journal of Mathematics 4, 1978 (averaged mappings); This project (the multipliers)",
    statement=r"Let $0<t\le1$, $\|A\|\le1$, $\|B\|\le1$, and let $\sigma$ have slopes in $[-1,1]$. (i) The layer "
    r"$x\mapsto(1-t)x+tB\,\sigma(Ax+b)$ is 1-Lipschitz with the multipliers $\frac t2I$; $A=Q$, $B=Q^\top$ and "
    r"$t=\frac12$ is $\frac12x+\frac12Q^\top\sigma(Qx+b)$. (ii) Let $\|\Delta u\|\le\|\Delta x\|$ for a map $u$, and "
    r"$y=(1-t)x+tu(x)$. Then $\|\Delta y\|^2\le\|\Delta x\|^2-\frac{1-t}t\|\Delta x-\Delta y\|^2$. "
    r"(iii) Convex combinations of 1-Lipschitz maps are 1-Lipschitz.",
    parts=[
        Part(
            layer.claim("Averaged layer", [shrinks(A), shrinks(B), below_one], r"This is (i)."),
            [completed(A, B)],
            layer,
        ),
        Part(
            turned.claim(
                "With a matrix and its transpose",
                [shrinks(Q), below_one],
                r"$\|Q\|\le1$ bounds both sides, since $I-QQ^\top=(I-QQ^\top)^2+Q(I-Q^\top Q)Q^\top$.",
            ),
            [of_transpose, completed(Q, Q.T)],
            turned,
        ),
        Part(
            Claim(
                "What an average gains",
                in_words(gap, positive(t * (dx.T @ dx - named.T @ named), (1 - t) * (dx - named).T @ (dx - named)), dy),
                [nonexpansive[0]],
                r"This is (ii), times $t$, for the difference $\Delta y=(1-t)\Delta x+t\,\Delta u$.",
            ),
            [Sandwiches(gap, Term(dx.T @ dx - du.T @ du, coefficient=t**2))],
        ),
        Part(
            Claim(
                "Convex combinations",
                in_words(combined, positive(dx.T @ dx, named.T @ named), mixed),
                [*nonexpansive, below_one],
                r"This is (iii), for the differences $\Delta u$ and $\Delta v$ of two maps; more maps by induction.",
            ),
            [
                Sandwiches(
                    combined,
                    Term(one, du - dv, t * (1 - t)),
                    Term(nonexpansive[0].matrix, coefficient=1 - t),
                    Term(nonexpansive[1].matrix, coefficient=t),
                )
            ],
        ),
    ],
    controls=[
        Part(over.claim("Any $t>0$", [shrinks(A), shrinks(B)], r"$t\le1$ is missing."), layer=over),
        Part(wide.claim(r"Slopes in $[-2,1]$", [shrinks(A), shrinks(B), below_one]), layer=wide),
        Part(unbounded.claim("$Q$ of any norm", [below_one]), layer=unbounded),
        Part(
            Claim(
                "A larger gain",
                in_words(sharper, positive(t * (dx.T @ dx - named.T @ named), (dx - named).T @ (dx - named)), dy),
                [nonexpansive[0], below_one],
                r"$\frac1t$ in place of $\frac{1-t}t$ in (ii).",
            )
        ),
    ],
    numbers=numbers,
    remark=r"(i) is the matrix of the condition as $t(1-t)\|\Delta x-B\Delta z\|^2+t(\|\Delta x\|^2-\|A\Delta x\|^2)"
    r"+t(\|\Delta z\|^2-\|B\Delta z\|^2)$. By (ii) an iteration $x_{k+1}=y(x_k)$ with a fixed point moves by squares "
    r"whose sum is finite.",
)

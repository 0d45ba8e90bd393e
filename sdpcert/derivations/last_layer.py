"""Last-layer normalisation: radii (f_y - f_j) / (L |w_y - w_j|) from unit rows after a backbone of constant L."""

import numpy as np

from sdpcert.certify import certify
from sdpcert.network import Network
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    identity,
    matrix,
    positive,
    scalar,
    trace_of,
    vector,
)
from sdpcert.symbolic.steps import Sandwiches, Term, Trace


def direction(name, latex=None):
    """A vector of norm one."""
    return matrix(
        name,
        "n",
        1,
        latex,
        definition=lambda instance: instance.orthogonal(name, instance.size("n"))[:, :1],
        equal_to=lambda w: [(w.T @ w, identity(1))],
    )


w, v = direction("w", r"\hat w_y"), direction("v", r"\hat w_j")
gap = trace_of("d", (w - v) @ (w - v).T, latex=r"\delta^2")
L, m, t = (
    scalar("L", positive=True),
    scalar("m", positive=True),
    scalar("t", definition=lambda instance: share(instance, m)),
)
dx = vector("dx", "k", latex=r"\Delta x")


def share(instance, bound):
    """At most `bound` in magnitude, often equal to it."""
    factor = instance.draw("share", 1, 1)[0, 0]
    return instance.diagonal([instance.number(bound) * max(min(factor, 1), -1)])


def feature_increment(instance):
    """L times an orthogonal map of the input's increment, cut off or filled up to the features' dimension."""
    features, inputs = instance.size("n"), instance.size("k")
    size = max(features, inputs)
    turned = instance.orthogonal("backbone", size)[:features, :inputs] @ instance.value(dx)
    return turned * instance.number(L)


dh = vector("dh", "n", latex=r"\Delta h", definition=feature_increment)
backbone = positive(L**2 * dx.T @ dx, dh.T @ dh)
c = w - v
logits = positive(L**2 * gap * dx.T @ dx, dh.T @ c @ c.T @ dh)


def rows(instance):
    classes, size = instance.size("c"), instance.size("n")
    return np.concatenate([instance.orthogonal(f"row {k}", size)[:, :1] for k in range(classes)], axis=1).T


def bounded(instance):
    classes, size = instance.size("c"), instance.size("n")
    return instance.orthogonal("head", max(classes, size))[:classes, :size]


W, head = matrix("W", "c", "n", r"\hat W", definition=rows), matrix("W", "c", "n", definition=bounded)


def two_classes(instance):
    """e_y - e_j of two classes."""
    classes = instance.size("c")
    chosen, made = instance.draw("classes", 1, 1), instance.array([[0]] * classes)
    y = int(2 * abs(chosen[0, 0])) % classes
    j = (y + 1 + y % (classes - 1)) % classes
    made[y, 0], made[j, 0] = made[y, 0] + 1, made[j, 0] - 1
    return made


e = matrix("e", "c", 1, "(e_y-e_j)", definition=two_classes, equal_to=lambda e: [(e.T @ e, 2 * identity(1))])
whole = Layer(H=W)
contraction = positive(identity("c"), head @ head.T)


def numbers():
    """Certify a head of normalised rows, and a difference of its logits after a random layer."""
    rng = np.random.default_rng(0)
    backbone, head = rng.standard_normal((5, 4)), rng.standard_normal((3, 5))
    head /= np.linalg.norm(head, axis=1, keepdims=True)
    constant = certify(Network.mlp([np.eye(4), backbone])).upper
    pair = certify(Network.mlp([backbone, (head[:1] - head[1:2])]))
    return [
        Comparison(
            "attained by a difference of logits, bound",
            pair.lower,
            "<=",
            constant * float(np.linalg.norm(head[0] - head[1])),
        ),
        Comparison("attained by normalised rows as a whole", certify(Network.mlp([head])).lower, ">=", 1.0),
    ]


derivation = Derivation(
    title="Last-layer normalisation",
    source="Singla, Singla, Feizi: Improved deterministic l2 robustness on CIFAR-10 and CIFAR-100, ICLR 2022",
    statement=r"Let the logits be $f_i(x)=\hat w_i^\top h(x)+b_i$ with $\|\hat w_i\|=1$ and an $L$-Lipschitz "
    r"$h$. Then $f_y-f_j$ is $L\|\hat w_y-\hat w_j\|$-Lipschitz, and where $f_y>f_j$ class $j$ does not overtake "
    r"class $y$ "
    r"within the radius $(f_y-f_j)/(L\|\hat w_y-\hat w_j\|)$ (within any if $\hat w_y=\hat w_j$), where "
    r"$\|\hat w_y-\hat w_j\|\le2$. For a head $f=Wh+b$ with $WW^\top\preceq I$ differences of two logits are "
    r"$\sqrt2L$-Lipschitz; for orthonormal rows $\|w_y-w_j\|=\sqrt2$.",
    parts=[
        Part(
            Claim(
                "differences of logits",
                logits,
                [backbone],
                r"$\Delta h$ is the increment of $h$ over $\Delta x$, and $\delta=\|\hat w_y-\hat w_j\|$.",
            ),
            [
                Sandwiches(positive(c @ c.T), Term(identity(1), c.T)),
                Trace(gap, c @ c.T),
                Sandwiches(
                    logits, Term(L**2 * dx.T @ dx - dh.T @ dh, None, gap), Term(gap * identity("n") - c @ c.T, dh)
                ),
            ],
        ),
        Part(
            Claim(
                "the radius",
                positive(m + t),
                [positive(m**2, t**2)],
                r"$m=f_y-f_j>0$ at $x$ and $t$ is its increment, $t^2\le L^2\delta^2\|\Delta x\|^2\le m^2$ for "
                r"$\|\Delta x\|\le m/(L\delta)$.",
            ),
            [Sandwiches(positive(m + t), Term(m**2 - t**2, None, m**-1 / 2), Term(identity(1), m + t, m**-1 / 2))],
        ),
        Part(
            Claim("two rows are at most 2 apart", positive(4 * identity(1), c.T @ c)),
            [Sandwiches(positive(4 * identity(1), c.T @ c), Term(identity("n"), w + v))],
        ),
        Part(
            Claim(
                "class differences after a contraction",
                positive(2 * identity(1), e.T @ head @ head.T @ e),
                [contraction],
                r"$e_y$, $e_j$ are unit vectors of two classes, so that $w_y-w_j=W^\top(e_y-e_j)$.",
                {"c": lambda sizes: max(sizes["c"], 2)},
            ),
            [Sandwiches(positive(2 * identity(1), e.T @ head @ head.T @ e), Term(identity("c") - head @ head.T, e))],
        ),
    ],
    controls=[
        Part(whole.claim("normalised rows make a 1-Lipschitz head"), layer=whole),
        Part(Claim("$\\sqrt2$ for normalised rows", positive(2 * identity(1), c.T @ c))),
        Part(
            Claim(
                "the radius without the norm of the difference",
                positive(L**2 * dx.T @ dx, dh.T @ c @ c.T @ dh),
                [backbone],
            )
        ),
    ],
    numbers=numbers,
)

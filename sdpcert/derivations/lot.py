"""Layer-wise orthogonal training: V (V'V)^(-1/2) has orthonormal columns, and Newton's iteration for it stays below."""

from fractions import Fraction
from typing import Any

from sdpcert.derivations.averaged import shrinks
from sdpcert.derivations.retraction import step, step_of
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
    orthonormal,
    positive,
    symmetric,
)
from sdpcert.symbolic.steps import Identity, Sandwiches, Term
from sdpcert.symbolic.written import written

one, half = identity("m"), Fraction(1, 2)
#: At least as many rows as columns, and of these few: roots make long fractions.
ROOM: dict[str, Any] = {"n": lambda sizes: max(sizes["n"], sizes["m"]), "m": lambda sizes: min(sizes["m"], 3)}
frame = orthonormal("O", "n", "m")
S = symmetric("S", "m", positive=True)
V = matrix("V", "n", "m", definition=lambda instance: instance.value(frame @ S))
root = equal(V.T @ V, S @ S)
layer = Layer(H=V @ S**-1)


# Newton's iteration Z := T Z with T = (3 I - Z V'V Z) / 2 from Z = I: Z is a polynomial of V'V.
def below_one(instance):
    """A matrix with a norm of at most one."""
    drawn = instance.draw("X direction", instance.size("n"), instance.size("m"))
    norm = instance.root(instance.norm_above(drawn))
    return drawn / (norm if norm != 0 else norm + 1)


X = matrix("V", "n", "m", definition=below_one)
gram = X.T @ X
Z = symmetric("Z", "m", definition=lambda instance: instance.value(half * (3 * one - gram)))
commute = equal(Z @ gram, gram @ Z)
T = half * (3 * one - Z @ gram @ Z)
W, after = X @ Z, X @ T @ Z
E = one - W.T @ W
newton = Layer(H=after)

# How the statement is printed.
shown_T, shown_W = matrix("T", "m", "m"), matrix("W", "n", "m")

# Wrong versions.
inverted = inverse("R", V.T @ V)
whole = Layer(H=V @ inverted)
twisted = matrix("R", 2, 2, definition=lambda instance: involution(instance))
U = orthonormal("V", "n", 2)
lopsided = Layer(H=U @ twisted)
far = Layer(H=half * (3 * V - V @ V.T @ V))


def involution(instance):
    """A matrix with square one that is not symmetric."""
    return instance.array([[1, instance.draw("shear", 1, 1)[0, 0]], [0, -1]])


def numbers():
    """Certify the layer with the exact root, and after few steps of Newton's iteration."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network import Network

    rng = np.random.default_rng(0)
    free = rng.standard_normal((6, 4))
    values, vectors = np.linalg.eigh(free.T @ free)
    exact = certify(Network.mlp([free @ (vectors / np.sqrt(values)) @ vectors.T]))
    free /= np.linalg.norm(free, 2)
    Z, Y, straight = np.eye(4), free.T @ free, free
    for _ in range(3):
        T = (3 * np.eye(4) - Z @ Y) / 2
        Z, Y, straight = T @ Z, Y @ T, step_of(straight, 0.5)
    stopped = certify(Network.mlp([free @ Z]))
    return [
        Comparison("proved norm with the exact root", exact.upper, "==", 1.0, 1e-9),
        Comparison("proved norm after three steps", stopped.upper, "<=", 1.0, 1e-9),
        Comparison(
            "least singular value after them, Newton and Björck",
            float(np.linalg.norm(free @ Z, -2)),
            "==",
            float(np.linalg.norm(straight, -2)),
            1e-9,
        ),
    ]


derivation = Derivation(
    title="Layer-wise orthogonal training (LOT)",
    source="Xu, Li, Li: LOT: Layer-Wise Orthogonal Training on Improving l2 Certified Robustness, NeurIPS 2022; This "
    "project (the iteration stopped early)",
    statement=r"(i) If $S\succ0$ and $S^2=V^\top V$, then $VS^{-1}$ has orthonormal columns. (ii) Newton's iteration "
    r"$Z_{k+1}=\frac12(3I-Z_kV^\top VZ_k)Z_k$ from $Z_0=I$ makes of $W_k=VZ_k$ the step of Björck and Bowie, "
    r"$W_{k+1}=\frac32W_k-\frac12W_kW_k^\top W_k$. Hence $\|VZ_k\|\le1$ wherever it stops, if $\|V\|\le1$.",
    parts=[
        Part(
            layer.claim("Orthonormal columns", [root], r"$S$ is the root of $V^\top V$.", **ROOM),
            [Sandwiches(positive(layer.condition()))],
            layer,
        ),
        Part(
            Claim(
                "Newton is Björck",
                written(
                    equal(after, step(W, half)),
                    equal(X @ shown_T @ Z, step(shown_W, half)),
                    {shown_T: T, shown_W: W},
                ),
                [commute],
                r"$Z$ is a polynomial of $V^\top V$, so it commutes with it.",
            ),
            [Identity(after, step(W, half), "because $Z$ and $V^\\top V$ commute")],
        ),
        Part(
            Claim(
                "The next commutes as well",
                written(equal(T @ Z @ gram, gram @ T @ Z), equal(shown_T @ Z @ gram, gram @ shown_T @ Z), {shown_T: T}),
                [commute],
            ),
            [Identity(T @ Z @ gram, gram @ T @ Z, "because $Z$ and $V^\\top V$ commute")],
        ),
        Part(
            newton.claim(
                "Stopped early",
                [shrinks(W), commute],
                r"For $\|VZ\|\le1$. With $E=I-W^\top W$: $4(I-W_{k+1}^\top W_{k+1})=3E^2+E^3$.",
            ),
            [
                Sandwiches(
                    positive(newton.condition()),
                    Term(one, E, Fraction(3, 4)),
                    Term(E, E, Fraction(1, 4)),
                )
            ],
            newton,
        ),
    ],
    controls=[
        Part(
            whole.claim("The inverse in place of its root", text=r"$V(V^\top V)^{-1}$.", **ROOM),
            layer=whole,
        ),
        Part(
            lopsided.claim(
                "A root that is not symmetric",
                [equal(twisted @ U.T @ U @ twisted, identity(2))],
                r"$RV^\top VR=I$ alone.",
                n=2,
            ),
            layer=lopsided,
        ),
        Part(far.claim("A step from any $V$", **ROOM), layer=far),
    ],
    numbers=numbers,
    remark=r"The paper writes the same for rows, $(VV^\top)^{-1/2}V$, and for each frequency of a convolution.",
)

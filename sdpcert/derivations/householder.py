"""Householder activations: v -> v + 2 w relu(-w'v) with |w| = 1, one reflection after the other."""

from typing import Any

import numpy as np

from sdpcert.certify import certify
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    equal,
    identity,
    matrix,
    orthonormal,
    sqrt2,
    vector,
)

# Order 1: the columns of V, at right angles, are the vectors w of all pairs of channels.
V = orthonormal("V", "n", "m")
one = identity("m")


def reflection(vectors, inward, multiplier=2):
    return Layer(H=identity("n"), G=2 * vectors, U=inward, multipliers=multiplier * identity("m"))


first = reflection(V, -V.T)

# Order k: unit vectors w_1, ..., w_k as the columns of C. L is the part of C'C strictly below the diagonal.


def unit_columns(instance):
    n, count = instance.size("n"), instance.size("k")
    return np.concatenate([instance.orthogonal(f"w{k}", n)[:, :1] for k in range(count)], axis=1)


def below(instance):
    made = instance.value(C.T @ C)
    return np.tril(made, -1)


C = matrix("C", "n", "k", definition=unit_columns)
L = matrix("L", "k", "k", definition=below, equal_to=lambda L: [(C.T @ C, identity("k") + L + L.T)])
several = Layer(H=identity("n"), G=2 * C, U=-C.T, W=-2 * L, multipliers=2 * identity("k"))

p = vector("p", 2, definition=lambda instance: instance.array([[1], [-1]]))
w = vector("w", 2, definition=lambda instance: instance.value(-(sqrt2**-1) * p))
#: As many vectors at right angles as there is room for.
ROOM: dict[str, Any] = {"n": lambda sizes: max(sizes["n"], sizes["m"])}
free = matrix("B", "n", "m")
unnormalised, inward, single = reflection(free, -free.T), reflection(V, V.T), reflection(V, -V.T, 1)
uncoupled = Layer(H=identity("n"), G=2 * C, U=-C.T, multipliers=2 * identity("k"))


def numbers():
    """Certify a reflection of every pair of four channels, of order 1 and 2, after and before random rotations."""
    import torch

    from sdpcert.layers import Householder, Householder2
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    compared = []
    for order, layer in ((1, Householder(4)), (2, Householder2(4))):
        for angle in layer.parameters():
            torch.nn.init.uniform_(angle, 0, 2 * torch.pi)
        certificate = certify(from_torch(layer.double(), (4,)), method="by-construction")
        compared.append(Comparison(f"proved bound of order {order}", certificate.upper, "==", 1.0, 1e-5))
        compared.append(Comparison(f"attained by order {order}", certificate.lower, "<=", 1.0 + 1e-9))
    return compared


derivation = Derivation(
    title="Householder activations",
    source="Singla, Singla, Feizi: Improved deterministic l2 robustness on CIFAR-10 and CIFAR-100, ICLR 2022",
    statement=r"For $\|w\|=1$ the activation $z=v+2w\,\mathrm{relu}(-w^\top v)$, which is $v$ where $w^\top "
    r"v\ge0$ and the reflection $(I-2ww^\top)v$ elsewhere, is 1-Lipschitz, with the multiplier 2 for its neuron. So "
    r"is the "
    r"composition of any number $k$ of them, with the multiplier 2 for each neuron: order 2 is $k=2$. MaxMin is the "
    r"angle "
    r"$\theta=\pi/2$ of $w=(-\sin\frac\theta2,\cos\frac\theta2)$.",
    parts=[
        Part(
            first.claim(
                "order 1",
                text=r"The columns of $V$, $V^\top V=I$, are the vectors $w$ of all pairs of channels, "
                r"$u=\mathrm{relu}(-V^\top v)$ the neurons, $z=v+2Vu$. The condition is the zero matrix.",
                **ROOM,
            ),
            layer=first,
        ),
        Part(
            Claim(
                "both sides are isometries",
                equal((identity("n") - 2 * V @ V.T).T @ (identity("n") - 2 * V @ V.T), identity("n")),
                sizes=ROOM,
            )
        ),
        Part(
            several.claim(
                "order $k$",
                text=r"The columns $w_1,\dots,w_k$ of $C$ have norm one, $L$ is the part of $C^\top C$ strictly "
                r"below the diagonal, so that $C^\top C=I+L+L^\top$. Behind $i-1$ reflections the value is "
                r"$v+2\sum_{j<i}w_ju_j$ and "
                r"$u_i=\mathrm{relu}(-w_i^\top v-2\sum_{j<i}w_i^\top w_ju_j)$.",
            ),
            layer=several,
        ),
        Part(
            Claim(
                "MaxMin is the angle $\\pi/2$",
                equal(2 * w @ w.T, p @ p.T),
                [equal(w, -(sqrt2**-1) * p)],
                r"For $\theta=\pi/2$ one has $w=-p/\sqrt2$, $p=(1,-1)^\top$. relu is positively homogeneous, so "
                r"$2w\,\mathrm{relu}(-w^\top v)=-p\,\mathrm{relu}(p^\top v)$: "
                r"$z=(x-\mathrm{relu}(x-y),\,y+\mathrm{relu}(x-y))=(\min(x,y),\max(x,y))$.",
            )
        ),
    ],
    controls=[
        Part(unnormalised.claim("$w$ of any norm"), layer=unnormalised),
        Part(inward.claim("the other sign inside: $v+2w\\,\\mathrm{relu}(w^\\top v)$", **ROOM), layer=inward),
        Part(single.claim("the multiplier 1 of MaxMin", **ROOM)),
        Part(uncoupled.claim("all reflections of the same $v$: no coupling $L$"), layer=uncoupled),
    ],
    numbers=numbers,
    remark="That the condition implies the Lipschitz bound is the theorem of the condition.",
)

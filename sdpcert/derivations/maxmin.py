"""MaxMin as one ReLU neuron per pair: max(a, b) = b + relu(a - b), min(a, b) = a - relu(a - b)."""

from typing import Any

import numpy as np

from sdpcert.certify import certify
from sdpcert.network import Network
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    block,
    diagonal,
    equal,
    identity,
    matrix,
    positive,
    scalar,
    slopes,
    symmetric,
    vector,
    zero,
)
from sdpcert.symbolic.steps import Sandwiches, Term

ONE, ALL = identity("n"), identity("2n")
PAIRS: dict[str, Any] = {"2n": lambda sizes: 2 * sizes["n"]}


def channels(instance):
    """The matrices that read the first and the second channel of every pair."""
    every = instance.identity(2 * instance.size("n"))
    return every[0::2], every[1::2]


P = matrix("P", "n", "2n", definition=lambda instance: channels(instance)[0], equal_to=lambda P: [(P @ P.T, ONE)])
Q = matrix(
    "Q",
    "n",
    "2n",
    definition=lambda instance: channels(instance)[1],
    equal_to=lambda Q: [(Q @ Q.T, ONE), (P @ Q.T, ONE * 0), (P.T @ P + Q.T @ Q, ALL)],
)
MAXIMUM = (
    r"$P$ and $Q$ read the first and the second channel of every pair: $PP^\top=QQ^\top=I$, $PQ^\top=0$, "
    r"$P^\top P+Q^\top Q=I$. The output is $Qv+u$, $u=\mathrm{relu}((P-Q)v)$."
)
max_pooling = Layer(H=Q, G=ONE, U=P - Q, multipliers=ONE)

# The pairs' differences a - b and sums a + b. Pi swaps every pair.
D = matrix(
    "D",
    "n",
    "2n",
    definition=lambda instance: channels(instance)[0] - channels(instance)[1],
    equal_to=lambda D: [(D @ D.T, 2 * ONE)],
)
S = matrix(
    "S",
    "n",
    "2n",
    definition=lambda instance: channels(instance)[0] + channels(instance)[1],
    equal_to=lambda S: [(S @ D.T, ONE * 0)],
)
Pi = symmetric("Pi", "2n", definition=lambda instance: instance.value(ALL - D.T @ D))
swap = equal(Pi, ALL - D.T @ D)


def sort(multipliers, through=Pi):
    return Layer(H=through, G=D.T, U=D, multipliers=multipliers)


maxmin = sort(ONE)

# Increments a, b of the inputs and u of the neurons, u = D (a - b).
a, b, slope = vector("a", "n"), vector("b", "n"), slopes("slope", "n")
u = vector("u", "n", definition=lambda instance: instance.value(slope @ (a - b)))
sector = positive(u.T @ (a - b - u))
shorter = positive(a.T @ a + b.T @ b, (b + u).T @ (b + u) + (a - u).T @ (a - u))

# y = F MaxMin(W x) with free multipliers, T the multipliers of both channels of the pairs: D T = Lambda D.
Lambda = diagonal("Lambda", "n", definition=lambda instance: instance.diagonal(roots(instance)[:, 0] ** 2))
T = symmetric("T", "2n", definition=lambda instance: root(instance) @ root(instance))
W = matrix("W", "2n", "k")


def roots(instance):
    return instance.draw("root", instance.size("n"), 1, positive=True)


def root(instance):
    return instance.diagonal(np.repeat(roots(instance)[:, 0], 2))


def contraction(instance):
    """F with F'F <= T, hardly smaller where F has a single row."""
    free = instance.draw("F", instance.size("p"), 2 * instance.size("n"))
    return free @ root(instance) / instance.root(instance.norm_above(free))


def norm(instance):
    bound = instance.norm_above(root(instance) @ instance.value(W))
    return instance.diagonal([bound if bound != 0 else bound + 1])


F = matrix("F", "p", "2n", definition=contraction)
rho = scalar("rho", positive=True, definition=norm)
chain = Layer(H=F @ Pi @ W, G=F @ D.T, U=D @ W, multipliers=Lambda, squared_lipschitz=rho)
given = [positive(rho * identity("k"), W.T @ T @ W), positive(T, F.T @ F), swap, equal(D @ T, Lambda @ D)]


def numbers():
    """Certify a network of two random layers with MaxMin between them."""
    rng = np.random.default_rng(0)
    first, last = rng.standard_normal((6, 3)), rng.standard_normal((2, 6))
    certificate = certify(Network.mlp([first, last], activation="maxmin"))
    product = float(np.linalg.norm(first, 2) * np.linalg.norm(last, 2))
    plain = certify(Network.mlp([np.eye(6), np.eye(6)], activation="maxmin"))
    return [
        Comparison("proved bound with one multiplier per pair, product of norms", certificate.upper, "<=", product),
        Comparison("attained and proved bound", certificate.lower, "<=", certificate.upper),
        Comparison("proved bound of MaxMin alone", plain.upper, "==", 1.0, 1e-5),
    ]


derivation = Derivation(
    title="MaxMin and max pooling",
    source="Anil, Lucas, Grosse: Sorting Out Lipschitz Function Approximation, ICML 2019",
    statement=r"With $u=\mathrm{relu}(a-b)$ one has $\max(a,b)=b+u$ and $\min(a,b)=a-u$. MaxMin, which replaces "
    r"every pair $(a,b)$ by $(\max(a,b),\min(a,b))$, preserves the sum of each pair and is 1-Lipschitz, with the "
    r"multiplier 1 for each neuron $u$; so is the maximum of each pair. For a diagonal $\Lambda\succ0$ and the "
    r"diagonal matrix "
    r"$T$ that has $\Lambda_{ii}$ at both channels of pair $i$, $\rho I\succeq W^\top TW$ and $T\succeq F^\top F$ make "
    r"$x\mapsto F\,\mathrm{MaxMin}(Wx+c)$ a map with the Lipschitz constant $\sqrt\rho$.",
    parts=[
        Part(
            Claim(
                "increments do not grow",
                shorter,
                [sector],
                r"Here $a$, $b$ are increments of the inputs and $u$ those of the neurons. The hypothesis is "
                r"the sector term of slopes in $[0,1]$; twice that term is the difference.",
            ),
            [Sandwiches(shorter, Term(sector.matrix, None, 2))],
        ),
        Part(
            maxmin.claim(
                "MaxMin",
                [swap],
                r"$D$ reads the differences $a-b$ of the pairs, $DD^\top=2I$, and $\Pi$ swaps the pairs: the output is "
                r"$\Pi v+D^\top u$, $u=\mathrm{relu}(Dv)$. The condition is the zero matrix.",
                **PAIRS,
            ),
            layer=maxmin,
        ),
        Part(
            Claim(
                "sums are preserved",
                equal(block([[S @ Pi, S @ D.T]]), block([[S, zero("n")]])),
                [swap],
                r"$S$ reads the sums $a+b$ of the pairs, $SD^\top=0$. Those of the output do not depend on $u$.",
                sizes=PAIRS,
            )
        ),
        Part(
            max_pooling.claim("max pooling", text=MAXIMUM, **PAIRS),
            [Sandwiches(positive(max_pooling.condition()), Term(ONE, block([[P, -ONE]])))],
            max_pooling,
        ),
        Part(
            chain.claim("two layers with MaxMin between them", given, **PAIRS),
            [
                Sandwiches(
                    positive(chain.condition()),
                    Term(given[0].matrix.entries[0][0], block([[identity("k"), zero("k", "n")]])),
                    Term(given[1].matrix.entries[0][0], block([[Pi @ W, D.T]])),
                )
            ],
            chain,
        ),
    ],
    controls=[
        Part(
            (unswapped := sort(ONE, ALL)).claim("$u$ added to the greater number: $a+u$ and $b-u$", **PAIRS),
            layer=unswapped,
        ),
        Part(sort(ONE / 2).claim("half the multiplier", [swap], **PAIRS)),
        Part(
            (doubled := Layer(H=Q, G=2 * ONE, U=P - Q, multipliers=ONE)).claim("max pooling with $b+2u$", **PAIRS),
            layer=doubled,
        ),
    ],
    numbers=numbers,
    remark=r"That the condition implies the Lipschitz bound is the theorem of the condition. Windows of more "
    r"than two numbers are trees of such maxima, with the product of the constants 1. The neurons eliminate the sum of "
    r"each pair exactly; only $\lambda_i>0$ is left free.",
)

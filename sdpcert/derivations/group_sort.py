"""GroupSort: the quadratic constraint of LipSDP-NSR, and that sorting satisfies it, as a product of comparators."""

import itertools
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
    positive,
    scalar,
    symmetric,
    vector,
)
from sdpcert.symbolic.steps import Sandwiches, Term


def ones(instance):
    size = instance.size("g")
    return instance.array([[1] * size] * size)


def ascending(value):
    return np.sort(value, axis=0)


J = symmetric("J", "g", latex=r"\mathbf 1\mathbf 1^\top", definition=ones)
lam = scalar("lambda", definition=lambda instance: abs(instance.draw("lambda", 1, 1)))
gamma, psi, nu = scalar("gamma"), scalar("psi"), scalar("nu")


def constraint(dv, dz, ones, size):
    """The quadratic constraint at (dv, dz), and the equalities for its multipliers."""
    values = {"T": lam * identity(size) + gamma * ones, "S": psi * ones, "P": nu * ones}
    T, S, P = (
        symmetric(name, size, definition=lambda instance, value=value: instance.value(value))
        for name, value in values.items()
    )
    form = dv.T @ (T - 2 * S) @ dv + 2 * dv.T @ (P + S) @ dz - dz.T @ (T + 2 * P) @ dz
    return positive(form), [equal(symbol, value) for symbol, value in zip((T, S, P), values.values())]


dv, dz = (
    vector("dv", "g", latex=r"\Delta v", definition=lambda instance: pair(instance)[0]),
    vector("dz", "g", latex=r"\Delta z", definition=lambda instance: pair(instance)[1]),
)


def pair(instance):
    size = instance.size("g")
    first, second = instance.draw("first input", size, 1), instance.draw("second input", size, 1)
    return first - second, ascending(first) - ascending(second)


nonexpansive, same_sum = positive(dv.T @ dv, dz.T @ dz), equal(J @ dz, J @ dv)
show, multipliers = constraint(dv, dz, J, "g")

# A sorting network of m comparators: column k of C is e_i - e_j for the comparator of entries i and j, L the part
# of C'C strictly below the diagonal.


def comparators(instance):
    size, count = instance.size("g"), instance.size("m")
    ends = list(itertools.combinations(range(size), 2))
    chosen, made = instance.draw("comparators", count, 1), instance.array([[0] * count] * size)
    for k in range(count):
        i, j = ends[int(2 * abs(chosen[k, 0])) % len(ends)]
        made[i, k], made[j, k] = made[i, k] + 1, made[j, k] - 1
    return made


C = matrix("C", "g", "m", definition=comparators, equal_to=lambda C: [(J @ C, C * 0)])
L = matrix(
    "L",
    "m",
    "m",
    definition=lambda instance: np.tril(instance.value(C.T @ C), -1),
    equal_to=lambda L: [(C.T @ C, 2 * identity("m") + L + L.T)],
)
#: A single entry has no comparators.
GROUPS: dict[str, Any] = {"g": lambda sizes: max(sizes["g"], 2)}
network = Layer(H=identity("g"), G=-C, U=C.T, W=-L, multipliers=identity("m"))
unshared = Layer(H=identity("g"), G=-C, U=C.T, multipliers=identity("m"))
v, u = vector("v", "g"), vector("u", "m")

# Three comparators sort three numbers: of the entries (1, 2), (2, 3), (1, 2).


def relu(name, latex, difference):
    return scalar(name, latex=latex, definition=lambda instance: np.maximum(instance.value(difference), 0))


v1, v2, v3 = (scalar(f"v_{k}") for k in (1, 2, 3))
u1 = relu("u_1", None, v1 - v2)
a = (v1 - u1, v2 + u1, v3)
u2 = relu("u_2", None, a[1] - a[2])
b = (a[0], a[1] - u2, a[2] + u2)
slope = scalar("t", definition=lambda instance: instance.array([[int(instance.number(b[0] - b[1]) > 0)]]))
u3 = slope * (b[0] - b[1])
c = (b[0] - u3, b[1] + u3, b[2])
neurons = [positive(e) for e in (u1, u1 - v1 + v2, u2, u2 - a[1] + a[2], slope, 1 - slope, u3, u3 - b[0] + b[1])]

# The constraint across two groups of two.


def four(name, latex, source=None):
    if source is None:
        return vector(name, 4, latex=latex)

    def halves(instance):
        value = instance.value(source)
        return np.concatenate([ascending(value[:2]), ascending(value[2:])])

    return vector(name, 4, latex=latex, definition=halves)


x, y = four("x", None), four("y", None)
fx, fy = four("fx", r"\mathrm{sort}(x)", x), four("fy", r"\mathrm{sort}(y)", y)
E = matrix("E", 2, 4, definition=lambda instance: instance.array([[0, 1, 0, 0], [0, 0, 1, 0]]))
J2 = symmetric("J2", 2, latex=r"\mathbf 1\mathbf 1^\top", definition=lambda instance: instance.array([[1, 1], [1, 1]]))
p = vector("dv", 2, r"\Delta v", definition=lambda instance: instance.value(E @ (x - y)))
r = vector("dz", 2, r"\Delta z", definition=lambda instance: instance.value(E @ (fx - fy)))
across_groups, across_multipliers = constraint(p, r, J2, 2)
free, dv_alone = vector("dz", "g", latex=r"\Delta z"), vector("dv", "g", latex=r"\Delta v")
norm_alone, norm_multipliers = constraint(dv_alone, free, J, "g")


def numbers():
    """Certify sorting of two groups of three after a random layer."""
    import torch

    from sdpcert.layers import GroupSort
    from sdpcert.torch_modules.reader import from_torch

    sort = certify(from_torch(GroupSort(3), (6,)), method="by-construction")
    torch.manual_seed(0)
    first = torch.nn.Linear(3, 6, bias=False, dtype=torch.float64)
    norm = float(np.linalg.norm(first.weight.detach().numpy(), 2))
    both = certify(from_torch(torch.nn.Sequential(first, GroupSort(3)), (3,)))
    return [
        Comparison("proved bound of groups of three", sort.upper, "==", 1.0, 1e-5),
        Comparison("attained by groups of three", sort.lower, "<=", 1.0),
        Comparison("proved bound after a layer, its norm", both.upper, "<=", norm, 1e-5),
        Comparison("attained after a layer, its norm", both.lower, "<=", norm),
    ]


derivation = Derivation(
    title="GroupSort",
    source="Pauli, Havens, Araujo, Garg, Khorrami, Allgöwer, Hu: Novel quadratic constraints for extending "
    "LipSDP beyond slope-restricted activations, ICLR 2024",
    statement=r"For increments $\Delta v$ of one group of size $g$ and $\Delta z$ of the sorted group, for "
    r"$\lambda\ge0$ and $\gamma,\psi,\nu$ of either sign, $T=\lambda I+\gamma\mathbf 1\mathbf 1^\top$, "
    r"$S=\psi\mathbf 1\mathbf "
    r"1^\top$, $P=\nu\mathbf 1\mathbf 1^\top$,"
    r"\[\begin{pmatrix}\Delta v\\\Delta z\end{pmatrix}^{\!\top}\begin{pmatrix}T-2S&P+S\\P+S&-T-2P\end{pmatrix}"
    r"\begin{pmatrix}\Delta v\\\Delta z\end{pmatrix}\ge0,\]"
    r"because sorting is a product of comparators, each of which is nonexpansive and preserves the sum.",
    parts=[
        Part(
            Claim(
                "the constraint",
                show,
                [*multipliers, nonexpansive, same_sum, positive(lam)],
                "The hypotheses are $\\|\\Delta z\\|\\le\\|\\Delta v\\|$ and $\\mathbf 1^\\top\\Delta z=\\mathbf "
                "1^\\top\\Delta v$.",
            ),
            [Sandwiches(show, Term(dv.T @ dv - dz.T @ dz, None, lam))],
        ),
        Part(
            network.claim(
                "comparators are nonexpansive",
                text=r"A comparator of the entries $i$ and $j$ maps $v$ to $v-w\,\mathrm{relu}(w^\top v)$, "
                r"$w=e_i-e_j$. The columns of $C$ are the vectors $w$ of any $m$ comparators, one after the other, "
                r"$L$ is the part of $C^\top C$ "
                r"strictly below the diagonal: $C^\top C=2I+L+L^\top$. The output is $v-Cu$, "
                r"$u=\mathrm{relu}(C^\top v-Lu)$. The "
                r"condition with multipliers 1 is the zero matrix.",
                **GROUPS,
            ),
            layer=network,
        ),
        Part(Claim("comparators preserve the sum", equal(J @ (v - C @ u), J @ v), sizes=GROUPS)),
        Part(
            Claim(
                "two numbers are sorted by one comparator",
                positive(a[1] - a[0]),
                neurons[:2],
                r"Here $u_1=\mathrm{relu}(v_1-v_2)$ and the output is $(v_1-u_1,v_2+u_1)$.",
            ),
            [Sandwiches(positive(a[1] - a[0]), *(n.matrix for n in neurons[:2]))],
        ),
        Part(
            Claim(
                "three numbers are sorted by three comparators",
                positive(c[2] - c[1]),
                neurons,
                r"Of the entries $(1,2)$, $(2,3)$, $(1,2)$, with the neurons $u_1$, $u_2$ and $u_3$, which is "
                r"$t$ times its input, $t\in\{0,1\}$. The last comparator orders its own two outputs; this is the "
                r"order of "
                r"the second and the third.",
            ),
            [
                Sandwiches(
                    positive(c[2] - c[1]),
                    *(Term(neurons[k].matrix.entries[0][0], None, 1 - slope) for k in (2, 3)),
                    *(Term(neurons[k].matrix.entries[0][0], None, slope) for k in (0, 1, 3)),
                )
            ],
        ),
    ],
    controls=[
        Part(
            Claim(
                "the constraint of size 2 across groups",
                across_groups,
                [*across_multipliers, equal(p, E @ (x - y)), equal(r, E @ (fx - fy))],
                "The groups are the entries 1, 2 and 3, 4; $E$ reads the entries 2 and 3.",
            )
        ),
        Part(
            Claim(
                "the constraint from the norm alone",
                norm_alone,
                [*norm_multipliers, positive(dv_alone.T @ dv_alone, free.T @ free)],
            )
        ),
        Part(unshared.claim("comparators of the same $v$: no coupling $L$", **GROUPS), layer=unshared),
    ],
    numbers=numbers,
    remark=r"That the condition implies $\|\Delta z\|\le\|\Delta v\|$ is the theorem of the condition. For "
    r"every $g$ there are comparators that sort (Knuth, The Art of Computer Programming, vol. 3, Section 5.3.4); "
    r"for $g\le3$ they "
    r"are above.",
)

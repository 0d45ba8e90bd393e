"""Residual layers H x + G phi(U x + b) with any H: the condition, and every layer that it proves, in closed form."""

from dataclasses import replace

from sdpcert.certify import certify
from sdpcert.derivations.condition import increment, least_constant, small
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
    inverse,
    matrix,
    positive,
    scalar,
    slopes,
    vector,
    zero,
)
from sdpcert.symbolic.steps import Congruence, Sandwiches, Term
from sdpcert.symbolic.written import written

# The condition: two runs with the sector inequality dz'Lambda(dv - dz) >= 0.
H = matrix("F", "k", "n", latex="H", definition=small("H", "k", "n"))
G = matrix("G", "k", "m", definition=small("G", "k", "m"))
U, Lambda, D = matrix("U", "m", "n"), diagonal("Lambda", "m"), slopes("D", "m")
dx = vector("dx", "n", latex=r"\Delta x")
dz = vector("dz", "m", latex=r"\Delta z", definition=lambda instance: instance.value(D @ U @ dx))
rest = Layer(H=H, G=G, U=U, multipliers=Lambda, squared_lipschitz=0).condition()
rho = scalar("rho", latex=r"\gamma^2", definition=least_constant(rest, "n"))
general = Layer(H=H, G=G, U=U, multipliers=Lambda, squared_lipschitz=rho)
(dv, reads), (dy, writes) = increment("dv", U @ dx, r"\Delta v"), increment("dy", H @ dx + G @ dz, r"\Delta y")
sector = positive(dz.T @ Lambda @ (dv - dz))
bounded = positive(rho * dx.T @ dx, dy.T @ dy)
theorem = Claim(
    "Condition of a residual layer",
    bounded,
    [positive(general.condition()), reads, writes, sector],
    r"$\Delta v$ and $\Delta y$ are the differences of $Ux+b$ and of the outputs; the last hypothesis holds because "
    r"$\sigma$ has slopes in $[0,1]$ and $\Lambda\succeq0$.",
)
completed = Sandwiches(
    bounded, Term(general.condition(), block([[dx], [dz]])), Term(sector.matrix.entries[0][0], coefficient=2)
)

# Every such layer: instances are made of orthonormal rows (U B) of scaled length and a contraction Q.
lengths = diagonal("s", "m")


def rows(instance):
    """(U B) with orthogonal rows: U U' + B B' is diagonal."""
    n, m = instance.size("n"), instance.size("m")
    return instance.value(lengths) @ instance.orthogonal("rows", n + m)[:m, :]


def contraction(instance):
    """Q, hardly shorter than a matrix of norm one."""
    free = instance.draw("Q", instance.size("k"), instance.size("n") + instance.size("m"))
    norm = instance.root(instance.norm_above(free))
    return free / (norm if norm != 0 else norm + 1)


V = matrix("U", "m", "n", definition=lambda instance: rows(instance)[:, : instance.size("n")])
multiplier = diagonal("Lambda", "m", definition=lambda instance: instance.value(2 * lengths**-2))
C = matrix("C", "m", "m", definition=lambda i: rows(i)[:, i.size("n") :].T @ i.value(multiplier))
Q1 = matrix("Q_1", "k", "n", definition=lambda instance: contraction(instance)[:, : instance.size("n")])
Q2 = matrix("Q_2", "k", "m", definition=lambda instance: contraction(instance)[:, instance.size("n") :])


def contracting(first, second):
    """I - Q'Q for Q = (first second)."""
    corner = block([[identity("n"), zero("n", "m")], [zero("m", "n"), identity("m")]])
    return corner - block([[first, second]]).T @ block([[first, second]])


root = equal(C.T @ C, 2 * multiplier - multiplier @ V @ V.T @ multiplier)
shrinks = positive(contracting(Q1, Q2))
outward = -Q1 @ V.T @ multiplier + Q2 @ C
free = Layer(H=Q1, G=outward, U=V, multipliers=multiplier)
S = block([[1, -V.T @ multiplier], [zero("m", "n"), C]])


def with_name(claim, layer, name, value):
    """The claim, its conclusion printed with a name for one part of the layer."""
    return replace(claim, show=written(claim.show, positive(layer.condition()), {name: value}))


Gs, Qs = matrix("G", "k", "m"), matrix("Q_2", "k", "m")
free_G = replace(free, G=Gs)
every = with_name(
    free.claim("Free $H$, sufficient", [root, shrinks], r"$H=Q_1$, $G=-Q_1U^\top\Lambda+Q_2C$."), free_G, Gs, outward
)

# Conversely: what the condition proves has this form.
R = inverse("R", C)
its_G = matrix("G", "k", "m", definition=lambda instance: instance.value(outward))
its_H = matrix("H", "k", "n", definition=lambda instance: instance.value(Q1))
feasible = Layer(H=its_H, G=its_G, U=V, multipliers=multiplier)
second = (its_G + its_H @ V.T @ multiplier) @ R
necessary = Claim(
    "Free $H$, necessary",
    written(positive(contracting(its_H, second)), positive(contracting(its_H, Qs)), {Qs: second}),
    [root, equal(C @ R, identity("m")), positive(feasible.condition())],
    r"$Q_1=H$ and $Q_2=(G+HU^\top\Lambda)C^{-1}$ where $C$ is invertible: then $G=-Q_1U^\top\Lambda+Q_2C$ and "
    r"$\|(Q_1\ Q_2)\|\le1$.",
)
back = block([[1, V.T @ multiplier @ R], [zero("m", "n"), R]])

# Wrong versions.
signed = Layer(H=Q1, G=Q1 @ V.T @ multiplier + Q2 @ C, U=V, multipliers=multiplier)
forgotten = Layer(H=Q1, G=Q2 @ C, U=V, multipliers=multiplier)
bare_H, bare_G = matrix("H", "k", "n"), matrix("G", "k", "m")
uncrossed = Layer(G=bare_G, U=U, multipliers=Lambda, squared_lipschitz=0).condition()
short = scalar("rho", latex=r"\rho", definition=least_constant(uncrossed, "n"))
separate = Layer(H=bare_H, G=bare_G, U=U, multipliers=Lambda, squared_lipschitz=short + 1)
both = bare_H @ dx + bare_G @ D @ U @ dx
apart = [
    positive(identity("n"), bare_H.T @ bare_H),
    positive(Layer(G=bare_G, U=U, multipliers=Lambda, squared_lipschitz=short).condition()),
]


def numbers():
    """Certify layers with free H whose parameters are random."""
    import torch

    from sdpcert.layers import GeneralResidual
    from sdpcert.layers.rules import AOL
    from sdpcert.torch_modules.reader import from_torch

    found = []
    for features, outputs, hidden in ((5, 5, 4), (3, 6, 5)):
        torch.manual_seed(0)
        made = GeneralResidual(features, outputs, hidden, AOL(), dtype=torch.float64)
        with torch.no_grad():
            for parameter in made.parameters():
                parameter.normal_()
        certificate = certify(from_torch(made, (features,)), method="by-construction")
        solved = certify(from_torch(made, (features,)), method="neuron")
        shape = f"${features}\\to{outputs}$, {hidden} neurons"
        found += [
            Comparison(f"proved constant, {shape}", certificate.upper, "<=", 1.0),
            Comparison("optimum of the condition", solved.upper, "<=", certificate.upper, 1e-6),
            Comparison("attained", certificate.lower, "<=", solved.upper),
        ]
    return found


derivation = Derivation(
    title="General residual layer",
    source="Araujo, Havens, Delattre, Allauzen, Hu: A Unified Algebraic Perspective on Lipschitz Neural Networks, "
    "ICLR 2023 (the condition); Douglas: On Majorization, Factorization, and Range Inclusion of Operators, "
    "Proceedings of the AMS 17, 1966 (the factor $Q$)",
    statement=r"Let $\sigma$ have slopes in $[0,1]$ and $\Lambda$ be positive diagonal. (i) If "
    r"\[\begin{pmatrix}\gamma^2I-H^\top H&"
    r"-H^\top G-U^\top\Lambda\\-G^\top H-\Lambda U&2\Lambda-G^\top G\end{pmatrix}\succeq0,\] then $x\mapsto "
    r"Hx+G\sigma(Ux+b)$ is "
    r"$\gamma$-Lipschitz. (ii) Let $C^\top C=2\Lambda-\Lambda UU^\top\Lambda$, which exists if and only if "
    r"$UU^\top\preceq2\Lambda^{-1}$. For "
    r"$\gamma=1$ the condition holds if $H=Q_1$, $G=-Q_1U^\top\Lambda+Q_2C$ with $\|(Q_1\ Q_2)\|\le1$, and, where "
    r"$C$ is invertible, only then.",
    parts=[
        Part(theorem, [completed]),
        Part(every, [Congruence(free.condition(), contracting(Q1, Q2), S)], free),
        Part(necessary, [Congruence(necessary.show, feasible.condition(), back)]),
    ],
    controls=[
        Part(
            with_name(
                signed.claim("Wrong sign in $G$", [root, shrinks], r"$G=+Q_1U^\top\Lambda+Q_2C$."), free_G, Gs, signed.G
            ),
            layer=signed,
        ),
        Part(forgotten.claim("Without the term of $H$", [root, shrinks], r"$G=Q_2C$.")),
        Part(
            Claim(
                "$H$ and $G$ bounded apart",
                positive((short + 1) * dx.T @ dx, both.T @ both),
                apart,
                r"$\|H\|\le1$ and $G\sigma(U\cdot)$ is $\sqrt\rho$-Lipschitz; the sum is not "
                r"$\sqrt{1+\rho}$-Lipschitz.",
            ),
            layer=separate,
        ),
    ],
    numbers=numbers,
    remark=r"$Q=(I\ 0)$ is the layer $x-U^\top\Lambda\sigma(Ux+b)$ of SLL with $T=2\Lambda^{-1}$. The condition forces "
    r"$2\Lambda-\Lambda UU^\top\Lambda\succeq0$ because without the terms $-(H\ G)^\top(H\ G)\preceq0$ the matrix in "
    r"(i) is still positive semidefinite: "
    r"$\begin{pmatrix}I&-U^\top\Lambda\\-\Lambda U&2\Lambda\end{pmatrix}\succeq0$, whose Schur complement it is.",
)

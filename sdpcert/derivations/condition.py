"""The condition M(rho, Lambda) >= 0 on v = K_x x + K_z z + b, z = phi(v), y = F_x x + F_z z + c."""

from fractions import Fraction

import numpy as np

from sdpcert.certify import certify
from sdpcert.network import Network
from sdpcert.network.activations import leaky_relu
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
from sdpcert.symbolic.exact import indefinite, inverse, unit
from sdpcert.symbolic.layer import condition_with
from sdpcert.symbolic.steps import Congruence, Sandwiches, Term
from sdpcert.symbolic.steps.diagonal_product import DiagonalProduct
from sdpcert.symbolic.written import written


def small(name, rows, columns, parts=8):
    """A definition: free entries, divided by `parts`, so that conditions on them can be met."""
    return lambda instance: (
        instance.draw(name, instance.size(rows), instance.size(columns)) / instance.array([parts])[0]
    )


def increment(name, formula, latex):
    """A vector that is equal to an expression, and that equality as a hypothesis."""
    made = vector(name, formula.rows, latex=latex, definition=lambda instance: instance.value(formula))
    return made, equal(made, formula)


def nonnegative(name, size):
    """A definition of a diagonal matrix: free entries that are zero or positive."""
    return lambda instance: instance.diagonal([abs(x) for x in instance.draw(name, instance.size(size), 1)[:, 0]])


def least_constant(condition, inputs):
    """A definition: the least rho, hardly rounded up, that makes `condition + rho P` positive, P as below."""

    def definition(instance):
        n, whole = instance.size(inputs), instance.value(condition)
        corner = whole[n:, n:]
        lowest = float(np.linalg.eigvalsh(corner.astype(float))[0])
        if lowest <= 0 or (instance.exact and indefinite(corner) is not None):
            raise ZeroDivisionError("no rho makes the condition positive")
        form = whole[:n, n:] @ inverse(corner) @ whole[n:, :n] - whole[:n, :n]
        greatest = max(float(np.linalg.eigvalsh(form.astype(float))[-1]), 0.0)
        if not instance.exact:
            return instance.diagonal([greatest])
        for slack in (Fraction(0), Fraction(1, 1000), Fraction(1, 10), Fraction(greatest) + 1):
            rho = Fraction(greatest).limit_denominator(1000) + slack
            if indefinite(unit(n) * rho - form) is None:
                return instance.diagonal([rho])
        raise ZeroDivisionError("no rho was found")

    return definition


Kx, Fx = matrix("K_x", "m", "n"), matrix("F_x", "k", "n", definition=small("F_x", "k", "n"))
Kz = matrix("K_z", "m", "m", definition=small("K_z", "m", "m", 16))
Fz = matrix("F_z", "k", "m", definition=small("F_z", "k", "m"))
alpha = diagonal("alpha", "m", positive=False)
width = nonnegative("width", "m")
beta = diagonal("beta", "m", positive=False, definition=lambda instance: instance.value(alpha) + width(instance))
share = slopes("share", "m")
D = diagonal(
    "D",
    "m",
    positive=False,
    definition=lambda instance: instance.value(alpha) + instance.value(share @ (beta - alpha)),
)
Lambda = diagonal("Lambda", "m", positive=False, definition=nonnegative("Lambda", "m"))
between = [positive(D - alpha), positive(beta - D)]

# The sector term of all neurons: dz = D dv for two runs of the network.
dv = vector("dv", "m", latex=r"\Delta v")
sector = positive(-((D - alpha) @ dv).T @ Lambda @ ((D - beta) @ dv))
product = Lambda @ (D - alpha) @ (beta - D)
below, above = vector("p", "m"), vector("q", "m")
sectors = Claim(
    "Sector",
    written(sector, positive(below.T @ Lambda @ above), {below: (D - alpha) @ dv, above: (beta - D) @ dv}),
    [positive(Lambda), *between],
    r"With $\Delta z=D\Delta v$, where $D_{ii}$ is the slope of $\varphi_i$ between the two values of $v_i$: "
    r"$-(\Delta z-\alpha\Delta v)^\top\Lambda(\Delta z-\beta\Delta v)\ge0$.",
)

# The matrix of the condition, and the form of it that is affine in F.
Px, Ez = block([[identity("n"), zero("n", "m")]]), block([[zero("m", "n"), identity("m")]])
K, F = block([[Kx, Kz]]), block([[Fx, Fz]])


def terms(multipliers, low, high):
    """The sum over the neurons of `lambda_i A_i`."""
    one_side = (Ez - low @ K).T @ multipliers @ (Ez - high @ K)
    return one_side + one_side.T


rest_linear = terms(Lambda, alpha, beta)
rest = rest_linear - F.T @ F
rho = scalar("rho", definition=least_constant(rest, "n"))
M = rho * (Px.T @ Px) + rest
bordered = block(
    [
        [rho * identity("n") + rest_linear.entries[0][0], rest_linear.entries[0][1], Fx.T],
        [rest_linear.entries[1][0], rest_linear.entries[1][1], Fz.T],
        [Fx, Fz, identity("k")],
    ]
)
# The blocks without F.
A, B, C = symmetric("A", "n"), matrix("B", "n", "m"), symmetric("C", "m")
named = {
    A: rho * identity("n") + rest_linear.entries[0][0],
    B: rest_linear.entries[0][1],
    C: rest_linear.entries[1][1],
}
condition = written(
    positive(M), positive(block([[A - Fx.T @ Fx, B - Fx.T @ Fz], [B.T - Fz.T @ Fx, C - Fz.T @ Fz]])), named
)
with_border = written(
    positive(bordered), positive(block([[A, B, Fx.T], [B.T, C, Fz.T], [Fx, Fz, identity("k")]])), named
)
affine = Claim("Affine form", condition, [with_border], r"The matrix in the hypothesis is affine in $F$.")
eliminated = Congruence(positive(M), bordered, block([[identity("n"), 0], [0, identity("m")], [-Fx, -Fz]]))

dx = vector("dx", "n", latex=r"\Delta x")


def solved(instance):
    """The solution of dz = D (K_x dx + K_z dz)."""
    value = instance.value
    return inverse(instance.identity(instance.size("m")) - value(D @ Kz)) @ value(D @ Kx @ dx)


dz = vector("dz", "m", latex=r"\Delta z", definition=solved)
(dw, reads), (dy, writes) = (
    increment("dv", Kx @ dx + Kz @ dz, r"\Delta v"),
    increment("dy", Fx @ dx + Fz @ dz, r"\Delta y"),
)
low_end, high_end = vector("p", "m"), vector("q", "m")
hypothesis = written(
    positive(-(dz - alpha @ dw).T @ Lambda @ (dz - beta @ dw)),
    positive(low_end.T @ Lambda @ high_end),
    {low_end: dz - alpha @ dw, high_end: beta @ dw - dz},
)
bounded = positive(rho * dx.T @ dx, dy.T @ dy)
theorem = Claim(
    "Condition",
    bounded,
    [condition, reads, writes, hypothesis],
    r"$\Delta x$, $\Delta v$, $\Delta z$, $\Delta y$ are the differences of two solutions; the last hypothesis is the "
    r"first claim.",
)
proof = [
    Sandwiches(
        bounded,
        Term(M, block([[dx], [dz]])),
        Term(hypothesis.matrix.entries[0][0], coefficient=2),
    )
]

# Wrong versions: multipliers that are not diagonal or not nonnegative, and slopes of another activation.
U, G, unit_slopes = matrix("U", "m", "n"), matrix("G", "k", "m"), slopes("D", "m")
full = symmetric("Lambda", "m", positive=True)
unsigned = diagonal("Lambda", "m", positive=False)
single = diagonal("Lambda", "m")
v = vector("v", "m", latex=r"\Delta v")


def network(multipliers, low):
    """A layer G phi(U x) whose condition for slopes in [0, 1] holds, as a layer with slopes in [low, 1]."""
    limit = scalar("rho", definition=least_constant(condition_with(Layer(G=G, U=U), multipliers) - one, "n"))
    condition = condition_with(Layer(G=G, U=U, squared_lipschitz=limit), multipliers)
    return condition, Layer(G=G, U=U, squared_lipschitz=limit, low=low)


one = Px.T @ Px
coupled_condition, coupled = network(full, 0)
absolute_condition, absolute = network(single, -1)
signs = slopes("D", "m", -1, 1)


def lipschitz(layer, D):
    """`rho |dx|^2 >= |G D U dx|^2`: the layer's bound where its neurons have the slopes D."""
    output = G @ D @ U @ dx
    return positive(layer.squared_lipschitz * dx.T @ dx, output.T @ output)


controls = [
    Part(Claim("Full multiplier", positive(v.T @ full @ unit_slopes @ v, v.T @ unit_slopes @ full @ unit_slopes @ v))),
    Part(
        Claim(
            "Coupling of neurons (LipSDP-Network)",
            lipschitz(coupled, unit_slopes),
            [positive(coupled_condition)],
            r"The condition with a multiplier that is positive definite but not diagonal; $D$ has entries in $[0,1]$.",
        ),
        layer=coupled,
    ),
    Part(
        Claim(
            "Multiplier of free sign",
            positive(v.T @ unit_slopes @ unsigned @ (identity("m") - unit_slopes) @ v),
            text=r"$D$ has entries in $[0,1]$.",
        )
    ),
    Part(
        Claim(
            "Slopes of another activation",
            lipschitz(absolute, signs),
            [positive(absolute_condition)],
            r"The condition for slopes in $[0,1]$, the entries of $D$ in $[-1,1]$.",
        ),
        layer=absolute,
    ),
]


def numbers():
    """Build M of a random network with the multipliers that `certify` proved."""
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal(shape) / 2 for shape in ((5, 4), (6, 5), (3, 6))]
    low, high = 0.25, 1.0
    certificate = certify(Network.mlp(weights, activation=leaky_relu(low)))
    proof = certificate.proof
    assert proof is not None
    scale = 4.0**proof.exponent
    t, squared = np.diag(np.concatenate(proof.multipliers) * scale), proof.rho * scale
    K, F = np.zeros((11, 15)), np.hstack([np.zeros((3, 9)), weights[2]])
    K[:5, :4], K[5:, 4:9] = weights[0], weights[1]
    E, P = np.eye(15)[4:], np.diag([1.0] * 4 + [0.0] * 11)
    side = (E - low * K).T @ t @ (E - high * K)
    M = squared * P + side + side.T - F.T @ F
    return [
        Comparison(
            r"least eigenvalue of $M$ at the multipliers that were proved, over $\|M\|$ (up to rounding)",
            np.linalg.eigvalsh(M)[0] / np.linalg.norm(M),
            ">=",
            -1e-14,
        ),
        Comparison(r"proved constant against $\sqrt\rho$", certificate.upper, "==", squared**0.5, 1e-9),
        Comparison("attained by two inputs", certificate.lower, "<=", squared**0.5),
    ]


derivation = Derivation(
    title="The condition for stacked networks",
    source="Fazlyab, Robey, Hassani, Morari, Pappas: Efficient and Accurate Estimation of Lipschitz Constants for Deep "
    "Neural Networks, NeurIPS 2019 (with diagonal multipliers only)",
    statement=r"Let $v=K_xx+K_zz+b$, $z_i=\varphi_i(v_i)$, $y=F_xx+F_zz+c$ with $x\in\mathbb R^n$, $z\in\mathbb R^m$, "
    r"$y\in\mathbb R^k$, where $\alpha_i\le"
    r"\frac{\varphi_i(s)-\varphi_i(t)}{s-t}\le\beta_i$ for $s\ne t$. Let $K=(K_x\ K_z)$, $F=(F_x\ F_z)$, $E=(0\ I)$, "
    r"$P=\operatorname{diag}(I,0)$, $\alpha=\operatorname{diag}(\alpha_i)$, $\beta=\operatorname{diag}(\beta_i)$. If "
    r"$\Lambda\succeq0$ is diagonal and $\rho\in\mathbb R$ with \[M=\rho P+(E-\alpha "
    r"K)^\top\Lambda(E-\beta K)"
    r"+(E-\beta K)^\top\Lambda(E-\alpha K)-F^\top F\succeq0,\] then $\|\Delta y\|^2\le\rho\,\|\Delta x\|^2$ "
    r"for the differences of any two solutions $(x,v,z,y)$.",
    parts=[
        Part(sectors, [DiagonalProduct(Lambda, D - alpha, beta - D), Sandwiches(sector, Term(product, dv))]),
        Part(theorem, proof),
        Part(affine, [eliminated]),
    ],
    controls=controls,
    numbers=numbers,
    remark=r"Two solutions differ by $\Delta z_i=d_i\Delta v_i$ with $d_i$ the difference quotient of $\varphi_i$ "
    r"(any number of "
    r"$[\alpha_i,\beta_i]$ where $\Delta v_i=0$, since then $\Delta z_i=0$): the first claim with "
    r"$D=\operatorname{diag}(d_i)$ is the "
    r"last hypothesis of the second. Biases drop out. $K_z$ is arbitrary; that solutions exist is a separate question.",
)

"""CPL: steps x - h grad f(x), h <= 2/L, and the layer x - 2/|W|^2 W' phi(W x + b) from the condition."""

from fractions import Fraction

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
    squared_norm,
    vector,
)
from sdpcert.symbolic.steps import Sandwiches, Term

# A convex function with L-Lipschitz gradient; instances are f(x) = |P x|^2 / 2 with L hardly above |P|^2.
P = matrix("P", "n", "n")
L = scalar("L", positive=True, definition=lambda i: i.diagonal([i.norm_above(i.value(P)) or 1]))
x, y = vector("x", "n"), vector("y", "n")
g = {at: vector(f"g_{at}", "n", definition=lambda i, at=at: i.value(P.T @ P @ points[at])) for at in "xyuw"}
points = {"x": x, "y": y, "u": y - (g["y"] - g["x"]) * L**-1, "w": x - (g["x"] - g["y"]) * L**-1}
f = {
    at: scalar(f"f_{at}", definition=lambda i, at=at: i.value((P @ points[at]).T @ (P @ points[at])) / 2)
    for at in "xyuw"
}


def gradient_inequality(at, to):
    """f(to) >= f(at) + grad f(at)'(to - at): convexity."""
    return positive(f[to] - f[at] - g[at].T @ (points[to] - points[at]))


def descent(at, to):
    """f(to) <= f(at) + grad f(at)'(to - at) + L/2 |to - at|^2: smoothness."""
    step = points[to] - points[at]
    return positive(f[at] - f[to] + g[at].T @ step + Fraction(1, 2) * L * step.T @ step)


dg = g["x"] - g["y"]
given = [gradient_inequality("x", "u"), descent("y", "u"), gradient_inequality("y", "w"), descent("x", "w")]
cocoercivity = positive(dg.T @ (x - y) - L**-1 * dg.T @ dg)
cocoercive = Claim(
    "Co-coercivity",
    cocoercivity,
    given,
    r"Baillon and Haddad: $f$ is convex and $L$-smooth, $f_x$ and $g_x$ are its value and gradient at $x$, and "
    r"$u=y-(g_y-g_x)/L$, "
    r"$w=x-(g_x-g_y)/L$. What is given is convexity at $x$ and $y$ and the descent lemma from $y$ and $x$.",
)

# The step x - h grad f(x).
h = scalar(
    "h", positive=True, definition=lambda i: i.diagonal([2 * min(abs(i.draw("h", 1, 1)[0, 0]), 1) or 2]) / i.value(L)
)
dx, dz = vector("dx", "n", latex=r"\Delta x"), vector("dz", "m", latex=r"\Delta z")
dG = vector("dg", "n", latex=r"\Delta g", definition=lambda i: i.value(P.T @ P @ dx))
coercive = positive(dG.T @ dx - L**-1 * dG.T @ dG)
moved = dx - h * dG
stepped = Claim(
    "Gradient step",
    positive(dx.T @ dx, moved.T @ moved),
    [positive(2 - h * L), coercive],
    r"$\Delta g$ is the difference of the gradients at two points with the difference $\Delta x$.",
)
step = Sandwiches(stepped.show, Term(coercive.matrix, coefficient=2 * h), Term(identity("n"), dG, h * (2 * L**-1 - h)))

# The layer by the condition.
W = matrix("W", "m", "n")
n, norm = squared_norm("L", W.T)


def residual(factor):
    """x - factor/L W' phi(W x + b) with the multiplier that makes the off-diagonal block vanish."""
    scale = factor * n**-1
    return Layer(H=identity("n"), G=-scale * W.T, U=W, multipliers=scale * identity("m"))


layer, longer = residual(2), residual(Fraction(21, 10))
far = scalar("h", positive=True, definition=lambda i: i.array([[Fraction(21, 10)]]) / i.value(L))
rotated = matrix("A", "n", "n", definition=lambda i: i.value(P - P.T))
turned = dx - h * (rotated @ dx)


def numbers():
    """Certify a layer of random weights, and one whose step is 2.1/L."""
    import numpy as np
    import torch

    from sdpcert.layers import CPLLinear
    from sdpcert.torch_modules.reader import from_torch

    torch.manual_seed(0)
    made = CPLLinear(5, 8, dtype=torch.float64)
    torch.nn.init.normal_(made.weight)
    certificate = certify(from_torch(made, (5,)), method="by-construction")
    weight = made.weight.detach().numpy()
    squared = np.linalg.norm(weight, 2) ** 2
    inner = np.vstack([np.eye(5), -np.eye(5), weight])
    outer = np.hstack([np.eye(5), -np.eye(5), -2.1 / squared * weight.T])
    too_far = certify(Network.mlp([inner, outer], [np.r_[np.full(10, 0.0), np.full(8, 50.0)], None]))
    return [
        Comparison("proved constant of a layer of random weights", certificate.upper, "<=", 1.0),
        Comparison("attained by it", certificate.lower, "<=", 1.0),
        Comparison("attained with the step $2.1/L$", too_far.lower, ">=", 1.1, 1e-6),
    ]


derivation = Derivation(
    title="Convex potential layers (CPL)",
    source="Meunier, Delattre, Araujo, Allauzen: A Dynamical System Perspective for Lipschitz Neural Networks, ICML "
    "2022",
    statement=r"(i) Let $f$ be convex with $L$-Lipschitz gradient. Then $x\mapsto x-h\nabla f(x)$ is 1-Lipschitz "
    r"for every "
    r"$h\in(0,2/L]$. (ii) The layer $x\mapsto x-\frac2LW^\top\sigma(Wx+b)$ is 1-Lipschitz for $L\ge\|W\|^2$, $L>0$, "
    r"and every "
    r"$\sigma$ with slopes in $[0,1]$.",
    parts=[
        Part(cocoercive),
        Part(stepped, [step]),
        Part(layer.claim("The condition of the layer", [norm]), layer=layer),
    ],
    controls=[
        Part(
            Claim(
                "Step $2.1/L$, gradient step",
                positive(dx.T @ dx, (dx - far * dG).T @ (dx - far * dG)),
                [coercive],
                r"$h=2.1/L$.",
            )
        ),
        Part(longer.claim("Step $2.1/L$, layer", [norm]), layer=longer),
        Part(
            Claim(
                "Monotone but no gradient",
                positive(dx.T @ dx, turned.T @ turned),
                [positive(2 - h * L)],
                r"$\Delta g=A\Delta x$ with a skew matrix $A$ has $\Delta g^\top\Delta x=0\ge0$, but is not "
                r"co-coercive.",
            )
        ),
    ],
    numbers=numbers,
    remark=r"(ii) is (i) for $f(x)=\sum_i\psi_i(w_i^\top x+b_i)$ with $\psi_i'=\sigma$ where $\sigma$ is monotone; "
    r"the third claim "
    r"proves it from the condition, with the multiplier $\frac2LI$.",
)

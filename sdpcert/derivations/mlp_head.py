"""The certificate of an MLP head: bounds of the curvature of w'softplus(W x + b), the radius, and its dual."""

from fractions import Fraction

import numpy as np

from sdpcert.certify import certify
from sdpcert.network import Network
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Part,
    diagonal,
    identity,
    matrix,
    positive,
    scalar,
    slopes,
    symmetric,
    vector,
)
from sdpcert.symbolic.steps import Sandwiches, Term

# The Hessian: slopes of softplus' are beta / 4 times D, 0 <= D <= I; p and r are the roots of w_+ and w_-.
W, beta = matrix("W", "k", "n", r"W_1"), scalar("beta", positive=True)
D = slopes("D", "k")
p, r = (diagonal(name, "k", False) for name in "pr")
hessian = W.T @ (beta / 4 * D @ (p**2 - r**2)) @ W


def curvature(name, root, share=Fraction(1)):
    """A number hardly above the norm of W'diag(w)W, times beta / 4."""

    def definition(instance):
        bound = instance.norm_above(instance.value(root @ W)) * instance.number(beta) / 4 * instance.array([share])[0]
        return instance.diagonal([bound if bound != 0 else bound + 1])

    return scalar(name, positive=True, definition=definition)


m, M = curvature("m", r), curvature("M", p)
one = identity("n")
bounds = [positive(m * one, beta / 4 * W.T @ r**2 @ W), positive(M * one, beta / 4 * W.T @ p**2 @ W)]
interval = [positive(D), positive(identity("k"), D)]
lower, upper = positive(hessian, -m * one), positive(M * one, hessian)

# The radius R, at most the root, from f and its gradient h, |h| = g, at x; increments d with |d| <= R.
bent = scalar("m", positive=True)
R, g = scalar("R", positive=True), scalar("g", positive=True)
h = matrix(
    "h",
    "n",
    1,
    r"\nabla f",
    definition=lambda instance: instance.orthogonal("gradient", instance.size("n"))[:, :1] * instance.number(g),
    equal_to=lambda h: [(h.T @ h, g**2 * identity(1))],
)


def increment(instance):
    share = instance.draw("share of the radius", 1, 1)[0, 0]
    toward = instance.orthogonal("gradient", instance.size("n"))[:, :1]
    return toward * instance.number(R) * max(min(share, 1), -1)


d = vector("d", "n", r"\delta", definition=increment)
ball = positive(R**2 * identity(1), d.T @ d)
least_root = g * R + bent * R**2 / 2
start = scalar(
    "f", positive=True, definition=lambda instance: instance.value(least_root) + abs(instance.draw("more", 1, 1))
)
root = positive(g**2 + 2 * bent * start, (bent * R + g) ** 2)
margin = positive(start * identity(1) + h.T @ d - bent / 2 * d.T @ d)

# The dual: phi(d) = |d|^2 + 2 eta f(x + d) near an approximate minimiser, q its gradient there, s the way to d.
mu = scalar("mu", positive=True)
eta = scalar("eta", definition=lambda instance: abs(instance.draw("eta", 1, 1)))
f = scalar("f", definition=lambda instance: -abs(instance.draw("f", 1, 1)))
H = symmetric("H", "n", latex=r"\nabla^2f", definition=lambda instance: hessian_above(instance))
curved = positive(H, -bent * one)
strongly = positive(2 * one + 2 * eta * H, (2 - 2 * eta * bent) * one)


def hessian_above(instance):
    """A symmetric matrix that is at least -m I."""
    free = instance.draw("H", instance.size("n"), 1)
    return free @ free.T - instance.value(bent * one)


value = scalar("hatphi", latex=r"\hat\varphi")
q, s = vector("q", "n"), vector("s", "n")
excess = scalar("a", definition=lambda instance: abs(instance.draw("a", 1, 1)))
phi = scalar(
    "phi",
    latex=r"\varphi",
    definition=lambda instance: instance.value(value + q.T @ s + mu / 2 * s.T @ s + excess),
)
convex = positive(phi, value + q.T @ s + mu / 2 * s.T @ s)
dual = positive(phi - 2 * eta * f, value - mu**-1 / 2 * q.T @ q)
given = [convex, positive(eta), positive(-f)]


def numbers():
    """Certify the gradient of a random head: a network with sigmoids, whose constant is the greater of m and M."""
    rng = np.random.default_rng(0)
    first, last = rng.standard_normal((6, 4)), rng.standard_normal(6)
    parts = [np.linalg.norm(first.T @ np.diag(np.maximum(sign * last, 0)) @ first, 2) / 4 for sign in (1, -1)]
    gradient = certify(Network.mlp([first, first.T @ np.diag(last)], activation="sigmoid"))
    return [Comparison(r"steepest change of the gradient, $\max(m,M)$", gradient.lower, "<=", float(max(parts)))]


least = curvature("m", r, Fraction(1, 2))

derivation = Derivation(
    title="MLP head: curvature, radius and dual",
    source="Singla, Feizi: Second-order provable defenses against adversarial attacks, ICML 2020; Singla, Feizi: "
    "Improved techniques for deterministic l2 robustness, NeurIPS 2022 (as a last layer)",
    statement=r"Let $f(x)=w^\top\mathrm{softplus}_\beta(W_1x+b_1)+b$ be a difference of two logits, $w=w_+-w_-$ "
    r"with $w_\pm\ge0$. Then $-mI\preceq\nabla^2f\preceq MI$ with "
    r"$m=\frac\beta4\lambda_{\max}(W_1^\top\mathrm{diag}(w_-)W_1)$ and $M$ "
    r"likewise with $w_+$. If $f(x)>0$ and $m>0$, $f$ is nonnegative within $R=\bigl(\sqrt{\|\nabla "
    r"f\|^2+2mf}-\|\nabla f\|\bigr)/m$ "
    r"of $x$. For $0\le\eta<1/m$, $\varphi(\delta)=\|\delta\|^2+2\eta f(x+\delta)$, $\mu=2(1-\eta m)$ and any "
    r"$\hat\delta$, every $\delta$ "
    r"with $f(x+\delta)\le0$ has $\|\delta\|^2\ge\varphi(\hat\delta)-\|\nabla\varphi(\hat\delta)\|^2/(2\mu)$.",
    parts=[
        Part(
            Claim(
                "curvature from below",
                lower,
                [*interval, bounds[0]],
                r"Here $p=\operatorname{diag}(w_+)^{1/2}$, $r=\operatorname{diag}(w_-)^{1/2}$ and "
                r"$\nabla^2f=\frac\beta4W_1^\top D\,\mathrm{diag}(w)W_1$, where $\frac\beta4D$ has the entries "
                r"$\mathrm{softplus}_\beta''=\beta\sigma(1-\sigma)\in[0,\frac\beta4]$, "
                r"$\sigma$ the logistic function.",
            ),
            [
                Sandwiches(
                    lower,
                    bounds[0].matrix,
                    Term(D, p @ W, beta / 4),
                    Term(identity("k") - D, r @ W, beta / 4),
                )
            ],
        ),
        Part(
            Claim("curvature from above", upper, [*interval, bounds[1]]),
            [
                Sandwiches(
                    upper,
                    bounds[1].matrix,
                    Term(D, r @ W, beta / 4),
                    Term(identity("k") - D, p @ W, beta / 4),
                )
            ],
        ),
        Part(
            Claim(
                "no change of sign within the radius",
                margin,
                [root, ball],
                r"$R\le(\sqrt{g^2+2mf}-g)/m$ with $g=\|\nabla f\|$, and $f(x+\delta)\ge f+\nabla "
                r"f^\top\delta-\frac m2\|\delta\|^2$ by Taylor's formula and the bound of the "
                r"curvature.",
            ),
            [
                Sandwiches(
                    margin,
                    Term(root.matrix.entries[0][0], None, bent**-1 / 2),
                    Term(ball.matrix.entries[0][0], None, bent / 2 + g * R**-1 / 2),
                    Term(one, d + R * g**-1 * h, g * R**-1 / 2),
                )
            ],
        ),
        Part(
            Claim(
                "the dual's objective is convex",
                strongly,
                [curved, positive(eta)],
                r"$\nabla^2\varphi=2I+2\eta\nabla^2f\succeq\mu I$, from the first claim.",
            ),
            [Sandwiches(strongly, Term(H + bent * one, None, 2 * eta))],
        ),
        Part(
            Claim(
                "the dual's lower value",
                dual,
                given,
                r"$\varphi(\delta)=\|\delta\|^2+2\eta f(x+\delta)$, so that the left side is $\|\delta\|^2$; "
                r"$f$ stands for $f(x+\delta)\le0$, $\hat\varphi$ and $q=\nabla\hat\varphi$ for value and gradient "
                r"at $\hat\delta$, "
                r"$s=\delta-\hat\delta$. The first hypothesis is strong convexity.",
            ),
            [
                Sandwiches(
                    dual,
                    convex.matrix,
                    Term(-f, None, 2 * eta),
                    Term(one, s + mu**-1 * q, mu / 2),
                )
            ],
        ),
    ],
    controls=[
        Part(
            Claim(
                "$w_+$ in place of $w_-$",
                positive(hessian, -M * one),
                [*interval, bounds[1]],
                "The bound from below with the positive weights.",
            )
        ),
        Part(
            Claim(
                "$\\beta/8$ in place of $\\beta/4$",
                positive(hessian, -least * one),
                [*interval, positive(least * one, beta / 8 * W.T @ r**2 @ W)],
            )
        ),
        Part(
            Claim(
                "the dual's value without the correction",
                positive(phi - 2 * eta * f, value),
                given,
                "$\\hat\\delta$ is no minimiser.",
            )
        ),
    ],
    numbers=numbers,
    remark=r"Where $\nabla f=0$ the third claim is trivial, since $f-\frac m2R^2=0$. Left to sentences: Taylor's "
    r"formula; and that a function with $\nabla^2\varphi\succeq\mu I$ lies "
    r"above its quadratic model, by integrating the bound of the curvature. Upper bounds of $m$ and $M$ do as "
    r"well, such as "
    r"$\frac\beta4\|W_1\|^2\max w_-$.",
)

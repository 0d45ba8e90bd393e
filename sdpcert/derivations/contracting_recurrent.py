"""Contracting recurrent steps h+ = phi(W h + U x + b) in a metric P, and the gain of a recurrent layer."""

from sdpcert.derivations.averaged import scale_above
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Part,
    block,
    diagonal,
    identity,
    matrix,
    positive,
    scalar,
    slopes,
    symmetric,
    symmetric_block,
    vector,
)
from sdpcert.symbolic.steps import Sandwiches, Term
from sdpcert.symbolic.written import written

rate = scalar("a", positive=True, latex=r"\alpha^2")
gain = scalar("g", positive=True, latex=r"\gamma^2")
P = symmetric("P", "n", positive=True)


def trace(value):
    """The trace, which is at least the norm of a positive matrix."""
    return sum(value[k, k] for k in range(len(value)))


Lambda = diagonal(
    "Lambda",
    "n",
    latex=r"\Lambda",
    definition=lambda instance: trace(instance.value(P)) * instance.identity(instance.size("n")),
)


def weights(part, name, rows, columns):
    """A block of the map from state and input to next state and output, small enough in instances."""

    def definition(instance):
        n, p, m = (instance.size(k) for k in ("n", "p", "m"))
        drawn, value = instance.draw("M", n + p, n + m), instance.value(P)
        top = max(instance.norm_above(drawn), instance.array([1])[0]) * (1 + trace(value))
        least = 1 / trace(instance.inverse(value))
        scaled = drawn / scale_above(top / min(least, instance.number(gain)))
        return scaled[part[0] * n :, part[1] * n :][: instance.size(rows), : instance.size(columns)]

    return matrix(name, rows, columns, definition=definition)


W, U = weights((0, 0), "W", "n", "n"), weights((0, 1), "U", "n", "m")
C, D = weights((1, 0), "C", "p", "n"), weights((1, 1), "D", "p", "m")


def alone(instance):
    """W without an input and an output."""
    drawn, value = instance.draw("M", instance.size("n"), instance.size("n")), instance.value(P)
    top = max(instance.norm_above(drawn), instance.array([1])[0]) * trace(value)
    return drawn / scale_above(top * trace(instance.inverse(value)) / instance.number(rate))


F = matrix("W", "n", "n", definition=alone)

# Two runs with the same input: dz is the difference of the next states.
dh, dx = vector("dh", "n", latex=r"\Delta h"), vector("dx", "m", latex=r"\Delta x")
Q = slopes("Q", "n")
dz = vector("dz", "n", latex=r"\Delta h_+", definition=lambda instance: instance.value(Q @ F @ dh))


def contracts(metric, multipliers, weight, corner=2):
    """The matrix inequality of a contracting step."""
    return positive(symmetric_block([[rate * metric, -weight.T @ multipliers], [corner * multipliers - metric]]))


given = contracts(P, Lambda, F)
sector = positive(dz.T @ Lambda @ (F @ dh - dz))
shorter = positive(rate * dh.T @ P @ dh, dz.T @ P @ dz)

# A diagonal metric serves as multipliers itself.
scaled, K = diagonal("P", "n"), matrix("W", "n", "n")
linear = positive(rate * scaled, K.T @ scaled @ K)
sufficient = contracts(scaled, scaled, K)

# Different inputs, and an output y = C h + D x.
dw = vector("dz", "n", latex=r"\Delta h_+", definition=lambda instance: instance.value(Q @ (W @ dh + U @ dx)))
dy = C @ dh + D @ dx
driven = positive(dw.T @ Lambda @ (W @ dh + U @ dx - dw))


def dissipates(feed):
    """The matrix inequality of the gain, for differences of state, next state and input."""
    return positive(
        symmetric_block(
            [
                [P - C.T @ C, -W.T @ Lambda, -C.T @ feed],
                [2 * Lambda - P, -Lambda @ U],
                [gain * identity("m") - feed.T @ feed],
            ]
        )
    )


spent = positive(dh.T @ P @ dh + gain * dx.T @ dx, dw.T @ P @ dw + dy.T @ dy)

named = vector("dy", "p", latex=r"\Delta y")


def in_words(statement, feed):
    """The statement with a name for the difference of outputs."""
    shown = positive(dh.T @ P @ dh + gain * dx.T @ dx, dw.T @ P @ dw + named.T @ named)
    return written(statement, shown, {named: C @ dh + feed @ dx})


# Wrong versions.
free = slopes("S", "n")
next_of = free @ K @ dh
full = [positive(rate * P, K.T @ P @ K)]
in_full = positive(rate * dh.T @ P @ dh, next_of.T @ P @ next_of)
B, M = matrix("D", "p", "m"), diagonal("Lambda", "n", latex=r"\Lambda")
dv = vector("dz", "n", latex=r"\Delta h_+", definition=lambda instance: instance.value(free @ K @ dh))
doubled = [contracts(scaled, M, K, 4), positive(dv.T @ M @ (K @ dh - dv))]
in_doubled = positive(rate * dh.T @ scaled @ dh, dv.T @ scaled @ dv)
fed = C @ dh + B @ dx
overlooked = positive(dh.T @ P @ dh + gain * dx.T @ dx, dw.T @ P @ dw + fed.T @ fed)


def numbers():
    """Certify steps of a random recurrent network, in its metric, and a closed form of it."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network import Network

    rng = np.random.default_rng(0)
    root, inner = np.diag(np.exp(rng.standard_normal(4))), rng.standard_normal((4, 4))
    rate = 0.9
    W = np.linalg.inv(root) @ (rate * inner / np.linalg.norm(inner, 2)) @ root
    found = []
    for steps in (1, 3):
        chain = [W @ np.linalg.inv(root), *[W] * (steps - 1), root]
        biases = [*(rng.standard_normal(4) for _ in range(steps)), None]
        certificate = certify(Network.mlp(chain, biases, "tanh"))
        found.append(Comparison(f"proved in the metric, {steps} steps", certificate.upper, "<=", rate**steps, 1e-6))
        found.append(Comparison("attained", certificate.lower, "<=", certificate.upper))
    return found


derivation = Derivation(
    title="Contracting recurrent layers",
    source="Revay, Manchester: Contracting Implicit Recurrent Neural Networks: Stable Models with Improved "
    "Trainability, L4DC 2020; Revay, Wang, Manchester: Recurrent Equilibrium Networks: Flexible Dynamic Models with "
    "Guaranteed Stability and Robustness, IEEE Transactions on Automatic Control 69, 2024",
    statement=r"Let $h_+=\sigma(Wh+Ux+b)$, $y=Ch+Dx$, with slopes in $[0,1]$, $P\succ0$ and a nonnegative diagonal "
    r"$\Lambda$. (i) If $\begin{pmatrix}\alpha^2P&-W^\top\Lambda\\-\Lambda W&2\Lambda-P\end{pmatrix}\succeq0$ then two "
    r"runs with the same input satisfy $\Delta h_+^\top P\Delta h_+\le\alpha^2\Delta h^\top P\Delta h$. (ii) For "
    r"diagonal $P$ this holds, with $\Lambda=P$, if $W^\top PW\preceq\alpha^2P$. (iii) If "
    r"\[\begin{pmatrix}P-C^\top C&-W^\top\Lambda&-C^\top D\\-\Lambda W&2\Lambda-P&-\Lambda U\\-D^\top C&"
    r"-U^\top\Lambda&\gamma^2I-D^\top D\end{pmatrix}\succeq0\] then $\Delta h_+^\top P\Delta h_++\|\Delta y\|^2\le"
    r"\Delta h^\top P\Delta h+\gamma^2\|\Delta x\|^2$.",
    parts=[
        Part(
            Claim(
                "Contraction",
                shorter,
                [given, sector],
                r"This is (i). The last hypothesis holds because the slopes are in $[0,1]$ and $\Lambda$ is diagonal.",
            ),
            [Sandwiches(shorter, Term(given.matrix, block([[dh], [dz]])), Term(sector.matrix, coefficient=2))],
        ),
        Part(
            Claim("Diagonal metric", sufficient, [linear], r"This is (ii)."),
            [
                Sandwiches(
                    sufficient,
                    Term(scaled, block([[-K, identity("n")]])),
                    Term(linear.matrix, block([[identity("n"), 0 * K]])),
                )
            ],
        ),
        Part(
            Claim(
                "Gain",
                in_words(spent, D),
                [dissipates(D), driven],
                r"This is (iii). From equal states on the outputs' differences have, by summation over time, at most "
                r"$\gamma$ times the norm of the inputs'.",
            ),
            [
                Sandwiches(
                    spent,
                    Term(dissipates(D).matrix, block([[dh], [dw], [dx]])),
                    Term(driven.matrix, coefficient=2),
                )
            ],
        ),
    ],
    controls=[
        Part(
            Claim(
                "A full metric",
                in_full,
                full,
                r"$W^\top PW\preceq\alpha^2P$ for a $P$ that is not diagonal; $S$ holds the slopes.",
                {"n": 2},
            )
        ),
        Part(Claim("Twice the corner", in_doubled, doubled, r"$4\Lambda-P$ in place of $2\Lambda-P$.")),
        Part(
            Claim(
                "Feed-through left out",
                in_words(overlooked, B),
                [dissipates(0 * D), driven],
                r"The inequality for $D=0$, the output with any $D$.",
            )
        ),
    ],
    numbers=numbers,
    remark=r"Over $T$ steps the factor is $\alpha^T$. Recurrent equilibrium networks have a loop around $\sigma$ "
    r"besides, as in the equilibrium layers, and more freedom in the metric.",
)

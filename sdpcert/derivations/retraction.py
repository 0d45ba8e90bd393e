"""The polynomial step (1 + beta) W - beta W W'W towards orthonormal columns: |W| <= 1 stays, the distance falls."""

from fractions import Fraction

from sdpcert.derivations.averaged import contraction, share, shrinks
from sdpcert.symbolic import (
    Claim,
    Comparison,
    Derivation,
    Layer,
    Part,
    identity,
    matrix,
    number,
    positive,
    scalar,
)
from sdpcert.symbolic.steps import Sandwiches, Term
from sdpcert.symbolic.written import written

beta, one = share("beta", Fraction(1, 2)), identity("m")
half, small = Fraction(1, 2), positive(1 - 2 * beta)


def step(V, length):
    """The map."""
    return (1 + length) * V - length * V @ V.T @ V


W = contraction("W", "n", "m")
S = W.T @ W
E, N = one - S, step(W, beta)

# 2 - beta > 0, as a sum of what is known.
wide = Sandwiches(positive(2 - beta), Term(number(Fraction(3, 2))), Term(1 - 2 * beta, coefficient=half))
bounded = Sandwiches(
    positive(one, N.T @ N),
    Term(E, coefficient=1 - 2 * beta),
    Term(one, E, beta * (2 - beta)),
    Term(E, E, beta**2),
)
grows = positive(N.T @ N, S)
growing = Sandwiches(grows, Term(identity("n"), W @ E, 2 * beta + beta**2), Term(E, S, 2 * beta))

# Singular values of at least 1 - d: the distance shrinks by a factor.
d = share("delta")


def spread(instance):
    """A matrix with singular values whose squares are in [1 - delta, 1]."""
    n, m = instance.size("n"), instance.size("m")
    if m > n:
        raise ZeroDivisionError("more orthonormal columns than rows")
    lengths = instance.draw("lengths", m, 1, positive=True)[:, 0]
    least = 1 - instance.number(d) / 2
    columns = [least + (1 - least) * (length if length <= 1 else 1 / length) for length in lengths]
    return instance.orthogonal("left", n)[:, :m] @ instance.diagonal(columns) @ instance.orthogonal("right", m)


V = matrix("W", "n", "m", definition=spread)
F, near = one - V.T @ V, d * one - one + V.T @ V
after = one - step(V, beta).T @ step(V, beta)
rate = positive((1 - 2 * beta * (1 - d)) * F, after)
shrinking = Sandwiches(
    rate,
    Term(near, F, 2 * beta * d**-1),
    Term(F, near, 2 * beta * d**-1),
    Term(identity("n"), V @ F, beta**2),
)

# How the statements are printed.
shown_N, shown_E, ratio = matrix("N", "n", "m"), matrix("E", "m", "m"), scalar("q")


def in_words(statement, shown, V, length):
    """The statement with a name for the step."""
    return written(statement, shown, {shown_N: step(V, length)})


def falling(statement, factor):
    """The statement with names for the step, the distance, and the factor by which it falls."""
    names = {shown_N: step(V, beta), shown_E: one - V.T @ V, ratio: factor}
    return written(statement, positive(ratio * shown_E, one - shown_N.T @ shown_N), names)


# Wrong versions.
free, long = matrix("W", "n", "m"), share("beta")
too_long, unbounded = Layer(H=step(W, long)), Layer(H=step(free, beta))
faster = positive((1 - 2 * beta) * F, after)


def numbers():
    """Certify weights before and after steps."""
    import numpy as np

    from sdpcert.certify import certify
    from sdpcert.network import Network

    rng = np.random.default_rng(0)
    weight = rng.standard_normal((6, 4))
    weight /= np.linalg.norm(weight, 2)
    before, least = certify(Network.mlp([weight])), np.linalg.norm(weight, -2)
    stepped = step_of(weight, 0.25)
    after = certify(Network.mlp([stepped]))
    last = weight
    for _ in range(60):
        last = step_of(last, 0.25)
    distances = [float(1 - np.linalg.norm(w, -2) ** 2) for w in (weight, stepped)]
    return [
        Comparison("proved norm of random weights before", before.upper, "<=", 1.0, 1e-9),
        Comparison(r"proved norm after a step with $\beta=\frac14$", after.upper, "<=", 1.0, 1e-9),
        Comparison("least singular value after it", float(np.linalg.norm(stepped, -2)), ">=", float(least)),
        Comparison(
            r"largest eigenvalue of $I-N^\top N$", distances[1], "<=", float((1 - 0.5 * least**2) * distances[0]), 1e-12
        ),
        Comparison("least singular value after 60 steps", float(np.linalg.norm(last, -2)), "==", 1.0, 1e-6),
    ]


def step_of(weight, length):
    """The map for numbers."""
    return (1 + length) * weight - length * weight @ weight.T @ weight


derivation = Derivation(
    title="Retraction to orthonormal columns",
    source="Ablin, Peyré: Fast and Accurate Optimization on the Orthogonal Manifold without Retraction, AISTATS 2022 "
    "(the step along the gradient of the distance); Björck, Bowie: An Iterative Algorithm for Computing the Best "
    "Estimate of an Orthogonal Matrix, SIAM Journal on Numerical Analysis 8, 1971 (one half); This project (the sums)",
    statement=r"Let $0<\beta\le\frac12$, $W^\top W\preceq I$, $E=I-W^\top W$ and $N=(1+\beta)W-\beta WW^\top W$. Then "
    r"(i) $N^\top N\preceq I$, (ii) $N^\top N\succeq W^\top W$, and (iii) $I-N^\top N\preceq(1-2\beta(1-\delta))E$ if "
    r"$W^\top W\succeq(1-\delta)I$, $0<\delta\le1$. Hence all further steps have these properties with the same "
    r"$\delta$, and the distance from orthonormal columns falls by this factor in each.",
    parts=[
        Part(
            Claim(
                "Norm at most one",
                in_words(positive(one, N.T @ N), positive(one, shown_N.T @ shown_N), W, beta),
                [shrinks(W), small],
                r"This is (i): $I-N^\top N=(1-2\beta)E+\beta(2-\beta)E^2+\beta^2E^3$.",
            ),
            [wide, bounded],
            Layer(H=N),
        ),
        Part(
            Claim(
                "Singular values grow",
                in_words(grows, positive(shown_N.T @ shown_N, S), W, beta),
                [shrinks(W), small],
                r"This is (ii), with $S=W^\top W$ and $SE=ESE+SES$.",
            ),
            [growing],
        ),
        Part(
            Claim(
                "The distance falls",
                falling(rate, 1 - 2 * beta * (1 - d)),
                [shrinks(V), positive(near), small],
                r"This is (iii), with $\delta E(\delta I-E)=E(\delta I-E)E+(\delta I-E)E(\delta I-E)$.",
            ),
            [shrinking],
        ),
    ],
    controls=[
        Part(
            Claim(
                "Steps up to 1",
                in_words(positive(too_long.condition()), positive(one, shown_N.T @ shown_N), W, long),
                [shrinks(W), positive(1 - long)],
            ),
            layer=too_long,
        ),
        Part(
            Claim(
                "From any $W$",
                in_words(positive(unbounded.condition()), positive(one, shown_N.T @ shown_N), free, beta),
                [small],
            ),
            layer=unbounded,
        ),
        Part(
            Claim(
                r"The factor $1-2\beta$",
                falling(faster, 1 - 2 * beta),
                [shrinks(V), positive(near), small],
                r"$1-\delta$ is missing; it is the factor near orthonormal columns alone.",
            )
        ),
    ],
    numbers=numbers,
    remark=r"$W(W^\top W-I)$ is the gradient of $\frac14\|W^\top W-I\|_F^2$, and $N$ a step of size $\beta$ against "
    r"it. $\beta=\frac12$ is the step of Björck and Bowie of order one. The proofs need no functional calculus: they "
    r"are sums of sandwiches of $E\succeq0$.",
)

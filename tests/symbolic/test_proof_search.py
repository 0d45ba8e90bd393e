"""What the proof search finds by itself: rules of layers as their authors write them, and lemmas of many kinds.

Every proof found is checked by the checker of the standard library, and wrong neighbours stay without one.
"""

from fractions import Fraction as F

import pytest

from sdpcert.symbolic import (
    Claim,
    Layer,
    block,
    diagonal,
    diagonal_block,
    equal,
    identity,
    indices,
    inverse,
    largest,
    matrix,
    orthonormal,
    positive,
    rule,
    scalar,
    scalar_rule,
    search,
    skew,
    squared_norm,
    symmetric,
    symmetric_block,
    total,
    trace_of,
    vector,
)
from sdpcert.symbolic.proof_object import check_theorems, theorem
from sdpcert.symbolic.steps import Sandwiches
from sdpcert.symbolic.strategies import explore

i, j = indices("i j")
one, small = identity("n"), identity("m")
A, B = matrix("A", "n", "n"), matrix("B", "n", "n")
W, X = matrix("W", "n", "m"), matrix("X", "n", "m")
gram = W.T @ W
a, b, c, t = (scalar(name, positive=True) for name in "abct")
P, Q, S = symmetric("P", "n", positive=True), symmetric("Q", "m", positive=True), symmetric("S", "n")
x, y = vector("x", "n"), vector("y", "n")


def claim(shown, *given):
    return Claim("claim", shown, list(given))


def residual(T):
    """x - 2 W T^-1 phi(W'x), T a diagonal matrix or a number."""
    over = T**-1 * small if T.is_scalar else T**-1
    return Layer(H=one, G=-2 * W @ over, U=W.T, multipliers=2 * over).claim("residual")


def leaky(nu, *given):
    multipliers = 2 * nu**-1 * c**-1 * one
    layer = Layer(H=small, G=-2 * nu**-1 * X.T, U=X, low=1 - c, high=1, multipliers=multipliers)
    return layer.claim("leaky", [*given, positive(1 - c)])


def averaged(share):
    rotation = orthonormal("Q", "n", "n")
    layer = Layer(
        H=(1 - share) * one, G=share * rotation.T, U=rotation, multipliers=F(1, 2) * share * one, low=-1, high=1
    )
    return layer.claim("averaged", [positive(1 - t)] if share is t else [])


def equilibrium():
    mu, loop, K = scalar("mu", positive=True), matrix("L", "k", "m"), skew("K", "m")
    U = matrix("U", "m", "n")
    nu, bound = squared_norm("nu", U)
    W = (1 - mu) * small - loop.T @ loop + K
    layer = Layer(G=small, U=U, W=W, multipliers=mu**-1 * small, squared_lipschitz=nu * mu**-2)
    return layer.claim("equilibrium", [bound])


def lower_bound(share=F(1)):
    L = scalar("L", positive=True)
    return claim(
        positive((x + y).T @ (x + y), (1 - share * L) ** 2 * x.T @ x),
        positive(L**2 * x.T @ x, y.T @ y),
        positive(1 - L),
    )


def retraction(limit):
    beta = scalar("beta", positive=True)
    N = (1 + beta) * W - beta * W @ W.T @ W
    return claim(positive(small, N.T @ N), positive(small, gram), positive(1 - limit * beta))


def dissipation(gain=F(1)):
    maps = matrix("A", "s", "s"), matrix("B", "s", "u"), matrix("C", "y", "s"), matrix("D", "y", "u")
    state, u, E = vector("x", "s"), vector("u", "u"), symmetric("E", "s", positive=True)
    M = block([maps[:2], maps[2:]])
    known = positive(diagonal_block(E, identity("u")) - M.T @ diagonal_block(E, identity("y")) @ M)
    after, out = maps[0] @ state + maps[1] @ u, maps[2] @ state + maps[3] @ u
    return claim(positive(state.T @ E @ state + gain * u.T @ u, after.T @ E @ after + out.T @ out), known)


balance = diagonal("q", "m")
RULES = {
    "averaged": lambda: averaged(F(1, 2)),
    "averaged by a third": lambda: averaged(F(1, 3)),
    "convex combination": lambda: averaged(t),
    "leaky gradient step": lambda: leaky(*squared_norm("nu", X)),
    "leaky gradient step with the trace": lambda: leaky(trace_of("nu", X.T @ X)),
    "monotone equilibrium": equilibrium,
    "invertible residual": lower_bound,
    "retraction": lambda: retraction(2),
    "dissipation": dissipation,
    "twice the rows": lambda: residual(rule("T", "m", i, 2 * total(abs(gram[i, j]), j))),
    "rows and more": lambda: residual(rule("T", "m", i, 3 * total(abs(gram[i, j]), j) / 2 + diagonal("q", "m")[i] + 1)),
    "rows weighted in front of the sum": lambda: residual(
        rule("T", "m", i, 3 * total(abs(gram[i, j]) * balance[j], j) / balance[i])
    ),
    "three times the largest row": lambda: residual(scalar_rule("T", 3 * largest(total(abs(gram[i, j]), j), i))),
    "trace as a rule": lambda: residual(rule("T", "m", i, total(gram[j, j], j))),
    "twice the trace and one": lambda: residual(rule("T", "m", i, 2 * total(abs(gram[j, j]), j) + 1)),
    "trace as a number": lambda: residual(scalar_rule("T", total(gram[j, j], j))),
}
columns = orthonormal("Q", "n", "m")
R_one = inverse("R", one + X @ X.T)
D, weights, al, be = (diagonal(name, "n", positive=name == "L") for name in ("D", "L", "al", "be"))
free = diagonal("M", "n", positive=False)
LEMMAS = {
    "transposed norm": claim(positive(c * one, X @ X.T), positive(c * small, X.T @ X)),
    "transposed norm, back": claim(positive(small, X.T @ X), positive(one, X @ X.T)),
    "weighted transposed norm": claim(positive(Q**-1, X.T @ P**-1 @ X), positive(P, X @ Q @ X.T)),
    "transposed sum": claim(positive(one, (A + B) @ (A + B).T), positive(one, (A + B).T @ (A + B))),
    "norm from a block": claim(positive(one, X @ X.T), positive(symmetric_block([[one, X], [small]]))),
    "block from a norm": claim(positive(symmetric_block([[one, X], [small]])), positive(one, X @ X.T)),
    "projection on columns": claim(positive(one, columns @ columns.T)),
    "inverse": claim(positive(inverse("R", P))),
    "inverse at most one": claim(positive(one, R_one)),
    "inverse of what is at least c": claim(positive(c**-1 * one, inverse("R", S)), positive(S, c * one)),
    "inverses reverse the order": claim(positive(inverse("R", S), P**-1), positive(P, S), positive(S)),
    "two steps of Lyapunov": claim(positive(a**2 * P, (A @ A).T @ P @ A @ A), positive(a * P, A.T @ P @ A)),
    "dual of Lyapunov": claim(positive(P**-1, A @ P**-1 @ A.T), positive(P, A.T @ P @ A)),
    "Schur complement of a fact": claim(positive(P, X @ Q**-1 @ X.T), positive(symmetric_block([[P, X], [Q]]))),
    "triangle": claim(
        positive((a + b) ** 2 * one, (A + B).T @ (A + B)), positive(a**2 * one, A.T @ A), positive(b**2 * one, B.T @ B)
    ),
    "step of bounded length": claim(
        positive(x.T @ x, (x - t * y).T @ (x - t * y)), positive(c * x.T @ y, y.T @ y), positive(2 - t * c)
    ),
    "roots of numbers": claim(positive(a + b, 2 * a ** F(1, 2) * b ** F(1, 2))),
    "one over 1 - r": claim(positive(b**-1, 1 + (1 - b) + (1 - b) ** 2), positive(1 - b)),
    "square of a contraction": claim(positive(S, S @ S), positive(S), positive(one, S)),
    "sector": claim(positive(x.T @ (D - al) @ weights @ (be - D) @ x), positive(D, al), positive(be, D)),
    "products of three diagonal facts": claim(
        positive(x.T @ free @ (D - al) @ (be - D) @ x), positive(free), positive(D, al), positive(be, D)
    ),
    "a step from known ones": claim(
        positive(one - F(3, 4) * S @ (one - S) @ S),
        positive(one, S),
        positive(S),
    ),
    "quintic": claim(
        positive(
            small,
            gram
            @ (F(15, 8) * small - F(5, 4) * gram + F(3, 8) * gram @ gram)
            @ (F(15, 8) * small - F(5, 4) * gram + F(3, 8) * gram @ gram),
        ),
        positive(small, gram),
    ),
}
r = scalar("r", positive=True)
over, resolvent = inverse("s", 1 - r), inverse("R", one - A)
NUMBERS = {
    "1 / (1 - r) is positive": claim(positive(over), positive(1 - r)),
    "the geometric sum": claim(positive(over, 1 + r + r**2), positive(1 - r)),
    "an inverse residual": claim(
        positive(over**2 * (x + y).T @ (x + y), x.T @ x), positive(r**2 * x.T @ x, y.T @ y), positive(1 - r)
    ),
    "the Neumann series": claim(
        positive(over**2 * one, resolvent.T @ resolvent),
        positive(r**2 * one, A.T @ A),
        positive(1 - r),
    ),
    "a root": claim(positive(1 + t, 2 * c), equal(c**2, t)),
}
FALSE = {
    "1 / (1 - r) of any sign": lambda: claim(positive(over)),
    "retraction beyond a half": lambda: retraction(F(4, 3)),
    "lower bound that is too large": lambda: lower_bound(F(1, 2)),
    "less gain": lambda: dissipation(F(9, 10)),
    "transposed, smaller": lambda: claim(positive(F(9, 10) * one, X @ X.T), positive(small, X.T @ X)),
    "half of the trace": lambda: residual(rule("T", "m", i, total(gram[j, j], j) / 2)),
    "trace without the own entry": lambda: residual(rule("T", "m", i, total(gram[j, j], j, without=i))),
    "less than the rows": lambda: residual(rule("T", "m", i, F(9, 10) * total(abs(gram[i, j]), j) + gram[i, i] / 20)),
    "triangle of squares": lambda: claim(
        positive((a + b) * one, (A + B).T @ (A + B)), positive(a * one, A.T @ A), positive(b * one, B.T @ B)
    ),
    "square above": lambda: claim(positive(S @ S, S), positive(S), positive(one, S)),
    "a diagonal matrix of any sign": lambda: claim(positive(D)),
    "rows of orthonormal columns": lambda: claim(positive(columns @ columns.T, one)),
}


def proved(stated):
    found = search(stated)
    assert found is not None
    check_theorems(theorem(stated, found.proof))
    return found


@pytest.mark.parametrize("name", RULES)
def test_rules_are_proved_without_hints(name):
    proved(RULES[name]())


@pytest.mark.parametrize("name", LEMMAS)
def test_lemmas_are_proved_without_hints(name):
    proved(LEMMAS[name])


@pytest.mark.parametrize("name", NUMBERS)
def test_equalities_between_numbers_are_used(name):
    proved(NUMBERS[name])


@pytest.mark.parametrize("name", FALSE)
def test_wrong_neighbours_stay_without_a_proof(name):
    assert search(FALSE[name]()) is None


def test_proofs_are_shortened():
    last = proved(retraction(2)).proof[-1]
    assert isinstance(last, Sandwiches)
    assert len(last.terms) <= 6


def test_a_search_says_what_it_tried_and_whether_it_had_its_time():
    stated = FALSE["retraction beyond a half"]()
    found = explore(stated)
    assert not found.proof
    assert found.finished
    assert "sum of squares of longer words" in found.tried
    hurried = explore(stated, seconds=0)
    assert not hurried.finished
    assert len(hurried.tried) < len(found.tried)


def test_the_same_proof_is_found_again():
    first, second = proved(retraction(2)), proved(retraction(2))
    assert [str(s.explanation()) for s in first.proof] == [str(s.explanation()) for s in second.proof]

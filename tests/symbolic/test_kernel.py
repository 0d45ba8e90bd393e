"""The kernel accepts what follows and nothing else: every step is used rightly and wrongly."""

from dataclasses import replace
from fractions import Fraction

import pytest

from sdpcert.symbolic import (
    AlgebraError,
    Claim,
    KernelError,
    Layer,
    block,
    check,
    diagonal,
    diagonal_block,
    equal,
    identity,
    indices,
    inverse,
    matrix,
    number,
    positive,
    refute,
    rule,
    scalar,
    scalar_rule,
    skew,
    symmetric,
    symmetric_block,
    total,
    trace_of,
    vector,
    zero,
)
from sdpcert.symbolic.entries import Constant, largest
from sdpcert.symbolic.steps import (
    Cayley,
    Cite,
    Congruence,
    Dominance,
    Identity,
    Monotonicity,
    Polynomial,
    Sandwiches,
    Schur,
    Term,
    Trace,
    Young,
)
from sdpcert.symbolic.steps.polynomial import is_nonnegative

W, q, one = matrix("W", "n", "m"), diagonal("q", "m"), identity("m")
G = W.T @ W
i, j = indices("i j")
S = symmetric("S", "m", positive=True)
X, Y = matrix("X", "m", "k"), matrix("Y", "m", "k")


def aol(formula):
    return rule("T", "m", i, formula)


RIGHT = {
    "sandwiches": (positive(G + S), [Sandwiches(G + S, G, Term(S))]),
    "congruence": (positive(X.T @ S @ X), [Congruence(X.T @ S @ X, S, X)]),
    "monotonicity": (positive(2 * S + G, S), [Monotonicity(2 * S + G, 2 * S, S)]),
    "dominance": (
        positive(T := aol(total(abs(G[i, j]) * q[j] / q[i], j)), G),
        [Dominance(T, G)],
    ),
    "dominance, own entry apart": (
        positive(T := aol(abs(G[i, i]) + total(abs(G[j, i]), j, without=i)), G),
        [Dominance(T, G)],
    ),
    "dominance, maximum": (
        positive((r := scalar_rule("r", largest(total(abs(G[i, j]), j), i))) * one, G),
        [Dominance(r, G)],
    ),
    "trace": (positive((t := trace_of("t", G)) * one, G), [Trace(t, G)]),
    "young": (positive(X.T @ S @ X + Y.T @ S**-1 @ Y, X.T @ Y + Y.T @ X), [Young(X, Y, S)]),
    "schur": (
        positive(M := symmetric_block([[X.T @ S**-1 @ X, X.T], [S]])),
        [Sandwiches(zero("k")), Schur(M, S**-1)],
    ),
    "schur, other corner": (
        positive(M := symmetric_block([[S, X], [X.T @ S**-1 @ X]])),
        [Sandwiches(zero("k")), Schur(M, S**-1, corner=0)],
    ),
    "identity": (
        equal((S + one) @ (S + one), S @ S + 2 * S + one),
        [Identity((S + one) @ (S + one), S @ S + 2 * S + one)],
    ),
}


@pytest.mark.parametrize("name", RIGHT)
def test_right_proofs(name):
    show, proof = RIGHT[name]
    result = check(Claim(name, show), proof)
    assert result.proved, result.reason
    assert result.instances >= 8
    assert result.mutants + result.ill_typed > 0


WRONG = {
    "a term that is not known": (positive(G + W.T @ W @ W.T @ W), [Sandwiches(G, S - S + G, Term(X @ X.T - Y @ Y.T))]),
    "a sum that differs": (positive(G + S), [Sandwiches(G + S, G)]),
    "a negative coefficient": (positive(G - S), [Sandwiches(G - S, G, Term(S, None, -1))]),
    "an unknown coefficient": (positive(scalar("s") * S), [Sandwiches(scalar("s") * S, Term(S, None, scalar("s")))]),
    "an own entry that may be negative": (
        positive(T := aol(total(abs(S[i, j]), j, without=i) + 3 * S[i, i]), S - 5 * one),
        [Dominance(T, S - 5 * one)],
    ),
    "a root of a constant": (
        positive(T := aol(total(abs(G[i, j]) * Constant(Fraction(9999, 10000)) ** Fraction(1, 2), j)), G),
        [Dominance(T, G)],
    ),
    "an odd power of a scalar": (positive(scalar("s") ** 3 * S), [Sandwiches(scalar("s") ** 3 * S)]),
    "half the row sum": (
        positive(T := aol(total(abs(G[i, j]) * Fraction(1, 2), j)), G),
        [Dominance(T, G)],
    ),
    "weights that do not cancel": (positive(T := aol(total(abs(G[i, j]) * q[j], j)), G), [Dominance(T, G)]),
    "without the own entry": (positive(T := aol(total(abs(G[i, j]), j, without=i)), G), [Dominance(T, G)]),
    "row sums of something else": (
        positive(T := aol(total(abs((S)[i, j]), j)), G),
        [Dominance(T, G)],
    ),
    "a matrix that is not symmetric": (
        positive(T := aol(total(abs((F := matrix("F", "m", "m"))[i, j]), j)), F),
        [Dominance(T, F)],
    ),
    "a sum over rows as a maximum": (
        positive((r := scalar_rule("r", total(total(abs(G[i, j]), j), i))) * one, G),
        [Dominance(r, G)],
    ),
    "a trace of another matrix": (positive((t := trace_of("t", S)) * one, G), [Trace(t, G)]),
    "a trace of what is not positive": (
        positive((t := trace_of("t", X.T @ Y + Y.T @ X)) * identity("k"), X.T @ Y + Y.T @ X),
        [Trace(t, X.T @ Y + Y.T @ X)],
    ),
    "young without the inverse": (
        positive(X.T @ S @ X + Y.T @ S @ Y, X.T @ Y + Y.T @ X),
        [Young(X, Y, S, S)],
    ),
    "schur with a complement that is not known": (
        positive(M := symmetric_block([[X.T @ S @ X, X.T], [S]])),
        [Schur(M, S**-1)],
    ),
    "schur with the wrong inverse": (
        positive(M := symmetric_block([[X.T @ S**-1 @ X, X.T], [S]])),
        [Sandwiches(zero("k")), Schur(M, S)],
    ),
    "cayley of what is not skew": (
        equal((one - (Z := matrix("Z", "m", "m"))).T @ (one - Z), (one + Z).T @ (one + Z)),
        [Cayley(Z, inverse("R", one + Z))],
    ),
    "a square of a skew matrix": (positive((K := skew("K", "m")) @ K), [Sandwiches(K @ K)]),
    "a polynomial that is negative": (positive(S @ S - S), [Polynomial([0, -1, 1], S)]),
    "an unknown interval": (positive(S - S @ S), [Polynomial([0, 1, -1], S, 0, 1)]),
    "an identity that fails": (equal(S @ X, X @ identity("k")), [Identity(S @ X, X)]),
    "no steps": (positive(S), []),
    "another claim": (positive(2 * G, S), [Sandwiches(G)]),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_proofs(name):
    show, proof = WRONG[name]
    result = check(Claim(name, show), proof)
    assert not result.proved
    assert result.reason


@pytest.mark.parametrize(
    "wrong",
    [
        lambda: aol(total(abs(G[i, j]) * -1, j)),
        lambda: aol(Constant(Fraction(1000)) + S[i, i] * -1),
        lambda: aol(total(X[i, j], j)),
        lambda: scalar_rule("r", largest(S[i, j], i)),
        lambda: diagonal("D", "m", positive=False) ** Fraction(1, 2),
        lambda: diagonal("D", "m", positive=False) ** -1,
        lambda: (diagonal("D", "m", positive=False) ** 2) ** Fraction(1, 2),
        lambda: scalar("s") ** -2,
        lambda: S ** Fraction(1, 2),
        lambda: Claim("twice", positive(matrix("A", "m", "m").T @ matrix("A", "m", "m"))),
    ],
)
def test_what_may_be_negative_or_singular_has_no_such_powers(wrong):
    with pytest.raises(AlgebraError):
        wrong()


def test_conditions_with_other_multipliers_prove_nothing():
    # relu(x + 1) - relu(x - 1): the coupling e e' of two neurons makes the condition hold for rho = 1/4.
    e = matrix("e", 2, 1, definition=lambda instance: instance.array([[1], [-1]]))
    U = matrix(
        "U", 2, 1, definition=lambda instance: instance.array([[1], [1]]), equal_to=lambda U: [(e.T @ U, zero(1))]
    )
    with pytest.raises(AlgebraError, match="e is general"):
        Layer(G=e.T, U=U, multipliers=e @ e.T, squared_lipschitz=Fraction(1, 4))
    free = diagonal("Lambda", "m", positive=False)
    layer = Layer(G=X.T @ free, U=X, multipliers=free, squared_lipschitz=1)
    assert "not known to be nonnegative" in str(layer.objection(layer.claim("free")))


def test_roots_that_are_rounded_refute_nothing():
    # T^(1/2) makes instances round T up to a square; the claim T <= its formula is true all the same.
    T = aol(total(abs(G[i, j]), j) + 1)
    half = T ** Fraction(1, 2)
    claim = Claim("rounded", positive(diagonal_block(G + one - T, half + one)), sizes={"m": 1})
    assert refute(claim, effort=0.1) is None


def test_singular_definitions_spoil_instances_only():
    w = vector("w", "m")
    R = inverse("R", w @ w.T)
    assert check(Claim("singular", equal(R @ w @ w.T, one)), [Identity(R @ w @ w.T, one)]).instances > 0


def test_polynomials():
    half = Fraction(1, 2)
    assert is_nonnegative([Fraction(1), Fraction(-2), Fraction(1)], Fraction(0), None)
    assert not is_nonnegative([Fraction(1), Fraction(-2), half], Fraction(0), None)
    assert is_nonnegative([Fraction(0), Fraction(1), Fraction(-1)], Fraction(0), Fraction(1))
    assert not is_nonnegative([Fraction(0), Fraction(1), Fraction(-1)], Fraction(0), Fraction(2))
    assert not is_nonnegative([Fraction(-1)], Fraction(0), Fraction(1))
    assert is_nonnegative([Fraction(0)], Fraction(0), None)
    # (t - 1)^2 (t - 3): negative up to 3 although it touches zero at 1.
    assert not is_nonnegative([Fraction(-3), Fraction(7), Fraction(-5), Fraction(1)], Fraction(0), Fraction(2))
    assert is_nonnegative([Fraction(-3), Fraction(7), Fraction(-5), Fraction(1)], Fraction(3), None)
    assert is_nonnegative([Fraction(0), Fraction(-1)], Fraction(0), Fraction(0))


def test_hypotheses_are_used_and_have_to_hold():
    L = diagonal("L", "m", positive=False)
    given = [positive(L - G)]
    claim = Claim("given", positive(X.T @ L @ X, X.T @ G @ X), given)
    # No instance of a free L satisfies the hypothesis by chance for every size, but some do.
    proof = [Congruence(positive(X.T @ L @ X, X.T @ G @ X), L - G, X)]
    assert check(claim, proof).proved
    assert not check(replace(claim, given=()), proof).proved


def test_a_definition_that_contradicts_its_declaration_is_found():
    wrong = symmetric("P", "m", positive=True, definition=lambda instance: -instance.identity(instance.size("m")))
    result = check(Claim("wrong", positive(wrong)), [Sandwiches(wrong, wrong)])
    assert not result.proved
    assert "not positive definite" in result.reason
    lying = matrix("A", "m", "m", equal_to=lambda A: [(A.T @ A, one)])
    result = check(Claim("lying", equal(lying.T @ lying, one)), [Identity(lying.T @ lying, one)])
    assert not result.proved
    assert "does not satisfy" in result.reason


def test_a_kernel_that_lies_is_caught_by_the_instances():
    class Lying(Identity):
        def derive(self, known):
            return self.target

    with pytest.raises(KernelError, match="fails for sizes"):
        check(Claim("lie", equal(S, one)), [Lying(S, one)])


def test_citing():
    P = symmetric("P", "a", positive=True)
    V = matrix("V", "a", "b")
    lemma = Claim("lemma", positive(V.T @ P @ V))
    claim = Claim("use", positive(X.T @ q**2 @ X))
    assert check(claim, [Cite(lemma, {P: q**2, V: X})]).proved
    for wrong in ({P: q**2 - q, V: X}, {P: q**2, V: X.T}, {P: X @ X.T, V: X}, {P: q**2}):
        result = check(claim, [Cite(lemma, wrong)])
        assert not result.proved
    # What a rule is made of cannot be replaced behind its back.
    T = aol(total(abs(G[i, j]), j))
    F = matrix("F", "n", "m")
    result = check(Claim("behind", positive(T, F.T @ F)), [Cite(Claim("rule", positive(T, G)), {W: F})])
    assert not result.proved
    assert "as it is defined" in result.reason
    # A claim without a proof cannot be cited.
    result = check(Claim("open", positive(S, one)), [Cite(Claim("open", positive(S, one)), {})])
    assert not result.proved
    assert "no proof" in result.reason


def test_mutants_cover_signs_factors_and_transposes():
    square = matrix("F", "m", "m")
    claim = Claim("square", positive(symmetric_block([[square.T @ square, square.T], [one]])))
    labels = [label for label, _ in claim.mutants()]
    assert {"sign", "factor", "transpose"} <= set(labels)
    proof = [Sandwiches(claim.show, Term(one, block([[square, 1]])))]
    result = check(claim, proof)
    assert result.proved
    assert result.mutants == sum(m is not None for _, m in claim.mutants()) - result.still_true


def test_a_claim_that_says_nothing_is_not_proved():
    result = check(Claim("nothing", positive(zero("m"))), [Sandwiches(zero("m"))])
    assert not result.proved
    assert "says too little" in result.reason


def test_vectors_and_numbers():
    x, y = vector("x", "m"), vector("y", "m")
    given = [positive(y.T @ (x - y))]
    claim = Claim("monotone", positive(x.T @ x, y.T @ y), given)
    proof = [Sandwiches(claim.show, Term(y.T @ (x - y), None, 2), Term(one, x - y))]
    result = check(claim, proof)
    assert result.proved
    assert not check(claim, [Sandwiches(claim.show, Term(y.T @ (x - y), None, 2))]).proved


def test_blocks_of_facts():
    claim = Claim("blocks", positive(diagonal_block(S, number(3) * one)))
    assert check(claim, [Sandwiches(claim.show, claim.show.matrix)]).proved

"""Instances: samplers choose some of them, every draw is checked, and numbers are not only small."""

from fractions import Fraction

import pytest

from sdpcert.symbolic import (
    AlgebraError,
    Claim,
    KernelError,
    check,
    derive,
    diagonal,
    equal,
    identity,
    matrix,
    number,
    orthonormal,
    positive,
    refute,
    scalar,
    symmetric,
)
from sdpcert.symbolic.derivation import PROVED, REFUTED
from sdpcert.symbolic.drawing import instances, shown_sizes
from sdpcert.symbolic.steps import Cite, Identity, Sandwiches
from sdpcert.symbolic.steps.diagonal_trace import DiagonalTrace, diagonal_part, ones, trace_symbol
from sdpcert.symbolic.steps.torus import Crop, Kernel, convolution, crop

one = identity("m")
X = matrix("X", "m", "m")


def vanishing(x):
    """A polynomial with zeros where small instances like to draw."""
    product = number(1)
    for zero in (Fraction(1, 2), Fraction(1), Fraction(3, 2), Fraction(2), Fraction(3)):
        product = product * (x - number(zero))
    return product


def test_a_sampler_is_no_hypothesis():
    # Drawn with entries of at most one half, but nothing says so.
    small = diagonal("D", "m", definition=lambda i: i.identity(i.size("m")) * i.array([Fraction(1, 2)])[0])
    claim = Claim("small", positive(one, small @ small))
    assert all(claim.show.holds(instance) for instance in instances(claim))
    witness = refute(claim, effort=0.05)
    assert witness is not None
    assert witness.holds(claim)
    assert witness.instance.unsampled == {small.symbol}
    result = derive(claim, effort=2)
    assert result.status == REFUTED
    assert "that the samplers do not choose" in result.text()
    # As a hypothesis it prints, and instances that ignore the sampler have to satisfy it.
    said = Claim("said", positive(one, small @ small), [positive(one, small @ small)])
    done = derive(said)
    assert done.status == PROVED
    assert "if I >= D^2" in done.text()


def test_draws_that_ignore_samplers_satisfy_hypotheses_and_facts():
    Q = matrix("Q", "m", "m", definition=lambda i: i.identity(i.size("m")), equal_to=lambda Q: [(Q.T @ Q, one)])
    claim = Claim("norm", positive(X.T @ X, X.T @ Q.T @ Q @ X))
    found = list(instances(claim, count=30, largest=2, sampled=False))
    assert found
    for instance in found:
        assert claim.declared_wrongly(instance) is None
    assert not list(instances(Claim("none", positive(X.T @ X)), sampled=False))


def test_orthonormal_columns_stay_orthonormal():
    Q = orthonormal("Q", "n", "m")
    assert derive(Claim("projection", positive(identity("n"), Q @ Q.T))).status == PROVED


def test_a_sampler_that_contradicts_its_kind_refutes_nothing():
    lying = symmetric("P", "m", positive=True, definition=lambda i: -i.identity(i.size("m")))
    claim = Claim("positive", positive(lying))
    assert refute(claim, effort=0.02) is None
    result = check(claim, [Sandwiches(lying, lying)])
    assert "a definition contradicts what is declared" in result.reason


def test_numbers_of_instances_are_not_only_small():
    x = scalar("x", positive=True)
    claim = Claim("zeros", equal(vanishing(x) * one, 0 * one))
    assert refute(claim) is not None
    large = instances(claim, 0, 4, 1000, 97)
    assert max(abs(v.numerator) for instance in large for v in instance.parameters[x.symbol].flat) > 100
    # A step that trusts small numbers is caught by the large ones of a check.
    trusting = Identity(claim.show)
    trusting.derive = lambda known: claim.show  # type: ignore[method-assign]
    with pytest.raises(KernelError, match="fails for sizes"):
        check(claim, [trusting])


def test_reports_name_the_dimensions():
    result = derive(Claim("square", positive(X.T @ X)))
    (part,) = result.parts
    assert part.check is not None
    assert len(part.check.sizes) == part.check.instances
    assert f"({shown_sizes(part.check.sizes)})" in result.text()
    assert shown_sizes([{"m": 1, "n": 2}, {"m": 3, "n": 2}]) == "m 1-3, n 2"


def test_only_free_symbols_of_a_lemma_can_be_replaced():
    A, L, R, G = diagonal("A", "n"), diagonal("L", "n"), diagonal("R", "n"), matrix("G", "n", "n")
    from sdpcert.symbolic import indices

    (i,) = indices("i")
    e, D = ones("e", "n"), diagonal_part("Delta", G, i)
    t = trace_symbol("t", A + L @ G @ R)
    lemma = Claim("trace", equal(t, e.T @ (A + L @ R @ D) @ e))
    v = (number(1) + vanishing(scalar("x", positive=True))) * e
    proof = [DiagonalTrace(t, e, A, L, R, D)]
    wrong = check(Claim("other", equal(t, v.T @ (A + L @ R @ D) @ v)), [Cite(lemma, {e: v}, proof=proof)])
    assert not wrong.proved
    assert "about e as it is defined" in wrong.reason
    # By itself it may be.
    assert check(Claim("same", lemma.show), [Cite(lemma, {e: e}, proof=proof)]).proved


def test_a_lemma_about_convolutions_is_about_convolutions():
    kernel = Kernel("k", "n", "N")
    Z, C, P = convolution("Z", kernel, "zeros"), convolution("C", kernel, "circular"), crop("P", "N", "n")
    lemma = Claim("crop", equal(Z, P.T @ C @ P))
    A, B = matrix("A", "n", "n"), matrix("B", "N", "N")
    wrong = check(Claim("any", equal(A, P.T @ B @ P)), [Cite(lemma, {Z: A, C: B}, proof=[Crop(Z, C, P)])])
    assert not wrong.proved
    assert "as it is defined" in wrong.reason


def test_mutants_are_sampled():
    A, B = matrix("A", "m", "m"), matrix("B", "m", "m")
    power = A + B
    for _ in range(4):
        power = power @ (A + B)
    claim = Claim("expanded", equal(power, power))
    assert sum(1 for _ in claim.mutants()) > 200
    first, second = (list(claim.mutants(50, seed=3)) for _ in range(2))
    assert len(first) == 50
    assert [label for label, _ in first] == [label for label, _ in second]
    result = check(claim, [Identity(power, power)])
    assert result.proved
    assert result.mutants + result.still_true + result.ill_typed <= 50


def test_statements_are_lists():
    with pytest.raises(AlgebraError, match="is a list of statements"):
        Claim("one", positive(X.T @ X), positive(one))  # type: ignore[arg-type]
    with pytest.raises(AlgebraError, match="shows a statement"):
        Claim("two", X.T @ X)  # type: ignore[arg-type]

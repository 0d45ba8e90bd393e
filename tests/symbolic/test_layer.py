"""A layer is one object: its shapes, multipliers and claim fit, and its forward pass agrees with its condition."""

from fractions import Fraction

import numpy as np
import pytest

from sdpcert.symbolic import (
    AlgebraError,
    Claim,
    Instance,
    Layer,
    Part,
    derive,
    diagonal,
    equal,
    identity,
    indices,
    matrix,
    number,
    positive,
    rule,
    scalar,
    symmetric,
    total,
)
from sdpcert.symbolic.drawing import instances
from sdpcert.symbolic.notation import LATEX
from sdpcert.symbolic.steps.torus import crop

i, j = indices("i j")
W = matrix("W", "n", "m")
G = W.T @ W
one = identity("n")
T = rule("T", "m", i, total(abs(G[i, j]), j))
S, L = symmetric("S", "m", positive=True), diagonal("L", "m")
layer = Layer(H=one, G=-2 * W @ T**-1, U=W.T, multipliers=2 * T**-1)


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ({"H": one, "G": W, "multipliers": L}, "a layer with G needs U too"),
        ({"H": one, "U": W.T, "multipliers": L}, "a layer with U needs G too"),
        ({}, "needs H, or U and G"),
        ({"H": one, "multipliers": L}, "belong to an activation"),
        ({"H": one, "W": S}, "belong to an activation"),
        ({"G": W, "U": W.T, "multipliers": S}, "S is symmetric"),
        ({"G": W, "U": W.T, "multipliers": L + S}, "S is symmetric"),
        ({"G": W, "U": W.T, "multipliers": W.T @ W}, "W is general"),
        ({"G": W, "U": W.T, "multipliers": one}, "multipliers of a layer with U .* is n x n"),
        ({"G": W, "U": W}, "G of a layer with U"),
        ({"G": W, "U": W.T, "H": identity("m")}, "H of a layer with U"),
        ({"G": W, "U": W.T, "squared_lipschitz": matrix("A", 1, 1)}, "squared_lipschitz of a layer is a number"),
    ],
)
def test_parts_that_make_no_layer(parts, message):
    with pytest.raises(AlgebraError, match=message):
        Layer(**parts)


def test_sums_and_products_of_diagonal_symbols_are_multipliers():
    t = scalar("t", positive=True)
    made = Layer(G=W, U=W.T, multipliers=t * L + 2 * L @ T + Fraction(1, 2) * identity("m"))
    assert made.objection(made.claim("sums")) is None


def test_multipliers_of_free_sign_need_a_hypothesis():
    free = diagonal("F", "m", positive=False)
    made = Layer(G=W, U=W.T, multipliers=free)
    assert "nonnegative" in str(made.objection(made.claim("free")))
    assert made.objection(made.claim("given", [positive(free)])) is None
    assert derive(Part(made.claim("free"), layer=made)).status != "proved"


def test_a_diagonal_symbol_may_be_what_is_diagonal_in_other_words():
    P, whole = crop("P", "k", "m"), diagonal("A", "k")
    cut = P.T @ whole @ P
    D = diagonal("D", "m", definition=lambda instance: instance.value(cut), equal_to=lambda D: [(D, cut)])
    made = Layer(G=W, U=W.T, multipliers=D)
    assert made.objection(made.claim("given")) is None
    # It is not only declared: what it is equal to commutes with diagonal matrices as it does.
    claim = Claim("commute", equal(cut @ L, L @ cut), also=[D])
    assert derive(claim).status == "proved"


def test_a_claim_of_something_else_proves_nothing_of_the_layer():
    other = Claim("something true", positive(G))
    result = derive(Part(other, layer=layer), effort=2)
    assert result.status == "open"
    assert "not the layer's condition" in result.text()


def test_the_object_is_printed():
    text = derive(Part(layer.claim("rule", text="This layer is 0-Lipschitz."), layer=layer)).text()
    for line in (
        "y = H x + G z + c, z = phi(U x + b), slopes of phi in [0, 1]",
        "H = I, G = -2 W T^-1, U = W'",
        "Lipschitz with the constant 1 (multipliers 2 T^-1)",
        "T_ii = sum_j |(W' W)_ij|",
        "commentary, not checked: This layer is 0-Lipschitz.",
    ):
        assert line in text


@pytest.mark.parametrize(
    ("squared", "shown", "latex"),
    [
        (4, "2", "2"),
        (Fraction(1, 9), "1/3", r"\tfrac{1}{3}"),
        (2, "sqrt(2)", r"\sqrt{2}"),
        (scalar("gamma", positive=True) ** 2, "gamma", r"\gamma"),
        (scalar("a") + 1, "sqrt(a + 1)", r"\sqrt{a + 1}"),
        (number(0), "0", "0"),
    ],
)
def test_constants_are_printed_as_roots(squared, shown, latex):
    made = Layer(H=one, squared_lipschitz=squared)
    assert made.constant() == shown
    assert made.constant(LATEX) == latex


def forward_by_hand(made, instance, x, b):
    value = instance.value
    hidden = [max(v, 0) for v in value(made.U) @ x + b]
    return value(made.H) @ x + value(made.G) @ np.array(hidden, dtype=object)


def test_the_forward_pass_is_exact():
    for instance in instances(layer.claim("rule"), count=6, largest=3):
        run, rng = layer.forward(instance), np.random.default_rng(0)
        x = np.array([Fraction(int(v)) for v in rng.integers(-3, 4, run.inputs)], dtype=object)
        b = np.array([Fraction(int(v)) for v in rng.integers(-3, 4, instance.size("m"))], dtype=object)
        assert (run(x, b) == forward_by_hand(layer, instance, x, b)).all()


def test_the_torch_module_agrees():
    torch = pytest.importorskip("torch")
    A, B, N = matrix("A", 3, 2), matrix("B", 2, 3), matrix("N", 3, 3, definition=strictly_lower)
    made = Layer(G=B, U=A, W=N, low=Fraction(-1, 2), high=2)
    (instance,) = instances(Claim("any", positive(A.T @ A), also=[B, N]), count=1)
    run, rng = made.forward(instance, exact=False), np.random.default_rng(1)
    x, b = rng.standard_normal((4, 2)), rng.standard_normal(3)
    out = run.module(b)(torch.tensor(x)).numpy()
    assert np.allclose(out, [run(row, b) for row in x], rtol=1e-12, atol=1e-12)


def strictly_lower(instance):
    return np.tril(instance.draw("N", 3, 3), -1)


def test_a_loop_without_an_order_has_no_forward_pass():
    made = Layer(G=W, U=W.T, W=S)
    (instance,) = instances(Claim("any", positive(S), also=[W]), count=1)
    with pytest.raises(AlgebraError, match="not strictly lower triangular"):
        made.forward(instance)


def test_two_inputs_that_a_rounded_root_makes_refute_nothing():
    # The constant is the exact root of 2, which instances round up where it is a half power.
    t = scalar("t", positive=True)
    made = Layer(H=t ** Fraction(1, 2) * one, squared_lipschitz=t)
    for instance in instances(made.claim("root"), count=8):
        assert made.counterexample(instance) is None


def test_counterexamples_of_the_wrong_layer():
    wrong = Layer(H=one, G=-3 * W @ T**-1, U=W.T, multipliers=3 * T**-1)
    instance = Instance({"m": 1, "n": 1}, parameters={W.symbol: np.array([[Fraction(1)]], dtype=object)})
    network = wrong.counterexample(instance)
    assert network is not None
    run = wrong.forward(instance)
    step = run(network.input, network.biases) - run(0 * network.input, network.biases)
    assert step @ step == network.stretched > network.allowed

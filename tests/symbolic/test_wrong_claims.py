"""Ten wrong claims that look right: each is refuted by an exact small witness, which is evaluated again here."""

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from sdpcert.symbolic import (
    Claim,
    Instance,
    Layer,
    Part,
    derive,
    diagonal,
    identity,
    indices,
    inverse,
    matrix,
    orthonormal,
    positive,
    refute,
    rule,
    scalar,
    slopes,
    squared_norm,
    symmetric,
    symmetric_block,
    total,
    vector,
)
from sdpcert.symbolic import equal as equals
from sdpcert.symbolic.drawing import instances
from sdpcert.symbolic.expression import letter
from sdpcert.symbolic.layer import NetworkWitness
from sdpcert.symbolic.refutation import Witness
from sdpcert.symbolic.symbols import Symbol


def refuted(claim: Claim, layer: Layer | None = None, largest: int = 3) -> tuple[Witness, NetworkWitness | None]:
    """The witness of a claim and its pair of inputs: small, and checked anew."""
    witness = refute(claim)
    assert witness is not None
    assert witness.holds(claim)
    assert all(size <= largest for size in witness.instance.sizes.values())
    for values in witness.instance.parameters.values():
        for value in values.flat:
            assert abs(value.numerator) <= 4 and value.denominator <= 2
    if witness.vector is not None:
        assert witness.vector @ witness.matrix @ witness.vector < 0
    return witness, None if layer is None else layer.counterexample(witness.instance)


def forward(layer: Layer, instance: Instance, x: Any, biases: Any) -> Any:
    """The output of the layer with ReLU at x, one neuron after the other."""
    value = instance.value
    y = 0 if layer.H is None else value(layer.H) @ x
    if layer.U is None or layer.G is None:
        return y
    z: list[Any] = []
    for k, before in enumerate(value(layer.U) @ x + np.array(biases)):
        inside = 0 if layer.W is None else sum(value(layer.W)[k, i] * z[i] for i in range(k))
        z.append(max(before + inside, Fraction(0)))
    return y + value(layer.G) @ np.array(z)


def check_stretched(layer: Layer, found: tuple[Witness, NetworkWitness | None]) -> None:
    """Two inputs of the witness, by the plain forward pass: further apart than allowed."""
    instance, network = found[0].instance, found[1]
    assert network is not None
    origin = np.array([Fraction(0)] * len(network.input), dtype=object)
    step = forward(layer, instance, network.input, network.biases) - forward(layer, instance, origin, network.biases)
    allowed = layer.squared_lipschitz
    rho = allowed if isinstance(allowed, int | Fraction) else instance.number(allowed)
    assert step @ step == network.stretched
    assert step @ step > rho * (network.input @ network.input)


def constant(name, values, kind="general"):
    """A matrix of fixed numbers."""
    made = np.array(values, dtype=object)
    return letter(Symbol(name, made.shape[0], made.shape[1], kind, definition=lambda instance: instance.array(values)))


W, q = matrix("W", "n", "m"), diagonal("q", "m")
i, j = indices("i j")
gram = W.T @ W


def residual(T, step: Any = 2, multipliers=None):
    """x - step W T^-1 phi(W'x + b)."""
    return Layer(
        H=identity("n"), G=-step * W @ T**-1, U=W.T, multipliers=step * T**-1 if multipliers is None else multipliers
    )


def weighted(left, right, entries=gram):
    """T_ii = sum_j |G_ij| left / right."""
    return rule("T", "m", i, total(abs(entries[i, j]) * left / right, j))


RIGHT = weighted(q[j], q[i])


def test_the_right_rule_is_proved():
    assert derive(residual(RIGHT)).status == "proved"


def test_the_ordinary_run_refutes_a_wrong_rule():
    layer = residual(rule("T", "m", i, total(abs(W[j, i]), j)))
    (part,) = derive(layer).parts
    assert part.status == "refuted" and part.witness is not None
    check_stretched(layer, (part.witness, part.network))


def test_1_row_sums_of_W_in_place_of_its_gram_matrix():
    layer = residual(rule("T", "m", i, total(abs(W[j, i]), j)))
    check_stretched(layer, refuted(layer.claim("T from |W|"), layer))


def test_1_symmetric_weights_do_not_save_it():
    S = symmetric("S", "n")
    T = rule("T", "n", i, total(abs(S[i, j]), j))
    layer = Layer(H=identity("n"), G=-2 * S @ T**-1, U=S, multipliers=2 * T**-1)
    check_stretched(layer, refuted(layer.claim("T from |W|, W = W'"), layer))


def test_2_off_by_a_factor_of_two():
    layer = residual(RIGHT, step=4)
    check_stretched(layer, refuted(layer.claim("4 in place of 2"), layer))


def test_2_half_the_rule():
    layer = residual(rule("T", "m", i, total(abs(gram[i, j]) * q[j] / q[i], j) / 2))
    check_stretched(layer, refuted(layer.claim("half of T"), layer))


def test_3_swapping_the_weights_everywhere_is_true():
    # q -> 1/q: T changes with them, and the layer too.
    assert derive(residual(weighted(q[i], q[j]))).status == "proved"


def test_3_weights_swapped_in_the_multiplier_with_T_unchanged():
    # The layer is 1-Lipschitz, but this multiplier does not show it: there are no two inputs.
    swapped = rule("R", "m", i, total(abs(gram[i, j]) * q[i] / q[j], j))
    layer = residual(RIGHT, multipliers=2 * swapped**-1)
    assert refuted(layer.claim("multiplier from swapped weights"), layer)[1] is None


def test_3_weights_swapped_in_one_triangle():
    # The formulas of entries know no order of indices; a matrix that is defined as a triangle does.
    below = matrix("N", "m", "m", definition=lambda instance: np.tril(instance.value(gram)))
    above = matrix("R", "m", "m", definition=lambda instance: np.triu(instance.value(gram), 1))
    T = rule("T", "m", i, total(abs(below[i, j]) * q[j] / q[i], j) + total(abs(above[i, j]) * q[i] / q[j], j))
    layer = residual(T)
    check_stretched(layer, refuted(layer.claim("one triangle swapped"), layer))


def test_3_epsilon_on_one_side():
    eps = scalar("eps", positive=True)
    layer = residual(weighted(q[j], q[i] + eps))
    check_stretched(layer, refuted(layer.claim("q_j / (q_i + eps)"), layer))


def test_4_a_convex_potential_step_beyond_two():
    n, bound = squared_norm("L", W)
    step = Fraction(21, 10)
    layer = residual(n * identity("m"), step, step / n * identity("m"))
    check_stretched(layer, refuted(layer.claim("step 2.1 / L", [bound]), layer))


def test_5_a_cayley_transform_without_symmetrisation():
    X, Y = matrix("X", "n", "n"), matrix("Y", "m", "n")
    Z = X + Y.T @ Y
    R = inverse("R", identity("n") + Z)
    P = (identity("n") - Z) @ R
    claim = Claim("Z = X + Y'Y", equals(P.T @ P + 4 * R.T @ Y.T @ Y @ R, identity("n")))
    assert refuted(claim)[0].value != 0


def test_5_an_orthogonal_layer_without_symmetrisation():
    X = matrix("X", "n", "n")
    layer = Layer(H=(identity("n") - X) @ inverse("R", identity("n") + X))
    check_stretched(layer, refuted(layer.claim("Z = X"), layer))


# LipSDP-Network: T = sum lambda_ij (e_i - e_j)(e_i - e_j)' for pairs of neurons; with two neurons that is one pair.
COUPLING = constant("T", [[1, -1], [-1, 1]], "symmetric")


def test_6_a_full_matrix_multiplier_and_slopes():
    D, dv, lam = slopes("D", 2), vector("dv", 2), scalar("lambda", positive=True)
    dz = D @ dv
    refuted(Claim("dz'T(dv - dz) >= 0", positive(lam * dz.T @ COUPLING @ (dv - dz))))


def test_6_a_full_matrix_multiplier_certifies_less_than_is_attained():
    # y = relu(x + 1) - relu(x - 1): T does not see equal increments of the neurons, and the condition holds for 1/4.
    U, G = constant("U", [[1], [1]]), constant("G", [[1, -1]])
    layer = Layer(G=G, U=U, multipliers=identity(2), squared_lipschitz=Fraction(1, 4))
    across, corner = -U.T @ COUPLING, 2 * COUPLING - G.T @ G
    condition, D = positive(symmetric_block([[identity(1) / 4, across], [corner]])), slopes("D", 2)
    J = G @ D @ U
    bound = positive(identity(1) * Fraction(1, 4), J.T @ J)
    instance = refuted(Claim("the condition bounds every Jacobian", bound, [condition]))[0].instance
    assert condition.holds(instance)
    biases, one = (Fraction(1), Fraction(-1)), np.array([Fraction(1)], dtype=object)
    (step,) = forward(layer, instance, one, biases) - forward(layer, instance, one * 0, biases)
    assert step**2 > Fraction(1, 4)
    assert layer.counterexample(instance) is not None


def maxmin(x):
    """Pairs (0, 1), (2, 3), ... sorted upwards."""
    return np.concatenate([np.sort(x[k : k + 2], axis=0) for k in range(0, len(x), 2)])


def sorted_pairs(x, y):
    """What MaxMin makes of two inputs."""
    return tuple(
        vector(name, v.rows, definition=lambda instance, v=v: maxmin(instance.value(v)))
        for name, v in (("fx", x), ("fy", y))
    )


def test_7_slopes_of_maxmin_are_not_those_of_its_coordinates():
    x, y = vector("x", 2), vector("y", 2)
    fx, fy = sorted_pairs(x, y)
    Lambda = diagonal("l", 2)
    claim = Claim("dz'L(dv - dz) >= 0", positive((fx - fy).T @ Lambda @ ((x - y) - (fx - fy))))
    value = refuted(claim)[0].instance.value
    dz = maxmin(value(x)) - maxmin(value(y))
    assert (dz.T @ value(Lambda) @ (value(x) - value(y) - dz))[0, 0] < 0


def test_7_maxmin_with_slopes_of_coordinates_certifies_less_than_is_attained():
    # The first of (min(0, s), max(0, s)): its own coordinate 0 never moves, so that the condition holds for rho = 1/4.
    U, G = constant("U", [[0], [1]]), constant("G", [[1, 0]])
    layer = Layer(G=G, U=U, multipliers=identity(2) / 2, squared_lipschitz=Fraction(1, 4))
    s, t = scalar("s"), scalar("t")
    fx, fy = sorted_pairs(U * s, U * t)
    bound = positive((s - t) ** 2 / 4 * identity(1), (fx - fy).T @ G.T @ G @ (fx - fy))
    instance = refuted(Claim("MaxMin as two neurons", bound, [positive(layer.condition())]))[0].instance
    first, second = (instance.number(c) for c in (s, t))
    step = min(Fraction(0), first) - min(Fraction(0), second)
    assert step**2 > (first - second) ** 2 / 4


def test_8_the_circular_bound_with_reflect_padding():
    kernel = vector("k", 3)

    def circular(instance):
        a, b, c = instance.value(kernel)[:, 0]
        return instance.array([[b, c, a], [a, b, c], [c, a, b]])

    def reflected(instance):
        a, b, c = instance.value(kernel)[:, 0]
        return instance.array([[b, a + c, 0], [a, b, c], [0, a + c, b]])

    C, R = matrix("C", 3, 3, definition=circular), matrix("R", 3, 3, definition=reflected)
    rho, bound = squared_norm("rho", C)
    layer = Layer(H=R, squared_lipschitz=rho)
    witness, network = refuted(layer.claim("reflect padding", [bound]), layer)
    check_stretched(layer, (witness, network))
    assert network is not None
    a, b, c = witness.instance.value(kernel)[:, 0]
    # The padded signal and the convolution written out.
    x = [network.input[k] for k in (1, 0, 1, 2, 1)]
    y = [a * x[k] + b * x[k + 1] + c * x[k + 2] for k in range(3)]
    assert sum(v**2 for v in y) == network.stretched > witness.instance.number(rho) * (network.input @ network.input)


def sandwich_network(multiplier):
    """Two hidden layers of width n, gamma = 2: W_k = 2 Psi_k^-1 B_k A_{k-1}' Psi_{k-1}, and T = gamma `multiplier`."""
    first = matrix(
        "E", "2n", "n", definition=lambda instance: instance.identity(2 * instance.size("n"))[: instance.size("n")].T
    )
    last = matrix(
        "F", "2n", "n", definition=lambda instance: instance.identity(2 * instance.size("n"))[instance.size("n") :].T
    )
    (A0, B0), (A1, B1), (_, B2) = (
        ((first.T @ Q).T, (last.T @ Q).T) for Q in (orthonormal(f"Q{k}", "2n", "n") for k in range(3))
    )
    P0, P1 = diagonal("Psi0", "n"), diagonal("Psi1", "n")
    weights = 2 * P0**-1 @ B0, 2 * P1**-1 @ B1 @ A0.T @ P0, 2 * B2 @ A1.T @ P1
    Psi2 = first @ P0**2 @ first.T + last @ P1**2 @ last.T
    both = diagonal("Psi", "2n", definition=lambda i: i.value(Psi2), equal_to=lambda both: [(both, Psi2)])
    return Layer(
        U=first @ weights[0],
        W=last @ weights[1] @ first.T,
        G=weights[2] @ last.T,
        multipliers=2 * multiplier * both,
        squared_lipschitz=4,
    )


def test_9_half_the_multiplier_of_a_sandwich_network():
    half, whole = sandwich_network(Fraction(1, 2)), sandwich_network(Fraction(1))
    sizes: dict[str, Any] = {"2n": lambda chosen: 2 * chosen["n"]}
    witness, network = refuted(half.claim("Lambda = Psi^2 / 2", **sizes), half, largest=4)
    # The network is 2-Lipschitz: the other multiplier proves it for the same weights, and no two inputs contradict.
    assert network is None
    same = Instance(witness.instance.sizes, parameters=witness.instance.parameters)
    assert whole.claim("Lambda = Psi^2").show.holds(same)
    assert refute(whole.claim("Lambda = Psi^2", **sizes), effort=0.02) is None


def test_10_the_constraint_of_groupsort_across_groups():
    x, y = vector("x", 4), vector("y", 4)
    fx, fy = sorted_pairs(x, y)
    E, ones = constant("E", [[0, 1, 0, 0], [0, 0, 1, 0]]), constant("J", [[1, 1], [1, 1]], "symmetric")
    lam, gamma, psi, nu = scalar("lambda", positive=True), scalar("gamma"), scalar("psi"), scalar("nu")
    T, S, P = lam * identity(2) + gamma * ones, psi * ones, nu * ones

    def form(dv, dz):
        return dv.T @ (T - 2 * S) @ dv + 2 * dv.T @ (P + S) @ dz - dz.T @ (T + 2 * P) @ dz

    value = refuted(Claim("entries 2 and 3", positive(form(E @ (x - y), E @ (fx - fy)))))[0].instance.value
    # The two inputs sorted once more, and the form by hand: 1'dz != 1'dv across the groups.
    dv = (value(x) - value(y))[1:3, 0]
    dz = (maxmin(value(x)) - maxmin(value(y)))[1:3, 0]
    numbers = (value(s)[0, 0] for s in (lam, gamma, psi, nu))
    own, g, p, n = numbers
    a, b = sum(dv), sum(dz)
    assert a != b or dz @ dz > dv @ dv
    assert own * (dv @ dv - dz @ dz) + g * (a**2 - b**2) - 2 * p * a * (a - b) + 2 * n * b * (a - b) < 0


def test_10_within_a_group_it_is_true_of_what_is_sorted():
    # The closure that sorts is a sampler: a claim that says nothing of sorting is about all vectors, and false.
    x, y = vector("x", 2), vector("y", 2)
    fx, fy = sorted_pairs(x, y)
    ones = constant("J", [[1, 1], [1, 1]], "symmetric")
    psi = scalar("psi")
    dv, dz = x - y, fx - fy
    claim = Claim("one group", positive(dv.T @ dv - dz.T @ dz + psi * dv.T @ ones @ (dz - dv)))
    assert all(claim.show.holds(instance) for instance in instances(claim))
    witness = refute(claim, effort=0.1)
    assert witness is not None
    assert witness.instance.unsampled & {fx.symbol, fy.symbol}


@pytest.mark.parametrize("step", [Fraction(2), Fraction(1)])
def test_4_steps_up_to_two_are_proved(step):
    n, bound = squared_norm("L", W)
    layer = residual(n * identity("m"), step, step / n * identity("m"))
    assert derive(Part(layer.claim("step", [bound]), layer=layer)).status == "proved"

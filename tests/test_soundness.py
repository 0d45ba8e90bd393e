"""No bound below what two inputs attain, on random small networks of every kind, and the cases whose constant is known.

Every certificate is proved, its ladder is in order, and the independent checker accepts its document. The metamorphic
tests change a network in ways whose effect on the bound is known.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, target
from hypothesis import strategies as st

from sdpcert import Certificate, Network, certify
from sdpcert.attained import Attained, attained_lower_bound
from sdpcert.certify import witness
from sdpcert.check import check_document
from sdpcert.network.activations import activation_by_name
from sdpcert.network.affine import Dense, Scale, Sum
from sdpcert.network.graph import Graph
from sdpcert.network.piecewise import maxmin
from sdpcert.network.stacked import StackedForm
from sdpcert.running.choices import Method

Array = np.ndarray
ACTIVATIONS = ["relu", "leaky_relu", "abs", "tanh", "sigmoid", "maxmin", "elu", "gelu", "hard_swish"]
LADDER: list[Method] = ["neuron", "layer", "product"]


class Lower:
    """The attained lower bound with a small search, computed once for each network."""

    def __init__(self) -> None:
        self.asked: tuple[Any, Any] | None = None
        self.attained: Attained | None = None

    def __call__(self, network: Network | StackedForm, seed: int = 0, **options: Any) -> Attained:
        asked = network, options.get("output_rows")
        if self.attained is None or self.asked is None or asked[0] is not self.asked[0] or asked[1] != self.asked[1]:
            short: dict[str, Any] = options | {"operations": 2e7}
            self.asked, self.attained = asked, attained_lower_bound(network, seed, **short)
        return self.attained


@pytest.fixture(autouse=True)
def _short_search() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(witness, "attained_lower_bound", Lower())
        yield


# ---------------------------------------------------------------- random networks


@dataclass(frozen=True)
class Plan:
    """What a random network looks like; its numbers follow from `seed`."""

    inputs: int
    widths: tuple[int, ...]
    outputs: int
    activation: str
    skips: tuple[bool, ...]
    zero_rows: bool
    duplicates: bool
    sparse: bool
    equal: bool
    scale: int
    imbalance: int
    biases: bool
    normalised: bool
    seed: int

    def network(self) -> Network:
        rng = np.random.default_rng(self.seed)
        graph = Graph((self.inputs,))
        value = 0
        if self.normalised:
            value = graph.add(Scale(rng.uniform(0.5, 2, self.inputs), rng.standard_normal(self.inputs)), value)
        carried: int | None = None  # what a skip adds behind the next layer
        sizes = (*self.widths, self.outputs)
        scaled = int(rng.integers(len(sizes)))
        for k, size in enumerate(sizes):
            weight = self._weight(rng, size, graph.shape(value)[0])
            weight = weight * 10.0 ** (rng.uniform(-1, 1) * self.imbalance)
            if k == scaled:
                weight = weight * 10.0**self.scale
            bias = rng.standard_normal(size) * np.abs(weight).max() if self.biases else None
            layer = graph.add(Dense(weight, bias), value)
            if carried is not None and graph.shape(carried) == (size,):
                layer = graph.add(Sum(), layer, carried)
            if k < len(self.widths):
                carried = layer if self.skips[k] else None
                value = self._activate(graph, layer)
            else:
                value = layer
        return graph.network(value, source="random")

    def _activate(self, graph: Graph, value: int) -> int:
        if self.activation != "maxmin":
            return graph.add(activation_by_name(self.activation), value)
        return maxmin(graph, value) if graph.shape(value)[0] % 2 == 0 else graph.add(activation_by_name("relu"), value)

    def _weight(self, rng: np.random.Generator, rows: int, columns: int) -> Array:
        weight = np.ones((rows, columns)) if self.equal else rng.standard_normal((rows, columns))
        if self.sparse:
            weight = weight * (rng.random(weight.shape) < 0.5)
        if self.zero_rows:
            weight[rng.integers(rows)] = 0
            weight[:, rng.integers(columns)] = 0
        if self.duplicates and rows > 1:
            weight[0] = weight[-1]
        return weight


plans = st.builds(
    Plan,
    inputs=st.integers(1, 6),
    widths=st.lists(st.integers(1, 6), max_size=4).map(tuple),
    outputs=st.integers(1, 4),
    activation=st.sampled_from(ACTIVATIONS),
    skips=st.tuples(*[st.booleans()] * 4),
    zero_rows=st.booleans(),
    duplicates=st.booleans(),
    sparse=st.booleans(),
    equal=st.booleans(),
    scale=st.sampled_from([0, 0, 0, -30, -8, 3, 30]),
    imbalance=st.sampled_from([0, 0, 2, 6]),
    biases=st.booleans(),
    normalised=st.booleans(),
    seed=st.integers(0, 2**32 - 1),
)


@given(plan=plans)
def test_no_bound_is_below_an_attained_value(plan: Plan) -> None:
    network = plan.network()
    certificates = {method: certify(network, method=method) for method in LADDER}
    for method, certificate in certificates.items():
        assert certificate.status == "proved", method
        assert certificate.lower <= certificate.upper, method
        assert certificate.sdp_lower is not None
        assert certificate.sdp_lower <= certificate.upper, method
        verdict = check_document(certificate.document())
        assert verdict.ok, (method, verdict.reason)
        assert verdict.upper == certificate.upper, method
    neuron, layer, product = (certificates[m].upper for m in LADDER)
    assert neuron <= layer * (1 + 1e-6)
    assert layer <= product * (1 + 1e-6)
    # A dual bound is below every point of its condition, and below those of the poorer conditions.
    dual = certificates["neuron"].sdp_lower
    assert dual is not None
    assert dual <= layer * (1 + 1e-9)
    assert dual <= product * (1 + 1e-9)
    if neuron > 0:
        target(math.log10(max(certificates["neuron"].tau, 1e-16)), label="repair")


@given(plan=plans)
def test_gap_is_closed(plan: Plan) -> None:
    """The promised accuracy is reached where weights are taken as they are and layers are of like size."""
    scale = 0 if any(plan.skips) else plan.scale  # branches of 1 and 1e-30 that meet are not of like size
    plan = replace(plan, normalised=False, imbalance=min(plan.imbalance, 2), scale=scale)
    network = plan.network()
    if any(block.radius > 0 for block in network.stacked.blocks.values()):
        return
    for method in ("neuron", "layer"):
        certificate = certify(network, method=method)
        assert certificate.status == "proved" and certificate.gap <= 1e-6, method


@pytest.mark.parametrize("method", ["neuron", "layer"])
@pytest.mark.parametrize("seed", [2050266185, 3302313666])
def test_gap_is_closed_where_rows_cancel(method: Method, seed: int) -> None:
    """MaxMin of two equal rows behind a folded layer: the difference is zero, but known only up to its rounding."""
    first = seed == 2050266185
    plan = Plan(
        inputs=2 if first else 5,
        widths=(4, 2, 4, 2) if first else (6, 2, 6),
        outputs=4 if first else 3,
        activation="maxmin",
        skips=(True, True, True, False) if first else (False, True, False, True),
        zero_rows=not first,
        duplicates=True,
        sparse=False,
        equal=False,
        scale=3 if first else 0,
        imbalance=0 if first else 2,
        biases=not first,
        normalised=False,
        seed=seed,
    )
    assert certify(plan.network(), method=method).gap <= 1e-6


def test_rows_that_are_zero_for_sure_are_constant() -> None:
    """Zero rows behind a folded normalisation stay exactly zero, and so do differences of equal entries."""
    graph = Graph((3,))
    scaled = graph.add(Scale(np.array([0.3, 0.7, 1.1])), 0)
    weight = np.array([[1.0, 2.0, -0.7], [0.0, 0.0, 0.0], [1.0, 2.0, -0.7], [1.0, 2.0, -0.7]])
    value = graph.add(activation_by_name("relu"), graph.add(Dense(weight), scaled))
    network = graph.network(value)
    assert network.unshared.neurons == 4 and network.unshared.reduced().neurons == 3
    assert network.stacked.reduced().neurons == 1
    zero = Graph((2,))
    value = zero.add(Dense(np.zeros((2, 2))), zero.add(Scale(np.array([0.3, 0.7])), 0))
    certificate = certify(zero.network(zero.add(Dense(np.ones((1, 2))), zero.add(activation_by_name("relu"), value))))
    assert certificate.status == "proved" and certificate.upper == 0


def test_layers_that_cancel_up_to_rounding_are_bounded_by_it() -> None:
    """Weights whose product is zero up to rounding: the bound is the charge of that rounding, and it is proved."""
    graph = Graph((3,))
    value = graph.add(Dense(np.array([[0.1, 0.3, 0.7], [0.3, 0.9, 2.1]]) * 0.7), 0)
    value = graph.add(Dense(np.array([[3.0, -1.0], [-3.0, 1.0]])), value)
    value = graph.add(Dense(np.ones((1, 2))), graph.add(activation_by_name("relu"), value))
    network = graph.network(value)
    for method in LADDER:
        certificate = certify(network, method=method)
        assert certificate.status == "proved", method
        assert certificate.lower <= certificate.upper < 1e-11
        assert check_document(certificate.document()).ok


# ---------------------------------------------------------------- constants that are known


def close(certificate: Certificate, constant: float, relative: float = 1e-6) -> None:
    assert certificate.status == "proved"
    assert certificate.lower <= certificate.upper
    assert constant * (1 - 1e-13) <= certificate.upper <= constant * (1 + relative)


@pytest.mark.parametrize("seed", range(6))
def test_nonnegative_weights(seed: int) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 7, int(rng.integers(2, 6)))
    weights = [rng.random((b, a)) for a, b in itertools.pairwise(sizes)]
    total = np.eye(sizes[0])
    for w in weights:
        total = w @ total
    close(certify(Network.mlp(weights)), float(np.linalg.norm(total, 2)))


@pytest.mark.parametrize("activation", ["relu", "abs", "tanh", "maxmin"])
@pytest.mark.parametrize("layers", [1, 2, 4, 8])
def test_orthogonal_chains(activation: str, layers: int) -> None:
    rng = np.random.default_rng(layers)
    weights = [np.linalg.qr(rng.standard_normal((6, 6)))[0] for _ in range(layers)]
    network = Network.mlp(weights, None, activation)
    for method in LADDER if activation != "maxmin" else LADDER[:1]:
        certificate = certify(network, method=method)
        assert certificate.status == "proved"
        assert certificate.lower <= certificate.upper <= 1 + 1e-6
    if activation == "abs":
        close(certify(network), 1.0)


@pytest.mark.parametrize("shape", [(1, 1), (5, 3), (3, 5), (4, 4), (2, 50)])
@pytest.mark.parametrize("method", ["neuron", "layer", "product", "auto"])
def test_linear_networks(shape: tuple[int, int], method: Method) -> None:
    weight = np.random.default_rng(3).standard_normal(shape)
    certificate = certify(Network.mlp([weight], [np.ones(shape[0])]), method=method)
    close(certificate, float(np.linalg.norm(weight, 2)), 1e-9)
    assert certificate.gap <= 1e-9


@pytest.mark.parametrize(
    ("activation", "slope"),
    [("relu", 1.0), ("leaky_relu", 1.0), ("tanh", 1.0), ("sigmoid", 0.25), ("abs", 1.0), ("gelu", 1.128905)],
)
def test_one_neuron(activation: str, slope: float) -> None:
    weight = np.random.default_rng(4).standard_normal((1, 7))
    out = np.array([[1.7], [-0.3]])
    expected = slope * float(np.linalg.norm(weight)) * float(np.linalg.norm(out))
    close(certify(Network.mlp([weight, out], None, activation)), expected)


@pytest.mark.parametrize("method", LADDER)
def test_constant_networks_have_the_bound_zero(method: Method) -> None:
    for weights in ([np.zeros((2, 3))], [np.ones((4, 3)), np.zeros((2, 4))], [np.zeros((4, 3)), np.ones((2, 4))]):
        certificate = certify(Network.mlp(weights, [np.ones(len(w)) for w in weights]), method=method)
        assert certificate.status == "proved"
        assert certificate.upper == certificate.lower == certificate.gap == 0
        assert check_document(certificate.document()).ok


def test_the_identity_has_the_bound_one() -> None:
    certificate = certify(Graph((3,)).network(0))
    assert certificate.status == "proved"
    assert 1 <= certificate.upper <= 1 + 1e-12


def test_one_input_networks_by_their_pieces() -> None:
    """All linear pieces of a function of one input: their steepest slope is the constant, and below the bound."""
    for seed in range(5):
        rng = np.random.default_rng(seed)
        weights = [rng.standard_normal((5, 1)), rng.standard_normal((5, 5)), rng.standard_normal((1, 5))]
        network = Network.mlp(weights, [rng.standard_normal(len(w)) for w in weights])
        x = np.linspace(-30, 30, 600_001)
        steepest = float(np.max(np.abs(np.diff(network(x[:, None])[:, 0]) / np.diff(x))))
        certificate = certify(network)
        assert steepest * (1 - 1e-9) <= certificate.upper
        assert certificate.lower <= steepest * (1 + 1e-7)


# ---------------------------------------------------------------- what a change of the network does to the bound


def chain(seed: int, sizes: tuple[int, ...] = (4, 6, 6, 3)) -> list[Array]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((b, a)) for a, b in itertools.pairwise(sizes)]


@pytest.mark.parametrize("method", LADDER)
@pytest.mark.parametrize("exponents", [(3, 0, 0), (0, -7, 0), (0, 0, 11), (40, -60, 5), (-200, 100, -50)])
def test_powers_of_two_scale_the_bound_exactly(method: Method, exponents: tuple[int, ...]) -> None:
    weights = chain(0)
    scaled = [np.ldexp(w, e) for w, e in zip(weights, exponents, strict=True)]
    before = certify(Network.mlp(weights), method=method)
    after = certify(Network.mlp(scaled), method=method)
    assert after.upper == math.ldexp(before.upper, sum(exponents))
    assert before.sdp_lower is not None and after.sdp_lower is not None
    # Where the attained value is above the dual bound, it is the lower bound: the search may find another pair.
    exact = before.sdp_lower > before.lower and after.sdp_lower > after.lower
    expected = math.ldexp(before.sdp_lower, sum(exponents))
    assert after.sdp_lower == (expected if exact else pytest.approx(expected, rel=1e-9))


@pytest.mark.parametrize("method", LADDER)
@pytest.mark.parametrize("activation", ["relu", "leaky_relu", "abs"])
def test_equal_functions_have_equal_bounds(method: Method, activation: str) -> None:
    weights = chain(1)
    bound = certify(Network.mlp(weights, None, activation), method=method).upper
    rng = np.random.default_rng(0)

    order = rng.permutation(6)
    permuted = [weights[0][order], weights[1][:, order], weights[2]]

    zeros = [
        np.vstack([weights[0], np.zeros((2, 4))]),  # neurons that read nothing
        np.hstack([np.vstack([weights[1], rng.standard_normal((1, 6))]), rng.standard_normal((7, 2))]),
        np.hstack([weights[2], np.zeros((3, 1))]),  # and one that nothing reads
    ]

    turn = np.linalg.qr(rng.standard_normal((4, 4)))[0]
    turned = [weights[0] @ turn, *weights[1:]]
    wide = [np.hstack([weights[0], np.zeros((6, 20))]) @ np.linalg.qr(rng.standard_normal((24, 24)))[0], *weights[1:]]
    tall = [*weights[:2], np.linalg.qr(rng.standard_normal((30, 3)))[0] @ weights[2]]

    for other in (permuted, zeros, turned, wide, tall):
        assert certify(Network.mlp(other, None, activation), method=method).upper == pytest.approx(bound, rel=2e-6)

    graph = Graph((4,))
    value = graph.add(Dense(weights[0]), 0)
    value = graph.add(Dense(np.eye(6)), value)
    value = graph.add(activation_by_name(activation), value)
    value = graph.add(Dense(weights[1]), graph.add(Scale(np.full(6, 0.5)), graph.add(Scale(np.full(6, 2.0)), value)))
    value = graph.add(Dense(weights[2]), graph.add(activation_by_name(activation), value))
    network = graph.network(graph.add(Dense(np.eye(3)), value))
    assert certify(network, method=method).upper == pytest.approx(bound, rel=2e-6)


@pytest.mark.parametrize("seed", range(4))
def test_transposed_networks_have_equal_bounds(seed: int) -> None:
    weights = chain(seed, (3, 6, 5, 6, 2))
    bound = certify(Network.mlp(weights)).upper
    assert certify(Network.mlp([w.T for w in reversed(weights)])).upper == pytest.approx(bound, rel=2e-6)


@pytest.mark.parametrize("seed", range(3))
def test_one_output_is_not_above_all_outputs(seed: int) -> None:
    network = Network.mlp(chain(seed))
    whole = certify(network).upper
    rows = [certify(network, output_rows=[r]).upper for r in range(3)]
    assert max(rows) <= whole * (1 + 1e-6) <= math.hypot(*rows) * (1 + 1e-5)


def test_a_narrower_interval_of_slopes_never_raises_the_bound() -> None:
    weights = chain(5)
    relu = certify(Network.mlp(weights)).upper
    leaky = certify(Network.mlp(weights, None, "leaky_relu")).upper
    signed = certify(Network.mlp(weights, None, "abs")).upper
    assert leaky <= relu * (1 + 1e-6) <= signed * (1 + 1e-5)


def test_maxmin_and_absolute_value_have_equal_bounds() -> None:
    """max, min = (a + b)/2 +- |a - b|/2: slopes [0, 1] on a - b and [-1, 1] on it give the same value."""
    first, last = chain(6, (4, 6, 3))
    bound = certify(Network.mlp([first, last], None, "maxmin")).upper
    graph = Graph((4,))
    v = graph.add(Dense(first), 0)
    a, b = graph.rearrange(v, lambda i: i[0::2]), graph.rearrange(v, lambda i: i[1::2])
    half = np.full(3, 0.5)
    mean = graph.add(Scale(half), graph.add(Sum(), a, b))
    size = graph.add(Scale(half), graph.add(activation_by_name("abs"), graph.add(Sum((1, -1)), a, b)))
    low, high = graph.add(Sum((1, -1)), mean, size), graph.add(Sum(), mean, size)
    output = graph.add(
        Sum(),
        graph.add(Dense(np.ascontiguousarray(last[:, 0::2])), low),
        graph.add(Dense(np.ascontiguousarray(last[:, 1::2])), high),
    )
    assert certify(graph.network(output)).upper == pytest.approx(bound, rel=2e-6)

"""What layers know by construction stands beside the network: solving does not see it, proofs by construction do."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import sdpcert  # noqa: E402
from sdpcert import layers  # noqa: E402
from sdpcert.certificate.torus_condition import TorusCondition  # noqa: E402
from sdpcert.certify.binding import check_with_network  # noqa: E402
from sdpcert.certify.construction import prove_point  # noqa: E402
from sdpcert.certify.cut import with_rows  # noqa: E402
from sdpcert.certify.frequencies import front_and_head  # noqa: E402
from sdpcert.layers.elementwise import STRICT, Nonexpansive  # noqa: E402
from sdpcert.network.activations import BY_NAME  # noqa: E402
from sdpcert.network.affine import Concat, Dense, Scale  # noqa: E402
from sdpcert.network.construction import ConstructedNetwork, Construction  # noqa: E402
from sdpcert.network.graph import Graph, Network  # noqa: E402
from sdpcert.readers.errors import UnsupportedModel  # noqa: E402
from sdpcert.torch_modules.block import for_own_slopes  # noqa: E402

nn = torch.nn


def constructed(*parts: Any, shape: tuple[int, ...]) -> ConstructedNetwork:
    network = sdpcert.from_torch(nn.Sequential(*parts).double(), shape)
    assert isinstance(network, ConstructedNetwork)
    return network


def plain(network: Network) -> Network:
    return Network(network.input_shape, network.nodes, network.output, network.source, network.details)


def chain() -> ConstructedNetwork:
    torch.manual_seed(0)
    return constructed(
        layers.SLLLinear(4, 6, activation="tanh"), layers.MaxMin(), nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 2),
        shape=(4,),
    )  # fmt: skip


class Doubled(Nonexpansive):
    """`z = relu(v)` and `w = relu(2 v)`, joined.

    `5 v^2 - z^2 - w^2 = 2 z (v - z) + 2 w (2 v - w) + (v - z)^2 + (2 v - w)^2`.
    """

    def forward(self, inputs: Any) -> Any:
        return torch.cat([torch.relu(inputs), torch.relu(2 * inputs)], dim=1)

    def squared_constant(self) -> float:
        return 5 * super().squared_constant()

    def add_to(self, graph: Graph, value: int) -> int:
        first = graph.add(BY_NAME["relu"](), value)
        second = graph.add(BY_NAME["relu"](), graph.add(Scale(2.0), value))
        return graph.add(Concat(0), first, second)

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float]:
        return [downstream * (1 + STRICT)] * 2


class Forgetful(Doubled):
    """A layer that states too few multipliers."""

    def neuron_multipliers(self, shape: tuple[int, ...], downstream: float) -> list[float]:
        return [downstream]


def channels_that_are_multiples() -> ConstructedNetwork:
    torch.manual_seed(0)
    first, second = nn.Conv2d(1, 3, 3, padding=1), nn.Conv2d(6, 2, 3, padding=1)
    return constructed(first, Doubled(), second, nn.Flatten(), nn.Linear(50, 2), shape=(1, 5, 5))


@pytest.mark.parametrize("make", ["layers", "network"])
def test_sandwiches_of_sigmoids_are_solved_with_the_sigmoids_own_slopes(make: str) -> None:
    torch.manual_seed(1)
    sandwich: Any = (
        layers.SandwichNetwork([3, 5, 4, 2], 1.0, "sigmoid", dtype=torch.float64)
        if make == "network"
        else nn.Sequential(layers.SandwichLinear(3, 5, activation="sigmoid"), layers.SandwichLinear(5, 2)).double()
    )
    network = sdpcert.from_torch(sandwich, (3,))
    hidden = [g for g in network.stacked.groups if g.activation.name == "sigmoid"]
    assert hidden and all(np.all(g.alpha == 0) and np.all(g.beta == 0.25) for g in hidden)
    given = sdpcert.certify(network, method="by-construction")
    assert given.status == "proved" and 0.99 < given.upper <= 1
    # Slopes [0, 1/4] of v are slopes [0, 1] of v / 4: another network with the same optimum.
    nodes = list(network.nodes)
    relu = BY_NAME["relu"]()
    for k, node in enumerate(network.nodes):
        if getattr(node.layer, "name", "") == "sigmoid":
            before = node.inputs[0] - 1
            dense = cast(Dense, nodes[before].layer)
            nodes[before] = replace(nodes[before], layer=Dense(np.asarray(dense.weight) / 4))
            nodes[k] = replace(node, layer=relu)
    quarter = Network(network.input_shape, tuple(nodes), network.output)
    for method in ("neuron", "layer", "auto"):
        solved = sdpcert.certify(network, method=method)
        assert solved.upper == pytest.approx(sdpcert.certify(quarter, method=method).upper, rel=1e-5)
        assert solved.upper == pytest.approx(sdpcert.certify(plain(network), method=method).upper, rel=1e-9)
        assert solved.upper < 0.3 * given.upper


def test_multipliers_for_slopes_between_zero_and_one() -> None:
    unit = np.array([1.0, 3.0])
    np.testing.assert_array_equal(for_own_slopes(BY_NAME["relu"](), unit), unit)
    np.testing.assert_array_equal(for_own_slopes(BY_NAME["sigmoid"](), unit), 4 * unit)
    for steeper in ("abs", "selu", "gelu"):
        with pytest.raises(ValueError, match=f"'{steeper}' has slopes outside"):
            for_own_slopes(BY_NAME[steeper](), unit)


def test_networks_and_activations_carry_no_proof_data() -> None:
    assert [f.name for f in fields(Network)] == ["input_shape", "nodes", "output", "source", "details"]
    for kind in BY_NAME.values():
        assert not {"multiplier", "multipliers"} & set(dir(kind()))


def test_derived_networks_are_plain() -> None:
    network = chain()
    row = Dense(np.ones((1, 2)))
    for derived in (network.between(0, 3), with_rows(network, [1]), network.followed_by(row)):
        assert type(derived) is Network
        with pytest.raises(ValueError, match=r"needs a network made of 1-Lipschitz layers"):
            sdpcert.certify(derived, method="by-construction")
    assert with_rows(network, None) is network
    with pytest.raises(ValueError, match="about another network"):
        replace(network, output=3)


@pytest.mark.parametrize(
    "construction",
    [
        Construction({}, {}),
        Construction({0: 1.0, 1: 2.0}, {}),
        Construction({0: 1.0, 1: 1.0, 2: 1.0}, {}),
        Construction({0: 1.0, 1: 1.0}, {1: 1.0}),
        Construction({0: 1.0, 1: 1.0}, {2: 1.0}),
    ],
)
def test_a_construction_is_about_its_network(construction: Construction) -> None:
    network = Network.mlp([np.eye(2)])
    with pytest.raises(ValueError, match="about another network"):
        ConstructedNetwork.of(network, construction)


def test_parts_know_their_own_constants() -> None:
    network = chain()
    values = sorted(network.construction.squared_gains)
    gains = []
    for start, end in pairwise(values):
        part = network.part(start, end)
        gains.append(part.construction.squared_gain)
        proof = prove_point(part.unshared.reduced(), part.construction)
        assert proof is not None
        assert proof.rho == pytest.approx(gains[-1], rel=1e-6)
    assert np.prod(gains) == pytest.approx(network.construction.squared_gain)
    inside = next(k for k in range(1, network.output) if k not in values)
    with pytest.raises(ValueError, match="inside of a layer"):
        network.part(0, inside)
    with pytest.raises(ValueError, match="inside of a layer"):
        network.construction.after(inside, [network.output])


def test_neurons_without_multipliers_are_named() -> None:
    network = chain()
    missing = ConstructedNetwork.of(network, Construction(network.construction.squared_gains, {}))
    with pytest.raises(ValueError, match="group 1 have no multipliers by construction"):
        sdpcert.certify(missing, method="by-construction")


def test_layers_state_a_multiplier_for_every_activation() -> None:
    torch.manual_seed(0)
    assert sdpcert.certify(constructed(nn.Linear(2, 2), Doubled(), shape=(2,)), method="by-construction").upper > 0
    with pytest.raises(UnsupportedModel, match="appends 2 activations and states 1 multipliers"):
        constructed(nn.Linear(2, 2), Forgetful(), shape=(2,))


def test_solving_over_frequencies_does_not_see_what_layers_know(tmp_path: Path) -> None:
    network = channels_that_are_multiples()
    solved, other = (sdpcert.certify(n, method="neuron", form="frequency") for n in (network, plain(network)))
    assert solved.upper == other.upper
    forms = [front_and_head(network, share=share)[1] for share in (True, False)]
    assert [form.channels for form in forms] == [5, 8]  # two are crops
    given = sdpcert.certify(network, method="by-construction", form="frequency")
    part = given.parts[0]
    assert given.status == "proved" and isinstance(part, TorusCondition) and part.form.channels == 8
    unrolled = sdpcert.certify(network, method="by-construction", form="unrolled")
    assert unrolled.upper == pytest.approx(given.upper, rel=1e-6)
    for name, certificate in (("solved", solved), ("given", given), ("unrolled", unrolled)):
        certificate.save(tmp_path / f"{name}.json")
        for either in (network, plain(network)):
            assert check_with_network(tmp_path / f"{name}.json", either).ok

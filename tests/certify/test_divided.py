"""Networks in pieces: the bound holds, memory is planned, and a certificate is bound to its network."""

from __future__ import annotations

import base64
import copy
import zlib
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.certificate.document import build_document
from sdpcert.certificate.sequence import Sequence
from sdpcert.certificate.torus_condition import TorusCondition
from sdpcert.certify.binding import check_with_network
from sdpcert.certify.fitting import Fitting
from sdpcert.certify.passages import places_to_divide
from sdpcert.network.graph import Network
from sdpcert.solvers.solution import Progress
from tests.oracles import large_networks

KILO = 1e3
SMALL = {
    "residual": lambda seed: large_networks.residual_cifar((2, 3), hidden=6, side=8, seed=seed),
    "pooled": lambda seed: large_networks.pooled_mnist(2, 3, 8, 5, seed=seed),
    "field": lambda seed: large_networks.bias_field(4, 8, (2, 3), seed=seed),
    "detector": lambda seed: large_networks.detector(2, 8, 3, seed=seed),
}


def stretch(network: Network, rows: list[int] | None = None, seed: int = 0) -> float:
    """The largest quotient of pairs of inputs that are near each other."""
    x = np.random.default_rng(seed).standard_normal((200, *network.input_shape))
    step = 1e-3 * np.random.default_rng(seed + 1).standard_normal(x.shape)
    change = (network(x + step) - network(x)).reshape(200, -1)
    change = change if rows is None else change[:, rows]
    return float(np.max(np.linalg.norm(change, axis=1) / np.linalg.norm(step.reshape(200, -1), axis=1)))


@pytest.mark.parametrize("kind", SMALL)
def test_the_product_over_pieces_is_a_proved_bound(kind: str) -> None:
    network = SMALL[kind](1)
    found = sdpcert.certify(network, memory_limit=300 * KILO, effort=0.0)
    assert found.status == "proved" and isinstance(found.tree, Sequence)
    assert max(found.lower, stretch(network)) <= found.upper
    assert any("divided into parts" in note for note in found.notes)
    assert sdpcert.check(found).ok
    assert check_with_network(found, network).ok
    assert not check_with_network(found, SMALL[kind](2)).ok
    product = sdpcert.certify(network, memory_limit=300 * KILO, effort=0.0, method="product")
    assert found.upper <= product.upper and check_with_network(product, network).ok


def test_a_network_on_a_torus_need_not_be_the_first_part() -> None:
    network = SMALL["field"](1)
    found = sdpcert.certify(network, memory_limit=300 * KILO, effort=0.0)
    assert isinstance(found.tree, Sequence)
    kinds = [isinstance(part, TorusCondition) for part in found.tree.parts]
    assert not kinds[0] and any(kinds)
    assert found.tree.coordinates == "input"


def test_chosen_outputs_of_an_image() -> None:
    network, rows = SMALL["detector"](3), [1, 5]
    found = sdpcert.certify(network, memory_limit=300 * KILO, effort=0.0, output_rows=rows)
    assert found.status == "proved" and stretch(network, rows) <= found.upper
    assert check_with_network(found, network).ok


def test_a_part_that_reads_other_pixels_is_not_the_network() -> None:
    network = SMALL["residual"](1)
    found = sdpcert.certify(network, memory_limit=300 * KILO, effort=0.0)
    assert found.tree is not None
    document = copy.deepcopy(build_document(found.tree, None, {"cuts": found.information["cuts"]}))
    assert check_with_network(_Stated(document), network).ok
    joint = document["tree"]["joints"][0]
    layout = np.frombuffer(zlib.decompress(base64.b64decode(joint["layout"])), "<i8").copy()
    inside = np.flatnonzero(layout >= 0)
    layout[inside[:2]] = layout[inside[1::-1]]
    joint["layout"] = base64.b64encode(zlib.compress(layout.tobytes())).decode()
    assert sdpcert.check(_Stated(document)).ok  # of the network that the file states
    assert not check_with_network(_Stated(document), network).ok
    for cuts in (None, [], [0], found.information["cuts"][:-1]):
        document["information"]["cuts"] = cuts
        assert not check_with_network(_Stated(document), network).ok


class _Stated:
    def __init__(self, document: dict[str, Any]) -> None:
        self.held = document

    def document(self) -> dict[str, Any]:
        return self.held


def test_what_fits_no_form_is_said() -> None:
    found = sdpcert.certify(SMALL["field"](1), memory_limit=20 * KILO, effort=0.0)
    assert found.status == "unproved"
    assert any("to be unrolled" in note for note in found.notes)


def test_an_interrupt_keeps_what_was_proved() -> None:
    def interrupt(progress: Progress) -> None:
        if ", neuron" in progress.message:
            raise KeyboardInterrupt

    network = SMALL["residual"](1)
    options: dict[str, Any] = {"memory_limit": 300 * KILO, "effort": 0.0, "on_interrupt": "prove"}
    found = sdpcert.certify(network, progress=interrupt, **options)
    assert found.status == "proved" and found.solver_status == "interrupted"
    assert found.upper == sdpcert.certify(network, method="product", **options).upper


def test_no_time_leaves_the_product() -> None:
    network = SMALL["residual"](1)
    found = sdpcert.certify(network, memory_limit=300 * KILO, effort=0.0, time_limit=1e-3)
    assert found.status == "proved"
    assert any("keep their product of norms" in note for note in found.notes)


def test_images_are_divided_as_images() -> None:
    for kind in SMALL:
        network = SMALL[kind](0)
        for value in places_to_divide(network)[:-1]:
            before, after = network.between(0, value), network.between(value, network.output)
            x = np.random.default_rng(0).standard_normal((2, *network.input_shape))
            np.testing.assert_allclose(after(before(x)), network(x), atol=1e-12)


@pytest.mark.parametrize("make", [large_networks.pooled_mnist, large_networks.detector, large_networks.bias_field])
def test_large_networks_are_planned_at_once(make: Any) -> None:
    network = make()
    fitting = Fitting.of(network, "auto")
    assert fitting.unrolling > 8 * 2**30
    assert not fitting.is_solved_over_frequencies(8 * 2**30)

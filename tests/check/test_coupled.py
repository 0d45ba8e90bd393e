"""Certificates of norms of several neurons: each change that would make the inequality false is rejected."""

from __future__ import annotations

import base64
import copy
import hashlib
import math
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.check import check_document
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense
from sdpcert.network.block_norm import block_norms
from sdpcert.network.graph import Graph
from sdpcert.running.encoding import encode

Document = dict[str, Any]


def decode(text: str, shape: tuple[int, ...]) -> np.ndarray:
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), "<f8").reshape(shape)


def certificate() -> Document:
    """Six neurons in norms of three, and three ReLU neurons after them."""
    rng, graph = np.random.default_rng(2), Graph((4,))
    read = graph.add(Dense(rng.standard_normal((6, 4))), 0)
    norms = block_norms(graph, graph.rearrange(read, lambda x: x.reshape(2, 3)))
    hidden = graph.add(relu(), graph.add(Dense(rng.standard_normal((3, 2))), norms))
    document = sdpcert.certify(graph.network(graph.add(Dense(rng.standard_normal((2, 3))), hidden))).document()
    assert document["tree"]["network"]["groups"][0]["coupled"] == 3
    return document


@pytest.fixture(scope="module")
def document() -> Document:
    return certificate()


def changed(document: Document, change: Callable[[Document], None]) -> Document:
    """The document with a changed tree, and a hash that fits it."""
    result = copy.deepcopy(document)
    change(result["tree"])
    network = result["tree"]["network"]
    network["sha256"] = result_hash(network)
    return result


def result_hash(network: Document) -> str:
    """The hash of the format page, written from it."""
    groups, sizes = network["groups"], [network["inputs"], *(g["size"] for g in network["groups"]), network["outputs"]]
    data = b"sdpcert-network-4" + struct.pack("<3q", sizes[0], sizes[-1], len(groups))
    for g in groups:
        data += struct.pack("<2q", g["size"], g.get("coupled", 1))
        data += b"".join(decode(g[key], (g["size"],)).tobytes() for key in ("alpha", "beta"))
    for block in network["blocks"]:
        data += struct.pack("<2qd", block["to"], block["from"], float.fromhex(block["radius"]))
        shape = sizes[block["to"]], sizes[block["from"]]
        data += decode(block["weights"], shape).tobytes() + struct.pack("<q", "low" in block)
        data += decode(block["low"], shape).tobytes() if "low" in block else b""
    return hashlib.sha256(data).hexdigest()


def lambdas(tree: Document, change: Callable[[np.ndarray], None]) -> None:
    given = tree["multipliers"]["lambda"]
    values = decode(given[0], (6,)).copy()
    change(values)
    given[0] = encode(values)


def rejected(document: Document, words: str) -> None:
    found = check_document(document)
    assert not found.ok and words in found.reason, found.reason


def test_it_is_accepted_with_the_hash_of_the_format_page(document: Document) -> None:
    same = changed(document, lambda tree: None)
    assert same == document and check_document(same).ok


@pytest.mark.parametrize("neuron", range(6))
@pytest.mark.parametrize("up", [True, False])
def test_multipliers_that_differ_by_one_place(document: Document, neuron: int, up: bool) -> None:
    def differ(values: np.ndarray) -> None:
        values[neuron] = math.nextafter(values[neuron], math.inf if up else 0.0)

    rejected(changed(document, lambda tree: lambdas(tree, differ)), "unequal multipliers")


@pytest.mark.parametrize("count", [2, 6])
def test_another_size_that_divides_the_group(document: Document, count: int) -> None:
    """Neurons of several norms would have equal multipliers by chance: made different, the size matters."""

    def change(tree: Document) -> None:
        lambdas(tree, lambda values: values.__setitem__(slice(3, 6), 2 * values[3]))
        tree["network"]["groups"][0]["coupled"] = count

    rejected(changed(document, change), "unequal multipliers")


@pytest.mark.parametrize("count", [0, 1, -3, 4, 5, 7, 9, 12, 10**9, True, 3.0, "3", None, [3]])
def test_sizes_that_are_none(document: Document, count: Any) -> None:
    found = copy.deepcopy(document)
    found["tree"]["network"]["groups"][0]["coupled"] = count
    rejected(found, "coupled")


@pytest.mark.parametrize(
    ("key", "value"), [("alpha", 0.0), ("alpha", -0.999), ("alpha", -2.0), ("beta", 0.5), ("beta", 1.5)]
)
def test_other_slopes(document: Document, key: str, value: float) -> None:
    """[0, 1] is false: |v| falls where v grows towards zero from below."""

    def change(tree: Document) -> None:
        group = tree["network"]["groups"][0]
        slopes = decode(group[key], (6,)).copy()
        slopes[4] = value
        group[key] = encode(slopes)

    rejected(changed(document, change), "slopes other than -1 and 1")


def test_a_block_across_groups(document: Document) -> None:
    """The six neurons as groups of two and four."""

    def change(tree: Document) -> None:
        group = tree["network"]["groups"][0]
        alpha, beta = (decode(group[key], (6,)) for key in ("alpha", "beta"))
        parts = [
            {**group, "size": b - a, "alpha": encode(alpha[a:b]), "beta": encode(beta[a:b])}
            for a, b in ((0, 2), (2, 6))
        ]
        tree["network"]["groups"] = [*parts, *tree["network"]["groups"][1:]]

    found = copy.deepcopy(document)
    change(found["tree"])
    rejected(found, "coupled of group 1")


def test_a_group_that_does_not_say_so_has_another_hash(document: Document) -> None:
    found = copy.deepcopy(document)
    del found["tree"]["network"]["groups"][0]["coupled"]
    rejected(found, "not the hash")


def test_an_elementwise_group_must_not_be_one(document: Document) -> None:
    def change(tree: Document) -> None:
        group = tree["network"]["groups"][1]
        group["coupled"] = group["size"]

    rejected(changed(document, change), "slopes other than -1 and 1")


def test_networks_without_norms_are_what_they_were() -> None:
    rng = np.random.default_rng(0)
    network = sdpcert.Network.mlp([rng.standard_normal((4, 3)), rng.standard_normal((2, 4))], activation="abs")
    document = sdpcert.certify(network).document()
    assert "coupled" not in document["tree"]["network"]["groups"][0]
    assert "or norms" not in check_document(document).reason


def test_frequencies_have_no_norms() -> None:
    graph = Graph((1, 4, 4))
    kernel = np.random.default_rng(0).standard_normal((2, 1, 3, 3))
    value = graph.add(Conv2d(kernel, None, (1, 1), (1, 1, 1, 1)), 0)
    document = sdpcert.certify(graph.network(graph.add(relu(), value)), method="product", form="frequency").document()
    document["tree"]["network"]["groups"][0]["coupled"] = 2
    rejected(document, "unknown key")

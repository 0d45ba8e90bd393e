"""A certificate beside the network's file: some outputs, and whatever else a file may say."""

from __future__ import annotations

import base64
import copy
import json
import random
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.certify.binding import check_with_network
from sdpcert.check import CheckResult, check_document
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense
from sdpcert.network.graph import Graph, Network


def test_some_outputs_are_named_and_are_not_the_whole(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    network = sdpcert.Network.mlp([rng.standard_normal((4, 3)), np.array([[1e-3], [1.0], [1.0]]) * np.ones((3, 4))])
    path = tmp_path / "c.json"
    sdpcert.certify(network, output_rows=[0]).save(path)
    result = check_with_network(path, network)
    assert result.ok and result.upper is not None
    assert "output 0 of it alone" in result.reason
    assert not check_with_network(path, network, whole=True).ok
    sdpcert.certify(network).save(path)
    both = check_with_network(path, network, whole=True)
    assert both.ok and both.upper is not None and both.upper > 100 * result.upper
    assert "alone" not in both.reason


def forged_values() -> list[Any]:
    """What may stand in a JSON file instead of a value, of every type and of odd sizes."""
    deep: Any = 0
    for _ in range(50):
        deep = [deep]
    big = 10**400
    return [None, True, 0, -1, 7, 0.5, 1e308, big, "x", "", "a\nb", "0x1p+0", [], [0], [0.5], [7.0], [True], ["0"]] + [
        *([[None]], [big], [-1], [[0]], [0, 0], list(range(2000)), {}, {"a": 1}, deep)
    ]


def leaves(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values of a document, tables and lists themselves included."""
    if path:
        yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from leaves(child, (*path, key))


def bound_to(document: Any, network: Network, folder: Path) -> CheckResult:
    (folder / "c.json").write_text(json.dumps(document))
    return check_with_network(folder / "c.json", network)


def with_value(document: Any, path: tuple[Any, ...], value: Any) -> Any:
    made = copy.deepcopy(document)
    inner = made
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return made


@pytest.fixture(scope="module")
def bound(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Network, dict[str, Any]]]:
    """Networks with their certificates' documents: some outputs, frequencies with a head, a chain in pieces."""
    rng, found = np.random.default_rng(0), {}
    dense = sdpcert.Network.mlp([rng.standard_normal((5, 4)), rng.standard_normal((9, 5))])
    found["rows"] = dense, sdpcert.certify(dense, output_rows=[7]).document()
    graph = Graph((1, 4, 4))
    value = graph.add(relu(), graph.add(Conv2d(rng.standard_normal((2, 1, 3, 3)) / 3, padding=(1, 1, 1, 1)), 0))
    value = graph.rearrange(value, lambda a: a.reshape(-1))
    value = graph.add(relu(), graph.add(Dense(rng.standard_normal((3, 32)) / 6), value))
    image = graph.network(graph.add(Dense(rng.standard_normal((2, 3))), value))
    found["frequency"] = image, sdpcert.certify(image, form="frequency", output_rows=[1]).document()
    return {name: (network, json.loads(json.dumps(document))) for name, (network, document) in found.items()}


@pytest.mark.parametrize("name", ["rows", pytest.param("frequency", marks=pytest.mark.slow)])
def test_nothing_in_a_file_is_a_traceback(
    name: str, bound: dict[str, tuple[Network, dict[str, Any]]], tmp_path: Path
) -> None:
    """Every value of the document, of either version, replaced by values of other types; proofs are not the point."""
    network, document = bound[name]
    path, rng = tmp_path / "c.json", random.Random(1)
    path.write_text(json.dumps(document))
    assert check_with_network(path, network).ok
    for place in leaves(document):
        for value in rng.sample(forged_values(), 4):
            path.write_text(json.dumps(with_value(document, place, value)))
            result = check_with_network(path, network)
            assert "\n" not in result.reason and len(result.reason) < 2000
            assert result.ok == (result.upper is not None)


@pytest.mark.parametrize("name", ["rows", "frequency"])
def test_rows_of_a_forged_certificate(
    name: str, bound: dict[str, tuple[Network, dict[str, Any]]], tmp_path: Path
) -> None:
    """The outputs that a file names are integers in a list, and those that its proof is about."""
    network, document = bound[name]
    for value in forged_values():
        forged = with_value(document, ("information", "output_rows"), value)
        assert check_document(forged).ok  # the proof is about what is in the file, and holds
        result = bound_to(forged, network, tmp_path)
        assert result.ok == (value == document["information"]["output_rows"] and type(value[0]) is int), value


def test_attained_points_that_unpack_to_much(bound: dict[str, tuple[Network, dict[str, Any]]], tmp_path: Path) -> None:
    """A few bytes that unpack to a gigabyte are refused by their size, before that."""
    network, document = bound["frequency"]
    bomb = base64.b64encode(zlib.compress(bytes(50_000_000), 9)).decode()
    for key in ("x", "x_prime"):
        result = bound_to(with_value(document, ("attained", key), bomb), network, tmp_path)
        wrong = ("more values than the torus has inputs", "does not hold exactly 16 values")
        assert not result.ok and any(reason in result.reason for reason in wrong)


def test_cuts_of_a_chain_are_compared(tmp_path: Path) -> None:
    """A network in pieces: the cuts under `information` are anybody's, and wrong ones are no traceback."""
    torch = pytest.importorskip("torch")
    from sdpcert import layers
    from sdpcert.certify import construction

    torch.manual_seed(0)
    module = torch.nn.Sequential(layers.SLLLinear(5, 6), layers.SLLLinear(5, 6), layers.SLLLinear(5, 6)).eval()
    network = sdpcert.from_torch(module, (5,))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(construction, "LARGEST", 12)
        document = sdpcert.certify(network, method="by-construction").document()
    cuts = document["information"]["cuts"]
    assert len(cuts) >= 1 and bound_to(document, network, tmp_path).ok
    others = [*forged_values(), cuts[::-1], [c + 1 for c in cuts], [float(c) for c in cuts], cuts[:1] * len(cuts)]
    for value in others:
        if value != cuts or any(type(c) is not int for c in value):
            assert not bound_to(with_value(document, ("information", "cuts"), value), network, tmp_path).ok

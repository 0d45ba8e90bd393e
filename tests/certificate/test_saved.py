"""Certificates that come back from their files, and files that are none."""

from __future__ import annotations

import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert import Certificate
from sdpcert.certify.binding import check_with_network
from sdpcert.network.activations import BY_NAME, relu
from sdpcert.network.affine import Conv2d, Dense
from sdpcert.network.graph import Graph, Network

ATTRIBUTES = (
    *("upper", "lower", "sdp_lower", "gap", "status", "method", "solver", "solver_status", "seconds", "iterations"),
    *("solve_seconds", "proof_seconds", "notes", "level", "tau", "sha256", "information"),
)


def dense() -> Network:
    rng = np.random.default_rng(0)
    return Network.mlp([rng.standard_normal((6, 4)), rng.standard_normal((6, 6)), rng.standard_normal((3, 6))])


def image() -> Network:
    rng, graph = np.random.default_rng(1), Graph((1, 4, 4))
    value = graph.add(relu(), graph.add(Conv2d(rng.standard_normal((2, 1, 3, 3)) / 3, padding=(1, 1, 1, 1)), 0))
    value = graph.rearrange(value, lambda a: a.reshape(-1))
    value = graph.add(relu(), graph.add(Dense(rng.standard_normal((3, 32)) / 6), value))
    return graph.network(graph.add(Dense(rng.standard_normal((2, 3))), value))


@pytest.fixture(scope="module")
def made() -> dict[str, tuple[Network, Certificate]]:
    return {
        "dense": (dense(), sdpcert.certify(dense())),
        "rows": (dense(), sdpcert.certify(dense(), output_rows=1)),
        "frequency": (image(), sdpcert.certify(image(), form="frequency")),
    }


@pytest.mark.parametrize("name", ["dense", "rows", "frequency"])
def test_a_certificate_comes_back(name: str, made: dict[str, tuple[Network, Certificate]], tmp_path: Path) -> None:
    network, certificate = made[name]
    first, second = tmp_path / "first.json", tmp_path / "second.json"
    certificate.save(first)
    loaded = Certificate.load(first)
    for attribute in ATTRIBUTES:
        assert getattr(loaded, attribute) == getattr(certificate, attribute), attribute
    other: dict[str, object] = {"neurons": 0, "advice": []}  # advice is not in the file
    assert loaded.summary() | other == certificate.summary() | other
    assert loaded.summary()["neurons"] == certificate.summary()["neurons"]
    np.testing.assert_array_equal(loaded.attained.x, certificate.attained.x)
    np.testing.assert_array_equal(loaded.attained.x_prime, certificate.attained.x_prime)
    assert loaded.attained.lower == certificate.attained.lower
    loaded.save(second)
    assert second.read_bytes() == first.read_bytes()
    assert sdpcert.check(loaded).ok and check_with_network(loaded, network).ok
    again = pickle.loads(pickle.dumps(loaded))
    assert again.document() == loaded.document() and again.upper == loaded.upper


def test_what_is_returned_is_a_copy(made: dict[str, tuple[Network, Certificate]], tmp_path: Path) -> None:
    made["dense"][1].save(tmp_path / "c.json")
    loaded = Certificate.load(tmp_path / "c.json")
    loaded.document()["upper"] = "0x0.0p+0"
    assert sdpcert.check(loaded).upper == loaded.upper


def test_files_that_are_none_are_refused(made: dict[str, tuple[Network, Certificate]], tmp_path: Path) -> None:
    path = tmp_path / "c.json"
    document = made["dense"][1].document()
    lower = {**document, "upper": (made["dense"][1].upper * (1 - 1e-9)).hex()}
    contents: list[tuple[bytes, str]] = [
        (b"", "is no certificate: empty"),
        (b"{", "is no certificate: not JSON"),
        (b"\xff\xfe", "is no certificate: not UTF-8"),
        (b"[1]", "its format is not"),
        (b'{"format": "sdpcert-evaluation-1"}', "its format is not"),
        (b'{"format": "sdpcert-certificate"}', "does not hold"),
        (b"[" * 100_000, "nested too deeply"),
        (json.dumps(lower).encode(), "does not hold: upper is less than"),
    ]
    for data, says in contents:
        path.write_bytes(data)
        with pytest.raises(ValueError, match=says) as error:
            Certificate.load(path)
        assert "\n" not in str(error.value) and "c.json" in str(error.value)
    os.mkfifo(tmp_path / "pipe")
    for name, says in (("missing.json", "No such file"), (".", "not a regular file"), ("pipe", "not a regular file")):
        with pytest.raises(ValueError, match=says):
            Certificate.load(tmp_path / name)
    np.savez(tmp_path / "net.npz", weight_0=np.eye(2))
    with pytest.raises(ValueError, match=r"is no certificate.*a network is read by sdpcert\.load"):
        Certificate.load(tmp_path / "net.npz")
    with pytest.raises(ValueError, match=r"read by sdpcert\.Certificate\.load"):
        sdpcert.load(path)


def test_statements_of_a_forged_file_have_their_types(
    made: dict[str, tuple[Network, Certificate]], tmp_path: Path
) -> None:
    """Nothing of what a run states can make an attribute of another type, or a negative gap."""
    document, path = made["dense"][1].document(), tmp_path / "c.json"
    odd: list[Any] = [None, True, "x", [], {}, [1], {"a": 1}, -1, 1e308, 10**400, "nan", [None]]
    usual = Certificate.load(_written(document, path))
    for key in document["information"]:
        for value in odd:
            loaded = Certificate.load(
                _written({**document, "information": {**document["information"], key: value}}, path)
            )
            assert loaded.sdp_lower is not None
            assert loaded.upper == usual.upper and 0 <= loaded.lower <= loaded.sdp_lower <= loaded.upper
            for attribute in ATTRIBUTES:
                assert type(getattr(loaded, attribute)) is type(getattr(usual, attribute)), (key, attribute)
            json.dumps(loaded.summary(), allow_nan=False)
    without = {**document, "information": {}, "attained": None}
    loaded = Certificate.load(_written(without, path))
    assert (loaded.method, loaded.seconds, loaded.lower, loaded.attained.x.size) == ("", 0.0, 0.0, 0)
    assert loaded.upper == usual.upper and loaded.status == "proved"


def _written(document: Any, path: Path) -> Path:
    path.write_text(json.dumps(document))
    return path


def test_networks_certificates_and_interrupts_go_to_other_processes(
    made: dict[str, tuple[Network, Certificate]],
) -> None:
    """Nothing in them is bound to this process: no locks, no functions without a name."""
    for network, certificate in made.values():
        again = pickle.loads(pickle.dumps(certificate))
        assert again.document() == certificate.document()
        moved = pickle.loads(pickle.dumps(network))
        x = np.random.default_rng(0).standard_normal((2, *network.input_shape))
        np.testing.assert_array_equal(moved(x), network(x))
        stopped = pickle.loads(pickle.dumps(sdpcert.Interrupted("stopped", certificate)))
        assert str(stopped) == "stopped" and stopped.certificate.upper == certificate.upper
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((4, 3)), rng.standard_normal((2, 4))]
    for name in (*BY_NAME, "maxmin"):
        network = Network.mlp(weights, activation=name)
        moved = pickle.loads(pickle.dumps(network))
        assert moved.stacked.sha256 == network.stacked.sha256
        np.testing.assert_array_equal(moved(np.ones(3)), network(np.ones(3)))


def test_further_keys_of_a_first_version_mean_nothing(tmp_path: Path) -> None:
    kept = Path(__file__).parents[1] / "check" / "certificates" / "dense-relu.json"
    document = json.loads(kept.read_text())
    assert document["version"] == 1
    path = tmp_path / "further.json"
    path.write_text(json.dumps(document | {"tree": 5, "region": {"kind": "ball"}}))
    assert not sdpcert.Certificate.load(path).region.bounded

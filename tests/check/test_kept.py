"""Certificates that earlier versions wrote still check, and still bind to their networks."""

from __future__ import annotations

import base64
import json
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import sdpcert
from sdpcert.certify.binding import check_with_network
from sdpcert.check import check_document, read_content
from tests.check.kept_networks import KEPT
from tests.check.version3 import FOLDER, as_version_3, kept

FLOATING = {"many-channels"}
TREES = {"orthogonal-maxmin": 7, "by-construction": 5, "convolutional-head": 2, "convolutional-head-composed": 2}


def test_every_kept_file_has_a_network_and_they_are_small() -> None:
    files = sorted(FOLDER.iterdir())
    assert {file.stem for file in files} == set(KEPT)
    assert sum(file.stat().st_size for file in files) < 150_000
    assert {kept(name)["version"] for name in KEPT} == {1, 2}


@pytest.mark.parametrize("name", KEPT)
def test_kept_certificates_check(name: str) -> None:
    document = kept(name)
    result = sdpcert.check(FOLDER / f"{name}.json")
    assert result.ok, result.reason
    assert result.upper == float.fromhex(document["upper"])
    assert result.lower == float.fromhex(document["attained"]["lower"])
    assert result.level == ("floating-point" if name in FLOATING else "exact")
    assert ("floating-point" in result.reason) == (name in FLOATING)


@pytest.mark.parametrize("name", KEPT)
def test_kept_certificates_bind_in_every_version(name: str, tmp_path: Path) -> None:
    if name == "by-construction":
        pytest.importorskip("torch")
    make, _, _ = KEPT[name]
    network, other = make(), KEPT["wide-input" if name != "wide-input" else "dense-relu"][0]()
    files = [FOLDER / f"{name}.json"]
    for nested in (False, True):
        files.append(tmp_path / f"{nested}.json")
        files[-1].write_text(json.dumps(as_version_3(kept(name), nested)), encoding="utf-8")
    for file in files:
        result = check_with_network(file, network)
        assert result.ok, result.reason
        assert not check_with_network(file, other).ok


@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("name", KEPT)
def test_version_3_proves_the_same(name: str, nested: bool) -> None:
    old, new = check_document(kept(name)), check_document(as_version_3(kept(name), nested))
    assert new.ok and old.ok, new.reason
    assert old.upper is not None and new.upper is not None
    assert old.upper <= new.upper <= old.upper * (1 + (1e-15 if nested else 0))
    assert (new.lower, new.level) == (old.lower, old.level)
    document: dict[str, Any] = as_version_3(kept(name), nested)
    leaves = list(read_content(document).tree.leaves())
    assert len(leaves) == TREES.get(name, 1)
    if len(leaves) > 1 or kept(name)["version"] == 1:
        assert new.sha256 == old.sha256
    else:  # one condition has its network's own hash
        assert new.sha256 == document["tree"]["network"]["sha256"]


@pytest.mark.parametrize("name", ["convolutional-head", "orthogonal-maxmin"])
def test_joints_are_compared_with_the_network(name: str, tmp_path: Path) -> None:
    """No hash covers how a part reads the one before it: another way may be proved, but is another network."""
    network = KEPT[name][0]()
    for key, kind, change in (("scale", "<f8", lambda x: 2 * x), ("layout", "<i8", lambda x: x[::-1])):
        document = as_version_3(kept(name))
        joint = document["tree"]["joints"][0]
        values = np.frombuffer(zlib.decompress(base64.b64decode(joint[key])), dtype=kind)
        joint[key] = base64.b64encode(zlib.compress(np.ascontiguousarray(change(values)).tobytes())).decode()
        (tmp_path / "c.json").write_text(json.dumps(document), encoding="utf-8")
        if name == "orthogonal-maxmin" or key == "scale":
            assert sdpcert.check(tmp_path / "c.json").ok
        assert not check_with_network(tmp_path / "c.json", network).ok

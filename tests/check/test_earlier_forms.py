"""Certificates made by earlier rules bind to their networks."""

from __future__ import annotations

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert.apart import _packed, _unpacked
from sdpcert.certificate.document import encode, sealed
from sdpcert.check.binding import check_with_network
from sdpcert.network.earlier import earlier_rules
from sdpcert.network.stacked import StackedForm, stack


def built(network: sdpcert.Network, earlier: bool) -> StackedForm:
    with earlier_rules() if earlier else nullcontext():
        return stack(network)


def merged(seed: int = 1) -> sdpcert.Network:
    """A network whose layers are multiplied together."""
    rng = np.random.default_rng(seed)
    return sdpcert.Network.mlp([rng.standard_normal((4, k)) for k in (3, 4, 4)], activation="maxmin")


@pytest.mark.parametrize("earlier", [False, True])
def test_files_of_either_rule_of_rounding_bind_to_their_network_alone(tmp_path: Path, earlier: bool) -> None:
    """Before weights had low parts, products of layers were rounded to float64: such files stay valid and bound."""
    form = built(merged(), earlier)
    assert any(b.low is not None for b in form.blocks.values()) != earlier
    assert any(b.radius > 0 for b in form.blocks.values())
    certificate = sdpcert.certify(form)
    path = tmp_path / "c.json"
    certificate.save(path)
    result = check_with_network(path, merged())
    assert result.ok and result.upper == certificate.upper
    assert "other weights" in check_with_network(path, merged(2)).reason


@pytest.mark.parametrize("earlier", [False, True])
def test_points_that_do_not_attain_the_lower_bound_are_refused(tmp_path: Path, earlier: bool) -> None:
    certificate = sdpcert.certify(built(merged(), earlier))
    document = certificate.document()
    document["attained"]["x"] = encode(certificate.attained.x_prime + np.array([1.0, 0.0, 0.0]))
    path = tmp_path / "c.json"
    path.write_text(json.dumps(sealed(document)), encoding="utf-8")
    assert "do not attain" in check_with_network(path, merged()).reason


def test_what_another_process_is_given_is_the_same_network() -> None:
    rng = np.random.default_rng(3)
    network = sdpcert.Network.mlp([rng.standard_normal((4, k)) for k in (3, 4)])
    form = network.stacked
    block = merged().stacked.blocks[2, 0]
    assert block.low is not None
    form = replace(form, blocks={(1, 0): block, (2, 1): replace(block, weights=rng.standard_normal((4, 4)), low=None)})
    assert _unpacked(_packed(form)).sha256 == form.sha256

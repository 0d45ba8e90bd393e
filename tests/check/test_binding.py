"""A certificate of some outputs, beside the network's file."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import sdpcert
from sdpcert.check.binding import check_with_network


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

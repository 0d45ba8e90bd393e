"""Certificates made by earlier rules bind to their networks."""

from __future__ import annotations

import json
import pickle
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert.certificate.document import encode, sealed
from sdpcert.certify.binding import check_with_network
from sdpcert.cli import main
from sdpcert.network import piecewise
from sdpcert.network.affine import Concat, Dense
from sdpcert.network.earlier import earlier_rules
from sdpcert.network.graph import Graph
from sdpcert.network.stacked import StackedForm
from sdpcert.network.stacking import stack
from sdpcert.running.choices import Method


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
    assert pickle.loads(pickle.dumps(form)).sha256 == form.sha256


@pytest.mark.parametrize("method", ["neuron", "product"])
def test_certificates_of_neurons_that_were_not_shared_bind(tmp_path: Path, method: Method) -> None:
    rng, graph = np.random.default_rng(5), Graph((4,))
    a, b = (graph.add(Dense(rng.standard_normal((3, 4))), 0) for _ in range(2))
    joined = graph.add(Concat(0), piecewise.maximum(graph, a, b), piecewise.minimum(graph, a, b))
    network = graph.network(graph.add(Dense(rng.standard_normal((2, 6))), joined))
    with earlier_rules():
        form = stack(network)
    assert form.reduced().neurons == 6 and network.stacked.reduced().neurons == 3
    earlier = sdpcert.certify(form, method)
    earlier.save(tmp_path / "c.json")
    assert check_with_network(tmp_path / "c.json", network).ok
    assert sdpcert.certify(network, method).upper <= earlier.upper * (1 + 1e-6)


def test_the_command_reads_a_file_by_the_rules_of_its_certificate(tmp_path: Path) -> None:
    """Pooling windows repeated pixels: what a file becomes has changed, and old certificates of it still bind."""
    onnx = pytest.importorskip("onnx")
    node = onnx.helper.make_node("MaxPool", ["x"], ["y"], kernel_shape=[3, 3], strides=[3, 3], pads=[1, 1, 1, 1])
    kind = onnx.TensorProto.FLOAT
    graph = onnx.helper.make_graph(
        [node],
        "g",
        [onnx.helper.make_tensor_value_info("x", kind, [1, 1, 4, 4])],
        [onnx.helper.make_tensor_value_info("y", kind, [1, 1, 2, 2])],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 13)])
    model.ir_version = 8
    onnx.save(model, tmp_path / "m.onnx")
    with earlier_rules():
        certificate = sdpcert.certify(sdpcert.load(tmp_path / "m.onnx"))
    certificate.save(tmp_path / "c.json")
    with pytest.raises(SystemExit) as ended:
        main(["check", str(tmp_path / "c.json"), "--network", str(tmp_path / "m.onnx")])
    assert ended.value.code == 0
    assert sdpcert.certify(sdpcert.load(tmp_path / "m.onnx")).upper < certificate.upper

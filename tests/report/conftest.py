"""Certificates of small networks and a run, made once."""

from __future__ import annotations

import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import sdpcert
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense, Rearrange
from sdpcert.network.graph import Graph
from tests.evaluation.test_evaluation import folder_with_evaluation
from tests.evaluation.test_evaluation import network as network_of_run


def mlp() -> sdpcert.Network:
    """A network with three layers and a name that every format has to escape."""
    rng = np.random.default_rng(0)
    sizes = (6, 10, 8, 3)
    weights = [rng.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
    network = sdpcert.Network.mlp(weights, [0.1 * rng.standard_normal(len(w)) for w in weights])
    return sdpcert.Network(network.input_shape, network.nodes, network.output, "nets/a_b&c%100#{x}|y$.onnx")


def convolutional() -> sdpcert.Network:
    """A circular convolution with a dense head."""
    rng = np.random.default_rng(1)
    graph = Graph((1, 4, 4))
    kernel = rng.standard_normal((2, 1, 3, 3)) / 3
    value = graph.add(relu(), graph.add(Conv2d(kernel, padding=(1, 1, 1, 1), circular=True), 0))
    value = graph.add(Dense(rng.standard_normal((3, 32)) / 6), graph.add(Rearrange(np.arange(32)), value))
    return graph.network(value, "conv.onnx")


@pytest.fixture(scope="session")
def proved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with certificates: one network by three methods, and a convolutional one over frequencies."""
    folder = tmp_path_factory.mktemp("proved")
    network = mlp()
    for method in ("neuron", "layer", "product"):
        sdpcert.certify(network, method).save(folder / f"{method}.cert.json")
    sdpcert.certify(convolutional(), form="frequency").save(folder / "conv.cert.json")
    return folder


@pytest.fixture(scope="session")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run with an evaluation that verifies."""
    made, folder = tmp_path_factory.mktemp("certificates"), tmp_path_factory.mktemp("run") / "small run"
    folder.mkdir()
    network = network_of_run(4)
    weights = [n.layer.weight for n in network.nodes if isinstance(n.layer, Dense)]
    sdpcert.certify(network, "neuron").save(made / "sdp.json")
    pair = sdpcert.Network.mlp([weights[0], np.array([[1.0, 0.0, -1.0]]) @ weights[1]])
    sdpcert.certify(pair, "neuron").save(made / "pair-0-2.json")
    folder_with_evaluation(folder, made)
    shutil.rmtree(made)
    return folder

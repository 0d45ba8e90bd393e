"""Trained networks from public repositories: read, compared with ONNX Runtime, and as accurate as published."""

import sys

import numpy as np
import pytest
from onnx_models import refused, run

from sdpcert.readers import UnsupportedModel, load

FILES = {
    "onnx/acasxu_1_1.onnx": ((1, 1, 5), (5,), 300),
    "onnx/arch_acc_5_20.onnx": ((1, 1, 5), (1,), 100),
    "onnx/arch_docking.onnx": ((4,), (2,), 514),
    "onnx/cifar10_resnet_2b.onnx": ((3, 32, 32), (10,), 6244),
    "onnx/eran_sigmoid_6x200.onnx": ((1, 28, 28), (10,), 1200),
    "onnx/mnist_fc_256x2.onnx": ((784, 1), (10,), 512),
    "onnx/oval21_cifar_base_kw.onnx": ((3, 32, 32), (10,), 3172),
    "onnx/tll_n2_N24_2_0.onnx": ((2,), (1,), 2400),
    "onnx/verivital_convnet_avgpool.onnx": ((1, 28, 28), (10,), 23328),
    "glipsdp_scalability/cnn_C3_CH8.onnx": ((1, 28, 28), (10,), 18816),
    "glipsdp_scalability/mlp_L9_W16.onnx": ((1, 28, 28), (10,), 144),
}


@pytest.mark.parametrize("name", FILES)
def test_file(name, shared_networks):
    path = shared_networks / name
    network = load(path)
    assert (network.input_shape, network.output_shape, network.neurons) == FILES[name]
    assert float(network.details["verified"].split("deviation ")[1].split()[0]) < 1e-4
    if "arch_acc" in name:  # of an operator set that ONNX Runtime no longer runs
        assert "onnx.reference" in network.details["verified"]
        return
    generator = np.random.default_rng(11)
    for scale in (0.1, 1.0, 20.0):
        x = (generator.standard_normal((1, *network.input_shape)) * scale).astype(np.float32)
        expected = run(path, x).ravel()
        got = network(x[0].astype(float)).ravel()
        np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * np.abs(expected).max())


def test_transformer_is_refused(shared_networks):
    refused(shared_networks / "onnx/vit_pgd_2_3_16.onnx", "operator Softmax", "node '/1/1.0/", kind=UnsupportedModel)


def test_folded_spectral_normalisation_matches_the_stored_weights(shared_networks):
    """The same network is there as .mat; the file's factor 2 stands in Mul nodes."""
    from scipy.io import loadmat

    from sdpcert.network.affine import Dense

    stored = loadmat(shared_networks / "glipsdp_scalability/mlp_L9_W16.mat", simplify_cells=True)["params"]
    network = load(shared_networks / "glipsdp_scalability/mlp_L9_W16.onnx")
    layers = [n.layer for n in network.nodes if isinstance(n.layer, Dense)]
    for k, layer in enumerate(layers):
        np.testing.assert_allclose(layer.weight, stored[f"linear_{k}_weight"], rtol=1e-5, atol=1e-6)
    assert sum(layer.coefficient_error > 0 for layer in layers) == 1


def images(data, name, count):
    if name == "mnist":
        with np.load(data / "mnist.npz") as pack:
            keys = {k: pack[k].shape for k in pack.files}
            x = next(k for k, s in keys.items() if s == (10000, 28, 28))
            y = next(k for k, s in keys.items() if s == (10000,))
            return pack[x][:count, None] / 255.0, pack[y][:count]
    pytest.importorskip("PIL")
    sys.path.insert(0, str(data))
    try:
        from read_packs import load as load_pack  # type: ignore[import-not-found]
    finally:
        sys.path.remove(str(data))
    _, _, x, y = load_pack(name)
    return x[:count].transpose(0, 3, 1, 2) / 255.0, y[:count]


def column(values):
    return np.array(values)[:, None, None]


@pytest.mark.parametrize(
    ("name", "pack", "mean", "scale", "published"),
    [
        ("mnist_fc_256x2", "mnist", 0.0, 1.0, 0.974),
        ("eran_sigmoid_6x200", "mnist", 0.0, 1.0, 0.970),
        ("verivital_convnet_avgpool", "mnist", 0.0, 1.0, 0.9695),
        ("oval21_cifar_base_kw", "cifar10", [0.485, 0.456, 0.406], 0.225, 0.611),
        ("cifar10_resnet_2b", "cifar10", [0.4914, 0.4822, 0.4465], [0.2470, 0.2435, 0.2616], 0.702),
    ],
)
def test_accuracy(name, pack, mean, scale, published, shared_networks, shared_data):
    """Wrong flattening or normalisation would show as lost accuracy; 200 images leave a few per cent of chance."""
    x, y = images(shared_data, pack, 200)
    mean, scale = (column(v) if isinstance(v, list) else v for v in (mean, scale))
    network = load(shared_networks / f"onnx/{name}.onnx")
    outputs = network(((x - mean) / scale).reshape(len(x), *network.input_shape))
    accuracy = np.mean(outputs.argmax(axis=1) == y)
    assert abs(accuracy - published) < 0.04 + 2 * np.sqrt(published * (1 - published) / 200)

"""Networks of every preset and architecture, and what certifying them by construction says."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

import sdpcert
from sdpcert.training import build_model, load_config, preset_names
from sdpcert.training.models import backbone_constant
from sdpcert.training.modules import KeepChannels, Normalisation

SHAPES = {"digits": (1, 8, 8), "mnist": (1, 28, 28), "cifar10": (3, 32, 32)}
#: Parameters in millions; published for SLL S 41, for the KW-Large of 100 classes 3 and for that DNN 26.
MILLIONS = {"sll-small": 43.2, "sll-xlarge": 281.5, "cpl-xlarge": 281.4, "sandwich-kw-large": 3.2, "sandwich-dnn": 26.0}


def parameters(module: torch.nn.Module) -> float:
    return sum(p.numel() for p in module.parameters()) / 1e6


#: Presets whose shapes take long to follow, and which differ from others in the number of layers only.
LONG = [f"lipconvnet-{k}" for k in range(15, 40, 5)]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name in LONG)) for name in preset_names()]
)
def test_every_preset_has_a_network(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Built and applied without memory, so that the large ones are quick: tensors have shapes only."""
    monkeypatch.setattr("sdpcert.layers.rules.power_step", lambda operator, direction, *more: direction)
    config = load_config({"preset": name})
    with FakeTensorMode():
        module = build_model(config.model, SHAPES[config.data.name], 10)
        logits = module.train()(torch.empty(2, *SHAPES[config.data.name]))
    assert logits.shape == (2, 10)
    if name in MILLIONS:
        assert parameters(module) == pytest.approx(MILLIONS[name], rel=0.02)


MODELS: dict[str, dict[str, Any]] = {
    "dense-sll": {"architecture": "dense", "family": "sll", "hidden": [9, 5], "features": 7},
    "dense-aol": {"architecture": "dense", "family": "aol", "hidden": [8, 6], "activation": "householder"},
    "dense-cayley": {"architecture": "dense", "family": "cayley", "hidden": [8], "activation": "abs"},
    "dense-bjorck": {"architecture": "dense", "family": "bjorck", "hidden": [8], "activation": "relu"},
    "dense-bro": {"architecture": "dense", "family": "bro", "hidden": [8, 6]},
    "dense-cholesky": {"architecture": "dense", "family": "cholesky", "hidden": [8, 6]},
    "convolutional-aoc": {
        "architecture": "convolutional",
        "family": "aoc",
        "channels": [4, 6],
        "outputs": [4, 6],
        "halving": "stride",
        "dense": [8],
    },
    "convolutional-bro": {
        "architecture": "convolutional",
        "family": "bro",
        "channels": [4],
        "halving": "selection",
        "layers": 1,
        "outputs": [4],
    },
    "convolutional-linear-residual": {
        "architecture": "convolutional",
        "family": "linear-residual",
        "channels": [4],
        "outputs": [6],
        "dense": [8],
    },
    "dense-spectral": {"architecture": "dense", "family": "spectral", "hidden": [8]},
    "dense-sandwich": {"architecture": "dense", "family": "sandwich", "hidden": [8, 6], "head": "orthogonal"},
    "dense-network": {"architecture": "dense", "family": "sandwich-network", "hidden": [8, 6]},
    "residual": {
        "architecture": "residual",
        "family": "sll",
        "convolutions": 1,
        "channels": 4,
        "inner": 2,
        "pooling": 2,
        "dense": 1,
        "dense_hidden": 6,
    },
    "residual-cpl": {
        "architecture": "residual",
        "family": "cpl",
        "convolutions": 1,
        "channels": 3,
        "inner": 1,
        "pooling": 4,
        "dense": 0,
    },
    "residual-patches": {
        "architecture": "residual",
        "family": "sll",
        "patch": 2,
        "convolutions": 1,
        "channels": 9,
        "inner": 1,
        "pooling": 2,
        "dense": 0,
    },
    **{
        f"convolutional-{family}": {
            "architecture": "convolutional",
            "family": family,
            "channels": [4, 4],
            "outputs": [4, 6],
            "layers": 2 if family in ("aol", "sll") else 1,
            "dense": [6],
            "head": "orthogonal",
            "terms": 3,
        }
        for family in ("sll", "cpl", "aol", "spectral", "bjorck", "cayley", "bcop", "soc", "sandwich")
    },
    "convolutional-selection": {
        "architecture": "convolutional",
        "family": "aol",
        "channels": [4, 8],
        "outputs": [8, 4],
        "halving": "selection",
        "layers": 1,
    },
}


def built(name: str, shape: tuple[int, int, int] = (2, 4, 4)) -> torch.nn.Sequential:
    torch.manual_seed(1)
    settings = load_config({"model": MODELS[name], "training": {"epochs": 1}}).model
    normalisation = Normalisation([0.3, 0.5][: shape[0]], [0.25, 0.5][: shape[0]])
    return build_model(settings, shape, 3, normalisation)


@pytest.mark.parametrize("name", MODELS)
def test_networks_train_and_are_certified_by_construction(name: str) -> None:
    module = built(name)
    loss = module.train()(torch.rand(4, 2, 4, 4)).square().sum()
    loss.backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in module.parameters())
    module.eval()
    network = sdpcert.from_torch(module, (2, 4, 4))
    certificate = sdpcert.certify(network, method="by-construction")
    assert certificate.status == "proved"
    claimed = backbone_constant(module) * float(getattr(getattr(module, "head", None), "constant", 1.0))
    assert certificate.lower <= certificate.upper <= claimed * (1 + 1e-4)
    assert backbone_constant(module) == pytest.approx(4.0)  # the smallest deviation is 1/4


def test_seeds_make_networks() -> None:
    first, second = built("residual"), built("residual")
    for a, b in zip(first.parameters(), second.parameters()):
        assert torch.equal(a, b)


def test_normalisation() -> None:
    layer = Normalisation([0.2, 0.4], [0.5, 0.25])
    images = torch.rand(3, 2, 5, 5)
    wanted = (images - torch.tensor([0.2, 0.4])[:, None, None]) / torch.tensor([0.5, 0.25])[:, None, None]
    torch.testing.assert_close(layer(images), wanted)
    torch.testing.assert_close(layer.export()(images), wanted)
    assert layer.constant == 4.0 and layer.squared_constant() >= 16
    assert Normalisation([0.2]).squared_constant() == Normalisation([0.2]).constant == 1.0
    network = sdpcert.from_torch(torch.nn.Sequential(layer), (2, 5, 5))
    np.testing.assert_allclose(network(images.numpy()), wanted.numpy(), rtol=1e-5, atol=1e-6)
    for mean, std in (([0.1], [0.0]), ([0.1], [1.0, 1.0]), ([float("nan")], None), ([0.1], [float("inf")])):
        with pytest.raises(ValueError, match="normalisation needs"):
            Normalisation(mean, std)


def test_keep_channels() -> None:
    layer = KeepChannels(2)
    images = torch.rand(2, 3, 4, 4)
    assert torch.equal(layer(images), images[:, :2])
    network = sdpcert.from_torch(torch.nn.Sequential(layer), (3, 4, 4))
    np.testing.assert_array_equal(network(images.numpy().astype(float)), images[:, :2].numpy())
    with pytest.raises(ValueError, match="cannot keep 2 of 1"):
        layer(images[:, :1])
    with pytest.raises(ValueError, match="must be positive"):
        KeepChannels(0)


@pytest.mark.parametrize(
    ("model", "text"),
    [
        ({"architecture": "residual", "channels": 1}, "at least the 2 channels"),
        ({"architecture": "residual", "pooling": 3}, "pooling of 3 does not divide images of 4 x 4"),
        ({"architecture": "residual", "patch": 3}, "patch of 3 does not divide images of 4 x 4"),
        ({"architecture": "residual", "patch": 2, "channels": 8, "pooling": 4}, "pooling of 4 .* 2 x 2"),
        ({"architecture": "residual", "patch": 2, "channels": 4, "pooling": 2}, "at least the 8 channels"),
        ({"architecture": "convolutional", "channels": [4] * 4, "outputs": [4] * 4}, "cannot be halved"),
        ({"architecture": "convolutional", "channels": [5], "outputs": [5]}, "even number of channels"),
        ({"architecture": "convolutional", "kernel": 2}, "odd"),
        ({"architecture": "convolutional", "family": "aoc", "kernel": 2}, "kernel must be odd"),
        ({"architecture": "dense", "hidden": [2], "family": "aol", "head": "orthogonal"}, "NormalizedHead"),
    ],
)
def test_models_that_do_not_fit(model: dict[str, Any], text: str) -> None:
    settings = load_config({"model": model, "training": {"epochs": 1}}).model
    with pytest.raises(ValueError, match=text):
        build_model(settings, (2, 4, 4), 3)

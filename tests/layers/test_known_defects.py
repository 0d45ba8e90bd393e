"""The measured defects of other implementations, each with the case that would show it here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.certify.binding import check_with_network  # noqa: E402
from sdpcert.layers import (  # noqa: E402
    Abs,
    AOLLinear,
    CPLConv2d,
    CPLLinear,
    Elementwise,
    Householder,
    Householder2,
    MaxMin,
    PartialAbs,
    SLLLinear,
    SpectralConv2d,
    check,
    lipschitz,
)
from sdpcert.network.activations import BY_NAME  # noqa: E402
from sdpcert.network.construction import ConstructedNetwork  # noqa: E402
from sdpcert.readers import UnsupportedModel  # noqa: E402
from sdpcert.torch_modules.geometry import Geometry, Operator  # noqa: E402
from sdpcert.torch_modules.norms import norm_upper_bound  # noqa: E402


def test_flat_spectra_are_bounded_from_above() -> None:
    # Power iteration hardly converges where singular values are nearly equal.
    torch.manual_seed(0)
    for gap in (0.0, 0.01):
        values = torch.ones(24, dtype=torch.float64)
        values[0] += gap
        left, right = (torch.linalg.qr(torch.randn(24, 24, dtype=torch.float64))[0] for _ in range(2))
        layer = CPLLinear(24, 24).double()
        layer.weight.data = left @ torch.diag(values) @ right
        for mode in (True, False):
            assert check(layer.train(mode)).ok


@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("image", [2, 3, 8, 13])
def test_norms_of_kernels_bound_every_image_and_padding(size: int, image: int) -> None:
    torch.manual_seed(size)
    kernel = torch.randn(3, 2, size, size, dtype=torch.float64)
    bound = float(norm_upper_bound(Operator(kernel, Geometry.same(size))))
    inputs = torch.eye(2 * image * image, dtype=torch.float64).reshape(-1, 2, image, image)
    for circular in (False, True):
        if circular and size // 2 > image:
            continue
        outputs = Operator(kernel, Geometry.same(size, circular))(inputs).reshape(len(inputs), -1)
        norm = float(torch.linalg.matrix_norm(outputs, 2))
        assert norm <= bound
    if image == 13:
        assert bound <= 1.2 * norm


def test_a_fresh_layer_that_never_trained_is_certified() -> None:
    assert check(CPLConv2d(3, 4).eval()).ok


def test_one_hundred_layers_stay_below_one(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers: list[Any] = [m for _ in range(50) for m in (AOLLinear(6, 6), MaxMin())]
    network = sdpcert.from_torch(nn.Sequential(*layers), (6,))
    certificate = sdpcert.certify(network, method="by-construction")
    assert certificate.status == "proved" and certificate.upper <= 1
    # Proved in parts: the file checks, it is bound to this network, and to no other.
    assert len(certificate.parts) > 1
    certificate.save(tmp_path / "deep.json")
    assert sdpcert.check(tmp_path / "deep.json").upper == certificate.upper
    assert check_with_network(tmp_path / "deep.json", network).ok
    with torch.no_grad():
        layers[4].weight[0, 0] += 1e-3
    other = sdpcert.from_torch(nn.Sequential(*layers), (6,))
    assert not check_with_network(tmp_path / "deep.json", other).ok
    document = json.loads((tmp_path / "deep.json").read_text())
    document["information"]["cuts"][0] -= 1
    (tmp_path / "deep.json").write_text(json.dumps(document))
    assert not check_with_network(tmp_path / "deep.json", network).ok


@pytest.mark.parametrize("mode", ["reflect", "replicate"])
def test_paddings_that_read_twice_are_counted(mode: Any) -> None:
    """No layer claims a constant with them, and what reads them counts the pixels that are read twice."""
    model = nn.Conv2d(1, 1, 3, padding=1, padding_mode=mode, bias=False)
    with pytest.raises(ValueError, match=f"{mode}.*is not 1-Lipschitz"):
        lipschitz(model)
    with torch.no_grad():
        model.weight.zero_()[0, 0, 1, 0] = 1.0  # a shift, of norm one on the torus
    jacobian = torch.autograd.functional.jacobian(lambda x: model(x[None]).ravel(), torch.zeros(1, 6, 6))
    norm = float(torch.linalg.matrix_norm(jacobian.flatten(1).double(), 2))  # type: ignore[union-attr]
    assert norm > 1.4
    network = sdpcert.from_torch(nn.Sequential(model), (1, 6, 6))
    assert norm * (1 - 1e-12) <= sdpcert.certify(network, method="product").upper <= norm * (1 + 1e-6)
    assert not isinstance(network, ConstructedNetwork)


def test_hooks_are_not_believed() -> None:
    torch.manual_seed(0)
    model: Any = nn.utils.parametrizations.spectral_norm(nn.Conv2d(4, 4, 3, padding=1))
    network = sdpcert.from_torch(nn.Sequential(model), (4, 5, 5))
    certificate = sdpcert.certify(network, method="product")
    assert certificate.lower > 1.2  # what torch calls spectrally normalised
    ours = SpectralConv2d(4, 4)
    ours.weight.data = model.weight.detach().clone()
    assert check(ours).ok


def test_scales_of_sll_over_sixteen_orders() -> None:
    torch.manual_seed(0)
    for factor in (1e-8, 1e-4, 1.0, 1e8):
        layer = SLLLinear(6, 9)
        with torch.no_grad():
            layer.rule.log_scale.copy_(torch.log(torch.rand(9) * factor))  # type: ignore[union-attr]
        assert check(layer).ok


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_householder_of_order_two_has_no_edge(dtype: Any) -> None:
    torch.manual_seed(0)
    layer = Householder2(2, dtype=dtype)
    with torch.no_grad():
        layer.first.fill_(0.3)
        layer.second.fill_(1.9)
    # All rays, and those at multiples of half the angles: a unit in the last place to either side.
    angles = torch.cat([torch.linspace(-10, 10, 20001, dtype=torch.float64), torch.arange(-8, 8) * torch.pi / 2])
    angles = torch.cat([angles, torch.tensor([0.15, 0.95, 0.15 + torch.pi, 0.95 + torch.pi, 1.75, -0.65])])
    points = torch.stack([torch.cos(angles), torch.sin(angles)], dim=1).to(dtype)
    step = torch.finfo(dtype).eps
    for moved in (points * (1 + 4 * step), points + 4 * step * torch.tensor([[-1.0, 1.0]], dtype=dtype)):
        with torch.no_grad():
            apart = (layer(points).double() - layer(moved).double()).norm(dim=1)
        assert (apart <= (points.double() - moved.double()).norm(dim=1) + 8 * step).all()
    assert torch.allclose(layer(points).norm(dim=1), points.norm(dim=1), atol=1e-5)


def test_householder_of_order_two_is_the_published_fan() -> None:
    """Four sectors of angles a, a, pi - a, pi - a, an isometry on each: the form of the published activation."""
    layer = Householder2(2).double()
    first, second = 0.4, 1.8
    with torch.no_grad():
        layer.first.fill_(2 * first)
        layer.second.fill_(2 * second)
        angles = torch.linspace(0, 2 * torch.pi, 100001, dtype=torch.float64)
        output = layer(torch.stack([torch.cos(angles), torch.sin(angles)], dim=1))
    turned = torch.atan2(output[:, 1], output[:, 0])
    slopes = torch.sign(torch.sin(turned[1:] - turned[:-1]))
    edges = angles[1:-1][slopes[1:] != slopes[:-1]]
    widths = torch.diff(torch.cat([edges, edges[:1] + 2 * torch.pi]))
    assert len(widths) == 4
    opposite = widths[:2] + widths[2:]
    assert torch.allclose(opposite, torch.full((2,), torch.pi, dtype=torch.float64), atol=1e-3)


@pytest.mark.parametrize(
    "activation",
    [
        MaxMin(),
        Abs(),
        Elementwise("relu"),
        Elementwise("tanh"),
        Elementwise("sigmoid"),
        Householder(4),
        Householder2(4),
        PartialAbs(),
        PartialAbs(0.25),
        PartialAbs(0.0),
        PartialAbs(1.0),
    ],
)
def test_activations_are_nonexpansive_and_certified(activation: Any) -> None:
    torch.manual_seed(0)
    for parameter in activation.parameters():
        parameter.data.uniform_(-7, 7)
    x, y = torch.randn(2000, 4), torch.randn(2000, 4)
    y = torch.where(torch.arange(2000)[:, None] % 2 == 0, y, x + 1e-3 * y)
    with torch.no_grad():
        assert ((activation(x) - activation(y)).norm(dim=1) <= (x - y).norm(dim=1) * (1 + 1e-5) + 1e-6).all()
    model = nn.Sequential(AOLLinear(4, 4), activation, AOLLinear(4, 4))
    certificate = sdpcert.certify(sdpcert.from_torch(model, (4,)), method="by-construction")
    assert certificate.status == "proved" and certificate.upper <= 1
    image = nn.Sequential(nn.Conv2d(4, 4, 1, bias=False), activation)
    with torch.no_grad():
        image[0].weight.copy_(0.99 * torch.eye(4)[:, :, None, None])  # type: ignore[operator]
    certificate = sdpcert.certify(sdpcert.from_torch(image, (4, 2, 2)), method="by-construction", form="unrolled")
    assert certificate.status == "proved" and certificate.upper <= 0.991


@pytest.mark.parametrize("name", sorted(BY_NAME))
def test_activations_are_a_layer_or_refused_for_their_own_reason(name: str) -> None:
    """Only steep ones are refused."""
    kind = BY_NAME[name]()
    if np.min(kind.alpha) < -1 or np.max(kind.beta) > 1:
        with pytest.raises(ValueError, match="not 1-Lipschitz"):
            Elementwise(name)
    else:
        layer, x = Elementwise(name), torch.linspace(-8, 8, 101, dtype=torch.float64)
        assert layer.extra_repr() == name
        np.testing.assert_allclose(layer(x).numpy(), kind(x.numpy()), atol=1e-14)


def test_steep_activations_are_refused() -> None:
    for name in ("gelu", "gelu_tanh", "silu", "mish", "hard_swish", "selu", "erf"):
        with pytest.raises(ValueError, match="not 1-Lipschitz"):
            Elementwise(name)


def test_certifying_needs_layers() -> None:
    network = sdpcert.Network.mlp([np.eye(2)])
    with pytest.raises(ValueError, match="from_torch"):
        sdpcert.certify(network, method="by-construction")
    with pytest.raises(UnsupportedModel, match="Softmax"):
        sdpcert.from_torch(nn.Sequential(nn.Softmax(dim=1)), (3,))

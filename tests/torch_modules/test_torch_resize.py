"""Transposed convolutions and interpolation of torch modules, against torch."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.network.affine import Rearrange  # noqa: E402
from sdpcert.network.graph import Network  # noqa: E402
from sdpcert.readers import UnsupportedModel  # noqa: E402


class Calls(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


def agrees(module: nn.Module, shape: tuple[int, ...]) -> Network:
    network = sdpcert.from_torch(module, shape)
    x = torch.randn(3, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = module.double()(x).numpy()
    np.testing.assert_allclose(network(x.numpy()), expected.reshape(3, *network.output_shape), rtol=1e-10, atol=1e-10)
    return network


@pytest.mark.parametrize(
    ("module", "shape"),
    [
        (nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2), (4, 5, 6)),
        (nn.ConvTranspose2d(4, 2, (3, 2), padding=(0, 3), dilation=(1, 2), bias=False), (4, 5, 9)),
        (nn.ConvTranspose1d(4, 6, 3, stride=3, dilation=2), (4, 5)),
        (nn.Sequential(nn.Conv2d(1, 3, 3, 2, 1), nn.ReLU(), nn.ConvTranspose2d(3, 1, 2, stride=2)), (1, 6, 6)),
        (Calls(lambda x: F.conv_transpose2d(x, torch.ones(2, 1, 2, 2, dtype=x.dtype), groups=2)), (2, 3, 3)),
    ],
)
def test_transposed_convolutions(module, shape):
    agrees(module, shape)


def test_block_of_public_code_over_frequencies():
    class Block(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.kernel = nn.Parameter(torch.randn(2, 1, 3, 3) / 10)

        def forward(self, x: Tensor) -> Tensor:
            return x - 2 * F.conv_transpose2d(torch.relu(F.conv2d(x, self.kernel, padding=1)), self.kernel, padding=1)

    torch.manual_seed(0)
    network = agrees(Block(), (1, 4, 4))
    assert not any(isinstance(node.layer, Rearrange) for node in network.nodes)
    assert sdpcert.certify(network, form="frequency").status == "proved"


SIZES: list[dict[str, Any]] = [
    {"scale_factor": 2},
    {"scale_factor": 1.7},
    {"scale_factor": (0.4, 2.3)},
    {"scale_factor": 1.7, "recompute_scale_factor": True},
    {"size": (7, 3)},
    {"size": (1, 12)},
]
MODES = [("nearest", None), ("nearest-exact", None), ("area", None)]
MODES += [(mode, corners) for mode in ("bilinear", "bicubic") for corners in (None, False, True)]


@pytest.mark.parametrize("how", SIZES)
@pytest.mark.parametrize(("mode", "corners"), MODES)
def test_interpolation(how, mode, corners):
    agrees(Calls(lambda x: F.interpolate(x, mode=mode, align_corners=corners, **how)), (2, 5, 6))


def test_modules_and_sequences():
    agrees(nn.Upsample(scale_factor=2), (2, 3, 4))
    agrees(nn.Upsample(scale_factor=3, mode="bilinear", align_corners=True), (2, 3, 4))
    agrees(nn.Upsample(scale_factor=2.5, mode="linear"), (2, 7))
    agrees(Calls(lambda x: F.interpolate(x, 9, mode="area")), (2, 6))


def test_doubling_by_nearest_neighbours_has_norm_two():
    upper = sdpcert.certify(sdpcert.from_torch(nn.Upsample(scale_factor=2), (1, 3, 3))).upper
    assert 2 <= upper <= 2 * (1 + 1e-6)


@pytest.mark.parametrize(
    ("module", "shape", "word"),
    [
        (Calls(lambda x: F.interpolate(x, scale_factor=0.5, mode="bilinear", antialias=True)), (1, 6, 6), "antialias"),
        (nn.Upsample(scale_factor=2, mode="trilinear"), (1, 3, 3, 3), "trilinear"),
        (nn.ConvTranspose3d(1, 1, 2), (1, 3, 3, 3), "two spatial axes"),
    ],
)
def test_refused(module, shape, word):
    with pytest.raises(UnsupportedModel, match=word):
        sdpcert.from_torch(module, shape)


def test_new_activations():
    for function in (torch.sin, torch.cos, lambda x: x * torch.sigmoid(1.702 * x)):
        network = agrees(nn.Sequential(nn.Linear(3, 4), Calls(function), nn.Linear(4, 2)), (3,))
        assert network.neurons == 4

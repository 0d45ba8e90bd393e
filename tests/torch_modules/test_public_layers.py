"""The layers of torchlip and orthogonium, where these packages are installed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

import sdpcert  # noqa: E402

IMAGE = (4, 8, 8)


def torchlip_layers(tl: Any) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    return {
        "GroupSort2": (nn.Sequential(tl.SpectralLinear(8, 8), tl.GroupSort2(), tl.SpectralLinear(8, 3)), (8,)),
        "GroupSort": (nn.Sequential(tl.SpectralLinear(8, 6), tl.GroupSort(3), tl.FrobeniusLinear(6, 3)), (8,)),
        "FullSort": (nn.Sequential(tl.SpectralConv2d(4, 4, 3, padding=1), tl.FullSort()), IMAGE),
        "HouseHolder": (nn.Sequential(tl.SpectralLinear(8, 8), tl.HouseHolder(8)), (8,)),
        "LPReLU": (nn.Sequential(tl.SpectralLinear(8, 8), tl.LPReLU()), (8,)),
        "pooling": (nn.Sequential(tl.FrobeniusConv2d(4, 4, 3), tl.ScaledAvgPool2d(2), tl.LayerCentering(4)), IMAGE),
        "moves": (nn.Sequential(tl.InvertibleDownSampling(2), tl.InvertibleUpSampling(2)), IMAGE),
        "batch": (nn.Sequential(tl.SpectralConv2d(4, 4, 3), tl.BatchCentering(4), tl.BatchLipNorm(4)), IMAGE),
    }


def orthogonium_layers(ol: Any) -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    return {
        "OrthoLinear": (nn.Sequential(ol.OrthoLinear(8, 8), ol.MaxMin(), ol.UnitNormLinear(8, 3)), (8,)),
        "AOC": (nn.Sequential(ol.AdaptiveOrthoConv2d(4, 8, 3), ol.HouseHolder(8), ol.LayerCentering2D(8)), IMAGE),
        "strides": (nn.Sequential(ol.AdaptiveOrthoConv2d(4, 8, 4, stride=2, padding=1), ol.Abs()), IMAGE),
        "transposed": (
            nn.Sequential(ol.AdaptiveOrthoConvTranspose2d(4, 8, 2, stride=2), ol.BatchCentering2D(8)),
            IMAGE,
        ),
    }


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("package", "layers"),
    [("deel.torchlip", torchlip_layers), ("orthogonium.layers", orthogonium_layers)],
    ids=["torchlip", "orthogonium"],
)
def test_public_layers_are_read(package: str, layers: Callable[[Any], dict[str, Any]]) -> None:
    library = pytest.importorskip(package)
    torch.manual_seed(0)
    for name, (module, shape) in layers(library).items():
        with torch.no_grad():
            for _ in range(2):
                module(torch.randn(4, *shape))
        assert sdpcert.from_torch(module, shape).input_shape == shape, name

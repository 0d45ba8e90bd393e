"""Pooling is nonexpansive everywhere, at the edges of sectors too, and certified where it is made of ReLUs."""

from __future__ import annotations

import copy
import math

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import sdpcert
from sdpcert.layers.pooling import (
    AveragePooling2d,
    MaxPooling2d,
    NormPooling,
    ProjectionPooling,
    SpaceToDepth,
    ZeroChannelPadding,
    half_angle,
)
from sdpcert.torch_modules.certified import Certified

WINDOWS = [AveragePooling2d(1), AveragePooling2d(2), AveragePooling2d(3), MaxPooling2d(1), MaxPooling2d(2)]
MOVES = [MaxPooling2d(3), SpaceToDepth(2), SpaceToDepth(3), ZeroChannelPadding(0), ZeroChannelPadding(5)]
DISTANCES = [ProjectionPooling(6), NormPooling(2), NormPooling(3), NormPooling(1)]
ANGLES = [0.0, 1e-9, 0.3, math.pi / 2, 2.5, math.pi - 1e-9, math.pi]


@pytest.fixture(autouse=True)
def _repeatable() -> None:
    torch.manual_seed(0)


def wedge(angle: float, channels: int = 2, dtype: torch.dtype = torch.float64) -> ProjectionPooling:
    layer = ProjectionPooling(channels, dtype=dtype)
    nn.init.constant_(layer.angle, angle)
    return layer


def published(x: np.ndarray, y: np.ndarray, angle: float) -> np.ndarray:
    """The formula by sectors (Singla, Feizi 2022)."""
    phi = np.mod(np.arctan2(y, x), 2 * np.pi)
    c, s = np.cos(angle / 2), np.sin(angle / 2)
    first, second = phi < (angle + np.pi) / 2, phi < (3 * np.pi - angle) / 2
    return np.where(first, -x * s + y * c, np.where(second, np.hypot(x, y), -x * s - y * c))


def brute_force(points: np.ndarray, angle: float) -> np.ndarray:
    """Signed distance to the wedge by searching its two edges, finely."""
    along = np.concatenate([[0.0], np.geomspace(1e-4, 20, 20001)])
    result = []
    for x, y in points:
        edges = [np.hypot(x - along * np.cos(a), y - along * np.sin(a)).min() for a in (angle / 2, -angle / 2)]
        inside = abs(math.atan2(y, x)) < angle / 2
        result.append(min(edges) * (-1 if inside else 1))
    return np.array(result)


@pytest.mark.parametrize("angle", ANGLES)
def test_projection_pooling_is_the_published_formula_and_the_distance(angle: float) -> None:
    points = torch.randn(2000, 2, dtype=torch.float64) * 2
    found = wedge(angle)(points).detach().numpy()[:, 0]
    np.testing.assert_allclose(found, published(points[:, 0].numpy(), points[:, 1].numpy(), angle), atol=1e-14)
    np.testing.assert_allclose(found[:30], brute_force(points[:30].numpy(), angle), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("angle", ANGLES)
def test_projection_pooling_does_not_jump_at_edges(angle: float, dtype: torch.dtype) -> None:
    """Points on every edge of a sector, and their neighbours by one unit of the last place in each coordinate."""
    layer = wedge(angle, dtype=dtype)
    edges = [0, angle / 2, -angle / 2, (angle + math.pi) / 2, -(angle + math.pi) / 2, math.pi, -math.pi, math.pi / 2]
    for edge in edges:
        radius = torch.logspace(-20, 15, 400, dtype=torch.float64)
        middle = torch.stack([radius * math.cos(edge), radius * math.sin(edge)], 1).to(dtype)
        up, down = torch.full_like(middle, math.inf), torch.full_like(middle, -math.inf)
        near = [torch.nextafter(middle, up), middle, torch.nextafter(middle, down)]
        points = torch.stack([torch.stack([a[:, 0], b[:, 1]], 1) for a in near for b in near])
        values = layer(points.reshape(-1, 2)).reshape(9, -1).double()
        x, y = middle.double().numpy().T
        apart = (points[:, None] - points[None]).double().norm(dim=-1)
        jump = (values[:, None] - values[None]).abs()
        rounding = 8 * torch.finfo(dtype).eps * radius
        assert torch.all(jump <= apart + rounding)
        assert torch.all((values - torch.from_numpy(published(x, y, angle))).abs() <= 2 * rounding)


@pytest.mark.parametrize("layer", WINDOWS + MOVES + DISTANCES, ids=repr)
def test_random_and_near_pairs_are_not_moved_apart(layer: Certified) -> None:
    layer = copy.deepcopy(layer).double()
    if isinstance(layer, ProjectionPooling):
        nn.init.uniform_(layer.angle, -10, 10)  # folded into [0, pi]
    first = torch.randn(3000, 6, 6, 6, dtype=torch.float64)
    for size in (1.0, 1e-3, 1e-9):
        step = torch.randn_like(first) * torch.rand(3000, 6, 1, 1).double() ** 4 * size
        second = first + step
        moved = (layer(first) - layer(second)).detach().flatten(1).norm(dim=1)
        assert torch.all(moved <= (first - second).flatten(1).norm(dim=1) * layer.constant + 1e-14)


def test_projection_pooling_keeps_its_bound_in_rounded_numbers() -> None:
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        c, s = (w.double() for w in half_angle(torch.linspace(-20, 20, 20001, dtype=torch.float64).to(dtype)))
        assert torch.all(c >= 0) and torch.all(s >= 0) and torch.all(c**2 + s**2 <= 1)


def test_gradients_are_right_and_finite() -> None:
    layer = ProjectionPooling(8, dtype=torch.float64)
    nn.init.uniform_(layer.angle, 0.2, 3)
    inputs = torch.randn(50, 8, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(
        lambda x, a: torch.func.functional_call(layer, {"angle": a}, x), (inputs, layer.angle)
    )
    for pooling in (layer, NormPooling(4)):
        for scale in (0.0, 1e-200, 1e200):
            start = (torch.randn(3, 8, dtype=torch.float64) * scale).requires_grad_()
            pooling(start).sum().backward()
            assert start.grad is not None and torch.isfinite(start.grad).all()
            assert torch.all(start.grad.norm(dim=1) <= 2 + 1e-12)  # one for every one of at most four outputs


def test_norm_pooling_neither_overflows_nor_vanishes() -> None:
    inputs = torch.tensor([[3e38, 0.0, 3e-39, 4e-39], [0.0, 0.0, -3.0, 4.0]])
    expected = torch.tensor([[3e38, 5e-39], [0.0, 5.0]])
    assert torch.allclose(NormPooling(2)(inputs), expected, rtol=1e-6, atol=0)


@pytest.mark.parametrize("layer", [*WINDOWS, *MOVES, NormPooling(1), NormPooling(2)], ids=repr)
def test_what_has_an_exact_form_is_certified(layer: Certified) -> None:
    shape = (2, 6, 6)
    network = sdpcert.from_torch(nn.Sequential(layer), shape)
    certificate = sdpcert.certify(network, method="by-construction")
    assert certificate.status == "proved"
    assert 1 - 1e-9 <= certificate.lower <= certificate.upper <= 1 + 1e-10


@pytest.mark.parametrize("layers", [[MaxPooling2d(2), ZeroChannelPadding(1)], [AveragePooling2d(2)]], ids=str)
def test_pooling_is_certified_on_a_torus_too(layers: list[nn.Module]) -> None:
    chain = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1), *layers, nn.Flatten())
    network = sdpcert.from_torch(chain, (1, 4, 4))
    bounds = [sdpcert.certify(network, method="by-construction", form=form) for form in ("unrolled", "frequency")]
    assert all(b.status == "proved" and b.lower <= b.upper for b in bounds)
    assert bounds[0].upper == pytest.approx(bounds[1].upper, rel=1e-6)


def test_a_distance_is_refused_with_a_remedy() -> None:
    with pytest.raises(sdpcert.UnsupportedModel, match=r"certify what is before .* constant is 1"):
        sdpcert.from_torch(nn.Sequential(ProjectionPooling(6)), (6,))


def test_windows_that_do_not_fit_are_refused() -> None:
    image = torch.zeros(1, 2, 6, 5)
    for layer in (AveragePooling2d(2), MaxPooling2d(2), SpaceToDepth(2)):
        with pytest.raises(ValueError, match="6 x 5 pixels has no windows of 2 x 2"):
            layer(image)
        with pytest.raises(sdpcert.UnsupportedModel, match="6 x 5 pixels has no windows of 2 x 2"):
            sdpcert.from_torch(nn.Sequential(layer), (2, 6, 5))
        with pytest.raises(ValueError, match="reads images"):
            layer(torch.zeros(1, 4))
    with pytest.raises(ValueError, match="groups of 3 of 4"):
        NormPooling(3)(torch.zeros(1, 4))
    with pytest.raises(ValueError, match="even number"):
        ProjectionPooling(3)
    with pytest.raises(ValueError, match="pools 4 channels, not 6"):
        ProjectionPooling(4)(torch.zeros(1, 6))
    with pytest.raises(ValueError, match="positive"):
        MaxPooling2d(0)
    with pytest.raises(ValueError, match="negative"):
        ZeroChannelPadding(-1)


def test_outputs_are_those_of_stock_modules() -> None:
    image = torch.randn(2, 4, 6, 6)
    pairs: list[tuple[Certified, Tensor]] = [
        (AveragePooling2d(3), nn.AvgPool2d(3)(image) * 3),
        (MaxPooling2d(3), nn.MaxPool2d(3)(image)),
        (SpaceToDepth(2), nn.PixelUnshuffle(2)(image)),
        (NormPooling(2), image.unflatten(1, (2, 2)).norm(dim=2)),
    ]
    for layer, expected in pairs:
        assert torch.allclose(layer(image), expected)
        assert torch.equal(layer.export()(image), layer(image))
    padded = ZeroChannelPadding(2)(image)
    assert torch.equal(padded[:, :4], image) and not padded[:, 4:].any()
    assert ZeroChannelPadding(2)(torch.ones(1, 3)).tolist() == [[1, 1, 1, 0, 0]]

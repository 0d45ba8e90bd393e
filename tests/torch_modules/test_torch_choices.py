"""Choices, sorting and centring in torch modules."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import sdpcert  # noqa: E402


class Between(nn.Module):
    """A function between two dense layers, in the type of its weights."""

    def __init__(self, function: Callable[[Tensor], Tensor], dtype: Any = torch.float32) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(4, 6, dtype=dtype), nn.Linear(6, 3, dtype=dtype)
        self.function = function

    def forward(self, inputs: Tensor) -> Tensor:
        return self.last(self.function(self.first(inputs)))


CONTINUOUS: dict[str, tuple[Callable[[Tensor], Tensor], Callable[[Tensor], Tensor]]] = {
    "mask": (lambda x: x * (x > 0), torch.relu),
    "float mask": (lambda x: (x >= 0).to(x.dtype) * x, torch.relu),
    "leaky": (lambda x: torch.where(x > 0, x, 0.1 * x), lambda x: nn.functional.leaky_relu(x, 0.1)),
    "method": (lambda x: x.where(x > 0, 0.5 * x), lambda x: nn.functional.leaky_relu(x, 0.5)),
    "filled": (lambda x: x.masked_fill(x < 0, 0.0), torch.relu),
    "not": (lambda x: x * ~(x < 0), torch.relu),
    "in place": (lambda x: x.mul_(x > 0), torch.relu),
    "sign": (lambda x: x * x.sign(), torch.abs),
    "two masks": (lambda x: x * (x > 0) - x * (x <= 0), torch.abs),
    "clamp": (lambda x: torch.where(x > 1, 1.0, x), lambda x: x.clamp(max=1)),
    "shifted": (lambda x: (x - 2) * (x > 1) - x * (x <= 1), lambda x: (x - 1).abs() - 1),
    "maximum": (lambda x: torch.where(x > x.flip(1), x, x.flip(1)), lambda x: torch.maximum(x, x.flip(1))),
    "sum": (lambda x: x + x * (x > 0), lambda x: x + torch.relu(x)),
}


@pytest.mark.parametrize("name", CONTINUOUS)
def test_choices_are_the_functions_that_they_are(name: str) -> None:
    chosen, plain = CONTINUOUS[name]
    networks = [sdpcert.from_torch(Between(f), (4,)) for f in (chosen, plain)]
    x = torch.randn(20, 4, dtype=torch.float64).numpy()
    assert abs(networks[0](x) - networks[1](x)).max() < 1e-6
    if name in ("mask", "shifted", "maximum"):
        bounds = [sdpcert.certify(n, method="neuron", effort=0.1).upper for n in networks]
        assert bounds[0] == pytest.approx(bounds[1], rel=1e-4)


JUMPING: dict[str, Callable[[Tensor], Tensor]] = {
    "step": lambda x: (x > 0).to(x.dtype),
    "sign": torch.sign,
    "edge": lambda x: torch.where(x > 0, x, x - 1),
    "another edge": lambda x: x * (x > 0.5),
    "curved": lambda x: torch.where(x > 0, torch.tanh(x), 2 * x),
    "two": lambda x: x * (x > 0) * (x.flip(1) > 0),
}


@pytest.mark.parametrize("name", JUMPING)
def test_choices_that_jump_are_refused(name: str) -> None:
    with pytest.raises(sdpcert.UnsupportedModel, match="jumps"):
        sdpcert.from_torch(Between(JUMPING[name]), (4,))


def test_a_step_is_measured_by_the_type_of_the_module() -> None:
    module = Between(lambda x: torch.where(x > 0, x + 1e-9, x), torch.float64)
    with pytest.raises(sdpcert.UnsupportedModel, match="jumps"):
        sdpcert.from_torch(module, (4,))
    rounded = Between(lambda x: torch.where(x > 0, 0.7 * x, (0.1 + 0.6) * x), torch.float64)
    assert sdpcert.from_torch(rounded, (4,)).output_shape == (3,)


class Householder(nn.Module):
    """Pairs of channels k and k + n / 2 reflected on one side of a line, as public implementations write it."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.theta = nn.Parameter(torch.linspace(0.3, 2.5, channels // 2))

    def forward(self, inputs: Tensor) -> Tensor:
        theta = self.theta.view(1, -1, *(1,) * (inputs.dim() - 2))
        x, y = inputs.split(inputs.shape[1] // 2, 1)
        selector = x * torch.sin(0.5 * theta) - y * torch.cos(0.5 * theta)
        x2, y2 = x * torch.cos(theta) + y * torch.sin(theta), x * torch.sin(theta) - y * torch.cos(theta)
        a = x * (selector <= 0) + x2 * (selector > 0)
        b = y * (selector <= 0) + y2 * (selector > 0)
        return torch.cat([a, b], dim=1)


def test_householder_is_nonexpansive() -> None:
    network = sdpcert.from_torch(Householder(6), (6,))
    assert network.stacked.neurons == 3
    assert sdpcert.certify(network).upper == pytest.approx(1, abs=1e-5)
    assert sdpcert.from_torch(nn.Sequential(nn.Conv2d(2, 4, 3), Householder(4)), (2, 5, 5)).output_shape == (4, 3, 3)


SORTING: dict[str, Callable[[Tensor], Tensor]] = {
    "sort": lambda x: x.sort(dim=1).values,
    "groups": lambda x: x.view(-1, 2, 3).sort(2, descending=True)[0].view(-1, 6),
    "largest": lambda x: x.topk(3, dim=-1)[0].repeat(1, 2),
    "smallest": lambda x: torch.topk(x, 2, largest=False).values.repeat(1, 3),
    "third": lambda x: x.kthvalue(3).values[:, None] + x,
    "kept": lambda x: x.kthvalue(2, dim=1, keepdim=True)[0] - x,
    "median": lambda x: x - x.median(dim=1, keepdim=True).values,
    "stable": lambda x: torch.sort(x, stable=True, dim=1)[0],
}


@pytest.mark.parametrize("name", SORTING)
def test_sorting(name: str) -> None:
    network = sdpcert.from_torch(Between(SORTING[name]), (4,))
    assert network.output_shape == (3,)


def test_what_sorting_does_not_say() -> None:
    for function, message in (
        (lambda x: x + x.sort(dim=1).indices, "place of an entry"),
        (lambda x: x.sort(dim=0).values, "batch axis"),
        (lambda x: x.topk(2, sorted=False)[0].repeat(1, 3), "order open"),
    ):
        with pytest.raises(sdpcert.UnsupportedModel, match=message):
            sdpcert.from_torch(Between(function), (4,))


class Centring(nn.Module):
    """Subtracts means over some axes, and multiplies by constants."""

    def __init__(self, axes: tuple[int, ...], groups: int = 1) -> None:
        super().__init__()
        self.axes, self.groups = axes, groups
        self.scale = nn.Parameter(torch.linspace(0.5, 1.0, 4).view(1, 4, 1, 1))

    def forward(self, inputs: Tensor) -> Tensor:
        grouped = inputs.view(len(inputs), self.groups, -1, *inputs.shape[2:])
        centred = grouped - grouped.mean(dim=self.axes, keepdim=True)
        return centred.view(inputs.shape) * self.scale


@pytest.mark.parametrize(("axes", "groups"), [((2,), 1), ((-2, -1), 1), ((2, 3, 4), 1), ((2, 3, 4), 2)])
def test_centring_is_an_affine_map_of_norm_one_at_most(axes: tuple[int, ...], groups: int) -> None:
    network = sdpcert.from_torch(Centring(axes, groups), (4, 3, 3))
    assert network.neurons == 0
    assert sdpcert.certify(network).upper <= 1 + 1e-6


def test_pooling_by_norms() -> None:
    images = nn.Sequential(nn.Conv2d(2, 2, 1), nn.LPPool2d(1, 2))
    assert sdpcert.from_torch(images, (2, 4, 4)).output_shape == (2, 2, 2)
    euclidean = nn.Sequential(nn.Conv2d(2, 2, 1), nn.LPPool2d(2, 2))
    assert sdpcert.from_torch(euclidean, (2, 4, 4)).output_shape == (2, 2, 2)
    for refused in (nn.LPPool2d(3, 2), nn.LPPool2d(2, 2, stride=1)):
        with pytest.raises(sdpcert.UnsupportedModel, match=r"norm.*multiply the bounds"):
            sdpcert.from_torch(nn.Sequential(nn.Conv2d(2, 2, 1), refused), (2, 4, 4))

"""Every torch operation that is read: the network's forward pass is the module's, and a small net is certified."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import sdpcert
from sdpcert.network.graph import Network


def parameters() -> dict[str, Tensor]:
    """What the functions below read."""
    torch.manual_seed(0)
    return {
        "vector": torch.randn(6),
        "weight": torch.randn(6, 6),
        "slope": torch.rand(6),
        "kernel": torch.randn(4, 4, 3, 3) / 3,
        "bias": torch.randn(4),
        "mean": torch.randn(4),
        "scale": torch.rand(4) + 0.5,
    }


class Forward(nn.Module):
    """A module with a given forward, of the module and its input."""

    def __init__(self, function: Callable[[Any, Tensor], Any]) -> None:
        super().__init__()
        self.function = function
        for name, value in parameters().items():
            setattr(self, name, nn.Parameter(value))
        self.linear = nn.Linear(6, 6)
        self.mask = torch.arange(6) % 2 == 0

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


def read(module: nn.Module, shape: tuple[int, ...]) -> Network:
    """The network, compared with the module in float64 on inputs of its own."""
    wide = module.double().eval()
    network = sdpcert.from_torch(wide, shape)
    x = 2 * torch.randn(16, *shape, dtype=torch.float64, generator=torch.Generator().manual_seed(7))
    with torch.no_grad():
        expected = wide(x).reshape(16, -1).numpy()
    found = [network(x.numpy()).reshape(16, -1), network.stacked.evaluate(x.reshape(16, -1).numpy())]
    for outputs in found:
        np.testing.assert_allclose(outputs, expected, rtol=1e-9, atol=1e-9 * abs(expected).max())
    return network


VECTORS: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "relu": lambda m, x: F.relu(x),
    "relu in place": lambda m, x: F.relu(m.linear(x), inplace=True),
    "method": lambda m, x: x.relu(),
    "relu6": lambda m, x: F.relu6(4 * x),
    "leaky_relu": lambda m, x: F.leaky_relu(x, 0.2),
    "rrelu": lambda m, x: F.rrelu(x),
    "prelu": lambda m, x: F.prelu(x, m.slope),
    "hardtanh": lambda m, x: F.hardtanh(x, -0.5, 2.0),
    "tanh": lambda m, x: torch.tanh(x),
    "sigmoid": lambda m, x: x.sigmoid(),
    "logsigmoid": lambda m, x: F.logsigmoid(x),
    "softplus": lambda m, x: F.softplus(x, threshold=40),
    "softplus beta": lambda m, x: F.softplus(x, beta=3.0, threshold=100),
    "softsign": lambda m, x: F.softsign(x),
    "softshrink": lambda m, x: F.softshrink(x, 0.3),
    "tanhshrink": lambda m, x: F.tanhshrink(x),
    "elu": lambda m, x: F.elu(x, 0.7),
    "celu": lambda m, x: F.celu(x, 0.7),
    "selu": lambda m, x: F.selu(x),
    "gelu": lambda m, x: F.gelu(x),
    "gelu tanh": lambda m, x: F.gelu(x, approximate="tanh"),
    "silu": lambda m, x: F.silu(x),
    "silu by hand": lambda m, x: x * torch.sigmoid(x),
    "mish": lambda m, x: F.mish(x),
    "mish by hand": lambda m, x: x * torch.tanh(F.softplus(x, threshold=40)),
    "hardswish": lambda m, x: F.hardswish(x),
    "hardsigmoid": lambda m, x: F.hardsigmoid(x),
    "threshold": lambda m, x: F.threshold(x, 0.5, 0.5),
    "abs": lambda m, x: abs(x) - x.abs() / 2,
    "atan": lambda m, x: torch.atan(x),
    "erf": lambda m, x: torch.erf(x),
    "clamp": lambda m, x: x.clamp(min=-0.5),
    "clamp to weights": lambda m, x: torch.clamp(x, max=m.vector.abs()),
    "maximum": lambda m, x: torch.maximum(x, m.linear(x)),
    "minimum": lambda m, x: torch.min(x, -x),
    "maximum of a constant": lambda m, x: torch.maximum(x, m.vector),
    "maxmin by chunk": lambda m, x: torch.cat(
        [torch.maximum(*x.chunk(2, dim=1)), torch.minimum(*x.chunk(2, dim=1))], dim=1
    ),
    "maxmin by views": lambda m, x: torch.stack(
        [x.view(-1, 3, 2).amax(-1), x.view(-1, 3, 2).min(dim=-1).values], dim=-1
    ).flatten(1),
    "max over an axis": lambda m, x: x.reshape(-1, 2, 3).max(dim=1)[0],
    "add": lambda m, x: x + m.linear(x),
    "add alpha": lambda m, x: torch.add(x, m.linear(x), alpha=-0.5),
    "add in place": lambda m, x: m.linear(x).add_(x),
    "sub": lambda m, x: x - torch.sub(m.linear(x), x, alpha=2),
    "rsub": lambda m, x: 1.0 - x,
    "mul": lambda m, x: 3 * x * m.vector,
    "div": lambda m, x: x / 3.0 - x.div(m.vector),
    "div in place": lambda m, x: m.linear(x).div_(4),
    "neg": lambda m, x: -x,
    "pow one": lambda m, x: x**1,
    "lerp": lambda m, x: torch.lerp(x, m.linear(x), 0.25),
    "constants": lambda m, x: x + torch.ones_like(x) - x.new_full((6,), 0.5),
    "masked": lambda m, x: torch.where(m.mask, x, 2 * x).masked_fill(m.mask[:6] & False, 1.0),
    "matmul": lambda m, x: x @ m.weight,
    "matmul on the left": lambda m, x: (m.weight.T @ x.unsqueeze(-1)).squeeze(-1),
    "mm": lambda m, x: torch.mm(x, m.weight),
    "addmm": lambda m, x: torch.addmm(m.vector, x, m.weight, beta=2, alpha=0.5),
    "linear": lambda m, x: F.linear(x, m.weight, m.vector),
    "linear of computed weights": lambda m, x: F.linear(x, m.weight / m.weight.norm(), m.vector**2),
    "linear over an axis": lambda m, x: F.linear(x.view(-1, 2, 3), m.weight[:, :3]).flatten(1),
    "sum": lambda m, x: x.sum(dim=1),
    "mean": lambda m, x: x.mean(-1, keepdim=True) + x,
    "cat": lambda m, x: torch.cat((x, m.linear(x)), dim=1),
    "cat with constants": lambda m, x: torch.cat((x, m.vector.expand_as(x)), dim=-1),
    "slice": lambda m, x: x[:, 1:5:2] + x[..., -2:],
    "gather": lambda m, x: x[:, [4, 0, 0]] + x.index_select(1, torch.tensor([1, 2, 3])),
    "unpacked": lambda m, x: x.unbind(1)[3][:, None] + x.split([2, 4], dim=1)[0],
    "loop over columns": lambda m, x: torch.stack([k * x[:, k] for k in range(x.shape[1])], dim=1),
    "roll and flip": lambda m, x: x.roll(2, dims=1) - x.flip(1),
    "pad": lambda m, x: F.pad(x, (2, 1)) + F.pad(x, (0, 3), value=2.0),
    "repeat": lambda m, x: x.repeat(1, 2) + torch.tile(x, (1, 2)),
    "casts": lambda m, x: x.double().to(torch.float64).to(x).type_as(x).contiguous().clone().detach(),
    "dropout": lambda m, x: F.dropout(x, 0.5, training=m.training),
    "tril": lambda m, x: torch.tril(x.view(-1, 2, 3)).flatten(1),
}


@pytest.mark.parametrize("name", VECTORS)
def test_functions_of_vectors(name: str) -> None:
    read(Forward(VECTORS[name]), (6,))


IMAGES: dict[str, Callable[[Any, Tensor], Tensor]] = {
    "conv": lambda m, x: F.conv2d(x, m.kernel, m.bias),
    "strided": lambda m, x: F.conv2d(x, m.kernel, stride=(2, 1), padding=(1, 0)),
    "same": lambda m, x: F.conv2d(x, m.kernel, padding="same", dilation=2),
    "even same": lambda m, x: F.conv2d(x, m.kernel[..., :2, :2], padding="same"),
    "grouped": lambda m, x: F.conv2d(x, m.kernel[:, :2], groups=2, dilation=(1, 2), padding="valid"),
    "circular": lambda m, x: F.conv2d(F.pad(x, (1, 1, 1, 1), mode="circular"), m.kernel),
    "conv1d": lambda m, x: F.conv1d(x.flatten(2), m.kernel[:, :, 0], padding=1, stride=2),
    "avg_pool": lambda m, x: F.avg_pool2d(x, 2),
    "avg_pool padded": lambda m, x: F.avg_pool2d(x, 3, 2, 1),
    "avg_pool without padding": lambda m, x: F.avg_pool2d(x, (3, 2), 2, 1, ceil_mode=True, count_include_pad=False),
    "avg_pool1d": lambda m, x: F.avg_pool1d(x[:, :, 0], 2),
    "max_pool": lambda m, x: F.max_pool2d(x, 2),
    "max_pool padded": lambda m, x: F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
    "max_pool1d": lambda m, x: F.max_pool1d(x[:, :, 0], 3, 1),
    "adaptive": lambda m, x: F.adaptive_avg_pool2d(x, 1),
    "adaptive dividing": lambda m, x: F.adaptive_avg_pool2d(x, (2, None)),
    "adaptive not dividing": lambda m, x: F.adaptive_avg_pool2d(x, (3, 4)),
    "adaptive max": lambda m, x: F.adaptive_max_pool2d(x, 3),
    "batch_norm": lambda m, x: F.batch_norm(x, m.mean, m.scale, m.bias, m.mean, eps=1e-3),
    "batch_norm of vectors": lambda m, x: F.batch_norm(x.mean((2, 3)), m.mean, m.scale),
    "mean over the image": lambda m, x: x.mean(dim=(2, 3)),
    "amax over the image": lambda m, x: x.flatten(2).amax(-1),
    "one number a channel": lambda m, x: x * m.scale[:, None, None] + m.bias.view(1, -1, 1, 1),
    "flatten": lambda m, x: torch.flatten(x, 1),
    "view": lambda m, x: x.view(x.size(0), -1),
    "permute": lambda m, x: x.permute(0, 2, 3, 1).transpose(1, 2).contiguous(),
    "padding": lambda m, x: (
        F.pad(x, (1, 0, 2, 1)) + F.pad(x, (0, 1, 3, 0), "replicate") + F.pad(x, (0, 1, 1, 2), "reflect")
    ),
    "slices": lambda m, x: x[:, :, ::2, 1:] + x[:, :, 1::2, :-1],
    "chunk": lambda m, x: torch.cat([torch.maximum(*x.chunk(2, 1)), torch.minimum(*x.chunk(2, 1))], 1),
    "pixel shuffle": lambda m, x: F.pixel_unshuffle(F.pixel_shuffle(x, 2), 3),
    "interpolate": lambda m, x: F.interpolate(x, scale_factor=2),
    "unfold": lambda m, x: F.unfold(x, 3, padding=1),
    "residual": lambda m, x: x + F.relu(F.conv2d(x, m.kernel, m.bias, padding=1)),
    "prelu": lambda m, x: F.prelu(x, m.scale),
    "assertions": lambda m, x: x if x.shape[1] == 4 and x.dim() == 4 and len(x) and isinstance(x, Tensor) else -x,
}


@pytest.mark.parametrize("name", IMAGES)
def test_functions_of_images(name: str) -> None:
    read(Forward(IMAGES[name]), (4, 6, 6))


def together(functions: list[Callable[[Any, Tensor], Tensor]], shape: tuple[int, ...]) -> Network:
    """Dense layers, the functions side by side, a dense layer."""

    def forward(module: Any, x: Tensor) -> Tensor:
        x = module.first(x).unflatten(1, shape)
        return module.last(torch.cat([function(module, x).reshape(len(x), -1) for function in functions], dim=1))

    module: Any = Forward(forward)
    module.first = nn.Linear(2, int(np.prod(shape)))
    with torch.no_grad():
        x = torch.zeros(1, *shape)
        module.last = nn.Linear(sum(function(module, x).numel() for function in functions), 3)
    return sdpcert.from_torch(module, (2,))


GROUPS = [
    *((list(VECTORS.values())[k::6], (6,)) for k in range(6)),
    *((list(IMAGES.values())[k::3], (4, 6, 6)) for k in range(3)),
]


@pytest.mark.parametrize("group", range(len(GROUPS)))
def test_all_functions_are_certified(group: int) -> None:
    certificate = sdpcert.certify(together(*GROUPS[group]), method="product")
    assert certificate.status == "proved"
    assert 0 < certificate.lower <= certificate.upper < np.inf


MODULES: list[tuple[Callable[[], nn.Module], tuple[int, ...]]] = [
    *(
        (kind, (5,))
        for kind in (
            nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.PReLU, nn.Hardtanh, nn.Tanh, nn.Sigmoid, nn.Softplus, nn.ELU, nn.GELU,
            nn.SiLU, nn.Mish, nn.Softsign, nn.Identity, nn.Dropout, nn.SELU, nn.CELU, nn.Hardswish, nn.Hardsigmoid,
            nn.LogSigmoid, nn.RReLU, nn.Softshrink, nn.Tanhshrink, nn.AlphaDropout,
        )
    ),
    (lambda: nn.GELU("tanh"), (5,)),
    (lambda: nn.ReLU(inplace=True), (5,)),
    (lambda: nn.Threshold(0.0, 0.0), (5,)),
    (lambda: nn.Softplus(2.0), (5,)),
    (lambda: nn.Linear(5, 3), (5,)),
    (lambda: nn.Linear(5, 3), (2, 5)),
    (lambda: nn.BatchNorm1d(5), (5,)),
    (lambda: nn.BatchNorm2d(4, affine=False), (4, 6, 6)),
    (lambda: nn.Conv1d(4, 3, 3, padding=1), (4, 6)),
    (lambda: nn.Conv2d(4, 6, 3, (2, 1), (1, 0), (1, 2), 2), (4, 6, 6)),
    (lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="circular"), (4, 6, 6)),
    (lambda: nn.Conv2d(4, 3, (3, 5), padding="same", padding_mode="circular"), (4, 6, 6)),
    (lambda: nn.Conv2d(4, 3, (3, 2), padding="same"), (4, 6, 6)),
    (lambda: nn.AvgPool2d(2), (4, 6, 6)),
    (lambda: nn.AvgPool2d(3, 2, 1), (4, 6, 6)),
    (lambda: nn.MaxPool2d(3, 2, 1), (4, 6, 6)),
    (lambda: nn.AdaptiveAvgPool2d((2, 3)), (4, 6, 6)),
    (lambda: nn.ZeroPad2d((1, 2, 0, 1)), (4, 6, 6)),
    (lambda: nn.ConstantPad2d(1, 0.5), (4, 6, 6)),
    (lambda: nn.CircularPad2d(2), (4, 6, 6)),
    (lambda: nn.Flatten(), (4, 6, 6)),
    (lambda: nn.Unflatten(1, (2, 2)), (4, 6, 6)),
    (lambda: nn.PixelUnshuffle(2), (4, 6, 6)),
    (lambda: nn.PixelShuffle(2), (4, 6, 6)),
    (lambda: nn.ChannelShuffle(2), (4, 6, 6)),
    (lambda: nn.Upsample(scale_factor=2), (4, 6, 6)),
    (lambda: nn.Dropout2d(), (4, 6, 6)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shape"), MODULES, ids=lambda v: getattr(v, "__name__", str(v)))
def test_stock_modules(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = make()
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_floating_point():
            value.data = torch.rand_like(value) + 0.2 if "var" in name else torch.randn_like(value)
    read(module, shape)


@pytest.mark.parametrize("name", ["gelu", "relu6", "prelu", "elu", "abs2"])
def test_activations_know_their_multipliers(name: str) -> None:
    torch.manual_seed(0)
    kinds: dict[str, nn.Module] = {
        "gelu": nn.GELU(),
        "relu6": nn.ReLU6(),
        "prelu": nn.PReLU(6),
        "elu": nn.ELU(3.0),
        "abs2": nn.LeakyReLU(-2.0),
    }
    if name == "prelu":
        kinds[name].weight.data = torch.tensor([0.1, -0.5, 2.0, 3.0, -1.5, 0.0])
    network = sdpcert.from_torch(nn.Sequential(nn.Linear(4, 6), kinds[name], nn.Linear(6, 2)), (4,))
    given = sdpcert.certify(network, method="by-construction")
    best = sdpcert.certify(network, method="neuron")
    assert given.status == best.status == "proved"
    assert best.upper <= given.upper * (1 + 1e-6)

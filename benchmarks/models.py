"""Which networks are read: small ones of the types of VNN-COMP, ARCH-COMP and public layers, and public files.

    python -m benchmarks.models [--only TEXT] [--seconds 10] [--files FOLDER] [--output FILE.json]

A model is written after the architecture of its family, with random weights of fixed seed: whether it is read depends
on what it computes, not on its weights. The public ONNX files of a folder (not part of this repository) are the family
"files". Every one that is read is certified once with a time limit and little search for attained values (files in
2 GiB), and its bounds are those of such a quick run; those that are refused have the message. `--only` keeps all
other rows.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn

import sdpcert
from benchmarks.solvers import machine

RESULTS = Path(__file__).parent / "results" / "models.json"
MEMORY = 2 * 2.0**30
ARCH, VNN, PUBLIC = "ARCH-COMP", "VNN-COMP", "public layers"


@dataclass(frozen=True)
class Row:
    """What became of one model; `why` is the refusal, else None."""

    family: str
    model: str
    computes: str
    inputs: int
    neurons: int | None
    method: str | None
    lower: float | None
    upper: float | None
    seconds: float
    why: str | None


class Applied(nn.Module):
    """A function of a tensor and of named parts."""

    def __init__(self, function: Callable[[Any, Tensor], Tensor], **parts: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            self.add_module(name, part)

    def forward(self, inputs: Tensor) -> Tensor:
        return self.function(self, inputs)


def dense(*sizes: int, activation: Callable[[], nn.Module] = nn.ReLU) -> nn.Sequential:
    """Dense layers of these sizes with an activation between."""
    layers: list[nn.Module] = []
    for k, (a, b) in enumerate(pairwise(sizes)):
        layers += [nn.Linear(a, b), *([activation()] if k < len(sizes) - 2 else [])]
    return nn.Sequential(*layers)


def residual(inputs: int, outputs: int, stride: int) -> nn.Module:
    """A block of a residual network with batch normalisation."""
    return Applied(
        lambda m, x: torch.relu(m.second(torch.relu(m.first(x))) + m.skip(x)),
        first=nn.Sequential(nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False), nn.BatchNorm2d(outputs)),
        second=nn.Sequential(nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False), nn.BatchNorm2d(outputs)),
        skip=nn.Conv2d(inputs, outputs, 1, stride),
    )


def unet() -> nn.Module:
    """An encoder and a decoder with a skip between them."""
    return Applied(
        lambda m, x: m.last(torch.cat([m.first(x), m.up(m.inner(m.first(x)))], 1)),
        first=nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()),
        inner=nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(4, 8, 3, padding=1), nn.ReLU()),
        up=nn.ConvTranspose2d(8, 4, 2, 2),
        last=nn.Conv2d(8, 1, 1),
    )


def householder(module: Any, inputs: Tensor) -> Tensor:
    """Householder activations of pairs of channels, by masks."""
    angle = torch.linspace(0.4, 2.4, inputs.shape[1] // 2)
    x, y = inputs.chunk(2, 1)
    side = x * torch.sin(angle / 2) - y * torch.cos(angle / 2)
    x2, y2 = x * torch.cos(angle) + y * torch.sin(angle), x * torch.sin(angle) - y * torch.cos(angle)
    return torch.cat([x * (side <= 0) + x2 * (side > 0), y * (side <= 0) + y2 * (side > 0)], 1)


def attention(width: int) -> nn.Module:
    layer = nn.TransformerEncoderLayer(width, 2, 2 * width, batch_first=True)
    return Applied(lambda m, x: m.layer(x), layer=layer)


def between(function: Callable[[Any, Tensor], Tensor], first: nn.Module, last: nn.Module) -> nn.Module:
    return nn.Sequential(first, Applied(function), last)


IMAGE = (3, 16, 16)
#: Of a family: the model, what it computes, what makes it, and the shape of its input.
MODELS: dict[str, list[tuple[str, str, Callable[[], nn.Module], tuple[int, ...]]]] = {
    VNN: [
        ("safenlp, linearizenn", "dense, ReLU", lambda: dense(30, 128, 2), (30,)),
        ("lindex (nn4sys)", "dense, ReLU, one input", lambda: dense(1, 32, 32, 1), (1,)),
        (
            "mscn (nn4sys)", "dense, ReLU, averages weighted by a mask among the inputs",
            lambda: Applied(lambda m, x: m.net(x[:, :8]) * x[:, 8:], net=dense(8, 16, 4)), (12,),
        ),
        (
            "collins_rul_cnn", "convolutions along time, ReLU, dense",
            lambda: nn.Sequential(
                nn.Conv2d(1, 4, (5, 1), padding=(2, 0)), nn.ReLU(), nn.Conv2d(4, 4, (5, 1), 2), nn.ReLU(),
                nn.Flatten(), nn.Dropout(), nn.LazyLinear(1),
            ), (1, 20, 10),
        ),
        (
            "vggnet16", "convolutions, ReLU, max pooling, dense",
            lambda: nn.Sequential(
                nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 4, 3, padding=1), nn.ReLU(),
                nn.MaxPool2d(2), nn.Flatten(), dense(16, 16, 10),
            ), (3, 8, 8),
        ),
        (
            "cifar100, tinyimagenet", "residual blocks, batch normalisation, average pooling",
            lambda: nn.Sequential(
                nn.Conv2d(3, 4, 3, 2, 1), nn.ReLU(), residual(4, 4, 1), residual(4, 8, 2), nn.AdaptiveAvgPool2d(1),
                nn.Flatten(), nn.Linear(8, 10),
            ), IMAGE,
        ),
        (
            "yolo (small)", "convolutions, leaky ReLU, average pooling, a skip",
            lambda: nn.Sequential(
                nn.Conv2d(3, 4, 3, 2, 1), nn.LeakyReLU(0.1), residual(4, 4, 1), nn.AvgPool2d(2),
                nn.Conv2d(4, 6, 1),
            ), IMAGE,
        ),
        (
            "metaroom, malbeware", "convolutions with strides, ReLU, dense",
            lambda: nn.Sequential(
                nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.Conv2d(8, 8, 3, 2, 1), nn.ReLU(), nn.Flatten(),
                nn.LazyLinear(10),
            ), IMAGE,
        ),
        (
            "cgan", "dense, transposed convolutions, batch normalisation, tanh, convolution",
            lambda: nn.Sequential(
                nn.Linear(5, 32), nn.Unflatten(1, (8, 2, 2)), nn.ConvTranspose2d(8, 4, 4, 2, 1), nn.BatchNorm2d(4),
                nn.ReLU(), nn.ConvTranspose2d(4, 1, 4, 2, 1), nn.Tanh(), nn.Conv2d(1, 4, 3, 2), nn.ReLU(),
                nn.Flatten(), nn.LazyLinear(1),
            ), (5,),
        ),
        ("carvana (U-Net)", "convolutions, average pooling, transposed convolutions, skips", unet, (3, 8, 8)),
        (
            "dist_shift", "a decoder with a sigmoid, and a classifier",
            lambda: nn.Sequential(dense(8, 32, 64), nn.Sigmoid(), dense(64, 32, 10)), (8,),
        ),
        (
            "cersyve", "a controller with tanh around which the state goes",
            lambda: Applied(lambda m, x: x + 0.1 * m.net(x), net=dense(4, 32, 32, 4, activation=nn.Tanh)), (4,),
        ),
        (
            "traffic_signs_recognition", "binarised: signs, convolutions",
            lambda: between(lambda m, x: torch.sign(x), nn.Linear(8, 8), nn.Linear(8, 4)), (8,),
        ),
        (
            "cctsdb_yolo", "places rounded down to pixels",
            lambda: between(lambda m, x: torch.floor(x), nn.Linear(8, 8), nn.Linear(8, 4)), (8,),
        ),
        (
            "ml4acopf", "dense, ReLU, products of voltages with sines",
            lambda: Applied(lambda m, x: m.net(x)[:, :2] * torch.sin(m.net(x)[:, 2:]), net=dense(8, 32, 4)), (8,),
        ),
        (
            "lsnc", "a Lyapunov function: squares of what a network computes",
            lambda: Applied(lambda m, x: (m.net(x) ** 2).sum(1, keepdim=True), net=dense(4, 16, 4)), (4,),
        ),
        ("vit", "attention, layer normalisation", lambda: attention(8), (4, 8)),
    ],
    ARCH: [
        ("single pendulum, airplane", "dense, ReLU", lambda: dense(12, 100, 20, 6), (12,)),
        ("TORA, quadrotor", "dense, sigmoid", lambda: dense(12, 64, 64, 3, activation=nn.Sigmoid), (12,)),
        ("unicycle, spacecraft", "dense, ReLU, 500 neurons", lambda: dense(4, 500, 2), (4,)),
        ("attitude control", "dense, sigmoid, tanh at the end", lambda: nn.Sequential(
            dense(6, 64, 64, 3, activation=nn.Sigmoid), nn.Tanh()), (6,)),
        ("CartPole", "dense, tanh, clamped output", lambda: nn.Sequential(
            dense(4, 64, 64, 1, activation=nn.Tanh), nn.Hardtanh(-2, 2)), (4,)),
        ("recurrent controller", "LSTM", lambda: Applied(lambda m, x: m.net(x)[0], net=nn.LSTM(4, 8, batch_first=True)),
         (5, 4)),
    ],
    PUBLIC: [
        (
            "sorting", "GroupSort of 4, FullSort",
            lambda: between(
                lambda m, x: x.view(-1, 3, 4).sort(2)[0].flatten(1).sort(1)[0], nn.Linear(8, 12), nn.Linear(12, 4)
            ), (8,),
        ),
        ("Householder", "reflections by masks", lambda: between(householder, nn.Linear(8, 12), nn.Linear(12, 4)), (8,)),
        (
            "leaky ReLU by a mask", "torch.where(x > 0, x, 0.1 * x)",
            lambda: between(lambda m, x: torch.where(x > 0, x, 0.1 * x), nn.Linear(8, 12), nn.Linear(12, 4)), (8,),
        ),
        (
            "centring", "x - mean(x) over pixels, max pooling over all of them",
            lambda: nn.Sequential(
                nn.Conv2d(3, 4, 3, padding=1), Applied(lambda m, x: x - x.mean((2, 3), keepdim=True)), nn.ReLU(),
                nn.AdaptiveMaxPool2d(2), nn.Flatten(), nn.Linear(16, 4),
            ), (3, 8, 8),
        ),
        (
            "layer normalisation", "divides by a norm of its input",
            lambda: nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8), nn.Linear(8, 4)), (8,),
        ),
        (
            "l2 pooling", "norms of windows",
            lambda: nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.LPPool2d(2, 2), nn.Flatten(), nn.Linear(64, 4)),
            (3, 8, 8),
        ),
    ],
}  # fmt: skip
#: What the public files compute, by name.
FILES = {
    "acasxu_1_1": "dense, ReLU, six layers of 50",
    "arch_acc_5_20": "dense, ReLU",
    "arch_docking": "dense, tanh",
    "cifar10_resnet_2b": "residual blocks",
    "eran_sigmoid_6x200": "dense, sigmoid, six layers of 200",
    "mnist_fc_256x2": "dense, ReLU",
    "oval21_cifar_base_kw": "convolutions, ReLU, dense",
    "tll_n2_N24_2_0": "two-level lattice, ReLU, widths up to 1152",
    "verivital_convnet_avgpool": "convolution, ReLU, average pooling",
    "vit_pgd_2_3_16": "attention",
}


def measured(family: str, model: str, computes: str, read: Callable[[], sdpcert.Network], limit: float) -> Row:
    """Read a model and certify it; seconds are of both."""
    started = time.perf_counter()
    try:
        network = read()
    except sdpcert.UnsupportedModel as error:
        return Row(family, model, computes, 0, None, None, None, None, time.perf_counter() - started, str(error))
    size = int(torch.tensor(network.input_shape).prod())
    found = sdpcert.certify(network, time_limit=limit, memory_limit=MEMORY, effort=0.1)
    seconds = time.perf_counter() - started
    return Row(family, model, computes, size, network.neurons, found.method, found.lower, found.upper, seconds, None)


def built(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> sdpcert.Network:
    """The network of a model with random weights, after one look at random inputs in training mode."""
    torch.manual_seed(0)
    module = make()
    with torch.no_grad():
        module(torch.randn(8, *shape))
    return sdpcert.from_torch(module, shape)


def main(
    only: Annotated[str, typer.Option(help="measure rows whose name contains this, keep the others")] = "",
    seconds: Annotated[float, typer.Option(help="time limit of solving one model")] = 10.0,
    files: Annotated[Path | None, typer.Option(help="folder with the public ONNX files")] = None,
    output: Annotated[Path, typer.Option(help="where the results go")] = RESULTS,
) -> None:
    """Measure and write the results after every model."""
    cases: list[tuple[str, str, str, Callable[[], sdpcert.Network]]] = [
        (family, name, computes, lambda make=make, shape=shape: built(make, shape))
        for family, models in MODELS.items()
        for name, computes, make, shape in models
    ]
    if files is not None:
        cases += [
            ("files", name, computes, lambda path=files / f"{name}.onnx": sdpcert.load(path))
            for name, computes in FILES.items()
        ]
    rows: dict[str, Any] = {}
    if only and output.exists():
        rows = {row["model"]: row for row in json.loads(output.read_text())["rows"]}
    for family, name, computes, read in cases:
        if only not in f"{family}: {name}":
            continue
        row = measured(family, name, computes, read, seconds)
        typer.echo(f"{family}: {name}: {row.upper if row.why is None else row.why} ({row.seconds:.1f} s)")
        rows[name] = asdict(row)
        output.write_text(json.dumps({"machine": machine(), "seconds": seconds, "rows": list(rows.values())}, indent=1))


if __name__ == "__main__":
    typer.run(main)

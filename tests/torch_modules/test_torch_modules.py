"""torch modules in: users' own modules, chains that keep multipliers, refusals by name, the bounds of ONNX files."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrizations, parametrize

import sdpcert
from sdpcert.layers import (
    AOLConv2d,
    AOLLinear,
    AveragePooling2d,
    GroupSort,
    Householder,
    MaxMin,
    MLPHead,
    NormalizedHead,
    ProjectionPooling,
    SandwichLinear,
    SLLConv2d,
    SLLLinear,
    lipschitz,
)
from sdpcert.network.construction import ConstructedNetwork
from sdpcert.torch_modules import reader as torch_modules


class Forward(nn.Module):
    """A module with a given forward and submodules."""

    def __init__(self, function: Callable[[Any, Tensor], Any], **parts: Any) -> None:
        super().__init__()
        self.function = function
        for name, part in parts.items():
            setattr(self, name, part)

    def forward(self, x: Tensor) -> Any:
        return self.function(self, x)


class Block(nn.Module):
    """A basic block of a residual network."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.relu = nn.ReLU(inplace=True)
        self.shortcut = nn.Sequential()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        out = self.bn2(self.conv2(self.relu(self.bn1(self.conv1(x)))))
        out += self.shortcut(x)
        return self.relu(out)


class ResNet(nn.Module):
    """A small residual network of the usual form."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(1, 2, 3, padding=1)
        self.layers = nn.ModuleList([Block(2, 2, 1), Block(2, 3, 2)])
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.drop = nn.Dropout(0.5)
        self.fc = nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.stem(x))
        for layer in self.layers:
            x = layer(x)
        return self.fc(self.drop(torch.flatten(self.pool(x), 1)))


def settled(module: nn.Module) -> nn.Module:
    """With statistics of a batch that are not the ones a fresh module has."""
    for name, value in module.named_buffers():
        if "running" in name:
            value.copy_(torch.rand_like(value) + 0.3)
    return module


def small_resnet() -> nn.Module:
    torch.manual_seed(0)
    return settled(ResNet())


def test_a_residual_network_is_read_and_left_as_it_was() -> None:
    module = small_resnet()
    module.train()
    before = copy.deepcopy(module.state_dict())
    network = sdpcert.from_torch(module, (1, 6, 6))
    assert module.training and all(m.training for m in module.modules())
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())
    assert all(p.requires_grad for p in module.parameters()) and "forward" not in module.fc.__dict__
    x = torch.randn(5, 1, 6, 6)
    with torch.no_grad():
        np.testing.assert_allclose(network(x.numpy()), module.eval()(x).numpy(), rtol=1e-4, atol=1e-5)
    certificate = sdpcert.certify(network, method="layer", tol=1e-3)
    assert certificate.status == "proved" and certificate.lower <= certificate.upper
    with pytest.raises(ValueError, match=r"by-construction.*1-Lipschitz layers"):
        sdpcert.certify(network, method="by-construction")


def mlp_mixed() -> nn.Module:
    torch.manual_seed(2)
    linear = nn.Linear(4, 4)
    return Forward(
        lambda m, x: m.last(torch.cat([m.norm(m.linear(m.linear(x)).tanh()), F.gelu(x) - 0.5 * x], dim=1)),
        linear=linear,
        norm=settled(nn.BatchNorm1d(4)),
        last=nn.Linear(8, 2),
    )


def handmade_maxmin() -> nn.Module:
    torch.manual_seed(3)

    def forward(m: Any, x: Tensor) -> Tensor:
        a, b = m.first(x).chunk(2, dim=1)
        return m.last(F.max_pool2d(torch.cat([torch.max(a, b), torch.min(a, b)], dim=1), 2).flatten(1))

    return Forward(forward, first=nn.Conv2d(1, 4, 3), last=nn.Linear(16, 2))


def pooled() -> nn.Module:
    torch.manual_seed(4)

    def forward(m: Any, x: Tensor) -> Tensor:
        x = F.leaky_relu(m.first(m.pad(x)), 0.125)
        x = F.avg_pool2d(x, 3, 2, 1) * 0.5
        return m.last(F.softplus(x).mean(dim=(2, 3)))

    return Forward(forward, pad=nn.ZeroPad2d((1, 0, 1, 0)), first=nn.Conv2d(1, 3, 2, groups=1), last=nn.Linear(3, 2))


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    ("make", "shape"),
    [(small_resnet, (1, 4, 4)), (mlp_mixed, (4,)), (handmade_maxmin, (1, 6, 6)), (pooled, (1, 5, 5))],
    ids=["residual", "dense", "maxmin", "pooled"],
)
def test_the_bound_is_that_of_the_onnx_file(
    make: Callable[[], nn.Module], shape: tuple[int, ...], tmp_path: Path
) -> None:
    pytest.importorskip("onnx")
    module = make().eval()
    path = tmp_path / "module.onnx"
    torch.onnx.export(module, (torch.randn(1, *shape),), path, dynamo=False)
    networks = [sdpcert.from_torch(module, shape), sdpcert.load(path)]
    assert networks[0].neurons == networks[1].neurons
    bounds = [sdpcert.certify(n, method="layer", tol=1e-7) for n in networks]
    assert all(b.status == "proved" for b in bounds)
    assert bounds[0].upper == pytest.approx(bounds[1].upper, rel=1e-6)


CHAINS: dict[str, tuple[Callable[[], nn.Module], Callable[[Any, Tensor], Tensor], tuple[int, ...]]] = {
    "dense": (
        lambda: nn.Sequential(AOLLinear(4, 6), nn.ReLU(), SLLLinear(6, 8), nn.Identity(), nn.Linear(6, 2)),
        lambda m, x: m.parts[4](m.parts[2](F.relu(m.parts[0](x)))),
        (4,),
    ),
    "images": (
        lambda: nn.Sequential(
            AOLConv2d(1, 4, 3), MaxMin(), AveragePooling2d(2), nn.Flatten(), nn.Dropout(), AOLLinear(16, 3)
        ),
        lambda m, x: m.parts[5](m.parts[2](m.parts[1](m.parts[0](x))).view(x.size(0), -1)),
        (1, 4, 4),
    ),
    "plain": (
        lambda: nn.Sequential(SLLConv2d(1, 2, 3).export(), nn.Tanh(), nn.Conv2d(1, 2, 3, padding="same")),
        lambda m, x: m.parts[2](m.parts[0](x).tanh()),
        (1, 3, 3),
    ),
    "shared": (
        lambda: nn.Sequential(*(2 * [lipschitz(nn.Linear(4, 4), family="cayley"), Householder(4)])),
        lambda m, x: m.parts[1](m.parts[0](m.parts[1](m.parts[0](x)))),
        (4,),
    ),
}


@pytest.mark.parametrize("name", CHAINS)
def test_a_chain_is_one_however_its_forward_is_written(name: str) -> None:
    make, function, shape = CHAINS[name]
    torch.manual_seed(0)
    parts = make()
    plain, own = (sdpcert.from_torch(m, shape) for m in (parts, Forward(function, parts=parts)))
    assert isinstance(plain, ConstructedNetwork) and isinstance(own, ConstructedNetwork)
    assert plain.construction.squared_gains == own.construction.squared_gains
    assert plain.stacked.sha256 == own.stacked.sha256
    certificate = sdpcert.certify(own, method="by-construction")
    assert certificate.status == "proved" and certificate.lower <= certificate.upper


def test_the_toolkits_layers_inside_a_graph() -> None:
    torch.manual_seed(0)
    module = Forward(
        lambda m, x: m.head(torch.cat([m.sort(m.first(x)), 0.5 * m.sandwich(x) + x], dim=1)),
        first=AOLLinear(4, 6),
        sort=GroupSort(3),
        sandwich=SandwichLinear(4, 4, activation="sigmoid"),
        head=nn.Sequential(NormalizedHead(10, 4), MLPHead(4, 5, 2)),
    )
    network = sdpcert.from_torch(module, (4,))
    assert not isinstance(network, ConstructedNetwork)
    certificate = sdpcert.certify(network, method="neuron")
    assert certificate.status == "proved" and certificate.lower <= certificate.upper


def test_the_slopes_of_a_layer_in_a_graph_are_its_own() -> None:
    torch.manual_seed(0)
    layer = SandwichLinear(4, 4, activation="sigmoid")
    layered = sdpcert.from_torch(Forward(lambda m, x: x - m.layer(x), layer=layer), (4,))
    plain = sdpcert.from_torch(Forward(lambda m, x: x - m.layer(x), layer=layer.eval().export()), (4,))
    for network in (layered, plain):
        assert [g.beta.max() for g in network.stacked.groups] == [0.25]
    bounds = [sdpcert.certify(n, method="neuron").upper for n in (layered, plain)]
    assert bounds[0] == pytest.approx(bounds[1], rel=1e-6)


class Doubled(nn.Module):
    def forward(self, weight: Tensor) -> Tensor:
        return 2 * weight


def old_hooks(kind: Callable[[nn.Module], nn.Module]) -> nn.Module:
    module = kind(nn.Linear(4, 4))
    module(torch.randn(3, 4))
    return module


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "make",
    [
        lambda: parametrizations.spectral_norm(nn.Linear(4, 4)),
        lambda: parametrizations.weight_norm(nn.Linear(4, 4)),
        lambda: parametrizations.orthogonal(nn.Linear(4, 4)),
        lambda: (parametrize.register_parametrization(m := nn.Linear(4, 4), "weight", Doubled()), m)[1],
        lambda: lipschitz(nn.Linear(4, 4), family="aol"),
        lambda: old_hooks(nn.utils.spectral_norm),
        lambda: old_hooks(nn.utils.weight_norm),
    ],
    ids=["spectral", "weight", "orthogonal", "own", "lipschitz", "old spectral", "old weight"],
)
def test_the_evaluated_weight_is_used(make: Callable[[], nn.Module]) -> None:
    torch.manual_seed(0)
    module: Any = make().eval()
    network = sdpcert.from_torch(nn.Sequential(module, nn.ReLU(), module), (4,))
    with torch.no_grad():
        module(torch.zeros(1, 4))
        norm = float(torch.linalg.matrix_norm(module.weight.double(), 2))
    assert sdpcert.certify(network, method="product").upper == pytest.approx(norm**2, rel=1e-9)
    assert isinstance(network, ConstructedNetwork)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16, torch.float16])
def test_weights_of_every_type_are_taken_exactly(dtype: Any) -> None:
    torch.manual_seed(0)
    module = Forward(lambda m, x: x + m.b(F.gelu(m.a(x))), a=nn.Linear(3, 5), b=nn.Linear(5, 3)).to(dtype)
    network = sdpcert.from_torch(module, (3,))
    wide = copy.deepcopy(module).double()
    x = torch.randn(6, 3, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(network(x.numpy()), wide(x).numpy(), rtol=1e-12, atol=1e-12)


def test_tied_weights_compiled_modules_and_hooks() -> None:
    torch.manual_seed(0)
    tied = Forward(lambda m, x: F.linear(m.a(x), m.a.weight.T), a=nn.Linear(3, 5))
    assert sdpcert.from_torch(tied, (3,)).output_shape == (3,)
    compiled = nn.Sequential(cast(nn.Module, torch.compile(nn.Linear(3, 4))), nn.ReLU())
    assert isinstance(sdpcert.from_torch(compiled, (3,)), ConstructedNetwork)
    assert isinstance(sdpcert.from_torch(cast(nn.Module, torch.compile(compiled)), (3,)), ConstructedNetwork)
    hooked = nn.Sequential(nn.Linear(3, 4))
    hooked[0].register_forward_hook(lambda *call: 3 * call[2])  # type: ignore[operator]
    norm = float(torch.linalg.matrix_norm(hooked[0].weight.detach().double(), 2))  # type: ignore[union-attr]
    network = sdpcert.from_torch(hooked, (3,))
    assert sdpcert.certify(network, method="product").upper == pytest.approx(3 * norm)


def branch(module: Any, x: Tensor) -> Tensor:
    if x.sum() > 0:
        return x
    return -x


def writes_a_view(module: Any, x: Tensor) -> Tensor:
    y = 2 * x
    y.view(-1, 3, 2).relu_()
    return y


REFUSED: dict[str, tuple[Callable[[], nn.Module], str]] = {
    "softmax": (lambda: nn.Sequential(nn.Linear(6, 6), nn.Softmax(1)), r"'1' \(Softmax\).*softmax.*logits"),
    "layer norm": (lambda: nn.Sequential(nn.Sequential(nn.LayerNorm(6))), r"'0.0' \(LayerNorm\).*layer_norm"),
    "lstm": (lambda: Forward(lambda m, x: m.r(x[:, None])[0], r=nn.LSTM(6, 6)), r"'r' \(LSTM\).*lstm.*gates"),
    "attention": (
        lambda: Forward(lambda m, x: m.a(*3 * [x[:, None]])[0], a=nn.MultiheadAttention(6, 2, batch_first=True)),
        r"'a' \(MultiheadAttention\).*attention has no global",
    ),
    "transposed": (
        lambda: Forward(lambda m, x: m.c(x.view(-1, 1, 1, 2, 3)), c=nn.ConvTranspose3d(1, 1, (1, 2, 2))),
        "conv_transpose3d.*two spatial axes",
    ),
    "projection": (lambda: nn.Sequential(nn.Identity(), ProjectionPooling(6)), "'1'.*ProjectionPooling.*wedge"),
    "norm": (lambda: Forward(lambda m, x: x[:, :3] + torch.linalg.vector_norm(x, dim=1)), "vector_norm.*l2 norms"),
    "control flow": (lambda: Forward(branch), r"control flow that depends on data.*line \d+: if x.sum\(\) > 0"),
    "a number": (lambda: Forward(lambda m, x: x * float(x.max())), "__float__.*a number taken out"),
    "choice": (
        lambda: Forward(lambda m, x: torch.where(x > 0, x, x - 1)),
        "where the choice switches.*torch.relu.*line",
    ),
    "mask": (lambda: Forward(lambda m, x: (x > 0).to(x.dtype)), "where the choice switches"),
    "two masks": (lambda: Forward(lambda m, x: x * ((x > 0) & (x < 1))), "result of __and__ jumps"),
    "product": (lambda: Forward(lambda m, x: x * x), "mul cannot be .*both operands"),
    "quotient": (lambda: Forward(lambda m, x: 1 / (1 + x.abs())), "divisor is computed from"),
    "square": (lambda: Forward(lambda m, x: x.square()), "square.*slope is not bounded"),
    "einsum": (lambda: Forward(lambda m, x: torch.einsum("bi->b", x)), "einsum.*torch.matmul"),
    "unknown": (lambda: Forward(lambda m, x: torch.special.i0(x)), "i0 cannot.*certify what is before"),
    "random": (lambda: Forward(lambda m, x: F.dropout(x)), "dropout.*training=self.training"),
    "threshold": (lambda: nn.Threshold(0.1, 20.0), "it jumps"),
    "batch statistics": (lambda: nn.BatchNorm1d(6, track_running_stats=False), "statistics of the batch"),
    "writing": (lambda: Forward(lambda m, x: (y := 2 * x, y.__setitem__((0, 0), 1.0))[0]), "__setitem__.*torch.cat"),
    "a view": (lambda: Forward(writes_a_view), "shares memory"),
    "mixed batch": (lambda: Forward(lambda m, x: x - x.mean(0)), "mixes the samples"),
    "no batch": (lambda: Forward(lambda m, x: x[0]), "keep the batch axis"),
    "two outputs": (lambda: Forward(lambda m, x: (x, x)), "returns a tuple"),
    "constant": (lambda: Forward(lambda m, x: torch.ones(len(x), 2)), "does not depend on its input"),
    "comparison": (lambda: Forward(lambda m, x: x > 0), "type torch.bool"),
    "two inputs": (lambda: nn.Bilinear(6, 6, 2), "does not run on inputs of shape"),
    "another shape": (lambda: nn.Linear(5, 2), r"does not run on inputs of shape \(6,\)"),
    "complex": (lambda: nn.Linear(6, 2, dtype=torch.complex64), "'weight' is complex"),
    "without weights": (lambda: nn.Linear(6, 2, device="meta"), "'weight' is on the device meta and has no numbers"),
    "without shape": (lambda: nn.LazyLinear(2), "no shape yet"),
    "narrow cast": (lambda: Forward(lambda m, x: x.half().float()), "half.*rounds"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused_by_name(name: str) -> None:
    make, message = REFUSED[name]
    with pytest.raises(sdpcert.UnsupportedModel, match=message) as caught:
        sdpcert.from_torch(make(), (6,))
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")
def test_torchscript_is_refused() -> None:
    with pytest.raises(sdpcert.UnsupportedModel, match="'0' is TorchScript"):
        sdpcert.from_torch(nn.Sequential(torch.jit.script(nn.Linear(3, 2))), (3,))


def test_numbers_that_are_not_finite_are_refused() -> None:
    module = nn.Sequential(nn.Linear(3, 2))
    with torch.no_grad():
        module[0].weight[0, 0] = float("nan")  # type: ignore[operator]
    with pytest.raises(sdpcert.UnsupportedModel, match=r"'0.weight' is not finite"):
        sdpcert.from_torch(module, (3,))
    shift = Forward(lambda m, x: x + m.shift)
    shift.register_buffer("shift", torch.tensor([0.0, float("inf"), 0.0]))
    with pytest.raises(sdpcert.UnsupportedModel, match=r"add cannot.*'shift'.*not finite"):
        sdpcert.from_torch(shift, (3,))


READERS = pytest.mark.parametrize("read", [sdpcert.from_torch, torch_modules.from_torch])


@READERS
@pytest.mark.parametrize("shape", [(), (0,), (-3,), 0, -3, (10**6, 10**6)])
def test_input_shapes_that_are_none(read: Any, shape: Any) -> None:
    with pytest.raises(ValueError, match="input"):
        read(nn.ReLU(), shape)


@READERS
@pytest.mark.parametrize("shape", [(2.5,), (True,), ("3",), "ab", b"ab", None, True, 2.5, {5: 1}])
def test_input_shapes_of_wrong_types(read: Any, shape: Any) -> None:
    with pytest.raises(TypeError, match=r"^(an entry of )?input_shape is (an integer|a sequence of lengths)") as caught:
        read(nn.ReLU(), shape)
    assert "\n" not in str(caught.value)


@READERS
@pytest.mark.parametrize("shape", [5, np.int64(5), (5,), [5], np.array([5]), torch.Size([5])])
def test_input_shapes_of_one_axis(read: Any, shape: Any) -> None:
    assert read(nn.Linear(5, 2), shape).input_shape == (5,)


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(TypeError, match="not function"):
        sdpcert.from_torch(lambda x: x, (3,))  # type: ignore[arg-type]


def test_a_failing_trace_leaves_no_trace() -> None:
    module = nn.Sequential(nn.Linear(6, 6), nn.Softmax(1))
    for _ in range(2):
        with pytest.raises(sdpcert.UnsupportedModel, match="Softmax"):
            sdpcert.from_torch(module, (6,))
    assert module(torch.zeros(1, 6)).shape == (1, 6)


def test_from_torch_is_the_first_thing_that_is_imported() -> None:
    code = "import sdpcert, torch; print(sdpcert.from_torch(torch.nn.Linear(3, 2), (3,)).output_shape)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "(2,)", done.stderr

"""Activations that torch executes in pieces: where the pieces do not meet, the function has no bounded slope."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.layers import Elementwise, SandwichLinear  # noqa: E402
from sdpcert.network.activations import softplus  # noqa: E402
from sdpcert.readers.errors import UnsupportedModel  # noqa: E402
from sdpcert.torch_modules.activations import half_unit, softplus_jump  # noqa: E402


def around(point: float, dtype: Any, count: int = 64) -> Tensor:
    """The numbers of the type next to a point, in order."""
    values = [torch.tensor(point, dtype=dtype)]
    for end in (-math.inf, math.inf):
        value = torch.tensor(point, dtype=dtype)
        for _ in range(count):
            value = torch.nextafter(value, torch.tensor(end, dtype=dtype))
            values.append(value)
    return torch.stack(sorted(values))


def jump(function: Callable[[Tensor], Tensor], steepest: float, point: float, dtype: Any) -> float:
    """How far neighbouring values are apart beyond what the slope explains, in half units of the type."""
    x = around(point, dtype)
    y = torch.cat([function(v[None]) for v in x]).double()
    beyond = float((y.diff().abs() - steepest * x.double().diff()).max())
    unit = half_unit(dtype, max(abs(point), float(y.abs().max())))
    return beyond / max(unit, torch.finfo(dtype).smallest_normal)


#: Functions, a bound of their slopes, and where torch's kernels change from one formula to another.
PIECES: dict[str, tuple[Callable[[Tensor], Tensor], float, tuple[float, ...]]] = {
    "elu": (F.elu, 1.0, (0.0,)),
    "steep elu": (lambda x: F.elu(x, 3.0), 3.0, (0.0,)),
    "celu": (lambda x: F.celu(x, 0.5), 1.0, (0.0,)),
    "selu": (F.selu, 1.7581, (0.0,)),
    "gelu": (F.gelu, 1.129, (0.0, 1.414, -1.414, 5.0, -9.0)),
    "gelu by tanh": (lambda x: F.gelu(x, approximate="tanh"), 1.129, (0.0, 1.0, -1.0, 4.0, -4.0)),
    "silu": (F.silu, 1.1, (0.0, 20.0, -20.0, 88.0, -88.0)),
    "mish": (F.mish, 1.09, (0.0, 8.0, 20.0, -20.0, 40.0)),
    "hardswish": (F.hardswish, 1.5, (-3.0, 0.0, 3.0)),
    "hardsigmoid": (F.hardsigmoid, 0.17, (-3.0, 3.0)),
    "softshrink": (F.softshrink, 1.0, (-0.5, 0.5)),
    "tanhshrink": (F.tanhshrink, 1.0, (0.0, 0.625, 9.0)),
    "hardtanh": (F.hardtanh, 1.0, (-1.0, 1.0)),
    "logsigmoid": (F.logsigmoid, 1.0, (0.0, 20.0, -20.0, -88.0)),
    "sigmoid": (torch.sigmoid, 0.25, (0.0, 20.0, -20.0)),
    "tanh": (torch.tanh, 1.0, (0.0, 0.55, 0.625, 9.0, 20.0)),
    "softsign": (F.softsign, 1.0, (0.0,)),
    "atan": (torch.atan, 1.0, (0.0, 0.4375, 1.0, 2.4375)),
    "sin": (torch.sin, 1.0, (0.0, math.pi / 4, 1000.0)),
    "softplus": (lambda x: F.softplus(x, threshold=34), 1.0, (0.0, 34.0)),
    "inside layers": (softplus().on_torch, 1.0, (0.0, 20.0, 40.0)),
    "as a layer": (Elementwise("softplus"), 1.0, (0.0, 20.0, 40.0)),
}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("name", PIECES)
def test_the_pieces_of_what_is_read_meet(name: str, dtype: Any) -> None:
    function, steepest, points = PIECES[name]
    assert max(jump(function, steepest, point, dtype) for point in points) <= 4


def test_the_measure_sees_a_jump() -> None:
    assert jump(F.softplus, 1.0, 20.0, torch.float64) > 1e5
    assert jump(F.softplus, 1.0, 20.0, torch.float32) <= 4


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("beta", [1.0, 0.25, 5.0])
@pytest.mark.parametrize("threshold", [3.0, 10.0, 15.0, 20.0, 33.0, 40.0])
def test_softplus_is_refused_where_its_type_shows_the_jump(dtype: Any, beta: float, threshold: float) -> None:
    module = nn.Sequential(nn.Linear(1, 1), nn.Softplus(beta, threshold)).to(dtype)
    if softplus_jump(beta, threshold) <= half_unit(dtype, threshold / beta):
        assert sdpcert.from_torch(module, (1,)).neurons == 1
        return
    with pytest.raises(UnsupportedModel, match=r"it jumps by .* give it threshold=\d+") as caught:
        sdpcert.from_torch(module, (1,))
    remedy = int(str(caught.value).split("threshold=")[1].split(",")[0])
    module[1] = nn.Softplus(beta, remedy)
    assert sdpcert.from_torch(module, (1,)).neurons == 1


def test_the_usual_softplus_is_read_in_float32_and_refused_in_float64() -> None:
    module = nn.Sequential(nn.Linear(1, 1), nn.Softplus())
    assert sdpcert.from_torch(module, (1,)).neurons == 1
    with pytest.raises(UnsupportedModel, match="threshold=34, or use the module in float32"):
        sdpcert.from_torch(module.double(), (1,))


@pytest.mark.parametrize(("beta", "threshold"), [(1.0, 0.0), (1.0, -5.0), (1.0, -1e9), (-1.0, 20.0), (0.0, 20.0)])
def test_other_thresholds_and_factors_are_refused(beta: float, threshold: float) -> None:
    with pytest.raises(UnsupportedModel, match=r"jumps|only positive"):
        sdpcert.from_torch(nn.Softplus(beta, threshold), (1,))


def test_the_type_is_that_of_the_tensor_not_of_the_module() -> None:
    class Wide(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(1, 1)

        def forward(self, x: Tensor) -> Tensor:
            return F.softplus(self.linear(x).double()).float()

    with pytest.raises(UnsupportedModel, match=r"half a unit of torch.float64"):
        sdpcert.from_torch(Wide(), (1,))


def test_softplus_inside_a_layer_runs_without_a_jump() -> None:
    torch.manual_seed(0)
    layer = SandwichLinear(1, 1, activation="softplus").double().eval()
    with torch.no_grad():
        layer.tall.fill_(0.5)
        hidden = layer.materialised().hidden
        assert hidden is not None and hidden.bias is not None
        weight = float(hidden.inward.weight)
        points = (torch.tensor([[20 - 1e-12], [20 + 1e-12]], dtype=torch.float64) - float(hidden.bias)) / weight
        ratio = float((layer(points[:1]) - layer(points[1:])).abs() / (points[0] - points[1]).abs())
    assert ratio <= 1.01

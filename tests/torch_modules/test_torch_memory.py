"""Torch modules that change shared memory in place, or compute something else than their class says.

Their outputs are small beside their inputs, where a comparison of outputs on random inputs sees nothing.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.layers import AOLLinear  # noqa: E402
from sdpcert.readers.errors import UnsupportedModel  # noqa: E402


class Small(nn.Module):
    """A dense layer, what `change` makes of its output, and a dense layer with weights of 1e-7."""

    def __init__(self, change: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.inward, self.outward = nn.Linear(3, 4, bias=False), nn.Linear(4, 2, bias=False)
        self.outward.weight.data *= 1e-7
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.outward(self.change(self.inward(x)))


def part(y: Tensor) -> Tensor:
    y[:, :2].mul_(100.0)
    return y


def chunk(y: Tensor) -> Tensor:
    first, _ = y.chunk(2, 1)
    first *= 100.0
    return y


def base(y: Tensor) -> Tensor:
    view = y.view(-1, 2, 2)
    y.mul_(100.0)
    return view.flatten(1)


def detached(y: Tensor) -> Tensor:
    y.detach().mul_(100.0)
    return y


def dropped(y: Tensor) -> Tensor:
    nn.functional.dropout(y, training=False).mul_(100.0)
    return y


def transposed(y: Tensor) -> Tensor:
    turned = y.t()
    turned.contiguous().mul_(0.01)  # a copy
    return turned.t()


@pytest.mark.parametrize("change", [part, chunk, base, detached, dropped, transposed])
def test_memory_changed_behind_another_tensor_is_refused(change: Callable[[Tensor], Tensor]) -> None:
    with pytest.raises(UnsupportedModel, match="shares memory"):
        sdpcert.from_torch(Small(change), (3,))


def last_view(y: Tensor) -> Tensor:
    return y.view(-1, 2, 2).mul_(100.0).flatten(1)


def cloned(y: Tensor) -> Tensor:
    copy = y.clone()
    copy.relu_().mul_(0.0)
    return 100.0 * y


@pytest.mark.parametrize("change", [last_view, cloned])
def test_memory_that_is_not_read_again_may_change(change: Callable[[Tensor], Tensor]) -> None:
    module = Small(change)
    matrix = 100 * module.outward.weight.detach().double() @ module.inward.weight.detach().double()
    cert = sdpcert.certify(sdpcert.from_torch(module, (3,)))
    norm = float(torch.linalg.matrix_norm(matrix, 2))
    assert norm <= cert.upper * (1 + 1e-12) and cert.upper <= norm * (1 + 1e-6)


def steep(y: Tensor) -> Tensor:
    """The identity, but for values that no random input reaches."""
    return y + 100 * torch.relu(y - 1e5)


class Steep(AOLLinear):
    def forward(self, inputs: Tensor) -> Tensor:
        return steep(super().forward(inputs))


class SteepConvolution(nn.Conv2d):
    def _conv_forward(self, *arguments: object) -> Tensor:
        return steep(super()._conv_forward(*arguments))  # type: ignore[arg-type]


def patched(module: nn.Module) -> nn.Module:
    forward = module.forward
    module.forward = lambda x: steep(forward(x))
    return module


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda: nn.Sequential(Steep(3, 3), nn.ReLU()), (3,)),
        (lambda: nn.Sequential(patched(AOLLinear(3, 3)), nn.ReLU()), (3,)),
        (lambda: nn.Sequential(patched(nn.Linear(3, 3)), nn.ReLU()), (3,)),
        (lambda: nn.Sequential(patched(nn.Conv2d(1, 1, 3, padding=1, padding_mode="circular"))), (1, 3, 3)),
        (lambda: nn.Sequential(SteepConvolution(1, 1, 3, padding=1)), (1, 3, 3)),
    ],
    ids=["subclass", "layer", "stock", "circular", "convolution"],
)
def test_a_forward_of_its_own_is_what_counts(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    module = make().double().eval()
    points = 1e7 * torch.randn(20, *shape, dtype=torch.float64)
    jacobians = [torch.autograd.functional.jacobian(lambda x: module(x[None])[0].ravel(), p) for p in points]
    steepest = max(float(torch.linalg.matrix_norm(j.flatten(1), 2)) for j in jacobians)  # type: ignore[union-attr]
    assert steepest > 10
    network = sdpcert.from_torch(module, shape)
    assert sdpcert.certify(network, method="product").upper >= steepest * (1 - 1e-9)


class Counting(Small):
    """A module that computes something else each time it is called."""

    def __init__(self) -> None:
        super().__init__(lambda y: y)
        self.calls = 0

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        return super().forward(x) * self.calls


def test_small_outputs_are_compared_too() -> None:
    with pytest.raises(UnsupportedModel, match="differ from the module's"):
        sdpcert.from_torch(Counting(), (3,))
    zero = Small(lambda y: y - y)
    assert sdpcert.certify(sdpcert.from_torch(zero, (3,)), method="product").upper < 1e-20


@pytest.mark.parametrize("scale", [1e-200, 1.5e-172])
def test_a_factor_that_underflows_is_refused(scale: float) -> None:
    """Batch normalisation with a factor of 1e-350 or 1e-322, and dense layers that bring it back to 1."""
    normal = nn.BatchNorm1d(1).double()
    normal.weight.data[:], normal.running_var[:] = scale, 1e300  # type: ignore[index]
    large = [nn.Linear(1, 1, bias=False).double() for _ in range(2)]
    for layer in large:
        layer.weight.data[:] = 1e175
    with pytest.raises(UnsupportedModel, match="underflow"):
        sdpcert.from_torch(nn.Sequential(normal, nn.ReLU(), large[0], nn.ReLU(), large[1]), (1,))

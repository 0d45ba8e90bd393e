"""from_torch compares with the module as given, and leaves it, and torch, as they were."""

from __future__ import annotations

import functools
import types
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402
from torch.nn.utils import parametrizations, parametrize  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.layers import AOLLinear, lipschitz  # noqa: E402
from sdpcert.network.construction import ConstructedNetwork  # noqa: E402
from sdpcert.readers.errors import UnsupportedModel  # noqa: E402


def network() -> Any:
    return nn.Sequential(
        nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Flatten(), nn.Dropout(0.5), nn.Linear(18, 3)
    )


def eager(function: Callable[..., Any]) -> Callable[..., Any]:
    return torch.compile(function, backend="eager")


def compiled() -> Any:
    module = network()
    module.forward = eager(module.forward)
    return module


def compiled_parts() -> Any:
    module = network()
    for part in module:
        part.forward = eager(part.forward)
    return module


def closure() -> Any:
    module = network()
    before = module.forward
    module.forward = lambda x: 2 * before(x)
    return module


def partial() -> Any:
    module = network()
    module.forward = functools.partial(lambda m, x: 3 * nn.Sequential.forward(m, x), module)
    return module


def method() -> Any:
    module = network()
    module.forward = types.MethodType(lambda m, x: 3 * nn.Sequential.forward(m, x), module)
    return module


class Decorated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    @eager
    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Remembering(nn.Module):
    """A module that writes into itself in every way."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = network()
        self.calls, self.log = 0, ["made"]
        self.known: dict[str, Any] = {"first": 1}
        self.register_buffer("count", torch.zeros(3))
        self.register_buffer("average", torch.full((1,), float("nan")))

    def forward(self, x: Tensor) -> Tensor:
        self.calls += 1
        self.log.append("called")
        self.known["shape"] = x.shape
        self.last = x
        self.count += 1
        self.average = 0.9 * self.average
        self.inner[5].weight.requires_grad_(False)
        self.inner[5].weight.data = self.inner[5].weight.data.clone()
        return self.inner(x) + 0 * torch.randn(3)


class Merging(nn.Module):
    """Evaluation mode merges weights, as low-rank adapters do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner, self.merged = network(), False

    def train(self, mode: bool = True) -> Any:
        if mode == self.merged:
            self.inner[5].weight.data *= 0.5 if mode else 2.0
            self.merged = not mode
        return super().train(mode)

    def forward(self, x: Tensor) -> Tensor:
        return self.inner(x)


class Training(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = network()

    def forward(self, x: Tensor) -> Tensor:
        return self.inner.train()(x)


def spectral() -> Any:
    module = network()
    module[5] = nn.utils.spectral_norm(module[5])
    return module


def parametrised() -> Any:
    module = network()
    parametrizations.spectral_norm(module[5])
    lipschitz(module[0], family="aol")
    return module


def snapshot(module: nn.Module) -> list[Any]:
    found: list[Any] = [torch.get_rng_state()]
    for part in module.modules():
        for name, value in sorted(vars(part).items()):
            held = value.values() if isinstance(value, dict) else value if isinstance(value, list) else [value]
            found += [name, len(list(held))]
            found += [x.detach().clone() if isinstance(x, Tensor) else x for x in held]
            found += [(id(x), x.requires_grad, x.data_ptr()) for x in held if isinstance(x, Tensor)]
    return found


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, Tensor) and isinstance(second, Tensor):
        return torch.equal(first.nan_to_num(77.0), second.nan_to_num(77.0))
    return first is second or bool(first == second)


MODULES = [network, compiled, compiled_parts, closure, partial, method, Decorated, Remembering, Merging, spectral]
MODULES += [parametrised]


@pytest.mark.parametrize("make", MODULES)
@pytest.mark.parametrize("training", [True, False])
def test_the_module_is_left_as_it_was(make: Callable[[], nn.Module], training: bool) -> None:
    torch.manual_seed(0)
    module = make()
    if training:
        module(torch.randn(4, 1, 3, 3))
    module.train(training)
    before = snapshot(module)
    read = sdpcert.from_torch(module, (1, 3, 3))
    assert all(equal(a, b) for a, b in zip(before, snapshot(module), strict=True))
    x = torch.randn(6, 1, 3, 3, generator=torch.Generator().manual_seed(1))
    with torch.no_grad(), torch.compiler.set_stance("force_eager"):
        np.testing.assert_allclose(read(x.numpy()), module.eval()(x).numpy(), rtol=1e-4, atol=1e-5)


def test_a_compiled_forward_keeps_what_a_chain_knows() -> None:
    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Conv2d(1, 2, 3, padding=1, padding_mode="circular"), nn.ReLU(), nn.Flatten())
    module[0].forward = eager(module[0].forward)
    module.forward = eager(module.forward)
    assert isinstance(sdpcert.from_torch(module, (1, 3, 3)), ConstructedNetwork)


@pytest.mark.parametrize(
    ("make", "reason"),
    [(lambda: nn.Sequential(network(), nn.Softmax(1)), "softmax"), (Training, "statistics of the batch")],
)
def test_a_failing_run_leaves_the_module_as_it_was(make: Callable[[], nn.Module], reason: str) -> None:
    module = make().train()
    before = snapshot(module)
    with pytest.raises(UnsupportedModel, match=reason):
        sdpcert.from_torch(module, (1, 3, 3))
    assert all(equal(a, b) for a, b in zip(before, snapshot(module), strict=True))


def test_what_runs_inside_a_context_that_keeps_weights_is_compared() -> None:
    torch.manual_seed(0)
    module: Any = lipschitz(nn.Linear(4, 4), family="aol").eval()
    with parametrize.cached():
        with torch.no_grad():
            module.weight.mul_(10)
        assert sdpcert.certify(sdpcert.from_torch(module, (4,)), method="product").upper > 5
    assert sdpcert.certify(sdpcert.from_torch(module, (4,)), method="product").upper <= 1


def test_a_cache_that_was_written_into_is_what_counts() -> None:
    torch.manual_seed(0)
    layer = AOLLinear(4, 4).eval()
    with torch.no_grad():
        layer(torch.zeros(1, 4))
        assert layer._cache is not None
        for tensor in layer._cache[1].tensors():
            tensor.mul_(10)
        x, y = torch.randn(2, 500, 4)
        attained = float(((layer(x) - layer(y)).norm(dim=1) / (x - y).norm(dim=1)).max())
    assert attained <= sdpcert.certify(sdpcert.from_torch(layer, (4,)), method="product").upper * (1 + 1e-5)


class Subtracting(nn.Module):
    """What many public networks begin with: a normalisation that writes into its input."""

    def __init__(self) -> None:
        super().__init__()
        self.mean = nn.Parameter(torch.tensor([0.3, -0.2, 0.5]))
        self.linear = nn.Linear(3, 2)

    def forward(self, x: Tensor) -> Tensor:
        x -= self.mean
        x.div_(0.25)
        return self.linear(x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: nn.Sequential(nn.LeakyReLU(0.2, inplace=True), nn.Linear(3, 2)),
        lambda: nn.Sequential(nn.ELU(inplace=True), nn.SiLU(inplace=True), nn.Linear(3, 2)),
        lambda: nn.Sequential(nn.ReLU6(inplace=True)),
        Subtracting,
    ],
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_module_that_writes_into_its_input_is_read(make: Callable[[], nn.Module], dtype: Any) -> None:
    torch.manual_seed(0)
    module = make().to(dtype).eval()
    x = 2 * torch.randn(30, 3, dtype=dtype)
    with torch.no_grad():
        found = sdpcert.from_torch(module, (3,))(x.double().numpy())
        np.testing.assert_allclose(found, module(x.clone()).numpy(), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("make", "shape"),
    [
        (lambda mode: nn.Conv2d(1, 2, 3, padding=1, padding_mode=mode), (1, 5, 5)),
        (lambda mode: nn.Conv2d(2, 4, (3, 2), 2, (1, 2), groups=2, padding_mode=mode), (2, 5, 6)),
        (lambda mode: nn.Conv2d(1, 2, (3, 2), padding="same", dilation=(1, 2), padding_mode=mode), (1, 5, 5)),
        (lambda mode: nn.Conv1d(2, 3, 3, padding=2, padding_mode=mode), (2, 5)),
    ],
)
@pytest.mark.parametrize("mode", ["reflect", "replicate", "circular"])
def test_a_convolution_that_pads_by_its_image_is_exact(make: Any, shape: tuple[int, ...], mode: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(make(mode), nn.Tanh()).double().eval()
    x = torch.randn(8, *shape, dtype=torch.float64)
    read = sdpcert.from_torch(module, shape)
    with torch.no_grad():
        np.testing.assert_allclose(read(x.numpy()), module(x).numpy(), rtol=1e-12, atol=1e-13)
    matrix = torch.autograd.functional.jacobian(lambda v: module[0](v[None])[0].ravel(), x[0])
    norm = float(torch.linalg.matrix_norm(matrix.flatten(1), 2))  # type: ignore[union-attr]
    upper = sdpcert.certify(sdpcert.from_torch(module[0], shape), method="product").upper
    assert norm * (1 - 1e-12) <= upper <= norm * (1 + 1e-6)


def as_number(log: list[Any], y: Tensor) -> None:
    log.append(float(y.abs().max()))


def as_array(log: list[Any], y: Tensor) -> None:
    log.append(y.detach().cpu().numpy())


def as_check(log: list[Any], y: Tensor) -> None:
    if torch.isnan(y).any():
        raise ValueError("not a number")


def as_statistic(log: list[Any], y: Tensor) -> None:
    log.append(y.std())


def as_histogram(log: list[Any], y: Tensor) -> None:
    np.histogram(y, 10)  # type: ignore[call-overload]


@pytest.mark.parametrize("look", [as_number, as_array, as_check, as_statistic, as_histogram])
@pytest.mark.parametrize("register", ["register_forward_hook", "register_forward_pre_hook"])
def test_a_hook_that_only_looks_on_is_to_be_removed(look: Callable[..., None], register: str) -> None:
    log: list[Any] = []
    module = network()

    def watch(part: nn.Module, *tensors: Any) -> None:
        value = tensors[-1]
        look(log, value[0] if isinstance(value, tuple) else value)

    handle = getattr(module[2], register)(watch)
    with pytest.raises(UnsupportedModel, match=r"hook 'as_\w+'|hook 'watch'") as caught:
        sdpcert.from_torch(module, (1, 3, 3))
    assert "remove the hook" in str(caught.value)
    handle.remove()
    assert sdpcert.from_torch(module, (1, 3, 3)).neurons == 18


def test_the_same_operation_outside_a_hook_says_nothing_of_hooks() -> None:
    class Inside(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x * float(x.sum())

    module = nn.Sequential(Inside())
    module.register_forward_hook(lambda *call: None)
    with pytest.raises(UnsupportedModel, match="a number taken out") as caught:
        sdpcert.from_torch(module, (3,))
    assert "hook" not in str(caught.value)


@pytest.mark.parametrize("scale", [3e3, 3e4])
def test_an_overflow_is_the_reason_that_is_given(scale: float) -> None:
    torch.manual_seed(0)
    module: Any = lipschitz(nn.Linear(4, 4), family="aol").half()
    module = nn.Sequential(module, nn.ReLU(), nn.Linear(4, 4).half())
    with torch.no_grad():
        module[2].weight.mul_(scale)
    with pytest.raises(UnsupportedModel, match=r"overflow torch.float16 on \d+ of 10 .*wider type") as caught:
        sdpcert.from_torch(module, (4,))
    assert "please report" not in str(caught.value)


def test_what_overflows_in_half_precision_alone_is_compared_in_double() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    with torch.no_grad():
        module[2].weight.mul_(3e3)  # type: ignore[operator]
    network = sdpcert.from_torch(module.half(), (4,))
    x = torch.randn(5, 4, dtype=torch.float64)
    with torch.no_grad():
        np.testing.assert_allclose(network(x.numpy()), module.double()(x).numpy(), rtol=1e-12)


@pytest.mark.parametrize("scales", [(1e200, 1.0), (1e120, 1e120), (1e300, 0.0)])
def test_norms_whose_squares_overflow_are_no_traceback(scales: tuple[float, float]) -> None:
    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        for layer, scale in zip((module[0], module[2]), scales, strict=True):
            layer.weight.mul_(scale)
    assert not isinstance(sdpcert.from_torch(module, (2,)), ConstructedNetwork)


def test_outputs_that_overflow_double_precision_are_the_reason() -> None:
    torch.manual_seed(0)
    module: Any = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        for layer in (module[0], module[2]):
            layer.weight.mul_(1e250)
    with pytest.raises(UnsupportedModel, match=r"overflow torch.float64.*scale its weights"):
        sdpcert.from_torch(module, (2,))

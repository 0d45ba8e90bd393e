"""Writing into what a layer hands out changes nothing that runs, and whatever changes a layer changes its weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn  # noqa: E402

import sdpcert  # noqa: E402
from sdpcert.layers import FAMILIES, MLPHead, SandwichLinear, lipschitz  # noqa: E402
from sdpcert.torch_modules.block import Block, Hidden  # noqa: E402


def scaled(weight: Tensor) -> None:
    with torch.no_grad():
        weight.mul_(10)


def copied_into(weight: Tensor) -> None:
    with torch.no_grad():
        weight.copy_(10 * weight)


def by_data(weight: Tensor) -> None:
    weight.data.mul_(10)
    weight.data = 10 * weight.data


def by_index(weight: Tensor) -> None:
    with torch.no_grad():
        weight[0] = 100.0


def by_numpy(weight: Tensor) -> None:
    weight.detach().numpy()[:] *= 10


WRITERS = [scaled, copied_into, by_data, by_index, by_numpy]
LINEAR = [f.name for f in FAMILIES if f.dense is not None]


def parametrised(name: str) -> Any:
    try:
        return lipschitz(nn.Linear(4, 4), family=name).eval()
    except ValueError:
        pytest.skip(f"{name} parametrises no stock module")


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("name", LINEAR)
def test_the_weight_of_a_parametrised_module_is_a_copy(name: str, write: Callable[[Tensor], None]) -> None:
    torch.manual_seed(0)
    module = parametrised(name)
    x = torch.randn(64, 4)
    with torch.no_grad():
        before = module(x)
        write(module.weight)
        assert torch.equal(module(x), before)
        assert float(torch.linalg.matrix_norm(module.weight.double(), 2)) <= 1
    assert sdpcert.certify(sdpcert.from_torch(module, (4,)), method="product").upper <= 1


def held(value: Any) -> list[Tensor]:
    """Every tensor that a block holds, multipliers among them."""
    if isinstance(value, Tensor):
        return [value]
    parts = list(value) if isinstance(value, tuple) else list(getattr(value, "__dict__", {}).values())
    return [tensor for part in parts for tensor in held(part)]


@pytest.mark.parametrize("write", WRITERS)
@pytest.mark.parametrize("hand_out", ["materialised", "current", "export"])
@pytest.mark.parametrize("name", [f.name for f in FAMILIES])
def test_what_a_layer_hands_out_is_a_copy(name: str, hand_out: str, write: Callable[[Tensor], None]) -> None:
    family = next(f for f in FAMILIES if f.name == name)
    if family.dense is None:
        pytest.skip("it has no dense layer")
    torch.manual_seed(0)
    layer: Any = family.dense(4, 4).double().eval()
    x = torch.randn(16, 4, dtype=torch.float64)
    with torch.no_grad():
        before, upper = layer(x), layer.squared_constant()
        given = getattr(layer, hand_out)()
        tensors = held(given) if isinstance(given, Block) else list(given.parameters())
        if isinstance(given, Block) and isinstance(given.hidden, Hidden):
            assert any(t is given.hidden.multipliers for t in tensors)
        for tensor in tensors:
            write(tensor)
        assert torch.equal(layer(x), before)
        assert layer.squared_constant() == upper


def test_settings_count_as_parameters_do() -> None:
    torch.manual_seed(0)
    x = torch.randn(16, 4)
    layer = SandwichLinear(4, 4, gamma=8.0).eval()
    with torch.no_grad():
        layer(x)
        layer.gamma = 1.0
        fresh = SandwichLinear(4, 4, gamma=1.0).eval()
        fresh.load_state_dict(layer.state_dict())
        assert torch.equal(layer(x), fresh(x))
    head = MLPHead(4, 5, 3)
    inputs = torch.randn(8, 4)
    head.radius(inputs)
    head.beta = 4.0
    other = MLPHead(4, 5, 3, beta=4.0)
    other.load_state_dict(head.state_dict())
    assert torch.equal(head.radius(inputs), other.radius(inputs))

"""The gradient of sorted pairs, beside that of torch's minimum and maximum."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from torch import Tensor  # noqa: E402

from sdpcert.layers import MaxMin  # noqa: E402


def stock(inputs: Tensor) -> Tensor:
    first, second = inputs[:, 0::2], inputs[:, 1::2]
    return torch.stack([torch.minimum(first, second), torch.maximum(first, second)], dim=2).flatten(1, 2)


@pytest.mark.parametrize("shape", [(3, 4), (2, 6, 3, 5), (0, 4)])
def test_derivatives_of_every_kind_are_those_of_minimum_and_maximum(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    inputs = torch.randn(shape, dtype=torch.float64, requires_grad=True)
    weights, direction = torch.randn(shape, dtype=torch.float64), torch.randn(shape, dtype=torch.float64)
    found = []
    for function in (MaxMin(), stock):
        outputs = function(inputs)
        (gradient,) = torch.autograd.grad((outputs**2 * weights).sum(), inputs, create_graph=True)
        (twice,) = torch.autograd.grad((gradient * direction).sum(), inputs)
        _, forward = torch.func.jvp(function, (inputs,), (direction,))
        found.append((outputs, gradient, twice, forward))
    for ours, torchs in zip(*found, strict=True):
        assert torch.equal(ours, torchs)


def test_equal_values_hand_on_what_they_are_given() -> None:
    inputs = torch.ones(1, 2, requires_grad=True)
    MaxMin()(inputs)[0, 1].backward()
    assert inputs.grad is not None and float(inputs.grad.sum()) == 1

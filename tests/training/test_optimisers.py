"""Optimisers by configuration: slow weights against a slow reference, and through a saved state."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from sdpcert.training.optimisers import make_optimiser, optimiser_tensors, restore_optimiser  # noqa: E402
from sdpcert.training.settings import AdamSettings, SGDSettings  # noqa: E402

KINDS = [
    SGDSettings(name="sgd", learning_rate=0.1, momentum=0.5),
    SGDSettings(name="sgd", learning_rate=0.1, momentum=0.0),
    AdamSettings(name="adam", learning_rate=0.1),
    AdamSettings(name="adamw", learning_rate=0.1),
    AdamSettings(name="nadam", learning_rate=0.1),
]


def step(module: Any, optimiser: Any) -> None:
    optimiser.zero_grad()
    (module.weight - torch.tensor([[1.0, -2.0]])).square().sum().backward()
    optimiser.step()


def fresh() -> nn.Linear:
    torch.manual_seed(0)
    return nn.Linear(2, 1, bias=False)


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: s.name)
def test_slow_weights_follow_every_so_many_steps(settings: Any) -> None:
    module, plain = fresh(), fresh()
    ahead = make_optimiser(settings.model_copy(update={"lookahead": 3, "slow": 0.25}), module)
    reference = make_optimiser(settings, plain)
    slow = plain.weight.detach().clone()
    for count in range(1, 8):
        step(module, ahead)
        step(plain, reference)
        if count % 3 == 0:
            slow += 0.25 * (plain.weight.detach() - slow)
            with torch.no_grad():
                plain.weight.copy_(slow)
        assert torch.allclose(module.weight, plain.weight, atol=1e-7)


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: s.name)
def test_a_restored_state_goes_on_as_if_nothing_had_happened(settings: Any) -> None:
    settings = settings.model_copy(update={"lookahead": 4})
    module = fresh()
    optimiser = make_optimiser(settings, module)
    for _ in range(6):
        step(module, optimiser)
    kept = {name: value.clone() for name, value in optimiser_tensors(optimiser, module).items()}
    weights = module.weight.detach().clone()
    for _ in range(5):
        step(module, optimiser)
    other = fresh()
    with torch.no_grad():
        other.weight.copy_(weights)
    second = make_optimiser(settings, other)
    restore_optimiser(second, other, kept)
    for _ in range(5):
        step(other, second)
    assert torch.equal(other.weight, module.weight)

"""Optimisers by configuration, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from sdpcert.training.settings import AdamSettings, SGDSettings


def make_optimiser(settings: SGDSettings | AdamSettings, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all parameters of the module."""
    parameters = list(module.parameters())
    made: torch.optim.Optimizer
    if isinstance(settings, SGDSettings):
        made = torch.optim.SGD(
            parameters,
            settings.learning_rate,
            settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov,
        )
    else:
        made = _ADAMS[settings.name](
            parameters, settings.learning_rate, settings.betas, settings.epsilon, weight_decay=settings.weight_decay
        )
    if settings.lookahead:
        _look_ahead(made, module, settings.lookahead, settings.slow)
    return made


#: What Adam is called with which update.
_ADAMS = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "nadam": torch.optim.NAdam}
#: The names of slow weights, and of the steps since they moved, in an optimiser's state.
SLOW, SINCE = "slow weights", "steps since"


def _look_ahead(optimiser: torch.optim.Optimizer, module: nn.Module, steps: int, share: float) -> None:
    """Let slow weights follow every so many steps, and the parameters go on from there; both are in the state.

    Source: Zhang, Lucas, Hinton, Ba, "Lookahead Optimizer: k steps forward, 1 step back", NeurIPS 2019.
    """
    begun = {parameter: parameter.detach().clone() for parameter in module.parameters()}

    @torch.no_grad()
    def follow(optimiser: torch.optim.Optimizer, *_: Any) -> None:
        for parameter, start in begun.items():
            state = optimiser.state[parameter]
            if parameter.grad is None and not state:  # has not moved
                continue
            slow = state.setdefault(SLOW, start.to(parameter.device))
            since = state.setdefault(SINCE, torch.zeros((), dtype=torch.int64))
            since += 1
            if int(since) >= steps:
                slow.lerp_(parameter, share)
                parameter.copy_(slow)
                since.zero_()

    optimiser.register_step_post_hook(follow)


def optimiser_tensors(optimiser: torch.optim.Optimizer, module: nn.Module) -> dict[str, Tensor]:
    """The optimiser's state as tensors named `parameter/key`."""
    found = {}
    for name, parameter in module.named_parameters():
        for key, value in optimiser.state.get(parameter, {}).items():
            if isinstance(value, Tensor):
                found[f"{name}/{key}"] = value
    return found


def restore_optimiser(optimiser: torch.optim.Optimizer, module: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Set the state from what `optimiser_tensors` returned; ValueError for names and shapes that do not fit."""
    parameters = dict(module.named_parameters())
    for full, value in tensors.items():
        name, _, key = full.rpartition("/")
        parameter = parameters.get(name)
        if parameter is None or (value.dim() and value.shape != parameter.shape):
            raise ValueError(f"the optimiser's state {full!r} does not fit the network")
        # Counters stay where the optimiser makes them, on the CPU.
        optimiser.state[parameter][key] = value.clone().to(parameter.device if value.dim() else "cpu")

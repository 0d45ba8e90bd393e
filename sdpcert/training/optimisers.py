"""Optimisers by configuration, and their state as named tensors."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from sdpcert.training.settings import AdamSettings, SGDSettings


def make_optimiser(settings: SGDSettings | AdamSettings, module: nn.Module) -> torch.optim.Optimizer:
    """The optimiser of all parameters of the module."""
    parameters = list(module.parameters())
    if isinstance(settings, SGDSettings):
        return torch.optim.SGD(
            parameters,
            settings.learning_rate,
            settings.momentum,
            weight_decay=settings.weight_decay,
            nesterov=settings.nesterov,
        )
    kind = torch.optim.Adam if settings.name == "adam" else torch.optim.AdamW
    return kind(
        parameters, settings.learning_rate, settings.betas, settings.epsilon, weight_decay=settings.weight_decay
    )


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

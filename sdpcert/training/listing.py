"""What `sdpcert train` says of the presets, without building their networks."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass

from sdpcert.training.config import load_config
from sdpcert.training.presets import preset_names, preset_text


@dataclass(frozen=True)
class Preset:
    """A preset: what it is, its data set, how many parameters its network has, and how long it trains.

    Exactly one of `epochs` and `minutes` is a number.
    """

    name: str
    description: str
    data: str
    parameters: int
    epochs: int | None
    minutes: float | None


def described_presets() -> list[Preset]:
    """All presets by name, with what each states in its table `about` and what follows from its settings."""
    return [_preset(name) for name in preset_names()]


def _preset(name: str) -> Preset:
    about = tomllib.loads(preset_text(name))["about"]
    settings = load_config({"preset": name})
    training = settings.training
    return Preset(
        name, about["description"], settings.data.name, about["parameters"], training.epochs, training.minutes
    )

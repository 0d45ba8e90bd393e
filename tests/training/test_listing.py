"""What is said of the presets is true: their tables `about` against the networks and settings themselves."""

from __future__ import annotations

import pytest
import torch

from sdpcert.training import build_model, described_presets, load_config, preset_names
from sdpcert.training.presets import preset_text

#: Shape of an image and number of classes.
IMAGES = {"digits": ((1, 8, 8), 10), "mnist": ((1, 28, 28), 10), "cifar10": ((3, 32, 32), 10)}
PRESETS = described_presets()


def test_every_preset_is_described() -> None:
    assert [preset.name for preset in PRESETS] == preset_names()
    assert all(len(preset.description) in range(10, 80) for preset in PRESETS)
    assert all((preset.epochs is None) != (preset.minutes is None) for preset in PRESETS)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_parameters_are_those_of_the_network(preset) -> None:
    settings = load_config({"preset": preset.name})
    shape, classes = IMAGES[preset.data]
    with torch.device("meta"):
        network = build_model(settings.model, shape, classes)
    assert sum(parameter.numel() for parameter in network.parameters()) == preset.parameters


def test_a_configuration_may_begin_as_a_copy_of_a_preset(tmp_path) -> None:
    """What a preset says about itself is no setting: neither the run nor its fingerprint depends on it."""
    (tmp_path / "mine.toml").write_text(preset_text("digits"))
    mine, preset = load_config(tmp_path / "mine.toml"), load_config({"preset": "digits"})
    assert mine == preset and "about" not in mine.table()

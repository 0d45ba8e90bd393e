"""Small configurations and generated data files."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("torch")
pytest.importorskip("pydantic")
pytest.importorskip("safetensors")


@pytest.fixture
def small() -> dict[str, Any]:
    """A run of a second on the digits: power iterations, augmentation, averaged weights, six steps an epoch."""
    return {
        "seed": 3,
        "model": {"architecture": "dense", "family": "cpl", "hidden": [24, 24]},
        "loss": {"name": "cross-entropy", "offset": 0.5, "temperature": 0.25, "certificate": 0.1},
        "optimiser": {"name": "adam", "learning_rate": 0.01, "clip": 1.0},
        "augment": {"crop": 1, "flip": True},
        "training": {"epochs": 3, "batch": 240, "averaging": 0.9, "checkpoint_seconds": 0.0},
    }

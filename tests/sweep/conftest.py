"""Small networks, and plans about them."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from sdpcert.sweep import Plan, read_plan


def write_network(path: Path, seed: int, sizes: tuple[int, ...] = (3, 4, 3)) -> Path:
    """A file of a chain of dense layers with random weights."""
    random = np.random.default_rng(seed)
    weights = [random.standard_normal((b, a)) / np.sqrt(a) for a, b in pairwise(sizes)]
    path.parent.mkdir(exist_ok=True)
    np.savez(path, **{f"weight_{k}": weight for k, weight in enumerate(weights)})
    return path


@pytest.fixture
def networks(tmp_path: Path) -> Path:
    """A folder with the networks nets/a.npz and nets/b.npz, and four labelled inputs x.npz."""
    for seed, name in enumerate("ab"):
        write_network(tmp_path / "nets" / f"{name}.npz", seed)
    inputs = np.random.default_rng(2).uniform(size=(4, 3))
    np.savez(tmp_path / "x.npz", inputs=inputs, labels=np.array([0, 1, 2, 0]))
    return tmp_path


@pytest.fixture
def planned(networks: Path) -> Callable[[str], Plan]:
    """Reads the plan of a text, written beside the networks."""

    def read(text: str) -> Plan:
        (networks / "plan.toml").write_text(text, encoding="utf-8")
        return read_plan(networks / "plan.toml")

    return read

"""Ascent with adaptive steps: optima that are known, constraints that hold, and what it adds to the usual search."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from torch import nn  # noqa: E402

from sdpcert.evaluation.adaptive import ascend, checkpoints_of, norms, projected  # noqa: E402
from sdpcert.evaluation.attack import AttackSettings, run_attack  # noqa: E402


def test_checkpoints_are_those_of_the_paper() -> None:
    assert checkpoints_of(100) == [22, 41, 57, 70, 80, 87, 93, 99]


@given(st.integers(0, 1000), st.floats(0.01, 3.0))
@settings(max_examples=30, deadline=None)
def test_points_stay_in_the_ball_and_the_box(seed: int, radius: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    images = torch.rand(4, 1, 3, 3, generator=generator, dtype=torch.float64)
    far = images + 5 * torch.randn(4, 1, 3, 3, generator=generator, dtype=torch.float64)
    points = projected(far, images, radius)
    assert bool((norms(points - images) <= radius).all())
    assert bool(((points >= 0) & (points <= 1)).all())
    assert torch.equal(projected(images, images, radius), images)


def test_a_concave_loss_is_brought_to_its_maximum() -> None:
    """The nearest point of the ball to a far one is known, and no step length of the start would find it."""
    images = torch.full((3, 4), 0.5, dtype=torch.float64)
    goal = torch.tensor([[0.9, 0.5, 0.5, 0.5], [0.7, 0.7, 0.3, 0.5], [0.52, 0.5, 0.5, 0.49]], dtype=torch.float64)

    def objective(points: Any) -> Any:
        return -(points - goal).square().sum(1), -2 * (points - goal), torch.zeros(3, dtype=torch.bool)

    found = ascend(objective, images, 0.2, 100, images)
    away = goal - images
    wanted = images + away * (0.2 / norms(away)).clamp(max=1.0)
    assert torch.allclose(found, wanted, atol=1e-3)


class Ring(nn.Module):
    """Two classes inside and outside of a ring, behind a flat slope that hides the gradient of a fixed step."""

    device, dtype = torch.device("cpu"), torch.float64

    def forward(self, x: Any) -> Any:
        away = (x.flatten(1) - 0.5).square().sum(1).sqrt()
        wave = 0.02 * torch.sin(60 * away)
        logit = (away - 0.2 + wave) * 1e-3
        return torch.stack([-logit, logit, logit - 1.0, logit - 2.0], 1)


def test_strong_settings_find_what_the_distance_allows() -> None:
    generator = torch.Generator().manual_seed(0)
    images = 0.5 + 0.05 * torch.randn(8, 1, 1, 3, generator=generator)
    labels = np.zeros(8, dtype=np.int64)
    network: Any = Ring()

    def surely_wrong(points: Any, labels: Any) -> Any:
        logits = network(points.double())
        return (logits.argmax(1).numpy() != labels) & (logits[:, 0] < logits[:, 1:].amax(1)).numpy()

    strong = run_attack(network, images, labels, [0.35], surely_wrong, AttackSettings.strong())
    usual = run_attack(network, images, labels, [0.35], surely_wrong, AttackSettings())
    assert np.isfinite(strong.distances).sum() >= np.isfinite(usual.distances).sum()
    assert bool(np.isfinite(strong.distances).all())
    assert float(strong.distances.max()) <= 0.35


def test_settings_say_what_was_done() -> None:
    assert AttackSettings().table()["name"] == "decoupled direction and norm, then projected gradient descent"
    assert str(AttackSettings.strong().table()["name"]).endswith(", then with adaptive steps")

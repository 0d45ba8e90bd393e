"""Losses, schedules, augmentation against slow references."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch

from sdpcert.layers import NormalizedHead
from sdpcert.training import load_config
from sdpcert.training.augment import augment, draw
from sdpcert.training.losses import (
    Loss,
    certificate,
    cross_entropy,
    emma,
    gloro,
    hkr,
    logit_annealing,
    make_loss,
    multi_margin,
    row_gaps,
)
from sdpcert.training.schedules import factor
from sdpcert.training.settings import (
    AugmentSettings,
    ConstantSchedule,
    CosineSchedule,
    CrossEntropySettings,
    StepSchedule,
    TriangularSchedule,
)

torch.manual_seed(0)
LOGITS = torch.randn(7, 5, dtype=torch.float64)
LABELS = torch.tensor([0, 1, 2, 3, 4, 0, 2])
LOGITS[torch.arange(0, 7, 2), LABELS[::2]] += 2.0  # some are right
ROWS = [(row, int(label)) for row, label in zip(LOGITS.tolist(), LABELS)]


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


@pytest.mark.parametrize(("offset", "temperature"), [(0.0, 1.0), (1.5, 0.25), (-1.0, 3.0)])
def test_cross_entropy(offset: float, temperature: float) -> None:
    wanted = []
    for row, y in ROWS:
        scores = [(f - offset * (j == y)) / temperature for j, f in enumerate(row)]
        wanted.append(temperature * (math.log(sum(map(math.exp, scores))) - scores[y]))
    assert cross_entropy(LOGITS, LABELS, offset, temperature).item() == pytest.approx(mean(wanted), rel=1e-12)


def test_multi_margin() -> None:
    wanted = [sum(max(0.0, 0.7 - row[y] + f) for j, f in enumerate(row) if j != y) / 5 for row, y in ROWS]
    assert multi_margin(LOGITS, LABELS, 0.7).item() == pytest.approx(mean(wanted), rel=1e-12)


def test_hkr() -> None:
    wanted = []
    for row, y in ROWS:
        apart = row[y] - mean([f for j, f in enumerate(row) if j != y])
        hinge = [max(0.0, 0.4 - f) * 4 if j == y else max(0.0, 0.4 + f) for j, f in enumerate(row)]
        wanted.append(0.9 * mean(hinge) - (1 - 0.9) * apart)
    assert hkr(LOGITS, LABELS, 0.9, 0.8).item() == pytest.approx(mean(wanted), rel=1e-12)


def logarithm_of_sum(values: list[float]) -> float:
    return math.log(sum(map(math.exp, values)))


@pytest.mark.parametrize(("offset", "temperature", "exponent"), [(2.0, 0.75, 5.0), (0.0, 1.0, 0.5), (1.5, 0.25, 0.0)])
def test_logit_annealing(offset: float, temperature: float, exponent: float) -> None:
    wanted = []
    for row, y in ROWS:
        scores = [(f - offset * (j == y)) / temperature for j, f in enumerate(row)]
        each = logarithm_of_sum(scores) - scores[y]
        wanted.append(temperature * (1 - math.exp(-each)) ** exponent * each)
    assert logit_annealing(LOGITS, LABELS, offset, temperature, exponent).item() == pytest.approx(
        mean(wanted), rel=1e-12
    )
    plain = cross_entropy(LOGITS, LABELS, offset, temperature)
    assert logit_annealing(LOGITS, LABELS, offset, temperature, 0.0).item() == pytest.approx(plain.item(), rel=1e-12)


def test_logit_annealing_leaves_samples_with_a_margin_alone() -> None:
    logits = torch.tensor([[9.0, 0.0], [0.5, 0.0]], requires_grad=True)
    logit_annealing(logits, torch.zeros(2, dtype=torch.int64)).backward()
    assert logits.grad is not None
    assert logits.grad[0].abs().max() < 1e-9 < logits.grad[1].abs().max()


@pytest.mark.parametrize("exponent", [0.0, 0.5, 1.0, 5.0])
def test_logit_annealing_has_gradients_where_nothing_is_wrong(exponent: float) -> None:
    logits = torch.tensor([[100.0, 0.0], [0.5, 0.0]], requires_grad=True)
    logit_annealing(logits, torch.zeros(2, dtype=torch.int64), exponent=exponent).backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all()) and bool((logits.grad[1] != 0).all())


GAPS = torch.tensor([[abs(i - j) * 0.3 + (i != j) for j in range(5)] for i in range(5)], dtype=torch.float64)


@pytest.mark.parametrize("gaps", [None, GAPS])
def test_emma(gaps: torch.Tensor | None) -> None:
    wanted = []
    for row, y in ROWS:
        scores = []
        for j, f in enumerate(row):
            gap = math.sqrt(2) if gaps is None else float(gaps[y, j])
            share = 0.0 if j == y else min(1.0, max(0.01, (row[y] - f) / (0.4 * gap)))
            scores.append((f + share * 0.4 * gap) / 0.5)
        wanted.append(0.5 * (logarithm_of_sum(scores) - scores[y]))
    assert emma(LOGITS, LABELS, 0.4, 0.5, gaps).item() == pytest.approx(mean(wanted), rel=1e-12)


@pytest.mark.parametrize("gaps", [None, GAPS])
def test_gloro(gaps: torch.Tensor | None) -> None:
    wanted = []
    for row, y in ROWS:
        first = max(range(5), key=row.__getitem__)
        bottom = max(
            f + 0.4 * (math.sqrt(2) if gaps is None else float(gaps[first, j])) for j, f in enumerate(row) if j != first
        )
        clean = [math.exp(f) / sum(map(math.exp, row)) for f in row]
        perturbed = [math.exp(f) / sum(map(math.exp, [*row, bottom])) for f in row]
        divergence = sum(p * math.log(p / q) for p, q in zip(clean, perturbed))
        wanted.append(logarithm_of_sum(row) - row[y] + 2 * divergence)
    assert gloro(LOGITS, LABELS, 0.4, 2.0, gaps).item() == pytest.approx(mean(wanted), rel=1e-12)


@pytest.mark.parametrize("name", ["logit-annealing", "emma", "gloro"])
def test_configured_losses_have_gradients(name: str) -> None:
    table = {"model": {"architecture": "dense"}, "training": {"epochs": 1}, "loss": {"name": name, "certificate": 0.1}}
    logits = LOGITS.float().requires_grad_(True)
    make_loss(load_config(table).loss, lambda: GAPS.float())(logits, LABELS).backward()
    assert logits.grad is not None
    assert bool(torch.isfinite(logits.grad).all())
    assert bool((logits.grad != 0).any(1).all())


@pytest.mark.parametrize("name", ["emma", "gloro", "cross-entropy"])
def test_radii_are_those_of_the_inputs(name: str) -> None:
    """What makes everything before the last layer a quarter as long makes radii four times as large."""
    radius = {} if name == "cross-entropy" else {"radius": 0.25}
    near = made({"name": name, "certificate": 0.25} | radius, 1.0)(LOGITS, LABELS).item()
    far = made({"name": name, "certificate": 1.0} | {k: 4 * r for k, r in radius.items()}, 0.25)(LOGITS, LABELS).item()
    apart = certificate(LOGITS, LABELS, GAPS).item()
    assert far + 4 * apart == pytest.approx(near + 0.25 * apart, rel=1e-4)


def made(loss: dict[str, Any], constant: float) -> Loss:
    table = {"model": {"architecture": "dense"}, "training": {"epochs": 1}, "loss": loss}
    return make_loss(load_config(table).loss, GAPS.float, constant)


def test_hkr_is_the_published_loss_for_balanced_classes() -> None:
    """Kantorovich-Rubinstein by class means, as deel-torchlip has it, with every class equally often."""
    labels = torch.arange(5).repeat(4)
    logits = torch.randn(20, 5, dtype=torch.float64)
    own = labels[:, None] == torch.arange(5)
    apart = mean([float(logits[own[:, k], k].mean() - logits[~own[:, k], k].mean()) for k in range(5)])
    assert hkr(logits, labels, 0.0).item() == pytest.approx(-apart, rel=1e-12)


@pytest.mark.parametrize("given", [False, True])
def test_certificate(given: bool) -> None:
    gaps = torch.rand(5, 5, dtype=torch.float64) + 0.5 if given else None
    wanted = []
    for row, y in ROWS:
        radii = [(row[y] - f) / (math.sqrt(2) if gaps is None else gaps[y, j]) for j, f in enumerate(row) if j != y]
        wanted.append(max(0.0, float(min(radii))))
    assert max(wanted) > 0
    assert certificate(LOGITS, LABELS, gaps).item() == pytest.approx(mean(wanted), rel=1e-12)


def test_row_gaps_are_those_of_the_head() -> None:
    head = NormalizedHead(6, 5)
    gaps = row_gaps(head)
    assert gaps is not None
    rows = head.weight / head.weight.norm(dim=1, keepdim=True)
    torch.testing.assert_close(gaps[1, 3], (rows[1] - rows[3]).norm(), rtol=1e-5, atol=0)
    gaps.sum().backward()
    assert head.weight.grad is not None and torch.isfinite(head.weight.grad).all()
    assert row_gaps(torch.nn.Linear(3, 4)) is None and row_gaps(None) is None


def test_the_certificate_term() -> None:
    plain = make_loss(CrossEntropySettings(name="cross-entropy"))
    more = make_loss(CrossEntropySettings(name="cross-entropy", certificate=0.5))
    difference = plain(LOGITS, LABELS) - more(LOGITS, LABELS)
    assert difference.item() == pytest.approx(0.5 * certificate(LOGITS, LABELS).item(), rel=1e-5)


def test_losses_are_means_over_parts() -> None:
    for name in ("cross-entropy", "multi-margin", "hkr"):
        loss = {"name": name, "certificate": 0.2}
        settings = load_config({"model": {"architecture": "dense"}, "training": {"epochs": 1}, "loss": loss}).loss
        function = make_loss(settings)
        parts = [function(LOGITS[k : k + 2], LABELS[k : k + 2]).item() for k in (0, 2, 4)]
        assert function(LOGITS[:6], LABELS[:6]).item() == pytest.approx(mean(parts), rel=1e-5)


def test_schedules() -> None:
    assert factor(ConstantSchedule(name="constant"), 0.7) == 1
    triangle = TriangularSchedule(name="triangular", peak=0.25)
    assert [factor(triangle, p) for p in (0, 0.125, 0.25, 0.625, 1)] == [0, 0.5, 1, 0.5, 0]
    assert factor(TriangularSchedule(name="triangular", peak=0.0), 0.0) == 1
    assert factor(TriangularSchedule(name="triangular", peak=1.0), 1.0) == 1
    cosine = CosineSchedule(name="cosine", warmup=0.2)
    assert [factor(cosine, p) for p in (0, 0.1, 0.2)] == [0, 0.5, 1]
    assert factor(cosine, 0.6) == pytest.approx(0.5) and factor(cosine, 1.0) == pytest.approx(0, abs=1e-15)
    steps = StepSchedule(name="steps", milestones=(0.5, 0.75), factor=0.1)
    assert [factor(steps, p) for p in (0.4, 0.5, 0.8)] == pytest.approx([1, 0.1, 0.01])


def test_augmentation_is_a_shift_and_a_flip() -> None:
    settings = AugmentSettings(crop=2, flip=True)
    images = torch.randint(1, 255, (9, 3, 6, 5), dtype=torch.uint8)
    shifts, flips = draw(settings, 9, torch.Generator().manual_seed(1))
    found = augment(images, settings, shifts, flips)
    assert found.shape == images.shape and found.dtype == torch.uint8 and 0 < int(flips.sum()) < 9
    for k in range(9):
        image = images[k].flip(2) if flips[k] else images[k]
        padded = torch.zeros(3, 10, 9, dtype=torch.uint8)
        padded[:, 2:8, 2:7] = image
        top, left = (int(n) for n in shifts[k])
        assert torch.equal(found[k], padded[:, top : top + 6, left : left + 5])
    again = draw(settings, 9, torch.Generator().manual_seed(1))
    assert torch.equal(again[0], shifts) and torch.equal(again[1], flips)
    still = AugmentSettings()
    assert torch.equal(augment(images, still, *draw(still, 9, torch.Generator())), images)

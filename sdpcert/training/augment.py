"""Augmentation of whole batches on the device: random shifts with zeros around, and flips."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from sdpcert.training.settings import AugmentSettings


def draw(settings: AugmentSettings, count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Shifts (count, 2) from 0 to `2 crop` and flips (count,) for a batch, from the run's generator on the CPU.

    Every process draws for the whole batch and uses its part, and so the numbers do not depend on their number.
    """
    shifts = torch.randint(0, 2 * settings.crop + 1, (count, 2), generator=generator)
    flips = torch.rand(count, generator=generator) < (0.5 if settings.flip else 0.0)
    return shifts, flips


def augment(images: Tensor, settings: AugmentSettings, shifts: Tensor, flips: Tensor) -> Tensor:
    """Images (batch, channels, height, width) of any type, shifted and flipped."""
    if settings.flip:
        flips = flips.to(images.device, non_blocking=True)
        images = torch.where(flips[:, None, None, None], images.flip(3), images)
    if settings.crop == 0:
        return images
    count, _, height, width = images.shape
    padded = functional.pad(images, (settings.crop,) * 4)
    shifts = shifts.to(images.device, non_blocking=True)
    rows = shifts[:, :1] + torch.arange(height, device=images.device)
    columns = shifts[:, 1:] + torch.arange(width, device=images.device)
    sample = torch.arange(count, device=images.device)[:, None, None]
    return padded.permute(0, 2, 3, 1)[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2).contiguous()

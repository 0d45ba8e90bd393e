"""What weights are divided by: never zero, in few operations, whose number is what a step of a small layer costs."""

from __future__ import annotations

import torch
from torch import Tensor


def largest_entry(weight: Tensor) -> Tensor:
    """The largest magnitude of an entry, 1 for zero weights; a constant for differentiation."""
    smallest, greatest = torch.aminmax(weight.detach())
    return one_for_zero(torch.maximum(-smallest, greatest))


def one_for_zero(numbers: Tensor) -> Tensor:
    """The numbers with 1 in place of 0: a divisor for what is 0 there as well, with finite gradients."""
    return numbers + (numbers == 0)

"""Projected gradient ascent in an l2 ball with steps that halve where they stop helping (APGD).

Source: Croce, Hein, "Reliable evaluation of adversarial robustness with an ensemble of diverse parameter-free attacks",
ICML 2020, Algorithm 1, with its constants.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

#: A loss (n,), its slope like the points, and which points are adversarial (n,).
Objective = Callable[[Tensor], tuple[Tensor, Tensor, Tensor]]
#: How much of a step is the gradient's, and the rest the step's before.
MOMENTUM = 0.75
#: The share of steps between two checkpoints that have to raise the loss.
RISING = 0.75
#: The first checkpoint, by how much the steps between two become fewer, and to what at least, in percent.
FIRST, SHORTER, SHORTEST = 22, 3, 6
#: Points of a ball are kept this much inside of it, so that rounding leaves them there.
INSIDE = 1 - 1e-6


def ascend(objective: Objective, images: Tensor, radius: float, steps: int, start: Tensor) -> Tensor:
    """Points of the ball of that radius around each image, within [0, 1]: the first adversarial one, else the best.

    `images` and `start` (n, ...); raises nothing: a slope of zero leaves a point where it is.
    """
    state = _State.begin(objective, images, radius, start)
    checkpoints = set(checkpoints_of(steps))
    for count in range(1, steps + 1):
        state.step(objective)
        if bool(state.done.all()):
            break
        if count in checkpoints:
            state.adapt()
    return torch.where(like(state.done, images), state.adversarial, state.best)


def checkpoints_of(steps: int) -> list[int]:
    """After how many steps the step length is looked at."""
    share, before, found = FIRST, 0, []
    while share <= 100:
        found.append(-(-share * steps // 100))
        share, before = share + max(share - before - SHORTER, SHORTEST), share
    return found


@dataclass
class _State:
    """Where the points of a batch are, and what is known of each; `length` is that of the next step."""

    images: Tensor
    radius: float
    points: Tensor
    before: Tensor
    slope: Tensor
    loss: Tensor
    best: Tensor
    best_loss: Tensor
    best_slope: Tensor
    adversarial: Tensor
    done: Tensor
    length: Tensor
    risen: Tensor
    since: int
    known: tuple[Tensor, Tensor]
    first: bool = True

    @staticmethod
    def begin(objective: Objective, images: Tensor, radius: float, start: Tensor) -> _State:
        points = projected(start, images, radius)
        loss, slope, wrong = objective(points)
        length = torch.full_like(loss, 2 * radius)
        return _State(
            images,
            radius,
            points,
            points,
            slope,
            loss,
            points,
            loss,
            slope,
            points,
            wrong,
            length,
            torch.zeros_like(loss),
            0,
            (length, loss),
        )

    def step(self, objective: Objective) -> None:
        """One step along the slope, with momentum after the first one."""
        moved = self.points + like(self.length, self.points) * unit(self.slope)
        moved = projected(moved, self.images, self.radius)
        if not self.first:
            moved = self.points + MOMENTUM * (moved - self.points) + (1 - MOMENTUM) * (self.points - self.before)
            moved = projected(moved, self.images, self.radius)
        self.first = False
        loss, slope, wrong = objective(moved)
        self.adversarial = torch.where(like(wrong & ~self.done, moved), moved, self.adversarial)
        self.done = self.done | wrong
        self.risen += loss > self.loss
        self.since += 1
        self.before, self.points, self.slope, self.loss = self.points, moved, slope, loss
        better = loss > self.best_loss
        self.best = torch.where(like(better, moved), moved, self.best)
        self.best_slope = torch.where(like(better, moved), slope, self.best_slope)
        self.best_loss = torch.where(better, loss, self.best_loss)

    def adapt(self) -> None:
        """Halve the steps that did not help, and go on from the best point there."""
        length, best_loss = self.known
        too_few = self.risen < RISING * self.since
        stuck = (length == self.length) & (best_loss == self.best_loss)
        halved = too_few | stuck
        self.known = (self.length, self.best_loss)
        self.length = torch.where(halved, self.length / 2, self.length)
        back = like(halved, self.points)
        self.points = torch.where(back, self.best, self.points)
        self.before = torch.where(back, self.best, self.before)
        self.slope = torch.where(back, self.best_slope, self.slope)
        self.loss = torch.where(halved, self.best_loss, self.loss)
        self.risen, self.since = torch.zeros_like(self.risen), 0


def projected(points: Tensor, images: Tensor, radius: float) -> Tensor:
    """The points in the balls around images, and in [0, 1], where the images are: coordinates only come nearer."""
    step = points - images
    return (images + step * (INSIDE * radius / norms(step).clamp(min=1e-30)).clamp(max=1.0)).clamp(0, 1)


def unit(slope: Tensor) -> Tensor:
    """The direction of a slope; zero where it is zero."""
    return slope / norms(slope).clamp(min=1e-30)


def norms(values: Tensor) -> Tensor:
    """Norms of the samples of a batch, with axes that broadcast against it."""
    return like(torch.linalg.vector_norm(values.flatten(1), dim=1), values)


def like(numbers: Tensor, values: Tensor) -> Tensor:
    """Numbers (n,) with axes that broadcast against the samples of a batch."""
    return numbers.reshape(-1, *[1] * (values.dim() - 1))

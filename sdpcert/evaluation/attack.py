"""l2 attacks: adversarial images as near as they can be found, the lower side of certified accuracy.

First the decoupled direction and norm attack (Rony et al., CVPR 2019) looks for the nearest adversarial point; then,
for every radius at which a sample still stands, projected gradient descent with restarts inside the ball. Steps follow
the gradient of a loss: `f_y - max f_j` (Carlini, Wagner 2017); `f_y - f_t`, t the class that is nearest where the
network is linear, among all classes whatever their rank; and the first divided by the spread of the logits (DLR; Croce,
Hein 2020). Strong settings add ascent with adaptive steps (`adaptive.py`) on the cross-entropy, on DLR, and towards
each of the classes that come next. Images stay in [0, 1]. What a search finds only counts where `surely_wrong` says
that the real function's class is another one, at the point's own distance, rounded up.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np
import torch
from torch import Tensor

from sdpcert.evaluation.adaptive import INSIDE, ascend, like, norms
from sdpcert.evaluation.graph_module import GraphModule
from sdpcert.running.short_repr import ShortRepr

Array = np.ndarray
#: Samples that are attacked at once.
BATCH = 500
#: Share by which the norm of the decoupled attack shrinks and grows.
SHRINK = 0.05
LOSSES = ("margin", "nearest", "dlr")


@dataclass(frozen=True)
class AttackSettings:
    """How hard to look: `steps` of each search, `restarts` of projected gradient descent for every radius.

    With `adaptive` above 0 there are so many ascents with adaptive steps on each of two losses as well, and one towards
    each of the `targets` classes that come next after the label.
    """

    steps: int = 40
    restarts: int = 3
    seed: int = 0
    adaptive: int = 0
    targets: int = 0

    @staticmethod
    def strong(seed: int = 0) -> AttackSettings:
        """The steps, losses and targets of AutoAttack's two gradient attacks, beside the usual search."""
        return AttackSettings(steps=100, seed=seed, adaptive=1, targets=9)

    @property
    def stages(self) -> tuple[AttackSettings, ...]:
        """What is searched with in turn: where this is harder the usual search first, so that no less is found."""
        return (AttackSettings(seed=self.seed), self) if self.adaptive else (self,)

    def table(self) -> dict[str, int | str]:
        """As plain values, with what they are settings of."""
        name = "decoupled direction and norm, then projected gradient descent"
        return {"name": name + (", then with adaptive steps" if self.adaptive else ""), **asdict(self)}


@dataclass(frozen=True, eq=False)
class Attacked(ShortRepr):
    """Distances (samples,), rounded up, of the nearest points found, infinity where there is none; and the points."""

    distances: Array
    points: Tensor


def run_attack(
    network: GraphModule,
    images: Tensor,
    labels: Array,
    radii: Sequence[float],
    surely_wrong: Callable[[Tensor, Array], Array],
    settings: AttackSettings,
    report: Callable[[float], None] = lambda share: None,
    into: Attacked | None = None,
) -> Attacked:
    """Attack samples that are right; those that are wrong already have the distance 0.

    `images` float32 (samples, ...) in [0, 1], `labels` (samples,); `surely_wrong(points, labels)` (samples,) decides.
    `into`, from `nothing_found`, is filled as the attack goes, so that it has what was found if it is interrupted;
    `report` is told the share that is done.
    """
    found = nothing_found(images) if into is None else into
    generator = torch.Generator().manual_seed(settings.seed)
    wanted = sorted({float(r) for r in radii if r > 0})
    for start in range(0, len(images), BATCH):
        part = slice(start, start + BATCH)
        search = _Search(network, images[part], labels[part], surely_wrong, found, start)
        search.keep(images[part], np.arange(len(labels[part])))
        search.find_nearest_classes()
        for loss in LOSSES[:2]:
            search.decoupled(settings.steps, loss)
        for radius in wanted:
            for restart in range(settings.restarts):
                search.projected(radius, settings.steps, restart, generator)
            for restart in range(settings.adaptive):
                for loss in ("cross-entropy", "dlr"):
                    search.adaptive(radius, settings.steps, loss, None, restart, generator)
            for target in range(settings.targets if settings.adaptive else 0):
                search.adaptive(radius, settings.steps, "dlr", target, 0, generator)
        report(min(1.0, (start + BATCH) / len(images)))
    return found


def nothing_found(images: Tensor) -> Attacked:
    """The state before an attack."""
    return Attacked(np.full(len(images), np.inf), images.clone())


class _Search:
    """One batch; indices are those of the batch, results go to `found` from `start` on."""

    def __init__(
        self,
        network: GraphModule,
        images: Tensor,
        labels: Array,
        surely_wrong: Callable[[Tensor, Array], Array],
        found: Attacked,
        start: int,
    ) -> None:
        self.network, self.labels, self.surely_wrong, self.found = network, labels, surely_wrong, found
        self.images = images.to(network.device, network.dtype)
        self.exact, self.start = images, start
        self.targets = torch.as_tensor(labels.astype(np.int64)).to(network.device)

    def standing(self, radius: float) -> Array:
        """The samples without an adversarial point up to the radius."""
        distances = self.found.distances[self.start : self.start + len(self.labels)]
        return np.flatnonzero(distances > radius)

    def keep(self, points: Tensor, at: Array) -> None:
        """Keep points (for the samples `at`) that are surely adversarial and nearer than those before."""
        points = points.detach().to("cpu", self.exact.dtype)
        steps = (points.double() - self.exact[at].double()).flatten(1)
        distances = torch.linalg.vector_norm(steps, dim=1).numpy() * (1 + (steps.shape[1] + 8) * 2.0**-52)
        nearer = distances < self.found.distances[self.start + at]
        if not nearer.any():
            return
        points, distances, at = points[torch.from_numpy(nearer)], distances[nearer], at[nearer]
        sure = self.surely_wrong(points, self.labels[at])
        self.found.distances[self.start + at[sure]] = distances[sure]
        self.found.points[self.start + at[sure]] = points[torch.from_numpy(sure)]

    def find_nearest_classes(self) -> None:
        """For every sample the class that is the nearest one if the network is replaced by its tangent."""
        points = self.images.detach().requires_grad_(True)
        logits = self.network(points).flatten(1)
        rows = torch.arange(len(points), device=points.device)
        least = torch.full((len(points),), torch.inf, dtype=points.dtype, device=points.device)
        self.nearest = torch.zeros_like(self.targets)
        for other in range(logits.shape[1]):
            margin = logits[rows, self.targets] - logits[:, other]
            (slope,) = torch.autograd.grad(margin.sum(), points, retain_graph=True)
            away = margin.detach() / norms(slope).flatten().clamp(min=1e-30)
            away = torch.where(self.targets == other, torch.inf, away)
            self.nearest = torch.where(away < least, other, self.nearest)
            least = torch.minimum(away, least)

    def gradient(self, points: Tensor, at: Array, loss: str) -> tuple[Tensor, Tensor]:
        """The direction (of norm one) in which the loss falls, and which points are adversarial already."""
        points = points.detach().requires_grad_(True)
        logits = self.network(points).flatten(1)
        targets = self.targets[at]
        own = logits.gather(1, targets[:, None])[:, 0]
        margin = own - logits.scatter(1, targets[:, None], -torch.inf).amax(1)
        value = own - logits.gather(1, self.nearest[at][:, None])[:, 0] if loss == "nearest" else margin
        if loss == "dlr" and logits.shape[1] > 2:
            ordered = logits.sort(1, descending=True).values
            value = margin / (ordered[:, 0] - ordered[:, 2] + 1e-12)
        (slope,) = torch.autograd.grad(value.sum(), points)
        return -slope / norms(slope).clamp(min=1e-30), margin < 0

    def decoupled(self, steps: int, loss: str) -> None:
        """Shrink the norm where the point is adversarial, let it grow elsewhere, turn by the gradient."""
        at = self.standing(0.0)
        if not len(at) or not steps:
            return
        images = self.images[at]
        step, norm = torch.zeros_like(images), torch.ones(len(at), dtype=images.dtype, device=images.device)
        best, nearest = images.clone(), torch.full_like(norm, torch.inf)
        for k in range(steps):
            direction, wrong = self.gradient(images + step, at, loss)
            size = norms(step).flatten()
            better = wrong & (size < nearest)
            nearest = torch.where(better, size, nearest)
            best = torch.where(like(better, best), images + step, best)
            length = 0.01 + 0.99 * (1 + np.cos(np.pi * k / steps)) / 2
            step = step + length * direction
            norm = norm * torch.where(wrong, 1 - SHRINK, 1 + SHRINK)
            step = step * (like(norm, step) / norms(step).clamp(min=1e-30))
            step = (images + step).clamp(0, 1) - images
        self.keep(best, at)
        # The same directions a little nearer: a short line search.
        for share in (0.99, 0.97, 0.94):
            self.keep(images + share * (best - images), at)

    def projected(self, radius: float, steps: int, restart: int, generator: torch.Generator) -> None:
        """Steps along the gradient, projected to the ball and to [0, 1]; the first start is the sample itself."""
        at = self.standing(radius)
        if not len(at) or not steps:
            return
        images = self.images[at]
        step = self._start(images, radius, restart, generator)
        best, done = images.clone(), torch.zeros(len(at), dtype=torch.bool, device=images.device)
        for k in range(steps + 1):
            points = (images + step).clamp(0, 1)
            direction, wrong = self.gradient(points, at, LOSSES[restart % len(LOSSES)])
            best = torch.where(like(wrong & ~done, best), points, best)
            done |= wrong
            if bool(done.all()):
                break
            length = 2.5 * radius / steps * (1 - 0.9 * k / steps)
            step = points + length * direction - images
            step = step * (INSIDE * radius / norms(step).clamp(min=1e-30)).clamp(max=1.0)
        self.keep(best, at)

    def adaptive(
        self, radius: float, steps: int, loss: str, target: int | None, restart: int, generator: torch.Generator
    ) -> None:
        """Ascent with adaptive steps on a loss, or towards the class of rank `target` after the label."""
        at = self.standing(radius)
        classes = 0 if not len(at) else self.network(self.images[:1]).flatten(1).shape[1]
        if not len(at) or not steps or (target is not None and target >= classes - 1):
            return
        images, labels = self.images[at], self.targets[at]
        goal = None
        if target is not None:
            with torch.no_grad():
                logits = self.network(images).flatten(1).scatter(1, labels[:, None], -torch.inf)
            goal = logits.argsort(1, descending=True)[:, target]

        def objective(points: Tensor) -> tuple[Tensor, Tensor, Tensor]:
            points = points.detach().requires_grad_(True)
            logits = self.network(points).flatten(1)
            value = _loss(logits, labels, loss, goal)
            (slope,) = torch.autograd.grad(value.sum(), points)
            logits = logits.detach()
            others = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
            return value.detach(), slope, logits.gather(1, labels[:, None])[:, 0] < others

        start = images + self._start(images, radius, restart, generator)
        self.keep(ascend(objective, images, radius, steps, start), at)

    @staticmethod
    def _start(images: Tensor, radius: float, restart: int, generator: torch.Generator) -> Tensor:
        """Where a search begins: at the images, or after a restart at random in the ball."""
        if not restart:
            return torch.zeros_like(images)
        noise = torch.randn(images.shape, generator=generator).to(images)
        share = torch.rand(len(images), generator=generator).to(images)
        return noise / norms(noise) * (radius * like(share, images))


def _loss(logits: Tensor, labels: Tensor, loss: str, goal: Tensor | None) -> Tensor:
    """What an adversarial point makes large (n,): cross-entropy, or by how much another class (the goal) is ahead.

    The latter is divided by the spread of the logits, so that its scale says nothing (DLR, and its targeted form).
    """
    if loss == "cross-entropy":
        return torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    own = logits.gather(1, labels[:, None])[:, 0]
    other = logits.scatter(1, labels[:, None], -torch.inf).amax(1)
    ahead = (other if goal is None else logits.gather(1, goal[:, None])[:, 0]) - own
    ordered = logits.sort(1, descending=True).values
    if logits.shape[1] < 3:
        return ahead
    below = ordered[:, 2] if goal is None or logits.shape[1] < 4 else (ordered[:, 2] + ordered[:, 3]) / 2
    return ahead / (ordered[:, 0] - below + 1e-12)

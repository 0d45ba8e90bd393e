"""Losses of logits (batch, classes) and labels (batch,): every one is a mean over samples, without terms across them.

So the mean over the parts of a batch is the loss of the batch, however it is spread over processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdpcert.layers.heads import NormalizedHead
from sdpcert.torch_modules.geometry import Operator
from sdpcert.training.settings import CrossEntropySettings, HKRSettings, MultiMarginSettings

Loss = Callable[[Tensor, Tensor], Tensor]
Gaps = Callable[[], Tensor | None]


def cross_entropy(logits: Tensor, labels: Tensor, offset: float = 0.0, temperature: float = 1.0) -> Tensor:
    """Cross-entropy of `(logits - offset at the label) / temperature`, times the temperature.

    The offset asks for a margin; published: 3 sqrt(2) / 2 and 1/4 (Araujo et al. 2023; Prach, Lampert 2022).
    """
    shift = offset * functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    return functional.cross_entropy((logits - shift) / temperature, labels) * temperature


def multi_margin(logits: Tensor, labels: Tensor, margin: float = 0.7) -> Tensor:
    """Mean over samples of `sum over j != y of relu(margin - f_y + f_j) / classes` (Meunier et al. 2022)."""
    return functional.multi_margin_loss(logits, labels, margin=margin)


def hkr(logits: Tensor, labels: Tensor, alpha: float = 0.95, margin: float = 1.0) -> Tensor:
    """`(1 - alpha)` times the Kantorovich-Rubinstein term plus `alpha` times the hinge, one against all others.

    With equally frequent classes the former is the mean of `-(f_y - mean of the other logits)`; the latter is the mean
    over classes of `relu(margin / 2 - f_y) (classes - 1)` and `relu(margin / 2 + f_j)` (Serrurier et al. 2021).
    """
    own = logits.gather(1, labels[:, None])
    others = logits.shape[1] - 1
    apart = own[:, 0] - (logits.sum(1) - own[:, 0]) / others
    hinge = torch.relu(margin / 2 + logits).scatter(1, labels[:, None], torch.relu(margin / 2 - own) * others)
    return (alpha * hinge.mean(1) - (1 - alpha) * apart).mean()


def certificate(logits: Tensor, labels: Tensor, gaps: Tensor | None = None) -> Tensor:
    """`relu` of the least `(f_y - f_j) / gap` over the other classes, a mean over samples: the certified radius.

    `gaps` (classes, classes) are the distances of the rows of a last layer; None stands for sqrt(2). Training
    maximises it (Singla, Singla, Feizi 2022); nothing is proved here.
    """
    margins = logits.gather(1, labels[:, None]) - logits
    margins = margins / (math.sqrt(2) if gaps is None else gaps[labels])
    margins = margins.scatter(1, labels[:, None], math.inf)
    return torch.relu(margins.amin(1)).mean()


def row_gaps(head: nn.Module | None) -> Tensor | None:
    """Distances of the rows of a `NormalizedHead` as a differentiable function of its parameters; else None."""
    if not isinstance(head, NormalizedHead):
        return None
    operator = head.current().through
    assert isinstance(operator, Operator)
    rows = operator.weight.float()
    squares = (rows[:, None] - rows[None]).square().sum(2)
    # Bounded away from zero: equal rows have no finite radius, and the root no gradient there.
    return squares.clamp_min(1e-8).sqrt()


def make_loss(settings: CrossEntropySettings | MultiMarginSettings | HKRSettings, gaps: Gaps = lambda: None) -> Loss:
    """The loss of a configuration, with its certificate term; `gaps` gives what `certificate` divides by."""

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        logits = logits.float()
        if isinstance(settings, CrossEntropySettings):
            value = cross_entropy(logits, labels, settings.offset, settings.temperature)
        elif isinstance(settings, MultiMarginSettings):
            value = multi_margin(logits, labels, settings.margin)
        else:
            value = hkr(logits, labels, settings.alpha, settings.margin)
        if settings.certificate > 0:
            value = value - settings.certificate * certificate(logits, labels, gaps())
        return value

    return loss

"""Losses of logits (batch, classes) and labels (batch,): every one is a mean over samples, without terms across them.

So the mean over the parts of a batch is the loss of the batch, however it is spread over processes.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from sdpcert.layers.heads import NormalizedHead
from sdpcert.torch_modules.geometry import Operator
from sdpcert.training.settings import LossSettings

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


def logit_annealing(
    logits: Tensor, labels: Tensor, offset: float = 2 * math.sqrt(2), temperature: float = 0.75, exponent: float = 5.0
) -> Tensor:
    """`-T (1 - p)^beta log p`, p the softmax probability of the label in `(logits - offset at the label) / T`.

    Samples whose margin is beyond the offset hardly count any more, so that a network of limited capacity spends its
    slope on the others (Lai, Huang, Kung, Chen, ICML 2025, with the defaults given there). `exponent` 0 is
    `cross_entropy`.
    """
    shift = offset * functional.one_hot(labels, logits.shape[1]).to(logits.dtype)
    each = functional.cross_entropy((logits - shift) / temperature, labels, reduction="none")
    # 1 - p without cancellation, and away from zero, where powers below one have no gradient.
    wrong = (-torch.expm1(-each)).clamp_min(torch.finfo(each.dtype).tiny)
    return (temperature * wrong**exponent * each).mean()


def emma(
    logits: Tensor, labels: Tensor, radius: float = 0.5, temperature: float = 1.0, gaps: Tensor | None = None
) -> Tensor:
    """Cross-entropy of logits in which every other class is ahead by what a perturbation may give it.

    Class j gets `min(radius, its own certified radius) * gap`, at least a hundredth of `radius * gap`, without a
    gradient of that: all classes are pushed away at once, and none further than it can follow. `gaps` (classes,
    classes) are the constants of differences of logits, None stands for sqrt(2). Divided and multiplied by the
    temperature.
    Source: Hu, Zou, Wang, Leino, Fredrikson, NeurIPS 2023 (EMMA).
    """
    margins = logits.gather(1, labels[:, None]) - logits
    reach = radius * _between(logits, labels, gaps)
    share = (margins.detach() / reach.detach().clamp_min(1e-8)).clamp(0.01, 1.0)
    ahead = (share * reach).scatter(1, labels[:, None], 0.0)
    return functional.cross_entropy((logits + ahead) / temperature, labels) * temperature


def gloro(
    logits: Tensor, labels: Tensor, radius: float = 0.5, weight: float = 1.0, gaps: Tensor | None = None
) -> Tensor:
    """Cross-entropy plus `weight` times the divergence of the prediction from the one with a class "not robust".

    That class has the largest logit that another class than the predicted one can reach within the radius; the
    divergence is `-log(1 - its probability)`. Source: Leino, Wang, Fredrikson, ICML 2021 (GloRo, the TRADES form).
    """
    predicted = logits.argmax(1)
    reached = logits + radius * _between(logits, predicted, gaps)
    bottom = reached.scatter(1, predicted[:, None], -math.inf).amax(1, keepdim=True)
    clean = torch.logsumexp(logits, 1)
    divergence = torch.logsumexp(torch.cat([logits, bottom], 1), 1) - clean
    return functional.cross_entropy(logits, labels) + weight * divergence.mean()


def _between(logits: Tensor, classes: Tensor, gaps: Tensor | None) -> Tensor:
    """The constants (samples, classes) of the logit of each sample's class less every other; sqrt(2) if unknown."""
    return torch.full_like(logits, math.sqrt(2)) if gaps is None else gaps[classes]


def certificate(logits: Tensor, labels: Tensor, gaps: Tensor | None = None) -> Tensor:
    """`relu` of the least `(f_y - f_j) / gap` over the other classes, a mean over samples: the certified radius.

    `gaps` (classes, classes) are the constants of differences of logits; None stands for sqrt(2). Training maximises
    it (Singla, Singla, Feizi 2022); nothing is proved here.
    """
    margins = logits.gather(1, labels[:, None]) - logits
    # A row's distance from itself may be zero: 0 / 0 would have no gradient, whatever replaces its value.
    margins = margins / _between(logits, labels, gaps).scatter(1, labels[:, None], 1.0)
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


def make_loss(settings: LossSettings, gaps: Gaps = lambda: None, constant: float = 1.0) -> Loss:
    """The loss of a configuration, with its certificate term.

    Radii are those of the inputs: `gaps` gives the distances of the rows of a last layer, None for sqrt(2), and
    `constant` is that of everything before them.
    """
    chosen = _LOSSES[settings.name]

    def loss(logits: Tensor, labels: Tensor) -> Tensor:
        logits, rows = logits.float(), gaps()
        if rows is None:
            rows = logits.new_full((logits.shape[1],) * 2, math.sqrt(2))
        between = constant * rows
        value = chosen(logits, labels, settings, between)
        if settings.certificate > 0:
            value = value - settings.certificate * certificate(logits, labels, between)
        return value

    return loss


#: How each kind of settings is applied, by name.
_LOSSES: dict[str, Callable[[Tensor, Tensor, Any, Tensor], Tensor]] = {
    "cross-entropy": lambda f, y, s, gaps: cross_entropy(f, y, s.offset, s.temperature),
    "multi-margin": lambda f, y, s, gaps: multi_margin(f, y, s.margin),
    "hkr": lambda f, y, s, gaps: hkr(f, y, s.alpha, s.margin),
    "logit-annealing": lambda f, y, s, gaps: logit_annealing(f, y, s.offset, s.temperature, s.exponent),
    "emma": lambda f, y, s, gaps: emma(f, y, s.radius, s.temperature, gaps),
    "gloro": lambda f, y, s, gaps: gloro(f, y, s.radius, s.weight, gaps),
}

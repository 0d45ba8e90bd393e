"""Radii of a network in evaluation mode, by its layers' constants: what the log shows while training; no proof."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from sdpcert.layers.heads import NormalizedHead, OrthogonalHead, certified_radii
from sdpcert.layers.mlp_head import MLPHead
from sdpcert.torch_modules.certified import Certified
from sdpcert.torch_modules.geometry import array
from sdpcert.training.image_files import Array
from sdpcert.training.models import backbone_constant

#: Images that are evaluated at once.
BATCH = 1000


@torch.no_grad()
def logits_and_radii(module: nn.Sequential, images: Tensor, labels: Tensor, levels: int) -> tuple[Tensor, Array]:
    """Logits (count, classes) on the CPU, and radii (count,) on the input scale 0 to 1, 0 for wrong classes.

    `images` are uint8 (count, channels, height, width) on any device. The module is used in evaluation mode and left
    in the mode that it was in. Radii are the heads': margins over all other classes, divided by the claimed constants
    of what is before; without a head by sqrt(2) times the constant of everything.
    """
    device = next(module.parameters()).device
    was = module.training
    module.eval()
    head = getattr(module, "head", None)
    lipschitz = backbone_constant(module)
    before = nn.Sequential(*[part for name, part in module.named_children() if name != "head"])
    logits, radii = [], []
    for start in range(0, len(images), BATCH):
        part = images[start : start + BATCH].to(device).float() / levels
        own = labels[start : start + BATCH].cpu()
        features = before(part)
        found = features if head is None else head(features)
        logits.append(found.cpu())
        if isinstance(head, MLPHead):
            radii.append(array(head.radius(features, lipschitz, own)))
        elif isinstance(head, NormalizedHead | OrthogonalHead):
            radii.append(array(head.margins(found, lipschitz, own)))
        else:
            constant = head.constant if isinstance(head, Certified) else 1.0
            radii.append(certified_radii(array(found), None, lipschitz * constant, array(own).astype(int)))
    module.train(was)
    import numpy as np

    return torch.cat(logits), np.concatenate(radii)


def accuracies(logits: Tensor, radii: Array, labels: Tensor, wanted: Sequence[float]) -> dict[str, float]:
    """The accuracy, and the parts of all images that are right and keep their class within each wanted radius."""
    found = {"test_accuracy": float((logits.argmax(1) == labels.cpu()).double().mean())}
    for radius in wanted:
        found[f"certified_{radius:.4g}"] = float(((radii >= radius) & (radii > 0)).mean())
    return found

"""Certified accuracy of any trained torch network by what this package proves of it, and what an attack leaves.

The constant of everything before the last layer is proved (the product of proved norms where a network knows no better
one by construction), logits are evaluated in float64 with their error, and the radius of an image is the least margin
over all other classes, divided by the constant and by the distance of the two rows of the last layer: level R.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections import OrderedDict
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor, nn

import sdpcert.layers as layers
from sdpcert.evaluation.attack import AttackSettings, run_attack
from sdpcert.evaluation.bounds import Subject, networks_of, prove
from sdpcert.evaluation.graph_module import GraphModule
from sdpcert.evaluation.real_logits import ROOM, centre_of, distances, judge
from sdpcert.robustness.execution import error_bound
from sdpcert.robustness.from_logits import linear_radii, pair_constants
from sdpcert.robustness.links import prove_links
from sdpcert.training.datasets import Description, Split
from sdpcert.training.modules import Normalisation

Array = np.ndarray
#: How hard the attack beside every certified accuracy looks.
ATTACK = AttackSettings(steps=30, restarts=1)


def plain_network(folder: Path, data: Description) -> nn.Sequential:
    """The network that `training_rivals.py` wrote; ValueError where it is not the function of the package's module."""
    described = json.loads((folder / "network.json").read_text())
    tensors = load_file(folder / "weights.safetensors")
    made = [_layer(kind, k, tensors) for k, kind in enumerate(described["layers"])]
    parts = [("normalisation", Normalisation(data.mean)), ("backbone", nn.Sequential(*made[:-1])), ("head", made[-1])]
    return nn.Sequential(OrderedDict(parts)).eval()


def check_same_function(module: nn.Sequential, folder: Path, images: Array, levels: int) -> None:
    """Compare with the outputs that the package's own module gave; ValueError where they differ."""
    stated = torch.tensor(json.loads((folder / "network.json").read_text())["outputs"])
    with torch.no_grad():
        found = module(torch.from_numpy(images[: len(stated)]).float() / levels)
    apart = float((found - stated).abs().max())
    if apart > 1e-3 * (1 + float(stated.abs().max())):
        raise ValueError(f"{folder}: the plain network's outputs differ from the package's by {apart:.2g}")


def _layer(described: dict[str, Any], place: int, tensors: dict[str, Tensor]) -> nn.Module:
    kind = described["kind"]
    if kind == "maxmin":
        return layers.MaxMin()
    if kind == "unshuffle":
        return nn.PixelUnshuffle(2)
    if kind == "flatten":
        return nn.Flatten()
    weight, bias = tensors[f"{place}.weight"], tensors[f"{place}.bias"]
    outputs, inputs = weight.shape[:2]
    given = {key: value for key, value in described.items() if key != "kind"}
    made = nn.Linear(inputs, outputs) if kind == "linear" else nn.Conv2d(inputs, outputs, weight.shape[2], **given)
    made.load_state_dict({"weight": weight, "bias": bias})
    return made


def certified(
    module: nn.Sequential, data: Description, images: Array, given: Array, radii: list[float]
) -> dict[str, Any]:
    """Proved constant, accuracy and certified accuracy at the radii, on images (n, ...) uint8 with labels (n,)."""
    started = time.perf_counter()
    before, whole = networks_of(module, data.input_shape)
    with tempfile.TemporaryDirectory() as folder:
        subject = Subject("by-construction", before)
        (entry,) = prove("by-construction", [subject], Path(folder), 0, 1e-6, lambda name, share: None).entries
    upper = float.fromhex(entry["upper"])
    points, labels = torch.from_numpy(images).float() / data.levels, given.astype(np.int32)
    head = module.get_submodule("head")
    assert isinstance(head, nn.Linear)
    constants = pair_constants(upper, head.weight.detach().double().numpy(), data.classes)
    logits = GraphModule(whole).evaluate(points)
    error = error_bound(whole, prove_links(whole), centre_of(data))
    found = linear_radii(logits, labels, constants, error.at(distances(points, data)))
    return {
        "constant": upper,
        "attained": float.fromhex(entry["lower"]),
        "images": len(labels),
        "clean": float((logits.argmax(1) == labels).mean()),
        "certified": {f"{radius:.6g}": float(((found >= radius) & (found > 0)).mean()) for radius in radii},
        "evaluation_seconds": time.perf_counter() - started,
    }


def attacked(
    module: nn.Sequential, data: Description, test: Split, radii: list[float], count: int, threads: int
) -> dict[str, Any]:
    """The shares of the first `count` images that are right and that the quick attack did not move."""
    torch.set_num_threads(threads)
    _, whole = networks_of(module, data.input_shape)
    points = torch.from_numpy(test.images[:count]).float() / data.levels
    labels = test.labels[:count].astype(np.int32)
    surely = judge(whole, data, error_bound(whole, prove_links(whole), centre_of(data)), room=ROOM)
    right = GraphModule(whole).evaluate(points).argmax(1) == labels
    left = run_attack(GraphModule(whole, "cpu", torch.float32), points, labels, radii, surely, ATTACK).distances
    shares = {f"{radius:.6g}": float((right & (left > radius)).mean()) for radius in radii}
    return {"attacked_images": count, "under_attack": shares}

"""An evaluation verified from the run's files and the data, on whatever machine: what it states is computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdpcert.check.binding import check_with_network
from sdpcert.evaluation import Evaluation, load_evaluation
from sdpcert.evaluation_file import NAME, decode, images_sha256
from sdpcert.radii import ErrorBound
from sdpcert.training.bounds import difference, networks_of
from sdpcert.training.evaluate import evaluated_images, fill_samples, stated_of
from sdpcert.training.parallel import checked_device
from sdpcert.training.runs import load_run


def recertify(run_folder: str | Path, root: str | Path | None = None, device: str = "cpu") -> Evaluation:
    """Verify an evaluation from the run's files and the data alone, on whatever machine.

    Beyond `load_evaluation` the certificates have to be about the networks that the weights give, and images, logits
    and the heads' numbers have to be those that the file states (logits up to twice the error that it charges). Raises
    ValueError with one line where something differs.
    """
    checked_device(device)
    folder = Path(run_folder)
    evaluation = load_evaluation(folder)
    stated, run = evaluation.document, load_run(folder)
    images, labels = evaluated_images(run, root, int(stated["data"]["count"]))
    if images_sha256(images, labels) != stated["data"]["images_sha256"]:
        raise ValueError(f"{folder / NAME}: is about other images than those of {run.data.name} here")
    before, whole = networks_of(run.module, run.data.input_shape)
    for bound in evaluation.bounds:
        for certificate in bound.certificates:
            network = before if bound.name == "by-construction" else whole
            network = network if certificate.pair is None else difference(whole, *certificate.pair)
            result = check_with_network(folder / certificate.file, network, whole=True)
            if not result.ok:
                raise ValueError(f"{folder / certificate.file}: {result.reason}")
    again = stated_of(run, folder, evaluation.level, list(evaluation.radii), images, labels, 0, None)
    points = torch.from_numpy(images).float() / run.data.levels
    fill_samples(again, run, before, whole, points, device)
    _compare(folder / NAME, stated, again)
    return evaluation


def _compare(path: Path, stated: Any, again: dict[str, Any]) -> None:
    """Raise ValueError where numbers of the weights and the images differ from those that are computed again."""
    for key in ("model", "data"):
        if stated[key] != again[key]:
            raise ValueError(f"{path}: states another {key} than that of this folder")
    # Norms and charges are sums, which another machine adds up in another order.
    for key, value in again["errors"].items():
        pairs = [] if value is None else [(value[k], stated["errors"][key][k]) for k in ("offset", "slope")]
        if any(float.fromhex(new) * (1 - 1e-6) > float.fromhex(old) for new, old in pairs):
            raise ValueError(f"{path}: charges less for the evaluation ({key}) than it may lose")
    shape = (int(stated["data"]["count"]), int(stated["data"]["classes"]))
    allowed = ErrorBound(*(float.fromhex(again["errors"]["float64"][k]) for k in ("offset", "slope")))
    away = decode(again["samples"]["from_centre"], shape[:1])
    if np.any(np.abs(away - decode(stated["samples"]["from_centre"], shape[:1])) > 1e-9 * (1 + away)):
        raise ValueError(f"{path}: states distances from the centre that are not those of the images")
    new, old = (decode(table["samples"]["logits"], shape) for table in (again, stated))
    apart = np.linalg.norm(new - old, axis=1) > 2.001 * allowed.at(away)
    if apart.any():
        raise ValueError(f"{path}: states logits of sample {int(np.argmax(apart))} that the network does not give")
    if stated["head"] != again["head"]:
        raise ValueError(f"{path}: states another head than that of the weights")
    if again["head"]["kind"] == "mlp":
        for key, sign in (("margins", 1), ("steepest", -1)):
            new, old = (decode(table["samples"]["head"][key], shape) for table in (again, stated))
            if np.any(sign * (old - new) > 1e-9 * (1 + np.abs(new))):
                raise ValueError(f"{path}: states {key} of the head that the network does not give")

"""An evaluation verified from the run's files and the data, on whatever machine: what it states is computed again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from sdpcert.certify.binding import bound_to
from sdpcert.check import CheckResult, document_of
from sdpcert.errors import EvaluationRejected, MalformedEvaluation
from sdpcert.evaluation.adversarial import check_points
from sdpcert.evaluation.bounds import difference, networks_of
from sdpcert.evaluation.file import NAME, canonical, decode, images_sha256
from sdpcert.evaluation.real_logits import judge
from sdpcert.evaluation.rows import compute
from sdpcert.evaluation.saved import Evaluation, load_evaluation
from sdpcert.evaluation.trained import evaluated_images, fill_samples, stated_of
from sdpcert.robustness.from_logits import ErrorBound
from sdpcert.training.config import load_config
from sdpcert.training.parallel import checked_device
from sdpcert.training.runs import load_run

Array = np.ndarray
#: How far error bounds and numbers of the head may differ between machines, which add up in different orders.
CLOSE = {"errors": 1e-6, "head": 1e-9}


def recertify(run_folder: str | Path, root: str | Path | None = None, device: str = "cpu") -> Evaluation:
    """Verify an evaluation from the run's files and the data, on whatever machine.

    Beyond `load_evaluation` the certificates have to be about the networks that the weights give, labels and images to
    be those of the data, and logits, error bounds and the heads' numbers those of the network; the rows have to follow
    from what is computed here, and every adversarial point is proved to be one. What is left are statements:
    `sdpcert.evaluation.STATEMENTS` (times, seed, command, versions, settings of the attack, notes and reasons), and
    that the attack found nothing where it states nothing.

    Raises `EvaluationRejected` (a ValueError) with one line if something differs, and ValueError if files or
    the data are not at hand; the message says then what was verified without them.
    """
    checked_device(device)
    folder = Path(run_folder)
    evaluation = load_evaluation(folder)
    stated, run = evaluation.document, load_run(folder)
    try:
        images, labels = evaluated_images(run, root, len(evaluation.labels))
    except ValueError as error:
        raise ValueError(
            f"{folder / NAME}: certificates and hashes hold, and the rows follow from the samples in the file, but "
            f"labels, logits and adversarial points were not compared with the data, which are not at hand ({error}); "
            "name their folder with --data"
        ) from None
    if images_sha256(images, labels) != stated["data"]["images_sha256"]:
        raise EvaluationRejected(f"{folder / NAME}: is about other images than those of {run.data.name} here")
    before, whole = networks_of(run.module, run.data.input_shape)
    for bound in evaluation.bounds:
        for certificate in bound.certificates:
            network = before if bound.name == "by-construction" else whole
            network = network if certificate.pair is None else difference(whole, *certificate.pair)
            proved = CheckResult(True, certificate.upper, "proved")  # by `load_evaluation`
            result = bound_to(network, document_of(folder / certificate.file), proved, whole=True)
            if not result.ok:
                raise EvaluationRejected(f"{folder / certificate.file}: {result.reason}")
    again = stated_of(run, folder, evaluation.level, list(evaluation.radii), images, labels, 0, None)
    points = torch.from_numpy(images).float() / run.data.levels
    fill_samples(again, run, before, whole, points, device)
    try:
        _compare(stated, again)
        _compare_rows(evaluation, again)
    except MalformedEvaluation as error:
        raise EvaluationRejected(f"{folder / NAME}: {error}") from None
    if evaluation.distances is not None:
        surely = judge(whole, run.data, ErrorBound.of(again["errors"]["float64"]), device)
        check_points(folder, stated["attack"].get("points_sha256"), evaluation.distances, points, labels, surely)
    return evaluation


def _compare(stated: Any, again: dict[str, Any]) -> None:
    """Raise `MalformedEvaluation` if what rows are computed from is not what the weights and the data give."""
    for key in ("model", "data", "head"):
        given = _with_defaults(stated[key]) if key == "model" else stated[key]
        if canonical(given) != canonical(again[key]):
            raise MalformedEvaluation(f"states another {key} than that of this folder")
    _compare_errors(stated["errors"], again["errors"])
    own, samples = stated["samples"], again["samples"]
    if set(own) - {"attacked"} != set(samples):
        raise MalformedEvaluation(
            f"has samples with {', '.join(sorted(own))}; this network's have {', '.join(sorted(samples))}"
        )
    count, classes = int(stated["data"]["count"]), int(stated["data"]["classes"])
    labels, given = (decode(table["labels"], (count,), "<i4") for table in (samples, own))
    if np.any(labels != given):
        raise MalformedEvaluation(
            f"states a label of sample {int(np.argmax(labels != given))} that is not that of the data"
        )
    away, given = (decode(table["from_centre"], (count,)) for table in (samples, own))
    if np.any(np.abs(away - given) > 1e-9 * (1 + away)):
        raise MalformedEvaluation("states distances from the centre that are not those of the images")
    new, old = (decode(table["logits"], (count, classes)) for table in (samples, own))
    apart = np.linalg.norm(new - old, axis=1) > 2.001 * ErrorBound.of(again["errors"]["float64"]).at(away)
    if apart.any():
        raise MalformedEvaluation(f"states logits of sample {int(np.argmax(apart))} that the network does not give")
    for key in samples.get("head", {}):
        new, old = (decode(table["head"][key], (count, classes)) for table in (samples, own))
        if np.any(np.abs(new - old) > CLOSE["head"] * (1 + np.abs(new))):
            raise MalformedEvaluation(f"states {key} of the head that the network does not give")


def _with_defaults(model: Any) -> dict[str, Any]:
    """What an evaluation states of its model, with the settings that did not exist when it was made."""
    try:
        settings = load_config({"model": model["settings"], "training": {"epochs": 1}}).table()["model"]
    except (ValueError, KeyError, TypeError):
        raise MalformedEvaluation("states settings that no model has") from None
    return {**model, "settings": settings}


def _compare_errors(stated: Any, again: dict[str, Any]) -> None:
    """Raise `MalformedEvaluation` if the error bounds of evaluation are not those of the network."""
    if {k for k, v in stated.items() if v is not None} != {k for k, v in again.items() if v is not None}:
        raise MalformedEvaluation("states errors of other evaluations than this network has")
    for key, value in again.items():
        pairs = [] if value is None else [(float.fromhex(value[k]), float.fromhex(stated[key][k])) for k in value]
        if any(new * (1 - CLOSE["errors"]) > old for new, old in pairs):
            raise MalformedEvaluation(f"states a smaller error of evaluation ({key}) than the network may have")
        if any(old * (1 - CLOSE["errors"]) > new for new, old in pairs):
            raise MalformedEvaluation(f"states another error of evaluation ({key}) than that of the network")


def _compare_rows(evaluation: Evaluation, again: dict[str, Any]) -> None:
    """Raise `MalformedEvaluation` if a row says more than follows from labels, logits and errors as computed here.

    Numbers of two machines differ by rounding; whatever is gained by that within the tolerances of `_compare` is lost
    here.
    """
    known = ("errors", "head")
    samples = again["samples"] | {k: v for k, v in evaluation.document["samples"].items() if k == "attacked"}
    found = compute({**evaluation.document, **{k: again[k] for k in known}, "samples": samples})
    if evaluation.correct > found.clean["correct"]:
        raise MalformedEvaluation(
            f"states {evaluation.correct} samples as right, the network has {found.clean['correct']}"
        )
    for row, new in zip(evaluation.rows, found.rows, strict=True):
        if row.certified > new.certified or (row.attacked or 0) < (new.attacked or 0):
            raise MalformedEvaluation(f"states a row that does not follow from the network and the data: {row}")

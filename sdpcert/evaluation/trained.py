"""Certified accuracy of a finished run, with proofs: logits, constants, radii and an attack, saved in the run folder.

`evaluate` writes `evaluation.json` and the certificates beside the weights; `sdpcert.evaluation.load_evaluation`
verifies them anywhere.
"""

from __future__ import annotations

import hashlib
import platform
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy
import torch
from torch import Tensor, nn

from sdpcert.errors import BoundContradiction, Interrupted
from sdpcert.evaluation.adversarial import write_points
from sdpcert.evaluation.attack import Attacked, AttackSettings, nothing_found, run_attack
from sdpcert.evaluation.bounds import networks_of, pairs_of, prove, reason_against, subjects
from sdpcert.evaluation.file import NAME, decode, document_bytes, encode, images_sha256
from sdpcert.evaluation.graph_module import GraphModule
from sdpcert.evaluation.real_logits import ROOM, centre_of, distances, judge
from sdpcert.evaluation.rows import BOUNDS, LEVELS, compute, contradiction_of
from sdpcert.evaluation.saved import Evaluation, read_evaluation
from sdpcert.layers.heads import NormalizedHead, OrthogonalHead
from sdpcert.layers.mlp_head import MLPHead
from sdpcert.network.construction import ConstructedNetwork
from sdpcert.network.graph import Network
from sdpcert.robustness.execution import FLOAT32, FLOAT64, check_float32, error_bound
from sdpcert.robustness.from_logits import ErrorBound
from sdpcert.robustness.links import prove_links
from sdpcert.running import choices
from sdpcert.running.arguments import choice
from sdpcert.running.choices import ON_INTERRUPT, OnInterrupt
from sdpcert.running.outputs import write_whole
from sdpcert.running.shares import shares_shown
from sdpcert.torch_modules.geometry import Operator, array
from sdpcert.torch_modules.reader import from_torch
from sdpcert.training.datasets import load_data
from sdpcert.training.parallel import checked_device
from sdpcert.training.runs import LoadedRun, is_finished, load_run
from sdpcert.version import __version__

Array = np.ndarray
#: The radii of the literature, for images of values 0 to 1; those of the run's log come in addition.
RADII = (36 / 255, 72 / 255, 108 / 255, 1.0)


def evaluate(
    run_folder: str | Path,
    radii: Sequence[float] | None = None,
    bounds: Sequence[str] = BOUNDS,
    level: str = "R",
    attack: AttackSettings | bool = True,
    *,
    pairs: str = "auto",
    count: int | None = None,
    root: str | Path | None = None,
    device: str = "cpu",
    time_limit: float = 300.0,
    tol: float = 1e-6,
    seed: int = 0,
    progress: bool = True,
    command: str | None = None,
    on_interrupt: OnInterrupt = "raise",
) -> Evaluation:
    """Certified accuracy of a finished run's network on the test images; writes `evaluation.json` and certificates.

    `radii` are l2 radii for images of values 0 to 1 (None: 36/255, 72/255, 108/255, 1 and those of the run's
    configuration). `bounds` are some of "by-construction", "sdp" and "pairwise"; programs whose estimated time is above
    `time_limit` seconds a bound are left out with the reason, unless `pairs` is "all" ("none" leaves the pairs out).
    `level` is "R" or "F" (see `sdpcert.robustness.execution`), `attack` the settings of the attack, or whether there is
    one. `count` takes the first test images only, `root` is where the data are now, `device` where logits are computed
    and attacks run, `command` is written into the file. `seed` is for attacks and attained bounds.

    Ctrl-C ends what is running; what is finished is saved, and the notes say so. Then `on_interrupt="raise"` raises
    `sdpcert.Interrupted` with that evaluation, so that a loop of a program ends, and "prove" returns it. Raises
    ValueError for bad input, and `BoundContradiction`, naming the sample, for an adversarial point within a certified
    radius.
    """
    prove_only = choice(on_interrupt, "on_interrupt", ON_INTERRUPT) == "prove"
    started, folder = time.perf_counter(), Path(run_folder)
    _check_arguments(bounds, level, pairs, count, time_limit)
    checked_device(device)
    if not is_finished(folder):
        load_run(folder)  # says what is wrong with it
        raise ValueError(f"{folder}: the run is not finished; go on with sdpcert train")
    run = load_run(folder)
    wanted = _radii(radii, run)
    images, labels = evaluated_images(run, root, count)
    attack_settings = AttackSettings(seed=seed) if attack is True else attack or None
    document = stated_of(run, folder, level, wanted, images, labels, seed, command)
    before, whole = networks_of(run.module, run.data.input_shape)
    if level == "F":
        check_float32(whole)
        _check_single(run.module)
    points = torch.from_numpy(images).float() / run.data.levels
    fill_samples(document, run, before, whole, points, device)
    document["left_out"] |= _reasons_against(bounds, before, whole, int(document["data"]["classes"]), pairs, time_limit)
    if all(name in document["left_out"] for name in bounds):
        reasons = "; ".join(f"{name}: {document['left_out'][name]}" for name in bounds)
        raise ValueError(f"{folder}: no bound is left to prove, nothing was written ({reasons})")
    # What an earlier evaluation stated about certificates that are written anew holds no longer.
    (folder / NAME).unlink(missing_ok=True)
    with shares_shown(progress) as report:
        finished = _fill_bounds(document, bounds, before, whole, folder, (tol, seed), report)
        found = None
        if attack_settings is not None and finished:
            surely = judge(whole, run.data, ErrorBound.of(document["errors"]["float64"]), device, ROOM)
            found = _attack(document, whole, points, labels, surely, attack_settings, device, report)
    if found is not None:
        document["samples"]["attacked"] = encode(found.distances)
        document["attack"]["points_sha256"] = write_points(folder, found)
    computed = compute(document)
    contradiction = contradiction_of(computed.bounds, computed.distances)
    if contradiction:
        raise BoundContradiction(f"{folder}: {contradiction}")
    document |= {"clean": computed.clean, "rows": [vars(row).copy() for row in computed.rows]}
    document["seconds"] = time.perf_counter() - started
    write_whole(folder / NAME, document_bytes(document))
    made = read_evaluation(folder, prove=False)
    if made.notes and not prove_only:
        raise Interrupted(f"{'; '.join(made.notes)}: see {made.path}", made)
    return made


def _check_arguments(bounds: Sequence[str], level: str, pairs: str, count: int | None, time_limit: float) -> None:
    unknown = [b for b in bounds if b not in BOUNDS]
    if unknown or not bounds:
        raise ValueError(f"unknown bound {unknown[0] if unknown else ''!r}; choose of {', '.join(BOUNDS)}")
    if level not in LEVELS:
        raise ValueError(f"unknown level {level!r}; choose R or F")
    if pairs not in choices.PAIRS:
        raise ValueError(f"unknown choice of pairs {pairs!r}; choose of {', '.join(choices.PAIRS)}")
    if count is not None and count < 1:
        raise ValueError(f"count must be positive, not {count}")
    if not time_limit > 0:
        raise ValueError(f"time_limit must be positive, not {time_limit!r}")


def _check_single(module: nn.Module) -> None:
    for name, value in module.named_parameters():
        if value.dtype != torch.float32:
            raise ValueError(f"level F is about float32 weights; {name} is {value.dtype}")


def _radii(radii: Sequence[float] | None, run: LoadedRun) -> list[float]:
    chosen = [*RADII, *run.config.training.radii] if radii is None else list(radii)
    if not chosen or not all(np.isfinite(r) and r >= 0 for r in chosen):
        raise ValueError(f"radii must be numbers that are not negative, not {chosen}")
    return sorted({float(r) for r in chosen})


def evaluated_images(run: LoadedRun, root: str | Path | None, count: int | None) -> tuple[Array, Array]:
    """Test images uint8 and labels int32, the first `count`; ValueError where the data are others than the run's."""
    settings = run.config.data
    data = load_data(settings.name, settings.root if root is None else root, settings.cache)
    if data.description.table() != run.data.table():
        raise ValueError(f"the images of {settings.name} here are not those that the run was trained with")
    return data.test.images[:count], data.test.labels[:count].astype(np.int32)


def stated_of(
    run: LoadedRun,
    folder: Path,
    level: str,
    radii: list[float],
    images: Array,
    labels: Array,
    seed: int,
    command: str | None,
) -> dict[str, Any]:
    """The document without what is computed."""
    weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
    settings = run.config.table()["model"]
    return {
        "model": {"weights_sha256": weights, "settings": settings},
        "data": {
            "name": run.data.name,
            "split": "test",
            "count": len(images),
            "classes": run.data.classes,
            "levels": run.data.levels,
            "input_shape": list(run.data.input_shape),
            "images_sha256": images_sha256(images, labels),
        },
        "level": level,
        "radii": radii,
        "bounds": [],
        "left_out": {},
        "notes": [],
        "attack": None,
        "samples": {"labels": encode(labels, "<i4")},
        "seed": seed,
        "command": command or " ".join(sys.argv),
        "versions": {
            "sdpcert": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
            "torch": torch.__version__,
        },
    }


def fill_samples(
    document: dict[str, Any], run: LoadedRun, before: Network, whole: Network, points: Tensor, device: str
) -> None:
    """Logits, errors, and what the head's radii need."""
    centre = centre_of(run.data)
    links = prove_links(whole)
    single = error_bound(whole, links, centre, FLOAT32) if document["level"] == "F" else None
    double = error_bound(whole, links, centre, FLOAT64)
    errors = {"float64": double.table(), "float32": None if single is None else single.table()}
    samples = document["samples"]
    samples["from_centre"] = encode(distances(points, run.data))
    head = getattr(run.module, "head", None)
    if not isinstance(head, MLPHead):
        samples["logits"] = encode(GraphModule(whole, device).evaluate(points))
    document["head"] = {"kind": "none"}
    if isinstance(head, NormalizedHead | OrthogonalHead):
        operator = head.materialised().through
        assert isinstance(operator, Operator)
        document["head"] = {"kind": "rows", "rows": encode(array(operator.weight))}
    elif isinstance(head, MLPHead):
        errors["features"] = error_bound(before, prove_links(before), centre, FLOAT64).table()
        features = GraphModule(before, device).evaluate(points)
        # The network's operations, but those before the head once.
        last = GraphModule(from_torch(head, before.output_shape), device)
        samples["logits"] = encode(last.evaluate(torch.from_numpy(features).reshape(-1, *before.output_shape)))
        margins, steepest = head.margins_and_slopes(features, decode(samples["labels"], (len(points),), "<i4"))
        samples["head"] = {"margins": encode(margins), "steepest": encode(steepest)}
        matrices = {"inward": encode(array(head.inward.weight)), "outward": encode(array(head.outward.weight))}
        document["head"] = {"kind": "mlp", "beta": head.beta.hex(), **matrices}
    elif head is not None:
        raise ValueError(f"there are no radii for a head of type {type(head).__name__}")
    document["errors"] = errors


def _reasons_against(
    bounds: Sequence[str], before: Network, whole: Network, classes: int, pairs: str, limit: float
) -> dict[str, str]:
    """Why some of the bounds are left out, by name."""
    constructed = isinstance(before, ConstructedNetwork)
    reasons: dict[str, str | None] = {
        "by-construction": None if constructed else "the network knows no constants by construction",
        "sdp": reason_against(whole, 1, limit) if "sdp" in bounds else None,
    }
    if "pairwise" in bounds and pairs == "none":
        reasons["pairwise"] = "not asked for (pairs: none)"
    elif "pairwise" in bounds:
        reasons["pairwise"] = reason_against(whole, len(pairs_of(classes)), np.inf if pairs == "all" else limit)
    return {name: reason for name, reason in reasons.items() if name in bounds and reason is not None}


def _fill_bounds(
    document: dict[str, Any],
    bounds: Sequence[str],
    before: Network,
    whole: Network,
    folder: Path,
    options: tuple[float, int],
    report: Callable[[str, float], None],
) -> bool:
    """Prove the bounds one after the other; False where Ctrl-C ended that."""
    tol, seed = options
    every = pairs_of(int(document["data"]["classes"]))
    left, finished = document["left_out"], True
    for name in (b for b in BOUNDS if b in bounds and b not in left):
        reason = None if finished else "interrupted"
        if reason is None:
            work = list(subjects(name, before, whole, every))
            proved = prove(name, work, folder, seed, tol, report)
            finished = proved.finished
            if len(proved.entries) < len(work):
                note = f"interrupted: {len(proved.entries)} of {len(work)} certificates of the bound {name} were proved"
                document["notes"].append(note)
                reason = None if proved.entries else "interrupted"
            if proved.entries:
                made = {"name": name, "certificates": proved.entries, "seconds": proved.seconds}
                document["bounds"].append(made)
        if reason is not None:
            left[name] = reason
    if not finished and not document["notes"]:
        document["notes"].append("interrupted: the bounds and the attack that were still to come were left out")
    return finished


def _attack(
    document: dict[str, Any],
    whole: Network,
    points: Tensor,
    labels: Array,
    surely: Callable[[Tensor, Array], Array],
    settings: AttackSettings,
    device: str,
    report: Callable[[str, float], None],
) -> Attacked:
    """Run the attack; interrupted, what was found is kept."""
    found = nothing_found(points)
    document["attack"] = settings.table()
    try:
        search, stages = GraphModule(whole, device, torch.float32), settings.stages
        for done, stage in enumerate(stages):

            def told(share: float, done: int = done) -> None:
                report("attack", (done + share) / len(stages))

            run_attack(search, points, labels, document["radii"], surely, stage, told, found)
    except KeyboardInterrupt:
        document["notes"].append("interrupted: the attack did not end, so attacked accuracies are too high")
    return found

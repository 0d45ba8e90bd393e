"""Training for certified accuracy, side by side: this package, deel-torchlip and orthogonium, for the same time each.

    python -m benchmarks.training TABLE [--root FOLDER] [--minutes M] [--seeds 0,1,2] [--rivals PYTHON] [--only NAME]

Tables: `mnist` (every family and recipe beside the other packages), `ablation` (loss, head, optimiser, averaging, one
change each), `cifar` (CIFAR-10, ten minutes, three seeds), `long` (CIFAR-10, forty minutes, once), `families`
(CIFAR-10, SLL, AOL, CPL, sandwich, SOC with an MLP head). `digits` is a trial of seconds. Configurations are in
`benchmarks/training/`; the other packages run in the interpreter `--rivals`, with their own layers and losses
(`training_rivals.py`), and without it they are left out.

The clock of a run counts training steps alone, with `--threads` threads for everyone; data, augmentation and the shape
of the learning rate are the same. All networks are evaluated alike (`training_certified.py`): a proved constant, all
classes, all test images, level R, and the share that an attack leaves of the first `--attacked` of them.

After every run the results are written; a run that they already hold, with the same minutes, threads and configuration,
is kept, unless epochs of it took much longer than the others: then something else was running.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Container
from functools import partial
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer

import sdpcert
from benchmarks.training_certified import attacked, certified, check_same_function, plain_network
from benchmarks.training_rivals import CONTENDERS, LOSSES
from sdpcert.evaluation.again import recertify
from sdpcert.evaluation.saved import Evaluation
from sdpcert.evaluation.trained import evaluate
from sdpcert.running.outputs import write_whole
from sdpcert.training import load_config, load_data, load_run, train
from sdpcert.training.datasets import Data
from tools.training_tables import DISTURBED

HERE = Path(__file__).parent
DATA = HERE.parents[1] / "shared" / "data"
RADII = {"mnist": [0.3, 0.5, 1.0, 1.58], "cifar10": [36 / 255, 72 / 255, 108 / 255], "digits": [0.25, 0.5, 1.0]}
#: Largest shift in pixels, and whether images are flipped.
AUGMENTED = {"mnist": (0, False), "cifar10": (4, True), "digits": (0, False)}
#: Epochs from one look at the test images to the next, outside the clock.
EVERY = {"mnist": 20, "cifar10": 2, "digits": 0}
#: Changes of one thing in the first configuration of the ablation.
CHANGES: dict[str, dict[str, Any]] = {
    "nothing": {},
    "loss with the certificate's term": {"loss": {"certificate": 0.1}},
    "loss with offset 2.1": {"loss": {"offset": 2.1213}},
    "loss with offset 4": {"loss": {"offset": 4.0}},
    "multi-margin loss": {"loss": {"name": "multi-margin", "margin": 3.0}},
    "HKR loss": {"loss": {"name": "hkr", "alpha": 0.95, "margin": 3.0}},
    "logit annealing": {"loss": {"name": "logit-annealing"}},
    "logit annealing with offset 4": {"loss": {"name": "logit-annealing", "offset": 4.0, "exponent": 2.0}},
    "EMMA": {"loss": {"name": "emma", "radius": 1.58, "temperature": 0.25}},
    "GloRo": {"loss": {"name": "gloro", "radius": 1.58}},
    "orthogonal head": {"model": {"head": "orthogonal"}},
    "NAdam": {"optimiser": {"name": "nadam", "learning_rate": 0.005}},
    "lookahead": {"optimiser": {"lookahead": 5}},
    "averaged weights": {"training": {"averaging": 0.998}},
}


#: How many test images tell the other packages' accuracies while they train.
WATCHED = 2000
#: What is kept of the log, for learning curves.
RECORDED = ("epoch", "seconds", "loss", "test_accuracy")


class Plan(NamedTuple):
    """A table: the data, our configurations, the other packages' networks, minutes and seeds."""

    data: str
    ours: tuple[str, ...]
    rivals: tuple[str, ...]
    minutes: float
    seeds: tuple[int, ...] = (0,)
    changes: tuple[str, ...] = ("nothing",)


MNIST = ("sandwich", "sandwich-wide", "sandwich-conv", "sll", "aol", "bro", "cholesky", "cayley", "aoc")
PLANS = {
    "digits": Plan("digits", ("digits",), ("torchlip-dense-hkr", "orthogonium-dense"), 0.05),
    "mnist": Plan(
        "mnist",
        tuple(f"mnist-{name}" for name in MNIST),
        (
            "torchlip-dense-hkr",
            "torchlip-dense-tau",
            "torchlip-conv-hkr",
            "torchlip-conv-hkr-small",
            "orthogonium-dense",
            "orthogonium-aoc",
            "orthogonium-aoc-small",
        ),
        10.0,
    ),
    "ablation": Plan("mnist", ("mnist-cholesky",), (), 4.0, changes=tuple(CHANGES)),
    "cifar": Plan(
        "cifar10",
        ("cifar-sandwich", "cifar-aoc", "cifar-aol"),
        (
            "torchlip-conv-hkr",
            "torchlip-conv-tau",
            "torchlip-conv-tau-small",
            "orthogonium-aoc",
            "orthogonium-aoc-small",
            "orthogonium-aoc-strides",
        ),
        10.0,
        (0, 1, 2),
    ),
    "long": Plan("cifar10", ("cifar-aoc",), ("orthogonium-aoc-strides", "torchlip-conv-tau-small"), 40.0),
    "families": Plan("cifar10", tuple(f"families-{k}" for k in ("sll", "aol", "cpl", "sandwich", "soc")), (), 10.0),
}


class Work(NamedTuple):
    """What a run shares with all others of its table."""

    data: Data
    root: Path
    cache: Path
    minutes: float
    threads: int
    count: int | None
    attack: int
    radii: list[float]


def configuration(name: str, change: str, work: Work) -> dict[str, Any]:
    """One of our configurations with one change, and with what all runs of a table share."""
    table = tomllib.loads((HERE / "training" / f"{name}.toml").read_text())
    given = {"training": {"minutes": work.minutes, "threads": work.threads, "radii": work.radii}}
    given["training"]["evaluate_every"] = EVERY[work.data.description.name]
    given["data"] = {"root": str(work.root), "cache": str(work.cache)} if work.data.description.name != "digits" else {}
    crop, flip = AUGMENTED[work.data.description.name]
    given["augment"] = {"crop": crop, "flip": flip}
    for section, values in [*given.items(), *CHANGES[change].items()]:
        before = table.get(section, {})
        if "name" in values and values["name"] != before.get("name"):
            before = {key: before[key] for key in ("certificate",) if key in before}  # which every loss may have
        table[section] = before | values
    return table


def processor_seconds() -> float:
    """What this process and those that it waited for have spent so far."""
    return sum(os.times()[:4])


def lost(records: list[dict[str, Any]]) -> float:
    """The share of the time by which epochs were longer than one and a half median ones: 0 on a quiet machine.

    The last epoch ends with the time, and is no measure of the others.
    """
    ends = [0.0, *(record["seconds"] for record in records)]
    each = [end - start for start, end in itertools.pairwise(ends)]
    usual = 1.5 * statistics.median(each[:-1] or each)
    return sum(max(0.0, one - usual) for one in each) / ends[-1]


def ours(name: str, change: str, seed: int, work: Work, folder: Path) -> dict[str, Any]:
    """Train and evaluate one of our configurations with one change."""
    table = configuration(name, change, work)
    train(table | {"seed": seed}, folder, progress=sys.stderr.isatty())
    run = load_run(folder)
    proved = partial(evaluate, folder, work.radii, ("by-construction",), attack=False, count=work.count, progress=False)
    # A dense network's float32 error is bounded in seconds, that of convolutions in many minutes.
    again = partial(recertify, folder, None if work.data.description.name == "digits" else work.root)
    in_float = {}
    if table["model"]["architecture"] == "dense" and change == "nothing":
        in_float["certified_float32"] = _by_radius(proved(level="F"))
        again()
    found = proved()
    again()
    records = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    last = records[-1]
    return {
        "constant": found.bounds[0].certificates[0].upper,
        "attained": found.bounds[0].certificates[0].lower,
        "images": found.samples,
        "clean": found.clean_accuracy,
        "certified": _by_radius(found),
        **in_float,
        "verified_again": True,
        "evaluation_seconds": found.document["seconds"],
        "parameters": sum(p.numel() for p in run.module.parameters()),
        "seconds": last["seconds"],
        "steps": last["step"],
        "images_a_second": last["step"] * run.config.training.batch / last["seconds"],
        "records": [{key: r[key] for key in RECORDED if key in r} for r in records if "loss" in r],
        "configuration": run.config.table(),
        **attacked(run.module, work.data.description, work.data.test, work.radii, work.attack, work.threads),
    }


def _by_radius(found: Evaluation) -> dict[str, float]:
    return {f"{row.radius:.6g}": row.accuracy for row in found.rows}


def rival(name: str, python: str, seed: int, work: Work, folder: Path) -> dict[str, Any]:
    """Train a network of another package in its interpreter, and evaluate its plain form."""
    description, test = work.data.description, work.data.test
    crop, flip = AUGMENTED[description.name]
    folder.mkdir(parents=True, exist_ok=True)
    np.savez(
        folder / "data.npz",
        name=description.name,
        images=work.data.train.images,
        labels=work.data.train.labels,
        test_images=test.images[:WATCHED],
        test_labels=test.labels[:WATCHED],
        mean=np.array(description.mean),
        levels=description.levels,
        classes=description.classes,
        crop=crop,
        flip=flip,
    )
    asked = ["--minutes", work.minutes, "--seed", seed, "--threads", work.threads]
    command = [python, HERE / "training_rivals.py", name, folder / "data.npz", folder, *asked]
    # Memory is kept from step to step for everyone: `sdpcert.running.allocation` does so for our own runs.
    memory = {"MALLOC_MMAP_MAX_": "0", "MALLOC_TRIM_THRESHOLD_": str(2**40)}
    ended = subprocess.run([str(part) for part in command], capture_output=True, text=True, env=os.environ | memory)
    (folder / "data.npz").unlink()
    if ended.returncode:
        raise RuntimeError((ended.stderr.strip().splitlines() or ["no message"])[-1])
    module = plain_network(folder, description)
    check_same_function(module, folder, test.images, description.levels)
    torch.set_num_threads(work.threads)
    stated = json.loads((folder / "network.json").read_text())
    kept = ("parameters", "seconds", "steps", "images_a_second", "records", "loss", "learning_rate", "versions")
    return {
        **certified(module, description, test.images[: work.count], test.labels[: work.count], work.radii),
        **{key: stated[key] for key in kept},
        **attacked(module, description, test, work.radii, work.attack, work.threads),
    }


def fingerprint(name: str, change: str, package: str, work: Work) -> str:
    """Of what a contender was asked to do, for however long and wherever the data are; all settings are resolved."""
    if package == "sdpcert":
        asked: Any = load_config(configuration(name, change, work)).essentials()
        asked["training"] = {k: v for k, v in asked["training"].items() if k not in ("minutes", "threads")}
    else:
        module, sizes, loss, learning_rate = CONTENDERS[work.data.description.name][name]
        asked = (module.__name__, sizes, loss, LOSSES[loss], learning_rate)
    return hashlib.sha256(json.dumps(asked, sort_keys=True).encode()).hexdigest()


def machine(threads: int) -> dict[str, Any]:
    """What the times depend on."""
    model = [line for line in _cpu() if line.startswith("model name")]
    return {
        "platform": platform.platform(),
        "processor": model[0].partition(": ")[2].strip() if model else platform.processor(),
        "cores": os.cpu_count(),
        "threads": threads,
        "load_before": os.getloadavg()[0],
        "versions": {"sdpcert": sdpcert.__version__, "torch": torch.__version__, "python": platform.python_version()},
    }


def _cpu() -> list[str]:
    try:
        return Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return []


def main(
    table: Annotated[str, typer.Argument(help=f"one of {', '.join(PLANS)}")],
    root: Annotated[Path, typer.Option(help="folder of the data")] = DATA,
    minutes: Annotated[float | None, typer.Option(help="training time of every run")] = None,
    seeds: Annotated[str | None, typer.Option(help="numbers separated by commas")] = None,
    rivals: Annotated[str | None, typer.Option(help="an interpreter with deel-torchlip and orthogonium")] = None,
    only: Annotated[str | None, typer.Option(help="contenders or changes, separated by commas")] = None,
    threads: Annotated[int, typer.Option(help="of every contender")] = 2,
    count: Annotated[int | None, typer.Option(help="certify the first test images only")] = None,
    attack: Annotated[int, typer.Option("--attacked", help="how many test images are attacked")] = 500,
    runs: Annotated[Path | None, typer.Option(help="folder that keeps the runs")] = None,
    output: Annotated[Path | None, typer.Option(help="JSON file")] = None,
) -> None:
    """Train all contenders of a table for the same time, and write what is proved of each."""
    if table not in PLANS:
        raise typer.BadParameter(f"{table!r} is no table; choose of {', '.join(PLANS)}")
    plan = PLANS[table]
    cache = Path(tempfile.gettempdir()) / "sdpcert-benchmark-cache"
    data = load_data(plan.data, None if plan.data == "digits" else root, cache)
    work = Work(data, root, cache, minutes or plan.minutes, threads, count, attack, RADII[plan.data])
    target = output or HERE / "results" / f"training_{table}.json"
    wanted = [(name, change, "sdpcert") for name in plan.ours for change in plan.changes]
    wanted += [(name, "nothing", name.partition("-")[0]) for name in plan.rivals]
    prints = {one: fingerprint(*one, work) for one in wanted}
    kept = _read(target, prints.values())
    results: dict[str, Any] = {"table": table, "machine": machine(threads), "runs": kept}
    images = len(data.test.images[:count])
    chosen = None if only is None else {name.strip() for name in only.split(",")}
    if rivals is None:
        wanted = [one for one in wanted if one[2] == "sdpcert"]
    with tempfile.TemporaryDirectory() as scratch:
        for seed in plan.seeds if seeds is None else [int(k) for k in seeds.split(",")]:
            for name, change, package in wanted:
                key = {"name": name, "change": change, "seed": seed, "minutes": work.minutes, "threads": threads}
                key["configuration_sha256"] = prints[name, change, package]
                stands = key | {"images": images, "attacked_images": attack}
                done = any(stands.items() <= run.items() and run["lost"] < DISTURBED for run in kept)
                if done or (chosen and not chosen & {name, change}):
                    continue
                place = f"{table}-{name}-{list(CHANGES).index(change)}-{seed}-{work.minutes:g}-{threads}"
                place += f"-{key['configuration_sha256'][:8]}"
                folder = (runs or Path(scratch)) / place
                row: dict[str, Any]
                before = {"load_before": os.getloadavg()[0], "processor_seconds": -processor_seconds()}
                try:
                    if package == "sdpcert":
                        row = ours(name, change, seed, work, folder)
                    else:
                        row = rival(name, str(rivals), seed, work, folder)
                    row["lost"] = lost(row["records"])
                except (ValueError, RuntimeError) as error:
                    row = {"failed": f"{type(error).__name__}: {error}"}
                before["processor_seconds"] += processor_seconds()
                if row.get("lost", 0.0) >= DISTURBED:
                    shutil.rmtree(folder)  # the next call begins anew
                others = [run for run in results["runs"] if not key.items() <= run.items()]
                results["runs"] = [*others, key | {"package": package} | before | row]
                write_whole(target, (json.dumps(results, indent=1) + "\n").encode())
                shown = row.get("certified") or row.get("failed")
                print(name, change, seed, f"{row.get('images_a_second', 0):.0f} images/s", row.get("clean"), shown)
    print(target)


def _read(target: Path, current: Container[str]) -> list[dict[str, Any]]:
    """The runs of current configurations that a file of results holds, but for those that failed."""
    if not target.is_file():
        return []
    runs = json.loads(target.read_text())["runs"]
    return [run for run in runs if "failed" not in run and run.get("configuration_sha256") in current]


if __name__ == "__main__":
    typer.run(main)

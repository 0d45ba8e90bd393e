"""Certified accuracy on MNIST and the digits: three bounds of a sandwich network, beside a plain MLP of the same size.

    python -m benchmarks.certified_accuracy [--data FOLDER] [--quick] [--output FILE.json]

Both networks have the same widths (784-128-128-10 and 64-64-64-10) and the same optimiser, epochs and batches; the
plain one is trained with cross-entropy and no constraint. Radii are those of level R on the test images: the least of
`(f_y - f_j - error) / L_yj` over all other classes, with L_yj by the product of norms (times sqrt 2), by the program of
the whole network (times sqrt 2), or by one program for each pair of classes. "margin" is the median of the radii over
the test images that the network has right. Every constant is proved; certificates are kept in the folder given by
`--keep`. MNIST is skipped where the folder of its files is absent.
"""

from __future__ import annotations

import json
import os
import platform
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import nn

import sdpcert
from sdpcert.evaluation.bounds import Subject, difference, pairs_of, prove
from sdpcert.evaluation.graph_module import GraphModule
from sdpcert.evaluation.saved import Evaluation, load_evaluation
from sdpcert.evaluation.trained import evaluate
from sdpcert.network.graph import Network
from sdpcert.robustness.execution import error_bound
from sdpcert.robustness.from_logits import linear_radii, pair_constants
from sdpcert.robustness.links import prove_links
from sdpcert.training import load_data, train
from sdpcert.training.datasets import Data

Array = np.ndarray
RESULTS = Path(__file__).parent / "results" / "certified_accuracy.json"
DATA = Path(__file__).parents[2] / "shared" / "data"
RADII = {"digits": [0.25, 0.5, 1.0], "mnist": [0.5, 1.0, 1.58]}
HIDDEN = {"digits": [64, 64], "mnist": [128, 128]}
EPOCHS = {"digits": 60, "mnist": 5}


def config(name: str, root: Path | None, quick: bool) -> dict[str, Any]:
    """A sandwich network, trained with cross-entropy with an offset."""
    return {
        "data": {"name": name, "root": None if root is None else str(root)},
        "model": {"architecture": "dense", "family": "sandwich", "hidden": [8, 8] if quick else HIDDEN[name]},
        "loss": {"name": "cross-entropy", "offset": 2.0 if name == "mnist" else 0.75, "temperature": 0.25},
        "optimiser": {"name": "adam", "learning_rate": 0.01},
        "training": {"epochs": 1 if quick else EPOCHS[name], "batch": 256, "threads": 1, "radii": RADII[name]},
    }


def plain(data: Data, settings: dict[str, Any]) -> Network:
    """A ReLU network of the same widths: Adam with the same number of steps, cross-entropy, nothing else."""
    torch.manual_seed(0)
    description = data.description
    sizes = [int(np.prod(description.input_shape)), *settings["model"]["hidden"], description.classes]
    parts: list[nn.Module] = [nn.Flatten()]
    for before, after in pairwise(sizes):
        parts += [nn.Linear(before, after), nn.ReLU()]
    module = nn.Sequential(*parts[:-1])
    images = torch.from_numpy(data.train.images).float() / description.levels
    labels = torch.from_numpy(data.train.labels.astype(np.int64))
    optimiser = torch.optim.Adam(module.parameters(), lr=1e-3)
    for _ in range(settings["training"]["epochs"]):
        for part in torch.randperm(len(images)).split(settings["training"]["batch"]):
            optimiser.zero_grad()
            nn.functional.cross_entropy(module(images[part]), labels[part]).backward()
            optimiser.step()
    return sdpcert.from_torch(module.eval(), description.input_shape)


def rows_of_plain(network: Network, data: Data, radii: list[float], folder: Path, count: int) -> list[dict[str, Any]]:
    """One row a bound; certificates go to `folder`."""
    images = torch.from_numpy(data.test.images[:count]).float() / data.description.levels
    labels, classes = data.test.labels[:count].astype(int), data.description.classes
    centre = np.broadcast_to(np.array(data.description.mean)[:, None, None], data.description.input_shape)
    logits = GraphModule(network).evaluate(images)
    away = np.linalg.norm((images.double().numpy() - centre).reshape(len(images), -1), axis=1)
    missed = error_bound(network, prove_links(network), centre).at(away * (1 + 1e-12))
    folder.mkdir(parents=True, exist_ok=True)
    started = time.perf_counter()
    product = sdpcert.certify(network, "product")
    product.save(folder / "product.json")
    rows = [row("plain MLP", "product", pair_constants(product.upper, None, classes), logits, labels, missed, radii)]
    rows[-1] |= {"upper": product.upper, "seconds": time.perf_counter() - started}
    for name in ("sdp", "pairwise"):
        work = [Subject(name, network)]
        if name == "pairwise":
            work = [Subject(f"pair-{y}-{j}", difference(network, y, j), (y, j)) for y, j in pairs_of(classes)]
        proved = prove(name, work, folder, 0, 1e-6, lambda name, share: None)
        uppers = [float.fromhex(entry["upper"]) for entry in proved.entries]
        constants = pair_constants(uppers[0], None, classes)
        if name == "pairwise":
            for entry, upper in zip(proved.entries, uppers, strict=True):
                y, j = entry["pair"]
                constants[y, j] = constants[j, y] = upper
        rows.append(row("plain MLP", name, constants, logits, labels, missed, radii))
        rows[-1] |= {"upper": max(uppers), "seconds": proved.seconds}
    return rows


def row(
    network: str, bound: str, constants: Array, logits: Array, labels: Array, missed: Array, radii: list[float]
) -> dict[str, Any]:
    found = linear_radii(logits, labels, constants, missed)
    return numbers(network, bound, found, logits.argmax(1) == labels, radii)


def numbers(network: str, bound: str, found: Array, right: Array, radii: list[float]) -> dict[str, Any]:
    """Accuracy, median radius and certified accuracies."""
    return {
        "network": network,
        "bound": bound,
        "accuracy": float(right.mean()),
        "margin": float(np.median(found[right])),
        "certified": {str(r): float(((found >= r) & (found > 0)).mean()) for r in radii},
    }


def rows_of_evaluation(found: Evaluation) -> list[dict[str, Any]]:
    """One row a bound, with the attack beside it."""
    rows = []
    for bound in found.bounds:
        right = found.logits.argmax(1) == found.labels
        made = numbers("sandwich", bound.name, bound.radii, right, list(found.radii))
        attacked = {str(r): found.row(bound.name, r).attacked_accuracy for r in found.radii}
        rows.append(made | {"attacked": attacked, "upper": bound.upper, "seconds": bound.seconds})
    return rows


def measure(name: str, root: Path | None, keep: Path, quick: bool) -> dict[str, Any]:
    """Train both networks on one data set and bound them."""
    settings, count = config(name, root, quick), 100 if quick else 10_000
    started = time.perf_counter()
    folder = train(settings, keep / name, progress=False)
    trained = time.perf_counter() - started
    evaluate(folder, RADII[name], pairs="all", count=count, progress=False)
    ours = load_evaluation(folder)
    data = load_data(name, root)
    rows = rows_of_evaluation(ours) + rows_of_plain(
        plain(data, settings), data, RADII[name], keep / f"{name}-plain", count
    )
    margins = {(r["network"], r["bound"]): r["margin"] for r in rows}
    base = margins["plain MLP", "product"]
    ratios = {
        "pairs of the sandwich network / product of the plain MLP": margins["sandwich", "pairwise"] / base,
        "pairs of the plain MLP / product of the plain MLP": margins["plain MLP", "pairwise"] / base,
    }
    widths = [int(np.prod(data.description.input_shape)), *settings["model"]["hidden"], data.description.classes]
    return {"data": name, "widths": widths, "training_seconds": trained, "rows": rows, "ratios": ratios}


def print_table(results: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    for result in results:
        radii = list(result["rows"][0]["certified"])
        title = f"{result['data']} {'-'.join(map(str, result['widths']))}"
        columns = ("network", "bound", "constant", "accuracy", "margin", *(f"certified {r}" for r in radii))
        table = Table(*columns, *(f"attacked {r}" for r in radii), title=title, box=None, header_style="bold")
        for r in result["rows"]:
            shares = [f"{v:.4f}" for v in r["certified"].values()]
            attacked = [f"{v:.4f}" for v in r.get("attacked", {}).values()]
            first = (r["network"], r["bound"], f"{r['upper']:.4f}", f"{r['accuracy']:.4f}", f"{r['margin']:.4f}")
            table.add_row(*first, *shares, *attacked)
        Console(width=150).print(table)
        for what, ratio in result["ratios"].items():
            print(f"{what}: {ratio:.2f}")


def main(
    data: Annotated[Path, typer.Option(help="folder of MNIST's files")] = DATA,
    keep: Annotated[Path | None, typer.Option(help="folder for networks and certificates (default: none)")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="tiny networks, 100 images, digits only")] = False,
    only: Annotated[str, typer.Option(help="digits, mnist, or both")] = "both",
    output: Annotated[Path, typer.Option(help="file for the results")] = RESULTS,
) -> None:
    """Print and store the tables."""
    torch.set_num_threads(1)
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        place = keep or Path(temporary)
        for name in ("digits",) if quick else ("digits", "mnist"):
            if only not in (name, "both"):
                continue
            if name == "mnist" and not data.is_dir():
                print(f"mnist is skipped: {data} is no folder", file=sys.stderr)
                continue
            results.append(measure(name, data if name == "mnist" else None, place, quick))
            output.parent.mkdir(parents=True, exist_ok=True)
            machine = f"{platform.machine()}, {os.cpu_count()} cores, {platform.platform()}"
            versions = {"sdpcert": sdpcert.__version__, "torch": torch.__version__, "numpy": np.__version__}
            command = "python -m benchmarks.certified_accuracy" + "".join(f" {a}" for a in sys.argv[1:])
            table = {"command": command, "machine": machine, "versions": versions, "results": results}
            output.write_text(json.dumps(table, indent=1) + "\n")
    print_table(results)


if __name__ == "__main__":
    typer.run(main)

"""Training on a GPU in one command of under ten minutes: throughput, then a network that is trained and certified.

    python -m benchmarks.gpu_training [--device cuda] [--data FOLDER] [--minutes 5] [--preset NAME] [--quick]

First images a second of one network of every family, in float32 and bfloat16 (training steps with batches of 256, after
a few to warm up). Then the preset is trained for the minutes in bfloat16, and certified in float32: the weights are
float32, the constant is proved of them, and logits are evaluated in float64. Without --data, or with --quick,
scikit-learn's digits are used. `gpu_solver.py` times the solver.

The JSON, with the device's name and versions, is written anew after each part.
"""

from __future__ import annotations

import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import torch
import typer

import sdpcert
from sdpcert.evaluation.trained import evaluate
from sdpcert.running.outputs import write_whole
from sdpcert.training import load_data, load_run, train
from sdpcert.training.config import load_config
from sdpcert.training.datasets import Description
from sdpcert.training.losses import make_loss
from sdpcert.training.runs import build

RESULTS = Path(__file__).parent / "results"
PRESET = "cifar10-quick-sll"
RADII = (36 / 255, 72 / 255, 108 / 255, 1.0)
DENSE = ("sll", "cpl", "aol", "spectral", "cayley", "bjorck", "bro", "cholesky", "sandwich")
CONVOLUTIONAL = ("sll", "cpl", "aol", "spectral", "bjorck", "cayley", "bcop", "aoc", "bro", "soc")
CONVOLUTIONAL += ("linear-residual", "sandwich")
PRECISIONS = {"float32": torch.float32, "bfloat16": torch.bfloat16}
BATCH = 256


def model_of(family: str, images: bool) -> dict[str, Any]:
    """A network of one family: three stages on colour images, two layers on digits."""
    if not images:
        return {"architecture": "dense", "family": family, "hidden": [64, 64], "features": 64 if family == "sll" else 0}
    stages = {"channels": [32, 64, 128], "outputs": [64, 128, 256], "layers": 2, "dense": [512]}
    return {"architecture": "convolutional", "family": family, **stages}


def throughput(family: str, precision: str, data: Description, device: str, seconds: float) -> dict[str, Any]:
    """Images a second of training steps."""
    images = data.name != "digits"
    config = load_config({"model": model_of(family, images), "training": {"epochs": 1}})
    torch.manual_seed(0)
    module = build(config, data).to(device).train()
    loss, optimiser = make_loss(config.loss), torch.optim.Adam(module.parameters(), lr=1e-4)
    inputs = torch.rand(BATCH, *data.input_shape, device=device)
    labels = torch.randint(0, data.classes, (BATCH,), device=device)

    def step() -> None:
        with torch.autocast(device.partition(":")[0], PRECISIONS[precision], enabled=precision != "float32"):
            logits = module(inputs)
        optimiser.zero_grad(set_to_none=True)
        loss(logits, labels).backward()
        optimiser.step()
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    for _ in range(3):
        step()
    started, steps = time.perf_counter(), 0
    while time.perf_counter() - started < seconds:
        step()
        steps += 1
    taken = time.perf_counter() - started
    row = {"family": family, "precision": precision, "images a second": steps * BATCH / taken}
    if device.startswith("cuda"):
        row["peak memory"] = torch.cuda.max_memory_allocated(device)
        torch.cuda.reset_peak_memory_stats(device)
    return row


def trained(preset: str, data: Path | None, device: str, minutes: float, count: int, folder: Path) -> dict[str, Any]:
    """Train a preset for a fixed time, evaluate it, and return what a table needs."""
    table: dict[str, Any] = {"preset": preset, "training": {"minutes": minutes, "precision": "bfloat16"}}
    if data is not None:
        table["data"] = {"root": str(data)}
    started = time.perf_counter()
    train(table, folder, device=device, progress=sys.stderr.isatty())
    training_seconds = time.perf_counter() - started
    log = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    run = load_run(folder)
    started = time.perf_counter()
    result = evaluate(folder, RADII, ("by-construction",), attack=False, count=count, device=device, progress=False)
    return {
        "preset": preset,
        "precision": run.config.training.precision,
        "certified precision": "float32 weights, logits in float64",
        "parameters": sum(p.numel() for p in run.module.parameters()),
        "steps": log[-1]["step"],
        "images a second": log[-1]["step"] * run.config.training.batch / log[-1]["seconds"],
        "training seconds": training_seconds,
        "evaluation seconds": time.perf_counter() - started,
        "test images": result.samples,
        "constant": result.bounds[0].certificates[0].upper,
        "clean accuracy": result.clean_accuracy,
        "rows": [vars(row) for row in result.rows],
    }


def main(
    device: Annotated[str, typer.Option(help="cuda or cpu")] = "cuda" if torch.cuda.is_available() else "cpu",
    data: Annotated[Path | None, typer.Option(help="folder with CIFAR-10")] = None,
    minutes: Annotated[float, typer.Option(help="training time of the preset")] = 5.0,
    seconds: Annotated[float, typer.Option(help="of every throughput")] = 3.0,
    preset: Annotated[str | None, typer.Option(help="what is trained")] = None,
    quick: Annotated[bool, typer.Option(help="digits, a few seconds")] = False,
    output: Annotated[Path | None, typer.Option(help="JSON file")] = None,
) -> None:
    """Measure throughput on a device, train and certify there, and write the results as JSON."""
    quick = quick or data is None
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
    target = output or RESULTS / f"gpu_training_{name.lower().replace(' ', '_')}.json"
    results: dict[str, Any] = {
        "device": name,
        "command": "python -m benchmarks.gpu_training " + " ".join(sys.argv[1:]),
        "versions": {"sdpcert": sdpcert.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "throughput": [],
        "networks": [],
    }

    def wrote(part: str, row: dict[str, Any]) -> None:
        results[part].append(row)
        print(json.dumps(row)[:300], flush=True)
        write_whole(target, (json.dumps(results, indent=1) + "\n").encode())

    description = load_data("digits" if quick else "cifar10", data).description
    for family in DENSE[:2] if quick else CONVOLUTIONAL:
        for precision in PRECISIONS:
            try:
                wrote("throughput", throughput(family, precision, description, device, 0.2 if quick else seconds))
            except (ValueError, RuntimeError) as error:
                failed = f"{type(error).__name__}: {error}"
                wrote("throughput", {"family": family, "precision": precision, "failed": failed})
    with tempfile.TemporaryDirectory() as folder:
        chosen = preset or ("digits" if quick else PRESET)
        wrote("networks", trained(chosen, data, device, min(minutes, 0.05) if quick else minutes, 1000, Path(folder)))
    print(target)


if __name__ == "__main__":
    typer.run(main)

"""Training on a GPU in one command of under ten minutes: train, evaluate, certify. `gpu_solver.py` times the solver.

    python -m benchmarks.gpu [--device cuda] [--data FOLDER] [--seconds 60] [--presets a,b] [--quick] [--output FILE]

Presets are trained for a fixed time each and evaluated on the first test images: clean and certified accuracy with
proofs by construction, images a second. Without --data, or with --quick, scikit-learn's digits are used.
The JSON holds the device's name, versions and the command.
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
from sdpcert.training import load_run, train

RESULTS = Path(__file__).parent / "results"
PRESETS = tuple(f"cifar10-quick-{family}" for family in ("sll", "cpl", "aol", "sandwich", "soc"))
RADII = (36 / 255, 72 / 255, 108 / 255, 1.0)


def trained(preset: str, data: Path | None, device: str, seconds: float, count: int, folder: Path) -> dict[str, Any]:
    """Train a preset for a fixed time, evaluate it, and return what a table needs."""
    table: dict[str, Any] = {"preset": preset, "training": {"minutes": seconds / 60}}
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
        "parameters": sum(p.numel() for p in run.module.parameters()),
        "steps": log[-1]["step"],
        "images a second": log[-1]["step"] * run.config.training.batch / log[-1]["seconds"],
        "training seconds": training_seconds,
        "evaluation seconds": time.perf_counter() - started,
        "test images": count,
        "clean accuracy": result.clean_accuracy,
        "rows": [vars(row) for row in result.rows],
    }


def main(
    device: Annotated[str, typer.Option(help="cuda or cpu")] = "cuda" if torch.cuda.is_available() else "cpu",
    data: Annotated[Path | None, typer.Option(help="folder with CIFAR-10")] = None,
    seconds: Annotated[float, typer.Option(help="training time of every preset")] = 60.0,
    presets: Annotated[str, typer.Option(help="names separated by commas")] = "",
    quick: Annotated[bool, typer.Option(help="digits, a few seconds")] = False,
    output: Annotated[Path | None, typer.Option(help="JSON file")] = None,
) -> None:
    """Train and evaluate on a device, and write the results as JSON."""
    quick = quick or data is None
    names = tuple(presets.split(",")) if presets else ("digits",) if quick else PRESETS
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
    count = 100 if quick else 1000
    results: dict[str, Any] = {
        "device": name,
        "command": "python -m benchmarks.gpu " + " ".join(sys.argv[1:]),
        "versions": {"sdpcert": sdpcert.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "networks": [],
    }
    with tempfile.TemporaryDirectory() as folder:
        for preset in names:
            try:
                row = trained(
                    preset, data, device, min(seconds, 5.0) if quick else seconds, count, Path(folder) / preset
                )
            except (ValueError, RuntimeError) as error:
                row = {"preset": preset, "failed": f"{type(error).__name__}: {error}"}
            results["networks"].append(row)
            print(json.dumps(row)[:300], flush=True)
    target = output or RESULTS / f"gpu_{name.lower().replace(' ', '_')}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + "\n")
    print(target)


if __name__ == "__main__":
    typer.run(main)

"""Certified accuracy of the shipped digits networks on their whole test set, each in one call of `sdpcert.radii`.

    python -m benchmarks.whole_test_sets [--time-limit S] [--output FILE]

Counts at every radius, proved and left by an attack, how long all of it took on one thread, and how long the checker
took for the file. Written to `benchmarks/results/radii_whole.json`.
"""

from __future__ import annotations

import json
import platform
import tempfile
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from benchmarks.radii import RESULTS, Subject, digits
from benchmarks.regions import SHARED, Source
from sdpcert.running.outputs import write_whole

#: More than there are test inputs.
ALL = 10_000


def measured(subject: Subject, time_limit: float, folder: Path) -> dict[str, Any]:
    """The row of one network."""
    started, file = time.perf_counter(), folder / f"{subject.name}.radii.json"
    found = sdpcert.radii(
        subject.network,
        subject.inputs,
        subject.labels,
        radii=list(subject.radii),
        time_limit=time_limit,
        constants=False,
    )
    found.save(file)
    took, checked_from = time.perf_counter() - started, time.perf_counter()
    verdict = sdpcert.check(file)
    return {
        "network": subject.name,
        "inputs": len(subject.inputs),
        "right": int(found.correct.sum()),
        "norm": found.norm,
        "level": found.level,
        "time_limit": time_limit,
        "seconds": took,
        "bytes": file.stat().st_size,
        "rows": [{"radius": r.radius, "certified": r.certified, "attacked": r.attacked} for r in found.rows],
        "checked": verdict.ok,
        "check_level": verdict.level,
        "check_seconds": time.perf_counter() - checked_from,
    }


def main(
    time_limit: Annotated[float, typer.Option(help="seconds an input")] = 10.0,
    output: Annotated[Path, typer.Option(help="file of the results")] = RESULTS / "radii_whole.json",
) -> None:
    """Both networks, one after the other."""
    machine = {"processor": platform.machine(), "python": platform.python_version(), "numpy": np.__version__}
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        for subject in digits(Source(SHARED / "networks", SHARED / "data", ALL, ())):
            rows.append(measured(subject, time_limit, Path(folder)))
            print(rows[-1])
            write_whole(output, json.dumps({"machine": machine, "rows": rows}, indent=1).encode())


if __name__ == "__main__":
    typer.run(main)

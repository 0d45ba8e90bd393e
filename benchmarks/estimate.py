"""Estimated against measured seconds and bytes: solving as a whole, its proof, and one multiplier per layer in blocks.

    python -m benchmarks.estimate [--quick] [--only TEXT] [--limit SECONDS] [--output FILE.json]

Chains are those of `benchmarks.depth`, "square" ones with as many inputs and outputs as neurons in a layer; dense
networks have normal weights; in "skips" every group reads the two sources before it.

- Every run is a process of its own. The pace is measured there, right before the estimate is made, as `certify` does.
- "seconds" are those of the solver and of the proof of its point, "bytes" the most that Python and NumPy held at once
  in each, traced in a second run of two iterations, which is where the peak is.
- Of a run that the limit stops the proof is left out.
- The load of the machine before and after is stored: a busy machine takes longer than it measured.
"""

from __future__ import annotations

import itertools
import json
import os
import platform
import subprocess
import sys
import time
import tracemalloc
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import sdpcert
from benchmarks import depth
from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.arithmetic.pace import measured
from sdpcert.certificate.proof import ProofProblem
from sdpcert.certify.ladder import estimate_layers
from sdpcert.network.activations import relu
from sdpcert.network.stacked import Block, Group, StackedForm
from sdpcert.solvers import interior_point
from sdpcert.solvers.effort import Effort, estimate
from sdpcert.solvers.family import layer_optimum
from sdpcert.solvers.solution import Budget, Progress, Solution

Array = np.ndarray
RESULTS = Path(__file__).parent / "results" / "estimate.json"
#: Iterations of the run whose memory is traced.
TRACED = 2


@dataclass(frozen=True)
class Case:
    """A network of `kind` with layers of `sizes`, and the way that its condition is solved."""

    kind: str
    sizes: tuple[int, ...]
    way: str = "neuron"
    quick: bool = False

    @property
    def name(self) -> str:
        """As tables name it: equal layers are counted."""
        runs = [(size, len(list(run))) for size, run in itertools.groupby(self.sizes)]
        return f"{self.kind} {'-'.join(str(s) if k == 1 else f'{s}x{k}' for s, k in runs)}, {self.way}"


def chain_sizes(layers: int, width: int) -> tuple[int, ...]:
    """Those of a chain of the ECLipsE benchmark."""
    return (4, *[width] * (layers - 1), 1)


CASES = (
    Case("dense", (10, 32, 32, 5), quick=True),
    Case("chain", chain_sizes(5, 80), quick=True),
    Case("chain", chain_sizes(10, 80)),
    Case("chain", chain_sizes(20, 80)),
    Case("chain", chain_sizes(30, 80)),
    Case("dense", (784, 100, 100, 10)),
    Case("dense", (784, *[100] * 5, 10)),
    Case("dense", (20, 800, 5)),
    Case("dense", (50, 400, 400, 10)),
    Case("dense", (784, 500, 500, 10)),
    Case("dense", tuple([64] * 17)),
    Case("dense", tuple([16] * 33)),
    Case("skips", (40, *[60] * 10, 10)),
    Case("skips", (100, *[200] * 4, 10)),
    Case("dense", (784, *[100] * 5, 10), "layer"),
    Case("skips", (40, *[60] * 10, 10), "layer"),
    Case("chain", chain_sizes(20, 80), "layer in blocks"),
    Case("chain", chain_sizes(10, 200), "layer in blocks"),
)


def form_of(case: Case) -> StackedForm:
    """The reduced form of a case."""
    if case.kind == "chain":
        weights = depth.chain(depth.Case("normal", len(case.sizes) - 1, case.sizes[1]))
        return sdpcert.Network.mlp(weights).stacked.reduced()
    rng, reach = np.random.default_rng(0), 2 if case.kind == "skips" else 1

    def drawn(rows: int, columns: int) -> Block:
        return Block(rng.standard_normal((rows, columns)) / (reach * columns) ** 0.5)

    blocks = {
        (to, source): drawn(case.sizes[to], case.sizes[source])
        for to in range(1, len(case.sizes))
        for source in range(max(0, to - reach), to)
    }
    groups = [Group(relu(), (n,), np.arange(n), np.zeros(n), np.ones(n), np.zeros(n)) for n in case.sizes[1:-1]]
    return StackedForm(case.sizes[0], case.sizes[-1], tuple(groups), blocks, np.zeros(case.sizes[-1])).reduced()


def solved(form: StackedForm, way: str, budget: Budget) -> Solution:
    """The point of a way."""
    return layer_optimum(form, budget) if way == "layer in blocks" else interior_point(form, way, budget)


def estimated(form: StackedForm, way: str) -> Effort:
    """The estimate of a way."""
    return estimate_layers(form) if way == "layer in blocks" else estimate(form, way)


def measure(case: Case, limit: float) -> dict[str, Any]:
    """Estimates and truths of one case."""
    form = form_of(case)
    with one_blas_thread():
        pace, effort = measured(), estimated(form, case.way)
        started = time.perf_counter()
        solution = solved(form, case.way, Budget(1e-6, limit))
        seconds = time.perf_counter() - started
        found: dict[str, Any] = {
            "case": asdict(case) | {"name": case.name},
            "pace": asdict(pace),
            "estimated": asdict(effort),
            "seconds": seconds,
            "iterations": solution.iterations,
            "status": solution.status,
        }
        if solution.status != "time limit":
            started = time.perf_counter()
            proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
            found["proof"] = time.perf_counter() - started
            found["proved"] = proof is not None
        found["memory"] = traced(form, case.way, solution)
    return found


def traced(form: StackedForm, way: str, solution: Solution) -> float:
    """The most bytes that a run of some iterations, or the proof of a point, has at once."""

    def stop(line: Progress) -> None:
        if line.iteration >= TRACED:
            raise KeyboardInterrupt

    tracemalloc.start()
    solved(form, way, Budget(1e-6, report=stop))
    ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return float(peak)


def print_rows(rows: list[dict[str, Any]]) -> None:
    table = Table("network", "estimated s", "measured s", "proof", "measured", "MiB", "measured")
    for row in rows:
        effort = row["estimated"]
        numbers = effort["seconds"], row["seconds"], effort["proof"], row.get("proof", float("nan"))
        sizes = (f"{bytes_ / 2**20:.0f}" for bytes_ in (effort["memory"], row["memory"]))
        table.add_row(row["case"]["name"], *(f"{number:.2f}" for number in numbers), *sizes)
    Console().print(table)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="small networks only")] = False,
    only: Annotated[str, typer.Option(help="only networks whose name contains this text")] = "",
    limit: Annotated[float, typer.Option(help="seconds for solving")] = 600,
    output: Annotated[Path, typer.Option(help="file for the results")] = RESULTS,
    worker: Annotated[str, typer.Option(hidden=True)] = "",
) -> None:
    """Print and store the table."""
    if worker:
        print(json.dumps(measure(next(c for c in CASES if c.name == worker), limit)))
        return
    rows = json.loads(output.read_text())["rows"] if output.exists() else []
    for case in [c for c in CASES if only in c.name and (c.quick or not quick)]:
        print(f"{case.name} ...", file=sys.stderr, flush=True)
        load = os.getloadavg()[0]
        command = [sys.executable, "-m", "benchmarks.estimate", "--worker", case.name, "--limit", str(limit)]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        row = json.loads(done.stdout.strip().splitlines()[-1]) | {"load": [load, os.getloadavg()[0]]}
        rows = [r for r in rows if r["case"]["name"] != case.name] + [row]
        machine = {"platform": platform.platform(), "cores": os.cpu_count(), "numpy": np.__version__}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    print_rows(rows)


if __name__ == "__main__":
    typer.run(main)

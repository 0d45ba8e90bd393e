"""Deep and wide chains beside eclipse-nn, plain ECLipsE-Fast and general solvers: bounds, time, memory, growth.

    python -m venv /tmp/eclipse && /tmp/eclipse/bin/pip install eclipse-nn==0.1.7 torch==2.13.0
    python -m benchmarks.depth [--quick] [--eclipse /tmp/eclipse/bin/python] [--limit SECONDS] [--only TEXT]
                               [--output FILE.json]

The chains are those of ECLipsE's benchmark, 4 inputs and one output: for every layer a spectral norm uniform in
[0.4, 1.8] and a matrix from NumPy's legacy generator, nonnegative ("nonnegative", as published) or normal ("normal", as
its generator draws today). A nonnegative chain has the exact constant |W_L ... W_1|.

- Every run is a process of its own with a time and a memory limit, one BLAS thread for sdpcert as always.
- "seconds" is all that a user waits for after the imports: of sdpcert with the proof and the attained search. "memory"
  is the largest resident size of the process.
- The ways of sdpcert: "product", "ten seconds" (`time_limit=10`), "layer" (one multiplier per layer), "neuron".
- "check" is the stand-alone checker on the certificate's file, a process of its own.
- Opponents prove nothing: their values are as they are.
- "growth" has exponents fitted to the time over the depth at width 80, and over the width at 20 layers.
"""

from __future__ import annotations

import itertools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

import sdpcert
from benchmarks.solvers import machine
from sdpcert.certificate.document import build_document, write_document
from sdpcert.certificate.proof import ProofProblem
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.solvers import closed_form, product
from sdpcert.solvers.family import layer_optimum
from sdpcert.solvers.solution import Budget, Progress

Array = np.ndarray
RESULTS = Path(__file__).parent / "results" / "depth.json"
GENERAL = ("clarabel", "scs", "sdpa")
#: Neurons above which general solvers are not tried.
LARGEST_GENERAL = 750

ECLIPSE = """
import json, sys, time
import numpy as np, torch
from eclipse_nn import LipConstEstimator
stored = np.load(sys.argv[1])
weights = [torch.from_numpy(stored[name]) for name in stored.files]
started = time.perf_counter()
value = float(LipConstEstimator(weights=weights).estimate(sys.argv[2]))
print(json.dumps({"value": value, "seconds": time.perf_counter() - started}))
"""


@dataclass(frozen=True)
class Case:
    """A chain of `layers` layers of `width` neurons; `layer` and `neuron` say whether those ways are tried."""

    kind: str
    layers: int
    width: int
    layer: bool = True
    neuron: bool = False
    quick: bool = False

    @property
    def name(self) -> str:
        return f"{self.kind} {self.layers} x {self.width}"

    @property
    def neurons(self) -> int:
        return (self.layers - 1) * self.width


CASES = (
    *(Case("nonnegative", n, 80, layer=False, quick=n <= 10) for n in (2, 5, 10, 20, 30, 50, 75, 100)),
    *(Case("normal", n, 80, neuron=n <= 30, quick=n <= 5) for n in (5, 10, 20, 30, 100)),
    Case("normal", 50, 1000, layer=False),
    *(Case("square", n, 64, neuron=True) for n in (16, 32, 64)),
)
DEPTHS, WIDTHS = (25, 50, 100, 200), (40, 80, 160, 320)


def chain(case: Case) -> list[Array]:
    """The weights; "square" chains have as many inputs and outputs as neurons in a layer."""
    draw = np.random.RandomState(7 * case.width + 13 * case.layers)
    ends = (case.width, case.width) if case.kind == "square" else (4, 1)
    sizes = [ends[0], *[case.width] * (case.layers - 1), ends[1]]
    weights = []
    for columns, rows in itertools.pairwise(sizes):
        norm = draw.uniform(0.4, 1.8)
        weight = draw.rand(rows, columns) if case.kind == "nonnegative" else draw.randn(rows, columns)
        weights.append(norm * weight / np.linalg.norm(weight, 2))
        if case.kind == "nonnegative":
            draw.rand(rows)  # biases that are drawn and not used
    return weights


def exact(weights: list[Array]) -> float:
    """The norm of the product of all layers: the constant of a nonnegative chain."""
    whole = weights[0]
    for weight in weights[1:]:
        whole = weight @ whole
    return float(np.linalg.norm(whole, 2))


def plain_fast(weights: list[Array]) -> dict[str, Any]:
    """ECLipsE-Fast for slopes from 0 to 1 as it is published, in NumPy."""
    started = time.perf_counter()
    room = np.eye(weights[0].shape[1])
    for weight in weights[:-1]:
        gram = weight @ np.linalg.solve(room, weight.T)
        multiplier = 2 / np.linalg.eigvalsh(gram)[-1]
        room = multiplier * np.eye(len(weight)) - multiplier**2 / 4 * gram
    last = weights[-1] @ np.linalg.solve(room, weights[-1].T)
    value = float(np.sqrt(np.linalg.eigvalsh(last)[-1]))
    return {"value": value, "seconds": time.perf_counter() - started}


def certified(weights: list[Array], way: str, limit: float) -> dict[str, Any]:
    """What `certify` proves, and how long the stand-alone checker takes."""
    options: dict[str, Any] = {
        "ten seconds": {"time_limit": 10.0},
        "product": {"method": "product"},
        "layer": {"method": "layer", "time_limit": limit},
        "neuron": {"method": "neuron", "time_limit": limit},
    }.get(way, {"method": "neuron", "solver": way})
    network = sdpcert.Network.mlp(weights)
    history: list[tuple[float, float]] = []

    def follow(line: Progress) -> None:
        history.append((line.seconds, line.upper))

    started = time.perf_counter()
    certificate = sdpcert.certify(network, progress=follow, **options)
    seconds = time.perf_counter() - started
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    found = {
        "value": certificate.upper,
        "seconds": seconds,
        "memory": memory,
        "status": certificate.status,
        "lower": certificate.lower,
        "sdp_lower": certificate.sdp_lower,
        "solve": certificate.solve_seconds,
        "proof": certificate.proof_seconds,
        "attained": certificate.attained_seconds,
        "notes": list(certificate.notes),
        "history": history[:: max(1, len(history) // 100)],
    }
    if certificate.status == "proved":
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "certificate.json"
            certificate.save(path)
            found["bytes"] = path.stat().st_size
            found |= checked(path)
    return found


def checked(path: Path) -> dict[str, Any]:
    """Seconds and verdict of the stand-alone checker on a file."""
    started = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "sdpcert.check", str(path)], capture_output=True, text=True)
    return {
        "check": time.perf_counter() - started,
        "accepted": done.returncode == 0,
        "verdict": done.stdout.strip().splitlines()[-1:],
    }


def apart(arguments: list[str], limit: float, memory: float) -> dict[str, Any]:
    """The JSON that a process prints, or why there is none."""

    def limited() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (int(memory * 2**30), int(memory * 2**30)))

    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=limit, preexec_fn=limited)
    except subprocess.TimeoutExpired:
        return {"failed": f"no answer after {limit:.0f} s"}
    if done.returncode:
        lines = done.stderr.strip().splitlines() or [f"exit status {done.returncode}"]
        return {"failed": lines[-1][:200]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def eclipse(python: Path, weights: list[Array], method: str, limit: float, memory: float) -> dict[str, Any]:
    """What eclipse-nn answers, in its own environment."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "weights.npz"
        np.savez(path, *weights)
        return apart([str(python), "-c", ECLIPSE, str(path), method], limit, memory)


def row_of(case: Case, python: Path | None, limit: float, memory: float) -> dict[str, Any]:
    """All ways and opponents on one chain."""
    weights = chain(case)
    ways = ["product", "ten seconds", *(["layer"] if case.layer else []), *(["neuron"] if case.neuron else [])]
    found: dict[str, Any] = {"case": asdict(case) | {"name": case.name, "neurons": case.neurons}}
    if case.kind == "nonnegative":
        found["exact"] = exact(weights)
    found["plain ECLipsE-Fast"] = plain_fast(weights)
    if python is not None:
        for method in ("ECLipsE_Fast", "ECLipsE"):
            print(f"{case.name}: eclipse-nn {method} ...", file=sys.stderr, flush=True)
            found[f"eclipse-nn {method}"] = eclipse(python, weights, method, limit, memory)
    for way in (*ways, *(GENERAL if case.neurons <= LARGEST_GENERAL else ())):
        print(f"{case.name}: {way} ...", file=sys.stderr, flush=True)
        command = [sys.executable, "-m", "benchmarks.depth", "--worker", case.name, way, "--limit", str(limit)]
        found[way] = apart(command, limit + 900, memory)
    return found


def growth(depths: tuple[int, ...], widths: tuple[int, ...]) -> dict[str, Any]:
    """Seconds of the parts over depth and width, and the exponents that fit them."""
    found: dict[str, Any] = {}
    for axis, values, cases in (
        ("depth", depths, [Case("normal", n, 80) for n in depths]),
        ("width", widths, [Case("normal", 20, n) for n in widths]),
    ):
        rows = [timed_parts(case) for case in cases]
        exponents = {
            part: float(np.polyfit(np.log(values), np.log([row[part] for row in rows]), 1)[0]) for part in rows[0]
        }
        found[axis] = {"values": list(values), "seconds": rows, "exponents": exponents}
    return found


def timed_parts(case: Case) -> dict[str, float]:
    """Seconds of the product, the closed form, its proof and check, and an iteration of the layer optimum."""
    form = sdpcert.Network.mlp(chain(case)).stacked.reduced()
    seconds: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        started = time.perf_counter()
        result = work()
        seconds[name] = time.perf_counter() - started
        return result

    timed("product", lambda: product(form))
    point = timed("closed form", lambda: closed_form(form))
    proof = timed("proof", lambda: ProofProblem(form, point.exponent).prove(point.rho, point.multipliers))
    if proof is None:
        raise RuntimeError(f"the closed form of {case.name} was not proved")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "certificate.json"
        write_document(build_document(StackedCondition(form, proof), None, {}), path)
        seconds["check"] = checked(path)["check"]
    times: list[float] = []
    layer_optimum(form, Budget(1e-3, 60.0, lambda line: times.append(line.seconds)))
    seconds["iteration of the layer optimum"] = float(np.median(np.diff(times)))
    return seconds


def print_rows(rows: list[dict[str, Any]]) -> None:
    table = Table("chain", "way", "value", "seconds", "GiB", "check")
    for row in rows:
        if "exact" in row:
            table.add_row(row["case"]["name"], "exact", f"{row['exact']:.12g}", "", "", "")
        for way, found in row.items():
            if way in ("case", "exact"):
                continue
            if "failed" in found:
                table.add_row(row["case"]["name"], way, found["failed"], "", "", "")
                continue
            texts = [f"{found[k]:.2f}" if k in found else "" for k in ("seconds", "memory", "check")]
            table.add_row(row["case"]["name"], way, f"{found['value']:.10g}", *texts)
    Console().print(table)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="small chains, and no growth")] = False,
    limit: Annotated[float, typer.Option(help="seconds for one way on one chain")] = 180,
    memory: Annotated[float, typer.Option(help="GiB of address space for one process")] = 12,
    only: Annotated[str, typer.Option(help="only chains whose name contains this text")] = "",
    eclipse_python: Annotated[Path | None, typer.Option("--eclipse", help="Python with eclipse-nn")] = None,
    output: Annotated[Path, typer.Option(help="file for the results")] = RESULTS,
    with_growth: Annotated[bool, typer.Option("--growth", help="only the growth over depth and width")] = False,
    worker: Annotated[tuple[str, str], typer.Option(hidden=True)] = ("", ""),
) -> None:
    """Print and store the table."""
    if worker[0]:
        print(json.dumps(certified(chain(next(c for c in CASES if c.name == worker[0])), worker[1], limit)))
        return
    before = json.loads(output.read_text()) if output.exists() else {}
    document: dict[str, Any] = {**before, "machine": machine(), "limit": limit, "rows": before.get("rows", [])}
    if with_growth:
        document["growth"] = growth(DEPTHS, WIDTHS)
        print(json.dumps({axis: found["exponents"] for axis, found in document["growth"].items()}, indent=1))
    for case in () if with_growth else [c for c in CASES if only in c.name and (c.quick or not quick)]:
        row = row_of(case, eclipse_python, limit, memory)
        document["rows"] = [r for r in document["rows"] if r["case"]["name"] != case.name] + [row]
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(document, indent=1) + "\n")
    output.write_text(json.dumps(document, indent=1) + "\n")
    print_rows(document["rows"])


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", str(os.cpu_count()))
    typer.run(main)

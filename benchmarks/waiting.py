"""What a user waits for: all of `certify`, the attained search included, and how processes share a machine.

    python -m benchmarks.waiting [--networks 20] [--repeats 3] [--load TEXT] [--output FILE.json]

"small" are networks of about 64 neurons, certified one after the other by one process with one thread; "wide" two of
image size with the threads that the environment gives. "two processes" is the throughput of two processes with one
thread each over that of one, beside the same of products that stay in a core's cache (what two cores of the machine
have to give); "four at once" the time of four processes that share all cores over that of the same four one after the
other. Weights and biases are normal, by seed. `--load` says what else ran on the machine meanwhile.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from sdpcert.network import Network

RESULTS = Path(__file__).parent / "results" / "waiting.json"
SMALL = {
    "8-32-32-4": (8, 32, 32, 4),
    "4-64-2": (4, 64, 2),
    "16-16x4-3": (16, 16, 16, 16, 16, 3),
    "784-64-10": (784, 64, 10),
}
WIDE = {"784-100x2-10": (784, 100, 100, 10), "784-100x5-10": (784, 100, 100, 100, 100, 100, 10)}
ONE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
#: Networks of 784-100x2-10 that a process certifies to measure throughput, after one that is not counted.
SHARE = 5
#: Products of the control, about four seconds of them.
IN_CACHE = 100_000
app = typer.Typer(add_completion=False)


def network(sizes: tuple[int, ...], seed: int, activation: str = "relu") -> Network:
    """A chain with normal weights of variance 1 / (columns), and biases."""
    generator = np.random.default_rng(seed)
    shapes = list(zip(sizes[1:], sizes[:-1], strict=True))
    weights = [generator.standard_normal(shape) / np.sqrt(shape[1]) for shape in shapes]
    return Network.mlp(weights, [0.3 * generator.standard_normal(rows) for rows, _ in shapes], activation)


def measured(subject: Network) -> dict[str, float]:
    """Seconds of all of `certify` and of its parts, and the two bounds."""
    started = time.perf_counter()
    certificate = sdpcert.certify(subject)
    whole = time.perf_counter() - started
    parts = certificate.solve_seconds, certificate.proof_seconds, certificate.attained_seconds
    return {
        "seconds": whole,
        "solve": parts[0],
        "proof": parts[1],
        "attained": parts[2],
        "rest": whole - sum(parts),
        "upper": certificate.upper,
        "lower": certificate.lower,
    }


@app.command()
def small(count: int) -> None:
    """Print the rows of small networks, `count` of each kind, built and certified; meant for a process of its own."""
    measured(network((3, 8, 2), 0))
    rows = []
    for name, sizes in SMALL.items():
        for activation in ("relu", "tanh"):
            found = [measured(network(sizes, seed, activation)) for seed in range(count)]
            mean = {
                key: statistics.fmean(row[key] for row in found) for key in found[0] if key not in ("upper", "lower")
            }
            rows.append({"network": name, "activation": activation, "median": _median(found)} | mean)
    print(json.dumps(rows))


@app.command()
def share() -> None:
    """Print the seconds in which a process certifies its share of networks of 784-100x2-10."""
    measured(network(WIDE["784-100x2-10"], 0))
    started = time.perf_counter()
    for seed in range(SHARE):
        sdpcert.certify(network(WIDE["784-100x2-10"], seed))
    print(json.dumps(time.perf_counter() - started))


@app.command()
def arithmetic() -> None:
    """Print the seconds of products that stay in a core's cache: what a process takes that shares nothing but cores."""
    matrix = np.random.default_rng(0).standard_normal((96, 96)) / 96
    result = np.empty_like(matrix)
    started = time.perf_counter()
    for _ in range(IN_CACHE):
        np.matmul(matrix, matrix, out=result)
    print(json.dumps(time.perf_counter() - started))


def _median(found: list[dict[str, float]]) -> float:
    return statistics.median(row["seconds"] for row in found)


def _started(*arguments: str, environment: dict[str, str] | None = None) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.waiting", *arguments]
    return subprocess.Popen(
        command, env=os.environ | (environment or {}), stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1]
    )


def _answer(process: subprocess.Popen[str]) -> Any:
    output, _ = process.communicate()
    if process.returncode != 0:
        raise SystemExit(f"a process of the benchmark failed with exit code {process.returncode}")
    return json.loads(output)


def _together(count: int, environment: dict[str, str], task: str = "share") -> float:
    """Mean seconds of a task in so many processes at once."""
    processes = [_started(task, environment=environment) for _ in range(count)]
    return statistics.fmean(map(_answer, processes))


def sharing(repeats: int) -> dict[str, float]:
    """How processes share the machine: the best of some repeats, since other load only takes away."""
    alone = min(_together(1, ONE_THREAD) for _ in range(repeats))
    pair = min(_together(2, ONE_THREAD) for _ in range(repeats))
    cached, both = (min(_together(n, ONE_THREAD, "arithmetic") for _ in range(repeats)) for n in (1, 2))
    each = min(_together(1, {}) for _ in range(repeats))
    four = min(_together(4, {}) for _ in range(repeats))
    return {
        "one thread, alone": alone,
        "two processes": 2 * alone / pair,
        "two processes, arithmetic in cache": 2 * cached / both,
        "all threads, alone": each,
        "four at once": four / (4 * each),
    }


def importing() -> float:
    """Seconds of `import sdpcert` in a new process, files being in memory; the best of three."""
    program = "import time; t = time.perf_counter(); import sdpcert; print(time.perf_counter() - t)"
    return min(float(subprocess.check_output([sys.executable, "-c", program], text=True)) for _ in range(3))


@app.callback(invoke_without_command=True)
def main(
    context: typer.Context,
    networks: Annotated[int, typer.Option(help="Small networks of each kind.")] = 20,
    repeats: Annotated[int, typer.Option(help="Runs of which the best counts.")] = 3,
    load: Annotated[str, typer.Option(help="What else ran on the machine.")] = "nothing",
    output: Annotated[Path, typer.Option(help="Where the results go.")] = RESULTS,
) -> None:
    """Measure everything and write it to a file."""
    if context.invoked_subcommand is not None:
        return
    results: dict[str, Any] = {
        "machine": {"platform": platform.platform(), "cores": os.cpu_count(), "load before": os.getloadavg()[0]},
        "other load": load,
        "import": importing(),
        "small": _answer(_started("small", str(networks), environment=ONE_THREAD)),
        "wide": [],
    }
    for name, sizes in WIDE.items():
        runs = [measured(network(sizes, 0)) for _ in range(repeats + 1)][1:]
        results["wide"].append({"network": name} | min(runs, key=lambda row: row["seconds"]))
    results["sharing"] = sharing(repeats)
    output.write_text(json.dumps(results, indent=1) + "\n")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    app()

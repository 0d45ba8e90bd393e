"""What a sweep of many small networks takes on one and on several processes, and what is left of it after kills.

    python -m benchmarks.sweep [PART ...] [--networks N] [--jobs K] [--output FILE]

Networks 8-32-32-4 with random weights and ReLU are certified with three methods each. "speed" runs `sdpcert sweep` with
one process and with K, each with one BLAS thread, from the start of the command to its end, and compares all bounds.
"kills" ends a worker, the command itself, and (where the extra `dask` is installed) the scheduler of a cluster with
SIGKILL in the middle, starts the same command again, and compares the files and the bounds with those of "speed". Only
the ratio of two runs on a machine that does nothing else means anything: `load` is that before each.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

SIZES = (8, 32, 32, 4)
METHODS = ("product", "layer", "neuron")
PARTS = ("speed", "kills")
PORT = 28_786
OUTPUT = Path(__file__).parent / "results" / "sweep.json"
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
ENVIRONMENT["PYTHONPATH"] = os.pathsep.join(
    filter(None, [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH")])
)


def make_plan(folder: Path, networks: int) -> None:
    """Networks with weights of a fixed seed, and the plan."""
    random = np.random.default_rng(0)
    (folder / "nets").mkdir()
    for k in range(networks):
        shapes = zip(SIZES[1:], SIZES[:-1], strict=True)
        weights = {f"weight_{i}": random.standard_normal(s) / np.sqrt(s[1]) for i, s in enumerate(shapes)}
        np.savez(folder / "nets" / f"net{k:04d}.npz", **weights)
    methods = ", ".join(f'"{method}"' for method in METHODS)
    (folder / "plan.toml").write_text(f'[[sweep]]\nnetwork = "nets/*.npz"\nmethod = [{methods}]\n', encoding="utf-8")


def start(folder: Path, name: str, *words: str) -> subprocess.Popen[bytes]:
    """The command, begun."""
    command = [sys.executable, "-m", "sdpcert.cli", "sweep", "plan.toml", "-o", name, *words]
    return subprocess.Popen(command, cwd=folder, env=ENVIRONMENT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def finish(folder: Path, name: str, *words: str) -> float:
    """The seconds of the command, which has to prove everything."""
    begun = time.perf_counter()
    code = start(folder, name, *words).wait()
    if code != 0:
        raise RuntimeError(f"the sweep ended with {code}")
    return time.perf_counter() - begun


def speed(folder: Path, jobs: int) -> dict[str, Any]:
    """Wall seconds with one process and with several, and whether all bounds are the same."""
    found: dict[str, Any] = {"load": [], "seconds": {}}
    for count in (1, jobs):
        found["load"].append(os.getloadavg()[0])
        found["seconds"][str(count)] = finish(folder, f"jobs{count}", "--jobs", str(count))
    one, several = found["seconds"].values()
    records = _lines(folder / "jobs1")
    return found | {
        "times faster": one / several,
        "same": _content(folder / "jobs1") == _content(folder / f"jobs{jobs}"),
        "seconds of the items": sum(record["seconds"] for record in records),
        "bytes": sum(record["bytes"] for record in records),
    }


def kills(folder: Path, jobs: int) -> dict[str, Any]:
    """For each kill in the middle: how many items had an answer then, and whether the end is the same as without."""
    if not (folder / "jobs1").is_dir():
        finish(folder, "jobs1", "--jobs", "1")
    whole = _content(folder / "jobs1")
    half = len(_lines(folder / "jobs1")) // 2
    found: dict[str, Any] = {}

    def killed(what: str, kill: Callable[[subprocess.Popen[bytes]], None], goes_on: bool, *words: str) -> None:
        with start(folder, what, *words) as command:
            _wait_for(lambda: _count(folder / what) >= half)
            kill(command)
            if not goes_on:
                command.wait()
        at = _count(folder / what)
        if not goes_on:
            finish(folder, what, "--jobs", str(jobs))
        found[what] = {"items at the kill" if not goes_on else "items": at, "same": _content(folder / what) == whole}

    def kill_a_worker(command: subprocess.Popen[bytes]) -> None:
        os.kill(_children(command.pid)[0], signal.SIGKILL)

    killed("worker", kill_a_worker, True, "--jobs", str(max(2, jobs)))
    killed("parent", lambda command: command.kill(), False, "--jobs", str(jobs))
    if find_spec("distributed") is not None:
        with _cluster(folder, jobs) as (scheduler, address):
            killed("scheduler", lambda command: scheduler.kill(), False, "--scheduler", address)
    return found


@contextmanager
def _cluster(folder: Path, jobs: int) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    address = f"tcp://127.0.0.1:{PORT}"
    python = [sys.executable, "-m"]
    scheduler = [
        *python,
        "distributed.cli.dask_scheduler",
        "--host",
        "127.0.0.1",
        "--port",
        str(PORT),
        "--no-dashboard",
    ]
    worker = [
        *python,
        "distributed.cli.dask_worker",
        address,
        "--nworkers",
        str(jobs),
        "--nthreads",
        "1",
        "--no-dashboard",
    ]
    first = subprocess.Popen(scheduler, cwd=folder, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    second = subprocess.Popen(worker, cwd=folder, env=ENVIRONMENT, stderr=subprocess.DEVNULL)
    with first, second:
        try:
            yield first, address
        finally:
            second.terminate()
            first.terminate()


def _lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "index.jsonl").read_text(encoding="utf-8").splitlines()]


def _content(folder: Path) -> tuple[list[str], dict[str, tuple[float, float]]]:
    """The names of all files, and every item's bound with its attained value."""
    names = sorted(path.name for path in (folder / "items").iterdir())
    return names, {record["key"]: (record["upper"], record["lower"]) for record in _lines(folder)}


def _count(folder: Path) -> int:
    items = folder / "items"
    return sum(name.endswith(".record.json") for name in os.listdir(items)) if items.is_dir() else 0


def _children(process: int) -> list[int]:
    tasks = Path(f"/proc/{process}/task")
    try:
        return [int(child) for task in tasks.iterdir() for child in (task / "children").read_text().split()]
    except OSError:
        return []


def _wait_for(happens: Callable[[], bool]) -> None:
    while not happens():
        time.sleep(0.02)


def main(
    parts: Annotated[list[str] | None, typer.Argument(help="speed, kills (both)")] = None,
    networks: int = 500,
    jobs: int = 2,
    output: Path = OUTPUT,
) -> None:
    chosen = parts or list(PARTS)
    unknown = [part for part in chosen if part not in PARTS]
    if unknown:
        raise typer.BadParameter(f"no part {unknown[0]!r}; there are {', '.join(PARTS)}")
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "networks": networks,
        "sizes": list(SIZES),
        "methods": list(METHODS),
        "items": networks * len(METHODS),
        "jobs": jobs,
    }
    folder = Path(tempfile.mkdtemp(prefix="sdpcert-sweep-"))
    try:
        make_plan(folder, networks)
        for part in chosen:
            found[part] = {"speed": speed, "kills": kills}[part](folder, jobs)
            print(part, json.dumps(found[part], indent=1))
        output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    finally:
        shutil.rmtree(folder)


if __name__ == "__main__":
    typer.run(main)

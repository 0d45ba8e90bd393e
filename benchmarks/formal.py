"""Seconds and memory of `coqc` on exported certificates: `python -m benchmarks.formal [--output FILE.json]`; needs Coq.

Random networks of two hidden layers with normal weights, and the digits networks. The theorems of formal/ are compiled
first, and their time is kept too. Memory is the most that a process of coqc held.
"""

from __future__ import annotations

import json
import platform
import resource
import shutil
import subprocess
import tempfile
import time
from itertools import pairwise
from os import getloadavg
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from sdpcert.certificate.coq import coq_file
from sdpcert.network.activations import leaky_relu, relu

ROOT = Path(__file__).parents[1]
RESULTS = Path(__file__).parent / "results" / "formal.json"
RANDOM = ((5, 5, 5, 3), (8, 20, 10, 4), (10, 30, 30, 5), (10, 50, 50, 5))
#: In an order in which each file needs those before it alone.
FILES = [
    "field_ring",
    "integers",
    "condition",
    "dominance",
    "network",
    "checker",
    "sequence",
    "cover",
    "pieces",
    "polyhedra",
    "restriction",
]


def random_network(sizes: tuple[int, ...], activation: Any) -> sdpcert.Network:
    rng = np.random.default_rng(0)
    weights = [rng.standard_normal((rows, columns)) for columns, rows in pairwise(sizes)]
    return sdpcert.Network.mlp(weights, activation=activation)


def coqc(file: Path, folder: Path) -> dict[str, Any]:
    """Seconds and bytes of a run; ends with what coqc says if it fails."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    # A shell of its own reports the memory of this child alone.
    timed = ["/usr/bin/env", "python3", "-c", MEASURED, "coqc", "-w", "none", "-Q", str(folder), "Sdpcert", str(file)]
    done = subprocess.run(timed, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    used = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
    closed = "Closed under the global context" in done.stdout
    memory = int(done.stdout.rsplit("\n", 2)[-2]) * 1024
    return {"seconds": time.perf_counter() - start, "cpu": used, "memory": memory, "closed": closed}


MEASURED = """
import resource, subprocess, sys
code = subprocess.run(sys.argv[1:]).returncode
print()
print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
sys.exit(code)
"""


def main(output: Annotated[Path, typer.Option(help="where the results go")] = RESULTS) -> None:
    networks = {f"{'-'.join(map(str, s))}, ReLU": random_network(s, relu()) for s in RANDOM}
    networks["10-30-30-5, leaky ReLU"] = random_network(RANDOM[2], leaky_relu(0.1))
    networks["digits_mlp.onnx, 64-32-32-10, ReLU"] = sdpcert.load(ROOT / "examples" / "networks" / "digits_mlp.onnx")
    found: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "load": getloadavg(), "rows": []}
    with tempfile.TemporaryDirectory() as made:
        folder = Path(made)
        for name in FILES:
            shutil.copy(ROOT / "formal" / f"{name}.v", folder)
            found.setdefault("theorems", {})[name] = coqc(folder / f"{name}.v", folder)
        for name, network in networks.items():
            certificate = sdpcert.certify(network)
            certificate.save(folder / "network.cert.json")
            text = coq_file(json.loads((folder / "network.cert.json").read_text(encoding="utf-8")))
            (folder / "certified.v").write_text(text, encoding="utf-8")
            row = {"network": name, "neurons": network.stacked.neurons, "inputs": network.stacked.inputs}
            row |= {"lines": len(text.splitlines()), "characters": len(text)} | coqc(folder / "certified.v", folder)
            found["rows"].append(row)
            print(row, flush=True)
    output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

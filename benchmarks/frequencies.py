"""The condition over frequencies beside the unrolled one: time against channels, depth and image size, and full size.

    python -m benchmarks.frequencies [--quick] [--large] [--only-large] [--output FILE.json]

Networks are random chains of circular convolutions with 3x3 filters and ReLU, entries of variance one over the fan-in.
Every row gives the native solver over frequencies (working set, then the proof and its check) and, where the network
has at most 1200 neurons and inputs, the same solver on the unrolled network; both optima are printed, which have to
agree. `--large` adds a network of CIFAR size: 32x32, six convolutions of 64 channels (393,216 neurons), three at the
input and ten at the output.
"""

from __future__ import annotations

import json
import os
import platform
import resource
import time
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.certificate.document import build_document
from sdpcert.certificate.torus_condition import TorusCondition
from sdpcert.certificate.torus_proof import prove_torus
from sdpcert.check import check_document
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d
from sdpcert.network.embedding import embed
from sdpcert.network.graph import Graph, Network
from sdpcert.solvers import Budget, interior_point
from sdpcert.solvers.working_set import solve_frequencies

RESULTS = Path(__file__).parent / "results" / "frequencies.json"
LARGEST_UNROLLED = 1200
#: (channels, image): growth with the image, the channels, the depth.
CASES = (
    *(((2, 4, 4, 2), n) for n in (4, 6, 8, 10, 16, 32)),
    *(((3, c, c, 3), 16) for c in (4, 8, 16, 32)),
    *(((3, *[8] * depth, 3), 16) for depth in (1, 2, 4, 8)),
)
QUICK = (((2, 3, 3, 2), 4), ((2, 4, 2), 6))
LARGE = ((3, *[64] * 6, 10), 32)


def network(channels: tuple[int, ...], image: int, seed: int = 0) -> Network:
    """A chain of circular convolutions."""
    generator = np.random.default_rng([seed, image, *channels])
    graph, value = Graph((channels[0], image, image)), 0
    for k, (inner, out) in enumerate(pairwise(channels)):
        kernel = generator.standard_normal((out, inner, 3, 3)) / np.sqrt(9 * inner)
        value = graph.add(relu(), value) if k else value
        value = graph.add(Conv2d(kernel, padding=(1, 1, 1, 1), circular=True), value)
    return graph.network(value, source=f"{channels} on {image}x{image}")


def measure(channels: tuple[int, ...], image: int, tol: float = 1e-6) -> dict[str, Any]:
    """One row of the table."""
    net = network(channels, image)
    form = embed(net).form
    with one_blas_thread():
        started = time.perf_counter()
        solved = solve_frequencies(form, "neuron", Budget(tol))
        solve = time.perf_counter() - started
        proof = prove_torus(solved.condition, solved.point.y)
        prove = time.perf_counter() - started - solve
    row: dict[str, Any] = {
        "channels": channels,
        "image": image,
        "neurons": net.neurons,
        "frequencies": len(form.frequencies),
        "working_set": solved.frequencies,
        "iterations": solved.point.iterations,
        "solve": solve,
        "prove": prove,
        "status": solved.point.status,
    }
    if proof is not None:
        part = TorusCondition(form, proof)
        upper, started = part.upper, time.perf_counter()
        verdict = check_document(build_document(part, None, {}), exact=False)
        row |= {"upper": upper, "dual": solved.point.dual, "gap": 1 - solved.point.dual / upper}
        row |= {"accepted": verdict.ok, "check": time.perf_counter() - started}
    row["memory"] = 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    if net.neurons + channels[0] * image**2 <= LARGEST_UNROLLED:
        unrolled = net.stacked.reduced()
        with one_blas_thread():
            started = time.perf_counter()
            dense = interior_point(unrolled, "neuron", Budget(tol))
            row |= {"unrolled": time.perf_counter() - started, "unrolled_bound": dense.bound}
            row["ratio"] = row["unrolled"] / solve
    return row


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("channels", "image", "neurons", "set", "it.", box=None, pad_edge=False, header_style="bold")
    for name in ("solve", "prove", "check", "GiB", "bound", "gap", "unrolled", "its bound", "ratio"):
        table.add_column(name)
    for r in rows:
        table.add_row(
            "-".join(map(str, r["channels"])),
            str(r["image"]),
            str(r["neurons"]),
            f"{r['working_set']}/{r['frequencies']}",
            str(r["iterations"]),
            f"{r['solve']:.2f}",
            f"{r['prove']:.2f}",
            f"{r['check']:.2f}" if "check" in r else "",
            f"{r['memory'] / 2**30:.2f}",
            f"{r['upper']:.8g}" if "upper" in r else "unproved",
            f"{r['gap']:.1e}" if "gap" in r else "",
            f"{r['unrolled']:.2f}" if "unrolled" in r else "",
            f"{r['unrolled_bound']:.8g}" if "unrolled" in r else "",
            f"{r['ratio']:.1f}" if "ratio" in r else "",
        )
    Console(width=170).print(table)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="two small networks")] = False,
    large: Annotated[bool, typer.Option("--large", help="the network of CIFAR size too")] = False,
    only_large: Annotated[bool, typer.Option("--only-large", help="the network of CIFAR size alone")] = False,
    output: Annotated[Path, typer.Option(help="file for the results")] = RESULTS,
) -> None:
    """Print and store the table."""
    cases = [LARGE] if only_large else [*(QUICK if quick else CASES), *([LARGE] if large else [])]
    rows = []
    machine = {"platform": platform.platform(), "cores": os.cpu_count(), "load_before": os.getloadavg()[0]}
    for channels, image in cases:
        rows.append(measure(channels, image))
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    print_table(rows)


if __name__ == "__main__":
    typer.run(main)

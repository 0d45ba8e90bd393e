"""The attained search on networks of every kind: what each seed finds, its time, and the solver's beside it.

    python -m benchmarks.attained [FOLDER] [--seeds 5] [--effort 1] [--only TEXT] [--solve] [--output FILE.json]

FOLDER holds the networks (default ../shared/networks beside the repository). "unrolled" networks are searched as
`sdpcert.certify` searches them for a certificate of one stacked form, "frequency" ones as for one over frequencies.
With `--solve` the network is certified too, for the proved upper bound and the solver's time. "known" is the exact
constant where it is known, "before" what the search of version 0.1 found (seed 0, up to ten seconds).
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from benchmarks import convolutional_networks
from benchmarks.reference_values import cases
from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.attained import attained_lower_bound
from sdpcert.network import Network
from sdpcert.report import rounded_down, seconds

RESULTS = Path(__file__).parent / "results" / "attained.json"
DIGITS = Path(__file__).parents[1] / "examples/networks/digits_mlp.onnx"
KNOWN = {"fnn2 seed 0": 5.0802419, "fnn3 seed 0": 9.6515298, "LipSDP random": 36.48222959637795}
KNOWN["ExLipBaB iris"] = 11.634355134
BEFORE = {
    "digits_mlp": 5.589608,
    "LipSDP random": 36.48222,
    "fnn2 seed 0": 5.061394,
    "fnn2 seed 1": 5.226306,
    "fnn2 seed 2": 4.955055,
    "fnn2 seed 3": 5.546909,
    "fnn2 seed 4": 5.170368,
    "fnn3 seed 0": 9.573865,
    "fnn3 seed 1": 9.292449,
    "fnn3 seed 2": 8.253973,
    "fnn3 seed 3": 7.152568,
    "fnn3 seed 4": 8.487016,
    "ExLipBaB iris": 11.63435,
    "L33_W16 core": 2.98176e-10,
    "MaxMin 2fc_16": 22.02133,
    "MaxMin 5fc_32": 159.8536,
    "cnn2 seed 0": 6.831936,
    "cnn3 seed 0": 14.84212,
    "mnist_fc_256x2": 31.7047,
    "cnn2 seed 0, row 7": 6.942005,
    "cnn3 seed 0, row 7": 15.5798,
    "cnn_C3_CH8 core": 7.454092,
    "cnn_C9_CH16 core": 3.758504,
    "cnn_C3_CH8": 2.414065,
    "verivital_convnet_avgpool": 57.33445,
    "oval21_cifar_base_kw": 2.716427,
    "cifar10_resnet_2b": 6.586197,
    "cnn_C9_CH16": 37.03251,
}


def networks(folder: Path) -> Iterator[tuple[str, Network, list[int] | None, bool]]:
    """Name, network, output rows, and whether it is unrolled."""
    yield "digits_mlp", sdpcert.load(DIGITS), None, True
    for name, network, rows, _ in cases(folder):
        yield name, network, rows, True
    convolutional_networks.SHARED = folder
    for name, (make, rows, _) in convolutional_networks.CASES.items():
        yield name, make(), rows, False


def measure(
    network: Network, rows: list[int] | None, unrolled: bool, seeds: int, effort: float, solve: bool
) -> dict[str, Any]:
    """What every seed finds, and the seconds of processor time that it takes."""
    claimed = None
    if unrolled:
        claimed = network.stacked if rows is None else network.stacked.output_rows(rows)
    found, times = [], []
    with one_blas_thread():
        for seed in range(seeds):
            started = time.process_time()
            attained = attained_lower_bound(network, seed, output_rows=rows, effort=effort, claimed=claimed)
            found.append(attained.lower)
            times.append(time.process_time() - started)
    result: dict[str, Any] = {"neurons": network.neurons, "unrolled": unrolled, "found": found, "seconds": times}
    if solve:
        form = "unrolled" if unrolled else "frequency"
        certificate = sdpcert.certify(network, "neuron", form=form, output_rows=rows, effort=effort)
        result |= {"upper": certificate.upper, "solve": certificate.solve_seconds}
        result["attained_seconds"] = certificate.attained_seconds
        if max(*found, certificate.lower) > certificate.upper:
            raise ArithmeticError("an attained value is above the proved bound")
    return result


def main(
    folder: Annotated[Path, typer.Argument(help="the networks")] = Path(__file__).parents[2] / "shared" / "networks",
    seeds: Annotated[int, typer.Option(min=1, help="seeds 0, 1, ...")] = 5,
    effort: Annotated[float, typer.Option(min=0)] = 1.0,
    only: Annotated[str, typer.Option(help="networks whose name contains this")] = "",
    solve: Annotated[bool, typer.Option(help="certify as well")] = False,
    output: Annotated[Path, typer.Option(help="JSON with all numbers, written after every network")] = RESULTS,
) -> None:
    """Measure, print a line a network, and write the numbers."""
    results: dict[str, Any] = {"machine": platform.processor() or platform.machine(), "effort": effort, "networks": {}}
    for name, network, rows, unrolled in networks(folder):
        if only not in name:
            continue
        made = measure(network, rows, unrolled, seeds, effort, solve)
        made |= {"known": KNOWN.get(name), "before": BEFORE.get(name)}
        results["networks"][name] = made
        worst, best = rounded_down(min(made["found"])), rounded_down(max(made["found"]))
        solved = f", solved in {seconds(made['solve'])}" if solve else ""
        print(
            f"{name:26} {worst} to {best} in {seconds(float(np.median(made['seconds'])))} (before {made['before']}, "
            f"known {made['known']}){solved}",
            flush=True,
        )
        output.write_text(json.dumps(results, indent=1) + "\n")


if __name__ == "__main__":
    typer.run(main)

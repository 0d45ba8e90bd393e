"""Convolutional networks of the shared folder over frequencies: attained, joint, composed, layer and product bounds.

    python -m benchmarks.convolutional_networks [--only TEXT] [--output FILE.json]

The networks are not part of this repository (`../shared/networks`). "joint" has one multiplier per channel and front
and head bounded together, "composed" one after the other, "layer" one multiplier per layer (joint), "product" the
product of norms. If a network is small enough, "unrolled" has one multiplier per neuron. "core" networks
are the chains that published values are about: inner convolutions without factors and biases, ReLU between them.
"""

from __future__ import annotations

import json
import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense, Rearrange
from sdpcert.network.graph import Graph, Network
from sdpcert.report import rounded_down, rounded_up
from sdpcert.running.choices import Head, Method

SHARED = Path(__file__).parents[2] / "shared" / "networks"
RESULTS = Path(__file__).parent / "results" / "convolutional_networks.json"


def digits(name: str) -> Network:
    """A trained digits network (`cnn2` or `cnn3`, seed 0), output 7."""
    from scipy.io import loadmat

    data = loadmat(SHARED / "glipsdp_digits" / f"{name}_seed0_weights.mat")
    graph, value, channels = Graph((1, 8, 8)), 0, 1
    k = 1
    while f"conv{k}_weight" in data:
        kernel = np.transpose(
            np.asarray(data[f"conv{k}_weight"], dtype=float).reshape(3, 3, channels, -1), (3, 2, 0, 1)
        )
        bias = np.asarray(data[f"conv{k}_bias"], dtype=float).ravel()
        value = graph.add(relu(), graph.add(Conv2d(kernel, bias, padding=(1, 1, 1, 1)), value))
        channels, k = len(kernel), k + 1
    value = graph.add(Rearrange(np.arange(64 * channels)), value)
    weight = np.asarray(data["fc1_weight"], dtype=float).T
    value = graph.add(Dense(weight, np.asarray(data["fc1_bias"], dtype=float).ravel()), value)
    return graph.network(value, source=f"{name} seed 0")


def core(name: str, image: int = 28) -> Network:
    """The inner convolutions of a trained network, ReLU between them, none after the last."""
    from scipy.io import loadmat

    params = loadmat(SHARED / "glipsdp_scalability" / f"{name}.mat", simplify_cells=True)["params"]
    kernels = []
    k = 1
    while f"conv_{k}_weight" in params:
        kernels.append(np.asarray(params[f"conv_{k}_weight"], dtype=float))
        k += 1
    graph, value = Graph((kernels[0].shape[1], image, image)), 0
    for k, kernel in enumerate(kernels):
        value = graph.add(relu(), value) if k else value
        value = graph.add(Conv2d(kernel, padding=(1, 1, 1, 1)), value)
    return graph.network(value, source=f"{name} core")


def file(path: str) -> Callable[[], Network]:
    """A network of the folder."""
    return lambda: sdpcert.load(SHARED / path)


#: name: (network, output rows, whether the unrolled network is solved too)
CASES: dict[str, tuple[Callable[[], Network], list[int] | None, bool]] = {
    "cnn2 seed 0, row 7": (lambda: digits("cnn2"), [7], True),
    "cnn3 seed 0, row 7": (lambda: digits("cnn3"), [7], True),
    "cnn_C3_CH8 core": (lambda: core("cnn_C3_CH8"), None, False),
    "cnn_C9_CH16 core": (lambda: core("cnn_C9_CH16"), None, False),
    "cnn_C3_CH8": (file("glipsdp_scalability/cnn_C3_CH8.onnx"), None, False),
    "verivital_convnet_avgpool": (file("onnx/verivital_convnet_avgpool.onnx"), None, False),
    "oval21_cifar_base_kw": (file("onnx/oval21_cifar_base_kw.onnx"), None, False),
    "cifar10_resnet_2b": (file("onnx/cifar10_resnet_2b.onnx"), None, False),
    "cnn_C9_CH16": (file("glipsdp_scalability/cnn_C9_CH16.onnx"), None, False),
}
LADDER: tuple[tuple[str, Method, Head], ...] = (
    ("joint", "neuron", "joint"),
    ("composed", "neuron", "composed"),
    ("layer", "layer", "joint"),
    ("product", "product", "joint"),
)


def measure(network: Network, rows: list[int] | None, unrolled: bool) -> dict[str, Any]:
    """The ladder of one network."""
    result: dict[str, Any] = {"neurons": network.neurons}
    for name, method, head in LADDER:
        started = time.perf_counter()
        cert = sdpcert.certify(network, method, form="frequency", head=head, output_rows=rows)
        result[name] = {
            "upper": cert.upper,
            "gap": cert.gap if cert.sdp_lower else None,
            "level": cert.level,
            "status": cert.status,
            "seconds": cert.solve_seconds,
            "total": time.perf_counter() - started,
            "notes": cert.notes,
        }
        result["attained"] = max(cert.lower, result.get("attained", 0.0))
    if unrolled:
        cert = sdpcert.certify(network, "neuron", form="unrolled", output_rows=rows)
        result["unrolled"] = {"upper": cert.upper, "gap": cert.gap, "seconds": cert.solve_seconds + cert.proof_seconds}
        result["attained"] = max(result["attained"], cert.lower)
    return result


def main(
    only: Annotated[str, typer.Option(help="only networks whose name contains this text")] = "",
    output: Annotated[Path, typer.Option(help="file for the results; kept where networks are left out")] = RESULTS,
) -> None:
    """Print and store the table."""
    from rich.console import Console
    from rich.table import Table

    stored = json.loads(output.read_text())["networks"] if output.exists() else {}
    for name, (build, rows, unrolled) in CASES.items():
        if only in name:
            stored[name] = measure(build(), rows, unrolled)
            machine = {"platform": platform.platform(), "cores": os.cpu_count()}
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps({"machine": machine, "networks": stored}, indent=1) + "\n")
    table = Table("network", "neurons", "attained", "unrolled", box=None, pad_edge=False, header_style="bold")
    for name, _, _ in LADDER:
        table.add_column(name)
    for name in ("gap", "seconds", "proof"):
        table.add_column(name)
    for name, r in stored.items():
        table.add_row(
            name,
            str(r["neurons"]),
            rounded_down(r["attained"]),
            rounded_up(r["unrolled"]["upper"]) if "unrolled" in r else "",
            *(rounded_up(r[step]["upper"]) for step, _, _ in LADDER),
            f"{r['joint']['gap']:.0e}",
            f"{r['joint']['seconds']:.0f}",
            r["joint"]["level"],
        )
    Console(width=170).print(table)


if __name__ == "__main__":
    typer.run(main)

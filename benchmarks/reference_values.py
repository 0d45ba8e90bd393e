"""Certify trained networks with published or exact values and print what is proved beside them.

    python -m benchmarks.reference_values [FOLDER] [--output FILE.json]

FOLDER holds the networks (default ../shared/networks beside the repository); their README says where they come from.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from rich.console import Console
from rich.table import Table
from scipy.io import loadmat

import sdpcert
from sdpcert.network import Graph, Network
from sdpcert.network.activations import relu
from sdpcert.network.affine import Conv2d, Dense
from sdpcert.report import rounded_down, rounded_up, seconds

Case = tuple[str, Network, list[int] | None, str]


def cases(folder: Path) -> Iterator[Case]:
    """Name, network, output rows and the reference value as text."""
    weights = [np.asarray(w, float) for w in loadmat(folder / "lipsdp/random_weights.mat")["weights"].ravel()]
    yield "LipSDP random", Network.mlp(weights), None, "exact 36.48222959637795"
    yield from _digits(folder, "fnn2", ["5.109714769", "5.226949637", "5.029697086", "5.572594103", "5.205276876"])
    yield from _digits(folder, "fnn3", ["9.728613898", "9.791786330", "8.929566920", "7.753896705", "8.702760082"])
    stored = loadmat(folder / "exlipbab/iris_4x6x6x3_relu_weights.mat")["weights"].ravel()
    biases = loadmat(folder / "exlipbab/iris_4x6x6x3_relu_biases.mat")
    biases = next(v for k, v in biases.items() if not k.startswith("_")).ravel()
    weights, offsets = [np.asarray(w, float) for w in stored], [np.asarray(b, float).ravel() for b in biases]
    yield "ExLipBaB iris", Network.mlp(weights, offsets), None, "exact 11.634355134; SDP 11.63534"
    chain = loadmat(folder / "glipsdp_scalability/mlp_L33_W16.mat", simplify_cells=True)["params"]
    weights = [chain[f"linear_{k}_weight"].T for k in range(1, 33)]
    yield "L33_W16 core", Network.mlp(weights), None, "SDP 2.34915868e-4"
    for name in ("2fc_16", "5fc_32"):
        weights = [np.asarray(w, float) for w in loadmat(folder / f"maxmin/weights_l2_{name}.mat")["W"].ravel()]
        norms = float(np.prod([np.linalg.norm(w, 2) for w in weights]))
        yield f"MaxMin {name}", Network.mlp(weights, activation="maxmin"), None, f"product of norms {norms:.6g}"
    for layers, attained in ((1, "6.2207"), (2, "13.5308")):
        yield f"cnn{layers + 1} seed 0", _convolutional(folder, layers), [7], f"attained {attained}"
    yield "mnist_fc_256x2", sdpcert.load(folder / "onnx/mnist_fc_256x2.onnx"), None, ""


def _digits(folder: Path, kind: str, values: list[str]) -> Iterator[Case]:
    for seed, value in enumerate(values):
        stored = loadmat(folder / f"glipsdp_digits/{kind}_seed{seed}_weights.mat")
        count = int(kind[3])
        weights = [stored[f"fc{k}_weight"].T for k in range(1, count + 1)]
        biases = [stored[f"fc{k}_bias"].ravel() for k in range(1, count + 1)]
        yield f"{kind} seed {seed}", Network.mlp(weights, biases), [7], f"SDP {value}"


def _convolutional(folder: Path, layers: int) -> Network:
    stored = loadmat(folder / f"glipsdp_digits/cnn{layers + 1}_seed0_weights.mat")
    graph, value = Graph((1, 8, 8)), 0
    for k in range(1, layers + 1):
        kernel = stored[f"conv{k}_weight"].transpose(3, 2, 0, 1).astype(float)
        value = graph.add(Conv2d(kernel, stored[f"conv{k}_bias"].ravel(), padding=(1, 1, 1, 1)), value)
        value = graph.add(relu(), value)
    value = graph.rearrange(value, np.ravel)
    value = graph.add(Dense(stored["fc1_weight"].T.astype(float), stored["fc1_bias"].ravel()), value)
    return graph.network(value, source=f"cnn{layers + 1}")


def main(
    folder: Annotated[Path, typer.Argument()] = Path(__file__).parents[2] / "shared" / "networks",
    output: Annotated[Path, typer.Option()] = Path(__file__).parent / "results" / "reference_values.json",
) -> None:
    """Certify every network and print the table."""
    table = Table(
        "network", "reference", "attained", "neuron (proved)", "gap", "layer", "product", "solve", "proof", box=None
    )
    rows: list[dict[str, Any]] = []
    for name, network, outputs, reference in cases(folder):
        ladder = {m: sdpcert.certify(network, m, output_rows=outputs) for m in ("neuron", "layer", "product")}
        best = ladder["neuron"]
        table.add_row(
            name,
            reference,
            rounded_down(best.lower, 7),
            rounded_up(best.upper),
            f"{best.gap:.0e}",
            rounded_up(ladder["layer"].upper, 6),
            rounded_up(ladder["product"].upper, 6),
            seconds(best.solve_seconds),
            seconds(best.proof_seconds),
        )
        rows.append({"network": name, "reference": reference} | {m: c.summary() for m, c in ladder.items()})
    Console(width=150).print(table)
    machine = {"processor": platform.processor() or platform.machine(), "python": platform.python_version()}
    output.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)

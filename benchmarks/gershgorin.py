"""How much norm each diagonal rule wastes: the norm that V T^(-1/2) has left, and how orthogonal it is.

    python -m benchmarks.gershgorin [--quick] [--output FILE.json]

V is a weight, T >= V'V the diagonal of a rule; |V T^(-1/2)| <= 1 and 1 is no waste. The mean of the singular values of
V T^(-1/2) says how near it is to an orthogonal map, for which it is 1: the largest one alone does not, as the spectral
rule shows. Weights: Gaussian matrices and 3x3 kernels, a plain ReLU network trained here on scikit-learn's digits, and
the shipped networks of examples/networks. Singular values of kernels are those on a torus of 16x16. Rules with q (SLL,
Ostrowski) train it with Adam for the fixed weight: "log" minimises the mean of log T, "worst" the largest T / |V|^2.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

import sdpcert
from sdpcert.layers.divisors import largest_entry, one_for_zero
from sdpcert.layers.gram import Gram, gram
from sdpcert.layers.rules import (
    AOL,
    SLL,
    BlockGershgorin,
    Frobenius,
    MaximumRowSum,
    Ostrowski,
    Perron,
    Rule,
    Spectral,
)
from sdpcert.network.affine import Conv2d, Dense
from sdpcert.torch_modules.geometry import Geometry, Operator

RESULTS = Path(__file__).parent / "results" / "gershgorin.json"
NETWORKS = Path(__file__).parents[1] / "examples" / "networks"
TORUS = 16
#: By name: the rule for so many hidden channels, and what its parameters are trained for.
RULES: dict[str, tuple[Callable[[int], Rule], str]] = {
    "AOL": (lambda n: AOL(), ""),
    "SLL, log": (SLL, "log"),
    "SLL, worst": (SLL, "worst"),
    "Perron, 3 steps": (lambda n: Perron(), ""),
    "Perron, 30 steps": (lambda n: Perron(30), ""),
    "Ostrowski, log": (Ostrowski, "log"),
    "Ostrowski, worst": (Ostrowski, "worst"),
    "block Gershgorin 4": (lambda n: BlockGershgorin(4), ""),
    "block Gershgorin 8": (lambda n: BlockGershgorin(8), ""),
    "block Gershgorin 16": (lambda n: BlockGershgorin(16), ""),
    "row sum": (lambda n: MaximumRowSum(), ""),
    "Frobenius": (lambda n: Frobenius(), ""),
    "spectral": (lambda n: Spectral(), ""),
}


def diagonal(rule: Rule, rows: Gram, target: str, steps: int) -> Tensor:
    """T, with the rule's parameters trained for the target; the diagonal with the best value met is kept."""

    def current() -> Tensor:
        return rule.diagonal(rows, dict(rule.named_parameters()), certified=True)

    with torch.no_grad():
        best = current()
    if not target:
        return best

    def loss(t: Tensor) -> Tensor:
        return t.clamp_min(1e-300).log().mean() if target == "log" else t.amax().log()

    least = float(loss(best))
    optimiser = torch.optim.Adam(rule.parameters(), lr=0.02)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, steps)
    for _ in range(steps):
        optimiser.zero_grad()
        t = current()
        value = loss(t)
        if float(value.detach()) < least:
            least, best = float(value.detach()), t.detach()
        value.backward()
        optimiser.step()
        schedule.step()
    return best


def left(weight: Tensor, scale: Tensor) -> tuple[float, float]:
    """The largest and the mean singular value of `V T^(-1/2)` from V and the diagonal `T^(-1/2)`."""
    scaled = weight * scale.reshape(1, -1, *(1,) * (weight.dim() - 2))
    if scaled.dim() == 4:
        scaled = torch.fft.fft2(scaled, s=(TORUS, TORUS)).permute(2, 3, 0, 1)
    values = torch.linalg.svdvals(scaled)
    return float(values.max()), float(values.mean())


def measure(name: str, weight: Tensor, steps: int) -> list[dict[str, Any]]:
    """One row a rule."""
    geometry = None
    if weight.dim() == 4:
        geometry = Geometry((weight.shape[2] // 2, weight.shape[3] // 2))
    weight = (weight / largest_entry(weight)).double()
    turned = Operator(weight.transpose(0, 1), geometry)
    rows = []
    for rule, (make, target) in RULES.items():
        torch.manual_seed(0)
        started = time.perf_counter()
        t = diagonal(make(turned.outputs).double(), gram(turned), target, steps)
        largest, mean = left(weight, one_for_zero(t).rsqrt())
        rows.append({"weight": name, "shape": list(weight.shape), "rule": rule, "norm": largest, "mean": mean})
        rows[-1]["seconds"] = time.perf_counter() - started
    return rows


def random_weights(quick: bool) -> dict[str, Tensor]:
    """Gaussian ones."""
    torch.manual_seed(0)
    found = {"random 64": torch.randn(64, 64), "random 3x3 16": torch.randn(16, 16, 3, 3)}
    if not quick:
        found |= {"random 256": torch.randn(256, 256), "random 3x3 64": torch.randn(64, 64, 3, 3)}
    return found


def trained_weights(quick: bool) -> dict[str, Tensor]:
    """Of a 64-128-128-10 network, Adam on all digits."""
    from sklearn.datasets import load_digits

    torch.manual_seed(0)
    digits: Any = load_digits()
    x = torch.from_numpy(np.asarray(digits.data) / 16).float()
    y = torch.from_numpy(np.asarray(digits.target)).long()
    model = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 128), nn.ReLU(), nn.Linear(128, 10))
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    for _ in range(3 if quick else 300):
        optimiser.zero_grad()
        nn.functional.cross_entropy(model(x), y).backward()
        optimiser.step()
    weights = [m.weight.detach() for m in model if isinstance(m, nn.Linear)]
    return {f"digits MLP {len(w)}x{w.shape[1]}": w for w in (weights[1:2] if quick else weights)}


def shipped_weights(quick: bool) -> dict[str, Tensor]:
    """Affine layers of the networks of examples/networks with at least eight inputs or outputs."""
    found = {}
    for file in () if quick else ("digits_mlp.onnx", "digits_cnn.onnx"):
        for node in sdpcert.load(NETWORKS / file).nodes:
            layer = node.layer
            weight = layer.weight if isinstance(layer, Dense) else layer.kernel if isinstance(layer, Conv2d) else None
            if weight is not None and weight.ndim in (2, 4) and min(weight.shape[:2]) > 3:
                found[f"{file} {'x'.join(map(str, weight.shape[:2]))}"] = torch.from_numpy(np.array(weight))
    return found


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    names = list(dict.fromkeys(r["weight"] for r in rows))
    for part in range(0, len(names), 6):
        table = Table("norm left / mean", box=None, pad_edge=False, header_style="bold")
        for name in names[part : part + 6]:
            table.add_column(name, justify="right")
        for rule in RULES:
            mine = {r["weight"]: r for r in rows if r["rule"] == rule}
            table.add_row(rule, *(f"{mine[n]['norm']:.3f} / {mine[n]['mean']:.3f}" for n in names[part : part + 6]))
        Console(width=150).print(table)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="three weights, few steps")] = False,
    steps: Annotated[int, typer.Option(help="of training q")] = 500,
    output: Annotated[Path, typer.Option(help="file for the results")] = RESULTS,
) -> None:
    """Print and store the table."""
    torch.set_num_threads(2)
    rows = []
    for name, weight in (random_weights(quick) | trained_weights(quick) | shipped_weights(quick)).items():
        rows += measure(name, weight, 20 if quick else steps)
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps({"torch": torch.__version__, "rows": rows}, indent=1) + "\n")
    print_table(rows)


if __name__ == "__main__":
    typer.run(main)

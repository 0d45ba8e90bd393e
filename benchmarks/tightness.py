"""How much of the constant that a family claims its trained networks use: attained / claimed, in percent.

    python -m benchmarks.tightness [--quick] [--seeds N] [--only NAMES] [--jumps K] [--output FILE.json]

The toy of Wang, Manchester 2023 (Table 1): a function of one number that is steeper than the network may be. Data: x on
400 equidistant points of [-1, 1], y = -1 left of 0 and +1 right of it (a step; no point lies at 0), with `--jumps k` a
square wave with k jumps at equal distances. We do not know the paper's exact function and training, so its figures are
a mark to reach and no like-for-like comparison. The network is x -> N(gamma x) with a 1-Lipschitz N of four hidden
layers of width 64, so its claimed constant is gamma in {1, 5, 10}; the best fit of the step has the slope gamma on
[-1/gamma, 1/gamma]. Mean squared error, all points in every step, Adam with the one-cycle schedule; learning rate by
family below, the rest is the same for all. Attained is the largest ratio |f(x) - f(x')| / |x - x'| over neighbouring
points of a grid of [-1, 1] with 20,001 points, for the materialised weights in float64, less the rounding of the
difference; every such ratio is a lower bound of the constant.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer
from torch import Tensor, nn

import sdpcert.layers as layers

RESULTS = Path(__file__).parent / "results" / "tightness.json"
GAMMAS = (1, 5, 10)
WIDTH, DEPTH = 64, 4
#: Table 1 of the paper, for gamma = 1, 5, 10.
PUBLISHED = {
    "aol": (77.2, 45.2, 47.9),
    "orthogonal": (74.1, 72.8, 64.5),
    "sll": (99.9, 90.5, 67.9),
    "sandwich": (99.9, 99.3, 94.0),
}
GRID = 20_001


class InFront(nn.Module):
    """Inputs times a number."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, inputs: Tensor) -> Tensor:
        return self.factor * inputs


def linear(make: Callable[[int, int], nn.Module]) -> Callable[[], list[nn.Module]]:
    """Linear layers with MaxMin between them."""

    def chain() -> list[nn.Module]:
        made = [make(1, WIDTH)]
        for _ in range(DEPTH - 1):
            made += [layers.MaxMin(), make(WIDTH, WIDTH)]
        return [*made, layers.MaxMin(), make(WIDTH, 1)]

    return chain


def residual(make: Callable[[int, int], nn.Module]) -> Callable[[], list[nn.Module]]:
    """Residual layers between two of AOL's, which are isometries where one side is a single number."""

    def chain() -> list[nn.Module]:
        inner = [make(WIDTH, WIDTH) for _ in range(DEPTH)]
        return [layers.AOLLinear(1, WIDTH), *inner, layers.AOLLinear(WIDTH, 1)]

    return chain


def families() -> dict[str, tuple[str, Callable[[], list[nn.Module]], float]]:
    """By name: the published family it stands beside, the network's layers, and the learning rate."""
    from sdpcert.layers.linear import ScaledLinear
    from sdpcert.layers.residual import ResidualLinear
    from sdpcert.layers.rules import AOL, SLL, Perron

    found: dict[str, tuple[str, Callable[[], list[nn.Module]], float]] = {
        "aol": ("aol", linear(layers.AOLLinear), 0.01),
        "sll": ("sll", residual(layers.SLLLinear), 0.01),
        "cpl": ("", residual(layers.CPLLinear), 0.01),
        "residual-aol": ("", residual(lambda n, m: ResidualLinear(n, m, AOL())), 0.01),
        "sll-linear": ("", linear(lambda n, m: ScaledLinear(n, m, SLL(n))), 0.01),
        "perron": ("", linear(lambda n, m: ScaledLinear(n, m, Perron())), 0.01),
        "spectral": ("", linear(layers.SpectralLinear), 0.01),
    }
    try:
        from sdpcert.layers.bjorck import BjorckLinear

        found["bjorck"] = ("orthogonal", linear(BjorckLinear), 0.01)
    except ImportError:
        pass
    try:
        from sdpcert.layers.cayley import CayleyLinear
        from sdpcert.layers.sandwich import SandwichLinear

        found["cayley"] = ("orthogonal", linear(CayleyLinear), 0.01)

        def sandwich() -> list[nn.Module]:
            inner = [SandwichLinear(WIDTH, WIDTH) for _ in range(DEPTH - 1)]
            return [SandwichLinear(1, WIDTH), *inner, CayleyLinear(WIDTH, 1)]

        found["sandwich"] = ("sandwich", sandwich, 0.01)
    except ImportError:
        pass
    return found


def data(jumps: int) -> tuple[Tensor, Tensor]:
    """The step, or the square wave."""
    x = torch.linspace(-1, 1, 400)[:, None]
    return x, torch.where((x[:, :1] > places(jumps)).sum(1, keepdim=True) % 2 == 0, -1.0, 1.0)


def places(jumps: int) -> Tensor:
    """Of the jumps: equidistant inside [-1, 1]."""
    return torch.linspace(-1, 1, jumps + 2)[1:-1]


def train(
    chain: Callable[[], list[nn.Module]], gamma: float, rate: float, steps: int, seed: int, jumps: int
) -> nn.Sequential:
    """A fitted network in evaluation mode."""
    torch.manual_seed(seed)
    network = nn.Sequential(InFront(gamma), *chain()).train()
    x, y = data(jumps)
    optimiser = torch.optim.Adam(network.parameters(), lr=rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=rate, total_steps=steps)
    for _ in range(steps):
        optimiser.zero_grad()
        (network(x) - y).square().mean().backward()
        optimiser.step()
        schedule.step()
    return network.eval()


@torch.no_grad()
def attained(network: nn.Sequential) -> float:
    """The largest ratio over the grid, of the materialised weights in float64."""
    plain = nn.Sequential(*(m.export() if isinstance(m, layers.Certified) else m for m in network)).double()
    x = torch.linspace(-1, 1, GRID, dtype=torch.float64)[:, None]
    y = plain(x)
    # Sums of at most WIDTH terms in DEPTH + 1 layers, all of norm at most that of the largest inner vector.
    largest = 1.0
    value = x
    for module in plain:
        value = module(value)
        largest = max(largest, float(value.norm(dim=1).max()))
    rounding = 2 * largest * (DEPTH + 2) * 4 * WIDTH * 2.0**-53
    return float(((y[1:] - y[:-1]).abs() - rounding).div(x[1:] - x[:-1]).max())


def measure(name: str, gamma: int, seeds: int, steps: int, jumps: int) -> dict[str, Any]:
    """One row."""
    published, chain, rate = families()[name]
    percents, losses, started = [], [], time.perf_counter()
    x, y = data(jumps)
    for seed in range(seeds):
        network = train(chain, gamma, rate, steps, seed, jumps)
        with torch.no_grad():
            losses.append(float((network(x) - y).square().mean()))
        percents.append(100 * attained(network) / gamma)
    row: dict[str, Any] = {
        "family": name,
        "gamma": gamma,
        "jumps": jumps,
        "percent": percents,
        "mean": statistics.mean(percents),
    }
    row |= {"loss": statistics.mean(losses), "best_loss": ramp_loss(gamma, jumps), "rate": rate, "steps": steps}
    row["seconds"] = (time.perf_counter() - started) / seeds
    if published:
        row["published"] = PUBLISHED[published][GAMMAS.index(gamma)]
    return row


def ramp_loss(gamma: float, jumps: int) -> float:
    """Of ramps with slope gamma through zero at every jump, clipped: for one jump no loss is lower."""
    x, y = data(jumps)
    away = (x - places(jumps)).abs().amin(1, keepdim=True)
    return float((y * (gamma * away).clamp(max=1) - y).square().mean())


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("family", box=None, pad_edge=False, header_style="bold")
    for gamma in GAMMAS:
        for name in (f"gamma {gamma}: %", "least", "published", "loss / best"):
            table.add_column(name, justify="right")
    for family in dict.fromkeys(r["family"] for r in rows):
        cells = []
        for gamma in GAMMAS:
            r = next((r for r in rows if r["family"] == family and r["gamma"] == gamma), None)
            if r is None:
                cells += [""] * 4
                continue
            percents = np.array(r["percent"])
            shown = [f"{percents.mean():.2f}", f"{percents.min():.2f}"]
            cells += [*shown, str(r.get("published", "")), f"{r['loss']:.3f} / {r['best_loss']:.3f}"]
        table.add_row(family, *cells)
    Console(width=170).print(table)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="30 steps and one seed: no tightness, only a run")] = False,
    seeds: Annotated[int, typer.Option(help="networks of each kind")] = 3,
    steps: Annotated[int, typer.Option(help="of training")] = 1500,
    only: Annotated[str, typer.Option(help="families whose name contains one of these, with commas")] = "",
    jumps: Annotated[int, typer.Option(help="of the function: 1 is the step, more are a square wave")] = 1,
    threads: Annotated[int, typer.Option(help="of torch")] = 2,
    output: Annotated[Path, typer.Option(help="file for the results")] = RESULTS,
) -> None:
    """Print and store the table."""
    torch.set_num_threads(threads)
    rows = []
    machine: dict[str, Any] = {"platform": platform.platform(), "cores": os.cpu_count(), "threads": threads}
    machine |= {"torch": torch.__version__, "width": WIDTH, "depth": DEPTH, "jumps": jumps}
    for name in families():
        for gamma in GAMMAS:
            if any(part in name for part in only.split(",")):
                rows.append(measure(name, gamma, 1 if quick else seeds, 30 if quick else steps, jumps))
                output.parent.mkdir(parents=True, exist_ok=True)
                output.write_text(json.dumps({"machine": machine, "rows": rows}, indent=1) + "\n")
    print_table(rows)


if __name__ == "__main__":
    typer.run(main)

"""The primal-dual solver on a device: chains of order 1,000 to 10,000 beside what the plan of docs/gpu.md expects.

    python -m benchmarks.gpu_solver [--device cuda] [--orders 1000,2320,5000,10000] [--seconds 400] [--output FILE]

Solved by torch arrays in float64 to 1e-6; on the host only the closed form's start is found. Each row has the bound,
the dual bound, iterations, seconds, looks of the host at the device, and the peak memory. NumPy solves orders up to
`HOST`, too. An order that would not fit what is left of the seconds, judged by the last one, is left out and named.
The JSON holds the device's name, versions and the command.
"""

from __future__ import annotations

import itertools
import json
import platform
import resource
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import torch
import typer

import sdpcert
from sdpcert.arithmetic.arrays import TorchArrays
from sdpcert.condition.matrix import Condition
from sdpcert.solvers import Budget, interior_point
from sdpcert.solvers.primal_dual import minimise

RESULTS = Path(__file__).parent / "results"
#: Width of the layers by order; otherwise a tenth of the order.
WIDTHS = {2320: 80}
#: Orders up to which NumPy solves the network too.
HOST = 1000
#: An order's time beside that of a smaller one is the ratio of their operations, at most this often more.
CAUTION = 1.5
#: Matrices of the order: X, its factor, the inverse of that, M^-1, two products, the Schur complement, and a transient
#: one.
MATRICES = 8
#: Panels of `DEVICE_PANEL` columns that are made and dropped.
PANELS = 6


@dataclass(frozen=True)
class Plan:
    """What an iteration on a chain of `order` coordinates and layers of `width` takes (docs/gpu.md)."""

    order: int
    width: int

    @property
    def in_blocks(self) -> float:
        """Operations of products and solves with the blocks of the network."""
        return 35.5 * self.width * float(self.order) ** 2

    @property
    def dense(self) -> float:
        """Operations of the factor of X, its inverse, and the factor of the Schur complement."""
        return 4 / 3 * float(self.order) ** 3 + (self.order - self.width) ** 3 / 3

    @property
    def operations(self) -> float:
        """Both."""
        return self.in_blocks + self.dense

    @property
    def memory(self) -> float:
        """Bytes that are held at once."""
        return 8.0 * (MATRICES * float(self.order) ** 2 + PANELS * min(4096, self.order) * self.order)


class LookingArrays(TorchArrays):
    """Torch arrays that count looks and the numbers that come over."""

    looks = numbers_seen = 0

    def numbers(self, values: Sequence[Any]) -> np.ndarray:
        self.looks += 1
        self.numbers_seen += len(values)
        return super().numbers(values)


def chain(order: int) -> sdpcert.Network:
    """Layers of one width, so that input and neurons are `order` coordinates, and ten outputs."""
    width = WIDTHS.get(order, max(order // 10, 1))
    sizes = [width] * (order // width) + [10]
    generator = np.random.default_rng(0)
    weights = [generator.standard_normal((b, a)) / np.sqrt(a) for a, b in itertools.pairwise(sizes)]
    return sdpcert.Network.mlp(weights)


def solved(order: int, device: str, seconds: float) -> dict[str, Any]:
    """The row of one order: the native solver, with what it moved and held."""
    form, width = chain(order).stacked, WIDTHS.get(order, max(order // 10, 1))
    on_gpu = device.startswith("cuda")
    if on_gpu:
        torch.cuda.reset_peak_memory_stats(device)
    started = time.perf_counter()
    arrays = LookingArrays(device)
    condition = Condition(form, "neuron", arrays)
    point = minimise(condition, Budget(seconds=seconds))
    wall = time.perf_counter() - started
    plan = Plan(condition.order, width)
    steps = point.history[-1].seconds - point.history[0].seconds
    each = steps / max(point.iterations, 1)
    bound = float(np.ldexp(np.sqrt(point.y[0]), point.exponent))
    peak = (
        torch.cuda.max_memory_allocated(device) if on_gpu else 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    )
    row = {
        "order": order,
        "coordinates": condition.order,
        "width": width,
        "status": point.status,
        "bound": bound,
        "dual": point.dual,
        "iterations": point.iterations,
        "seconds": wall,
        "seconds an iteration": each,
        "looks an iteration": arrays.looks / max(point.iterations, 1),
        "numbers a look": arrays.numbers_seen / arrays.looks,
        "planned operations an iteration": plan.operations,
        "planned bytes": plan.memory,
        "operations a second": plan.operations / each if each else None,
        "peak bytes": peak,
    }
    if order <= HOST:
        started = time.perf_counter()
        host = interior_point(form, "neuron", Budget(seconds=seconds))
        row["host"] = {"seconds": time.perf_counter() - started, "bound": host.bound, "iterations": host.iterations}
    return row


def expected(order: int, last: dict[str, Any]) -> float:
    """Seconds of an order from those of the last row."""
    operations = Plan(order, WIDTHS.get(order, max(order // 10, 1))).operations
    return CAUTION * last["seconds"] * operations / last["planned operations an iteration"]


def main(
    device: Annotated[str, typer.Option(help="cuda or cpu")] = "cuda" if torch.cuda.is_available() else "cpu",
    orders: Annotated[str, typer.Option(help="orders of the matrix, ascending")] = "1000,2320,5000,10000",
    seconds: Annotated[float, typer.Option(help="for everything")] = 400.0,
    output: Annotated[Path | None, typer.Option(help="JSON file")] = None,
) -> None:
    """Solve chains on a device and write the results as JSON."""
    name = torch.cuda.get_device_name(device) if device.startswith("cuda") else platform.processor() or "cpu"
    rows: list[dict[str, Any]] = []
    left_out: list[int] = []
    started = time.perf_counter()
    for order in sorted(int(word) for word in orders.split(",")):
        left = seconds - (time.perf_counter() - started)
        if left <= 0 or (rows and expected(order, rows[-1]) > left):
            left_out.append(order)
            print(f"order {order} left out: {max(left, 0):.0f} s are left", flush=True)
            continue
        rows.append(solved(order, device, left))
        print(json.dumps(rows[-1]), flush=True)
    results = {
        "device": name,
        "command": "python -m benchmarks.gpu_solver " + " ".join(sys.argv[1:]),
        "versions": {"sdpcert": sdpcert.__version__, "torch": torch.__version__, "python": platform.python_version()},
        "rows": rows,
        "left out": left_out,
        "plan for order 10000": {
            **asdict(plan := Plan(10000, 1000)),
            "operations": plan.operations,
            "bytes": plan.memory,
        },
    }
    target = output or RESULTS / f"gpu_solver_{name.lower().replace(' ', '_')}.json"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(json.dumps(results, indent=1) + "\n")
    print(target)


if __name__ == "__main__":
    typer.run(main)

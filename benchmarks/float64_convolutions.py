"""Convolutions in float64, in which logits of level R are evaluated: ours beside torch's `conv2d`, one thread, forward.

    python -m benchmarks.float64_convolutions [--images 100] [--repeats 5] [--output FILE.json]

The layers are those of networks that `benchmarks.training` evaluates. Both take turns on the same images; times are
medians, ratios medians of the ratios within a turn. "share of peak" are the multiplications and additions a second over
those of one product of matrices of 1024 rows and columns in the same run.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import numpy as np
import torch
import typer
from torch import Tensor

from sdpcert.network.affine import Conv2d

RESULTS = Path(__file__).parent / "results" / "float64_convolutions.json"


class Case(NamedTuple):
    """A layer of a network: channels, kernel, stride, and the side of its images."""

    name: str
    inputs: int
    outputs: int
    kernel: int
    stride: int
    side: int
    circular: bool = False


CASES = (
    Case("AOC, first", 3, 32, 4, 2, 32),
    Case("AOC, second", 32, 64, 4, 2, 16),
    Case("AOC, third", 64, 128, 4, 2, 8),
    Case("AOL", 32, 32, 3, 1, 32),
    Case("SLL", 48, 96, 3, 1, 8),
    Case("SOC, first", 16, 16, 7, 1, 32),
    Case("SOC, second", 32, 32, 7, 1, 16),
    Case("SOC, third", 64, 64, 7, 1, 8),
    Case("sandwich, first", 32, 32, 16, 1, 16, circular=True),
    Case("sandwich, second", 64, 32, 8, 1, 8, circular=True),
)


def seconds(work: Callable[[], Any]) -> float:
    """Of one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def measured(case: Case, images: int, repeats: int, peak: float) -> dict[str, Any]:
    """The row of a layer; ValueError where the two do not agree."""
    generator = np.random.default_rng(0)
    size = case.kernel
    before = size // 2 if case.stride == 1 else (size - case.stride) // 2
    after = size - 1 - before if case.stride == 1 else before
    around = (before, before, after, after)
    kernel = generator.standard_normal((case.outputs, case.inputs, size, size))
    layer = Conv2d(kernel, None, (case.stride, case.stride), around, circular=case.circular)
    batch = torch.from_numpy(generator.standard_normal((images, case.inputs, case.side, case.side)))
    ours = layer.on_tensors(torch.device("cpu"), torch.float64)
    weight, mode = torch.from_numpy(kernel), "circular" if case.circular else "constant"

    def theirs(x: Tensor) -> Tensor:
        padded = torch.nn.functional.pad(x, (around[1], around[3], around[0], around[2]), mode=mode)
        return torch.nn.functional.conv2d(padded, weight, stride=case.stride)

    with torch.no_grad():
        if not torch.allclose(ours(batch), theirs(batch), rtol=0, atol=1e-9):
            raise ValueError(f"{case.name}: the two convolutions differ")
        turns = [(seconds(lambda: ours(batch)), seconds(lambda: theirs(batch))) for _ in range(repeats)]
        count = ours(batch[:1]).numel()
    own, other = (statistics.median(turn[k] for turn in turns) for k in (0, 1))
    return {
        **case._asdict(),
        "seconds": own / images,
        "torch": other / images,
        "ratio": statistics.median(b / a for a, b in turns),
        "share_of_peak": 2 * count * case.inputs * size**2 * images / own / peak,
    }


def main(
    images: Annotated[int, typer.Option(help="in a batch")] = 100,
    repeats: Annotated[int, typer.Option(help="turns")] = 5,
    output: Annotated[Path, typer.Option(help="JSON file")] = RESULTS,
) -> None:
    """Measure all layers and write the results."""
    torch.set_num_threads(1)
    load = os.getloadavg()[0]
    matrix = torch.from_numpy(np.random.default_rng(0).standard_normal((1024, 1024)))
    peak = 2 * 1024**3 / min(seconds(lambda: matrix @ matrix) for _ in range(10))
    rows = []
    for case in CASES:
        rows.append(measured(case, images, repeats, peak))
        print({key: round(value, 5) if isinstance(value, float) else value for key, value in rows[-1].items()})
    versions = {"torch": torch.__version__, "python": platform.python_version()}
    machine = {"cores": os.cpu_count(), "threads": 1, "load_before": load, "peak": peak, "versions": versions}
    output.write_text(json.dumps({"images": images, "machine": machine, "rows": rows}, indent=1) + "\n")
    print(output)


if __name__ == "__main__":
    typer.run(main)

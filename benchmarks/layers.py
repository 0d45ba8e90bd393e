"""1-Lipschitz layers beside deel-torchlip and orthogonium: time of forward and backward, and peak memory, in one run.

    python -m benchmarks.layers [--quick] [--device cpu|cuda] [--only NAME] [--threads N] [--output FILE.json]

With `--only` the rows of other families stay as they are in the file.

Every row is one family on one shape: dense layers on a batch of 256 vectors, convolutions with 3x3 kernels on 32 images
of 32x32. A step is forward and backward in training mode, with gradients of inputs and parameters. Opponents take turns
step by step; times are medians, ratios are medians of the ratios within a turn. "plain" is stock torch with the same
arithmetic on the data and no constraint; no layer can be faster, so the ratio to the quicker opponent cannot exceed
"possible". Matrices are drawn anew (entries of variance 1 / fan-in), as some packages stop early at the orthogonal
weights that they start with. Memory is what a step adds to the process (its high-water mark, a process of its own for
every measurement) or to the allocator of the accelerator.

Not all opponents do the same work: torchlip's convolution, beside "spectral-conv", divides by the norm of the reshaped
kernel and a constant, and not by the norm of the convolution; orthogonium's SOC cuts its series after four terms, so
that singular values are within one percent of 1 only: "soc" has our twelve terms, "soc4" four as well. "bjorck-conv"
orthogonalises the reshaped kernel, as torchlip does with Bjorck's iteration. "aoc2" has kernels of 4x4 and stride 2.
"""

from __future__ import annotations

import gc
import importlib.metadata
import json
import multiprocessing
import os
import platform
import resource
import statistics
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from torch import Tensor, nn
from torch.nn import functional

RESULTS = Path(__file__).parent / "results"
OPPONENTS = ("deel-torchlip", "orthogonium")
BATCH, IMAGES, SIDE = 256, 32, 32
#: Families whose target is more than "never slower".
TARGETS = {"aol": 1.5, "sll": 1.5, "cpl": 1.5}


class PlainResidual(nn.Module):
    """`x - W' relu(W x + b)` with free weights."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(torch.zeros(len(weight)))

    def forward(self, inputs: Tensor) -> Tensor:
        if self.weight.dim() == 2:
            return inputs - functional.linear(functional.linear(inputs, self.weight, self.bias).relu(), self.weight.mT)
        inner = functional.conv2d(inputs, self.weight, self.bias, padding=1).relu()
        return inputs - functional.conv_transpose2d(inner, self.weight, padding=1)


def modules(family: str, n: int) -> dict[str, Callable[[], nn.Module]]:
    """Makers of the family's layer with n features or channels, by package; absent where the import fails."""
    found: dict[str, Callable[[], nn.Module]] = {}
    for name, makers in (("sdpcert", _ours), ("deel-torchlip", _torchlip), ("orthogonium", _orthogonium)):
        try:
            maker = makers(n).get(family)
        except ImportError:
            continue
        if maker is not None:
            found[name] = maker
    if family in ("sll-dense", "cpl-dense"):
        found["plain"] = lambda: PlainResidual(torch.randn(n, n) / n**0.5)
    elif family in ("sll-conv", "cpl-conv"):
        found["plain"] = lambda: PlainResidual(torch.randn(n, n, 3, 3) / (3 * n**0.5))
    elif family.endswith("dense"):
        found["plain"] = lambda: nn.Linear(n, n)
    else:
        size, stride = (4, 2) if family == "aoc2-conv" else (3, 1)
        found["plain"] = lambda: nn.Conv2d(n, n, size, stride, padding=1)
    return found


def _ours(n: int) -> dict[str, Callable[[], nn.Module]]:
    import sdpcert.layers as layers

    return {
        "aol-dense": lambda: layers.AOLLinear(n, n),
        "sll-dense": lambda: layers.SLLLinear(n, n),
        "cpl-dense": lambda: layers.CPLLinear(n, n),
        "spectral-dense": lambda: layers.SpectralLinear(n, n),
        "bjorck-dense": lambda: layers.BjorckLinear(n, n),
        "cayley-dense": lambda: layers.CayleyLinear(n, n),
        "bro-dense": lambda: layers.BROLinear(n, n),
        "cholesky-dense": lambda: layers.CholeskyLinear(n, n),
        "residual-dense": lambda: layers.LinearResidual(n),
        "sandwich-dense": lambda: layers.SandwichLinear(n, n),
        "aol-conv": lambda: layers.AOLConv2d(n, n),
        "sll-conv": lambda: layers.SLLConv2d(n, n),
        "cpl-conv": lambda: layers.CPLConv2d(n, n),
        "spectral-conv": lambda: layers.SpectralConv2d(n, n),
        "bjorck-conv": lambda: layers.BjorckConv2d(n, n),
        "bcop-conv": lambda: layers.BCOPConv2d(n, n, 3, circular=True),
        "cayley-conv": lambda: layers.CayleyConv2d(n, n, 3, SIDE),
        "soc-conv": lambda: layers.SOCConv2d(n, 3, circular=True),
        "soc4-conv": lambda: layers.SOCConv2d(n, 3, circular=True, terms=4),
        "aoc-conv": lambda: layers.AOCConv2d(n, n, 3, circular=True),
        "aoc2-conv": lambda: layers.AOCConv2d(n, n, 4, stride=2, circular=True),
        "bro-conv": lambda: layers.BROConv2d(n, n, 3, SIDE),
        "residual-conv": lambda: layers.LinearResidualConv2d(n),
        "sandwich-conv": lambda: layers.SandwichConv2d(n, n, 3, SIDE),
    }


def _torchlip(n: int) -> dict[str, Callable[[], nn.Module]]:
    from deel import torchlip  # type: ignore[import-not-found]

    off: Any = None  # Bjorck's iteration off
    return {
        "spectral-dense": lambda: torchlip.SpectralLinear(n, n, eps_bjorck=off),
        "bjorck-dense": lambda: torchlip.SpectralLinear(n, n),
        "spectral-conv": lambda: torchlip.SpectralConv2d(n, n, (3, 3), padding=1, eps_bjorck=off),
        "bjorck-conv": lambda: torchlip.SpectralConv2d(n, n, (3, 3), padding=1),
    }


def _orthogonium(n: int) -> dict[str, Callable[[], nn.Module]]:
    from orthogonium.layers.conv.adaptiveSOC import AdaptiveSOCConv2d  # type: ignore[import-not-found]
    from orthogonium.layers.conv.AOC import AdaptiveOrthoConv2d  # type: ignore[import-not-found]
    from orthogonium.layers.conv.AOL import AOLConv2D  # type: ignore[import-not-found]
    from orthogonium.layers.conv.SLL import (  # type: ignore[import-not-found]
        SDPBasedLipschitzDense,
        SDPBasedLipschitzResBlock,
    )
    from orthogonium.layers.linear.ortho_linear import OrthoLinear  # type: ignore[import-not-found]
    from orthogonium.reparametrizers import (  # type: ignore[import-not-found]
        BatchedCholeskyOrthogonalization,
        BatchedIdentity,
        OrthoParams,
    )

    identity: Any = BatchedIdentity
    cholesky: Any = BatchedCholeskyOrthogonalization
    free = OrthoParams(orthogonalizer=identity)  # its power iteration alone
    made: dict[str, Callable[[], nn.Module]] = {
        "aol-conv": lambda: AOLConv2D(n, n, 3, padding=1),
        "sll-dense": lambda: SDPBasedLipschitzDense(n, n, n),
        "sll-conv": lambda: SDPBasedLipschitzResBlock(n, 1),
        "spectral-dense": lambda: OrthoLinear(n, n, ortho_params=free),
        "bjorck-dense": lambda: OrthoLinear(n, n),
        "bcop-conv": lambda: AdaptiveOrthoConv2d(n, n, 3),
        "cholesky-dense": lambda: OrthoLinear(n, n, ortho_params=OrthoParams(orthogonalizer=cholesky)),
        "aoc-conv": lambda: AdaptiveOrthoConv2d(n, n, 3),
        "aoc2-conv": lambda: AdaptiveOrthoConv2d(n, n, 4, stride=2, padding=1),
        "soc-conv": lambda: AdaptiveSOCConv2d(n, n, 3, padding=3),  # the kernel it makes of a 3x3 one is 7x7
        "soc4-conv": lambda: AdaptiveSOCConv2d(n, n, 3, padding=3),
    }
    try:  # needs einops, which the package does not ask for
        from orthogonium.legacy.cayley_ortho_conv import Cayley  # type: ignore[import-not-found]

        made["cayley-conv"] = lambda: Cayley(n, n, 3)
    except ImportError:
        pass
    return made


DENSE = ("aol", "sll", "cpl", "spectral", "residual", "bjorck", "cayley", "cholesky", "bro", "sandwich")
CONVOLUTIONS = ("aol", "sll", "cpl", "spectral", "residual", "bjorck", "bcop", "aoc", "aoc2", "soc", "soc4", "cayley")
CONVOLUTIONS += ("bro", "sandwich")
CASES = [(f"{f}-dense", n) for f in DENSE for n in (256, 1024)] + [
    (f"{f}-conv", n) for f in CONVOLUTIONS for n in (32, 64)
]
QUICK = [("aol-dense", 256), ("sll-dense", 256), ("aol-conv", 32)]


class Runner:
    """A layer with a batch; `step` is one forward and backward."""

    def __init__(self, make: Callable[[], nn.Module], family: str, n: int, device: str) -> None:
        torch.manual_seed(0)
        self.layer = make().to(device).train()
        with torch.no_grad():
            for parameter in self.layer.parameters():
                if parameter.dim() > 1 and parameter.shape[1:].numel() > 1 and parameter.shape[0] > 1:
                    parameter.normal_(0, parameter.shape[1:].numel() ** -0.5)
        shape = (BATCH, n) if family.endswith("dense") else (IMAGES, n, SIDE, SIDE)
        self.inputs = torch.randn(shape, device=device, requires_grad=True)
        with torch.no_grad():
            self.direction = torch.randn_like(self.layer(self.inputs))
        self.device = device

    def step(self) -> float:
        """Seconds."""
        self.layer.zero_grad()
        self.inputs.grad = None
        self._wait()
        started = time.perf_counter()
        self.layer(self.inputs).backward(self.direction)
        self._wait()
        return time.perf_counter() - started

    def _wait(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()


def memory(family: str, n: int, package: str, device: str, threads: int) -> float:
    """Bytes that a step adds to what the layer and the batch take, at the peak; run in a fresh process on a cpu."""
    torch.set_num_threads(threads)
    warnings.simplefilter("ignore")
    runner = Runner(modules(family, n)[package], family, n, device)
    if device == "cuda":
        runner.step()
        runner.layer.zero_grad()
        runner.inputs.grad = None
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        runner.step()
        return float(torch.cuda.max_memory_allocated() - before)
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the high-water mark falls to what is resident
        before, peak = _resident("VmRSS"), lambda: _resident("VmHWM")
    except OSError:
        before, peak = _largest(), _largest
    for _ in range(2):
        runner.step()
    return peak() - before


def _largest() -> float:
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _resident(field: str) -> float:
    line = next(s for s in Path("/proc/self/status").read_text().splitlines() if s.startswith(field))
    return 1024.0 * int(line.split()[1])


def measure(family: str, n: int, device: str, repetitions: int, longest: float) -> dict[str, Any]:
    """One row without memory: seconds by package; at least three turns, more within `longest` seconds."""
    makers = modules(family, n)
    runners = {name: Runner(make, family, n, device) for name, make in makers.items()}
    times: dict[str, list[float]] = {name: [] for name in runners}
    turn_seconds = 0.0
    for runner in runners.values():
        turn_seconds += min(runner.step() for _ in range(2))
    repetitions = min(repetitions, max(3, round(longest / turn_seconds)))
    gc.collect()
    gc.disable()
    for turn in range(repetitions):
        names = list(runners) if turn % 2 == 0 else list(runners)[::-1]
        for name in names:
            times[name].append(runners[name].step())
    gc.enable()
    row: dict[str, Any] = {"family": family, "size": n, "repetitions": repetitions}
    row["seconds"] = {name: statistics.median(t) for name, t in times.items()}
    if "sdpcert" in times:
        row["ratio"] = {
            name: statistics.median(a / b for a, b in zip(t, times["sdpcert"], strict=True))
            for name, t in times.items()
            if name != "sdpcert"
        }
    return row


def _memory_apart(family: str, n: int, package: str, device: str, threads: int) -> float:
    if device == "cuda":
        return memory(family, n, package, device, threads)
    # The server imports torch once and never computes: its children are fresh.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["sdpcert.layers", *_installed()])
    with context.Pool(1) as pool:
        return pool.apply(memory, (family, n, package, device, threads))


def _installed() -> list[str]:
    return [m for m, p in (("deel.torchlip", "deel-torchlip"), ("orthogonium.layers", "orthogonium")) if version(p)]


def version(package: str) -> str:
    """Of an installed distribution, empty for others."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def print_table(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("family", "size", box=None, pad_edge=False, header_style="bold")
    for name in (
        "ours ms",
        "plain ms",
        "torchlip ms",
        "orthogonium ms",
        "x torchlip",
        "x orthogonium",
        "possible",
        "target",
    ):
        table.add_column(name, justify="right")
    for name in ("ours MiB", "plain", "torchlip", "orthogonium"):
        table.add_column(name, justify="right")
    for r in rows:
        ratios = r.get("ratio", {})
        wanted = TARGETS.get(r["family"].split("-")[0], 1.0)
        rivals = [ratios[p] for p in OPPONENTS if p in ratios]
        table.add_row(
            r["family"],
            str(r["size"]),
            *(f"{1e3 * r['seconds'][p]:.2f}" if p in r["seconds"] else "" for p in ("sdpcert", "plain", *OPPONENTS)),
            *(f"{ratios[p]:.2f}" if p in ratios else "" for p in OPPONENTS),
            f"{min(r['seconds'][p] for p in OPPONENTS if p in ratios) / r['seconds']['plain']:.2f}" if rivals else "",
            f"{wanted:.1f} {'met' if min(rivals) >= wanted else 'missed'}" if rivals else "none",
            *(f"{r['bytes'][p] / 2**20:.1f}" if p in r["bytes"] else "" for p in ("sdpcert", "plain", *OPPONENTS)),
        )
    Console(width=150).print(table)


def main(
    quick: Annotated[bool, typer.Option("--quick", help="three rows, few repetitions")] = False,
    device: Annotated[str, typer.Option(help="cpu or cuda")] = "cpu",
    only: Annotated[str, typer.Option(help="families whose name contains this")] = "",
    threads: Annotated[int, typer.Option(help="of torch on a cpu")] = 2,
    repetitions: Annotated[int, typer.Option(help="turns of the opponents")] = 41,
    longest: Annotated[float, typer.Option(help="seconds for the turns of a row, unless fewer than three")] = 8.0,
    memory_too: Annotated[bool, typer.Option("--memory/--no-memory", help="measure memory, in processes apart")] = True,
    output: Annotated[Path | None, typer.Option(help="file for the results")] = None,
) -> None:
    """Print and store the table."""
    warnings.simplefilter("ignore")
    torch.set_num_threads(threads)
    output = output or RESULTS / f"layers_{device}.json"
    machine: dict[str, Any] = {"platform": platform.platform(), "cores": os.cpu_count(), "threads": threads}
    machine |= {"load_before": os.getloadavg()[0], "versions": {p: version(p) for p in ("torch", *OPPONENTS)}}
    if device == "cuda":
        machine["device"] = torch.cuda.get_device_name()
    before = json.loads(output.read_text())["rows"] if only and output.exists() else []
    kept = [r for r in before if only not in r["family"]]
    rows = []
    for family, n in QUICK if quick else CASES:
        if only in family and "sdpcert" in modules(family, n):
            row = measure(family, n, device, 5 if quick else repetitions, longest)
            packages = row["seconds"] if memory_too else ()
            row["bytes"] = {p: _memory_apart(family, n, p, device, threads) for p in packages}
            rows.append(row)
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(json.dumps({"machine": machine, "rows": kept + rows}, indent=1) + "\n")
    print_table(rows)


if __name__ == "__main__":
    typer.run(main)

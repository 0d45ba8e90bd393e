"""The native solver beside Clarabel, SCS and SDPA through CVXPY: time, memory, accuracy, ratios, growth.

    python -m benchmarks.solvers [--quick] [--limit SECONDS] [--only TEXT] [--opponents sdpa] [--output FILE.json]

Every run is a process of its own with a time limit and a memory limit; all of them may use all cores. The networks are
random chains of ReLU layers with spectral norms of one. All solvers get the same problem, scaled and with the input
reduced, which no user of the opponents has by default (on deep chains Clarabel loses digits without the scaling). An
opponent that solves it gets the problem as a user poses it too, with all inputs: "as posed".

- "compile" is the formulation and CVXPY's compilation, "solve" what follows; the native solver has nothing to compile.
  Times are medians of three runs where a run takes less than ten seconds.
- "error" is the bound that the solver's point claims over the bound proved for the native solver's, minus one (the gap
  of that one to the optimum is stored as "gap"). "feasible" says whether the point can be proved as it is; "proved" is
  the error of the bound that is proved, after a repair where one is needed.
- "ratio" is the fastest opponent over the native solver, among opponents whose proved bound is within the tolerance;
  with ">" where there is none: the limit over the native solver. Compilation counts; the file has the ratio without,
  and the one over the opponents as posed.
- Flops are those of the dense kernels as they are called: 2 m k n for a product, n^3 / 3 for a Cholesky factor and
for the
  inverse of a triangular matrix, n^2 m for a triangular solve with m right sides, 2 n^2 for a matrix times a vector.
  Elementwise work and the closed-form start count as time but not as flops. "share" is flops a second over the rate of
  the matrix product at order 2000, measured in the same process.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

from sdpcert.arithmetic.arrays import NumpyArrays, one_blas_thread
from sdpcert.arithmetic.exact import square_root_up
from sdpcert.certificate.document import build_document, write_document
from sdpcert.certificate.proof import REPAIRS, Proof, ProofProblem
from sdpcert.certificate.stacked_condition import StackedCondition
from sdpcert.certify.repair import repair
from sdpcert.network import Network, StackedForm
from sdpcert.solvers import SOLVERS, Budget, Solution, SolverError

TOLERANCE = 1e-6
OPPONENTS = ("clarabel", "scs", "sdpa")
POSED = " as posed"
RESULTS = Path(__file__).parent / "results" / "solvers.json"


@dataclass(frozen=True)
class Case:
    """A chain: the widths from input to output, and whether the opponents take part."""

    name: str
    widths: tuple[int, ...]
    opponents: bool = True
    quick: bool = False

    @property
    def neurons(self) -> int:
        return sum(self.widths[1:-1])


CASES = (
    *(Case(f"784-{w}x2-10", (784, w, w, 10), quick=w <= 50) for w in (10, 20, 50, 100)),
    Case("784-100x5-10", (784, *[100] * 5, 10)),
    *(Case(f"16-16x{d}-16", (16,) * (d + 2), quick=d == 16) for d in (16, 32, 64)),
    Case("784-200x5-10", (784, *[200] * 5, 10), opponents=False),
    Case("784-400x5-10", (784, *[400] * 5, 10), opponents=False),
)


# -- one run, in a process of its own ----------------------------------------------------------------------------------


class CountingArrays(NumpyArrays):
    """NumPy arrays that count the flops of the dense kernels."""

    flops = 0.0

    def product(self, left: np.ndarray, right: np.ndarray) -> np.ndarray:
        CountingArrays.flops += 2.0 * left.shape[0] * left.shape[1] * right.shape[1]
        return super().product(left, right)

    def apply(self, matrix: np.ndarray, vector: np.ndarray) -> np.ndarray:
        CountingArrays.flops += 2.0 * matrix.size
        return super().apply(matrix, vector)

    def cholesky(self, matrix: np.ndarray) -> np.ndarray | None:
        CountingArrays.flops += len(matrix) ** 3 / 3
        return super().cholesky(matrix)

    def triangular_inverse(self, factor: np.ndarray) -> np.ndarray:
        CountingArrays.flops += len(factor) ** 3 / 3
        return super().triangular_inverse(factor)

    def add_product(self, into: np.ndarray, left: np.ndarray, right: np.ndarray, scale: float = 1.0) -> None:
        CountingArrays.flops += 2.0 * left.shape[0] * left.shape[1] * right.shape[1]
        super().add_product(into, left, right, scale)

    def triangular_solve(self, factor: np.ndarray, right: np.ndarray, adjoint: bool = False) -> np.ndarray:
        CountingArrays.flops += 1.0 * factor.shape[0] * right.size
        return super().triangular_solve(factor, right, adjoint)

    def solve(self, factor: np.ndarray, right: np.ndarray) -> np.ndarray:
        CountingArrays.flops += 2.0 * factor.size
        return super().solve(factor, right)


def network(case: Case) -> StackedForm:
    """The case's network, the same every time."""
    generator = np.random.default_rng([len(case.widths), *case.widths])
    weights = []
    for columns, rows in zip(case.widths, case.widths[1:], strict=False):
        weight = generator.standard_normal((rows, columns))
        weights.append(weight / np.linalg.norm(weight, 2))
    return Network.mlp(weights).stacked.reduced()


def matrix_rate(order: int = 2000) -> float:
    """Flops a second of a matrix product, the median of seven."""
    arrays, generator = NumpyArrays(), np.random.default_rng(0)
    left, right = generator.standard_normal((2, order, order))
    times = []
    for _ in range(8):
        started = time.perf_counter()
        arrays.product(left, right)
        times.append(time.perf_counter() - started)
    return 2.0 * order**3 / float(np.median(times[1:]))


def repeat(run: Callable[[], tuple[dict[str, float], Solution]]) -> tuple[dict[str, float], Solution, int]:
    """Medians of three runs, or the first run where it takes ten seconds or more."""
    times, solution = run()
    series = [times]
    if sum(times.values()) < 10:
        series += [run()[0] for _ in range(2)]
    return {key: float(np.median([t[key] for t in series])) for key in times}, solution, len(series)


def native_run(form: StackedForm) -> tuple[dict[str, float], Solution]:
    started = time.perf_counter()
    with one_blas_thread():  # as certify does
        solution = SOLVERS["native"](form, "neuron", Budget(TOLERANCE))
    return {"compile": 0.0, "solve": time.perf_counter() - started}, solution


def opponent_run(form: StackedForm, solver: str, posed: bool) -> tuple[dict[str, float], Solution]:
    from sdpcert.solvers.general import GeneralProblem

    back_end = importlib.import_module(f"sdpcert.solvers.{solver}").BACK_END
    started = time.perf_counter()
    problem = GeneralProblem(form, "neuron", reduce=not posed)
    problem.compile(back_end.name)
    compiled = time.perf_counter()
    solution = problem.solve(back_end.options(Budget(TOLERANCE)))
    return {"compile": compiled - started, "solve": time.perf_counter() - compiled}, solution


def proved(form: StackedForm, solution: Solution) -> tuple[bool, Proof | None, float]:
    """Whether the point is proved as it is, the proof after a repair where it is not, and the seconds."""
    started = time.perf_counter()
    with one_blas_thread():
        problem = ProofProblem(form, solution.exponent)
        proof = problem.prove(solution.rho, solution.multipliers, tuple(t for t in REPAIRS if t <= 1e-9))
        seconds, feasible = time.perf_counter() - started, proof is not None
        if proof is None:
            near = repair(form, solution)
            proof = None if near is None else problem.prove(near.rho, near.multipliers)
            seconds = time.perf_counter() - started
    return feasible, proof, seconds


def checker_seconds(form: StackedForm, proof: Proof, upper: float) -> dict[str, Any]:
    """Seconds of the stand-alone checker on the certificate, and its verdict."""
    checker = Path(importlib.import_module("sdpcert.check.checker").__file__ or "")
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "certificate.json"
        write_document(build_document(StackedCondition(form, proof), None, {}), file)
        started = time.perf_counter()
        done = subprocess.run([sys.executable, str(checker), str(file)], capture_output=True, text=True, check=False)
        return {"check": time.perf_counter() - started, "accepted": done.returncode == 0, "bytes": file.stat().st_size}


def work(case: Case, solver: str) -> dict[str, Any]:
    """Everything measured in one process."""
    form = network(case)
    result: dict[str, Any] = {}
    if solver == "native":
        module = importlib.import_module("sdpcert.solvers.native")
        setattr(module, "arrays_on", lambda device: CountingArrays())  # noqa: B010
        times, solution, runs = repeat(lambda: native_run(form))
        result["flops"] = CountingArrays.flops / runs
    else:
        name = solver.removesuffix(POSED)
        importlib.import_module("cvxpy")  # loading packages is not part of the time
        importlib.import_module(importlib.import_module(f"sdpcert.solvers.{name}").BACK_END.package)
        times, solution, runs = repeat(lambda: opponent_run(form, name, name != solver))
    result |= {**times, "runs": runs, "iterations": solution.iterations, "status": solution.status}
    result |= {"claimed": solution.bound, "dual": solution.dual, "memory": peak_memory()}
    if solver == "native":
        result["rate"] = matrix_rate()
    feasible, proof, seconds = proved(form, solution)
    upper = None if proof is None else square_root_up(proof.rho, proof.exponent)
    result |= {"feasible": feasible, "upper": upper, "proof": seconds}
    if solver == "native" and proof is not None and upper is not None:
        result |= checker_seconds(form, proof, upper)
    return result


def peak_memory() -> float:
    """Peak resident bytes of this process (of its own, not of the process that it was forked from)."""
    try:
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024.0 * float(line.split()[1])
    except OSError:
        pass
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def run_apart(case: Case, solver: str, limit: float, memory: float) -> dict[str, Any]:
    """Run one solver on one case in a process with limits; what it cannot do is said in "failed"."""
    command = [sys.executable, "-m", "benchmarks.solvers", "--worker", case.name, solver, "--memory", str(memory)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return {"failed": f"over {limit:.0f} s"}
    if done.returncode != 0:
        lines = (done.stderr.strip() or f"exit status {done.returncode}").splitlines()
        text = lines[-1]
        short = any(word in done.stderr.lower() for word in ("memory", "allocat", "capacity overflow"))
        return {"failed": f"over {memory:.0f} GiB" if short or done.returncode in (-6, -9, -11) else text[:80]}
    return json.loads(done.stdout.splitlines()[-1])


# -- the table ---------------------------------------------------------------------------------------------------------


def summarize(case: Case, results: dict[str, Any], limit: float) -> dict[str, Any]:
    """Errors against the proved optimum, and ratios."""
    native = results["native"]
    row: dict[str, Any] = {"case": case.name, "neurons": case.neurons, "widths": case.widths, "solvers": results}
    if "failed" in native:
        return row
    accurate: dict[str, dict[str, Any]] = {}
    for name, result in results.items():
        if "failed" in result:
            continue
        result["error"] = result["claimed"] / native["upper"] - 1
        result["proved_error"] = None if result["upper"] is None else result["upper"] / native["upper"] - 1
        result["total"] = result["compile"] + result["solve"]
        if name != "native" and result["proved_error"] is not None and result["proved_error"] <= TOLERANCE:
            accurate[name] = result
    native["share"] = native["flops"] / native["solve"] / native["rate"]
    row["gap"] = 1 - native["dual"] / native["upper"]
    posed = [accurate.pop(name)["total"] for name in list(accurate) if name.endswith(POSED)]
    if posed:
        row["ratio_as_posed"] = min(posed) / native["solve"]
    if accurate:
        best = min(accurate, key=lambda name: accurate[name]["total"])
        row |= {"best": best, "ratio": accurate[best]["total"] / native["solve"]}
        row["ratio_without_compile"] = min(r["solve"] for r in accurate.values()) / native["solve"]
    elif len(results) > 1:
        row["ratio_above"] = limit / native["solve"]
    anything = [r["total"] for name, r in results.items() if name != "native" and "failed" not in r]
    if anything:
        row["ratio_any_accuracy"] = min(anything) / native["solve"]
    return row


def growth(rows: list[dict[str, Any]]) -> dict[str, float]:
    """Exponents of the native solver's time in the number of neurons: five hidden layers, and 16 wide chains."""
    exponents = {}
    for label, part in (("784-Wx5-10", "x5-10"), ("784-Wx2-10", "x2-10"), ("16-16xD-16", "16-16x")):
        points = [
            (r["neurons"], r["solvers"]["native"]["solve"], r["solvers"]["native"]["iterations"])
            for r in rows
            if part in r["case"] and "failed" not in r["solvers"]["native"]
        ]
        if len(points) < 2:
            continue
        neurons, seconds, iterations = (np.log(np.array(v, dtype=float)) for v in zip(*points, strict=True))
        exponents[label] = float(np.polyfit(neurons, seconds, 1)[0])
        exponents[f"{label} an iteration"] = float(np.polyfit(neurons, seconds - iterations, 1)[0])
    return exponents


def print_table(rows: list[dict[str, Any]], exponents: dict[str, float]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console(width=150)
    first = ("case", "solver", "compile", "solve", "it.", "GiB", "status", "error", "feasible", "proved")
    table = Table(*first, "proof", "check", "share", "ratio", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        for name, result in row["solvers"].items():
            label = row["case"] if name == "native" else ""
            if "failed" in result:
                table.add_row(label, name, "", "", "", "", result["failed"])
                continue
            is_native = name == "native"
            ratio = ""
            if is_native and "ratio" in row:
                ratio = f"{row['ratio']:.1f} ({row['best']})"
            elif is_native and "ratio_above" in row:
                ratio = f"> {row['ratio_above']:.0f}"
            if is_native and "ratio_as_posed" in row:
                ratio += f", {row['ratio_as_posed']:.0f} as posed"
            proved_error = result.get("proved_error")
            table.add_row(
                label,
                name,
                f"{result['compile']:.2f}" if not is_native else "",
                f"{result['solve']:.3f}",
                str(result["iterations"] or ""),
                f"{result['memory'] / 2**30:.2f}",
                result["status"],
                f"{result.get('error', float('nan')):+.1e}",
                "yes" if result["feasible"] else "no",
                "unproved" if proved_error is None else f"{proved_error:+.1e}",
                f"{result['proof']:.2f}",
                f"{result['check']:.2f}" if "check" in result else "",
                f"{result['share']:.2f}" if "share" in result else "",
                ratio,
            )
    console.print(table)
    for label, exponent in exponents.items():
        console.print(f"native time grows like N^{exponent:.2f} for {label}", highlight=False)
    rates = [r["solvers"]["native"]["rate"] for r in rows if "rate" in r["solvers"]["native"]]
    if rates:
        console.print(f"matrix products: {np.median(rates) / 1e9:.0f} Gflop/s", highlight=False)


def machine() -> dict[str, Any]:
    """Where and with what the numbers were measured."""
    versions = {}
    for package in ("numpy", "scipy", "cvxpy", "clarabel", "scs", "sdpa-python"):
        try:
            versions[package] = importlib.import_module("importlib.metadata").version(package)
        except ImportError:
            versions[package] = "missing"
    return {
        "platform": platform.platform(),
        "python": platform.python_version(),
        "cores": os.cpu_count(),
        "load_before": os.getloadavg()[0],
        "versions": versions,
    }


def main(
    quick: Annotated[bool, typer.Option("--quick", help="small cases, limit 60 s")] = False,
    limit: Annotated[float, typer.Option(help="seconds for one opponent on one case (0: 600, with --quick 60)")] = 0,
    only: Annotated[str, typer.Option(help="only cases whose name contains this text")] = "",
    opponents: Annotated[str, typer.Option(help="opponents, separated by commas")] = ",".join(OPPONENTS),
    output: Annotated[Path, typer.Option(help="file for the results")] = RESULTS,
    memory: Annotated[float, typer.Option(help="GiB of address space for one process (0: three quarters of RAM)")] = 0,
    worker: Annotated[tuple[str, str], typer.Option(hidden=True)] = ("", ""),
) -> None:
    """Print and store the table."""
    memory = memory or 0.75 * os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    if worker[0]:
        resource.setrlimit(resource.RLIMIT_AS, (int(memory * 2**30), int(memory * 2**30)))
        try:
            print(json.dumps(work(next(c for c in CASES if c.name == worker[0]), worker[1])))
        except (SolverError, MemoryError) as error:
            sys.exit(f"{type(error).__name__}: {error}")
        return
    limit = limit or (60 if quick else 600)
    document: dict[str, Any] = {"machine": machine(), "tolerance": TOLERANCE, "limit": limit, "memory_limit": memory}
    rows: list[dict[str, Any]] = []
    chosen = [c for c in CASES if only in c.name and (c.quick or not quick)]
    for case in chosen:
        results = {}
        for solver in ("native", *(opponents.split(",") if case.opponents and opponents else ())):
            print(f"{case.name}: {solver} ...", file=sys.stderr, flush=True)
            # The native solver's process also runs the checker, three times the limit is for that.
            results[solver] = run_apart(case, solver, 3 * limit if solver == "native" else limit, memory)
            if solver != "native" and case.widths[0] > case.widths[1] and "failed" not in results[solver]:
                print(f"{case.name}: {solver}{POSED} ...", file=sys.stderr, flush=True)
                results[solver + POSED] = run_apart(case, solver + POSED, limit, memory)
        rows.append(summarize(case, results, limit))
        document |= {"rows": rows, "growth": growth(rows), "cases": [asdict(c) for c in chosen]}
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(json.dumps(document, indent=1) + "\n")
    print_table(rows, document.get("growth", {}))


if __name__ == "__main__":
    typer.run(main)

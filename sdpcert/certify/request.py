"""What is asked of `certify`: every argument, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field
from math import inf

from sdpcert.regions.region import Region
from sdpcert.running import arguments, executors
from sdpcert.running.choices import FORMS, HEADS, METHODS
from sdpcert.solvers import SOLVERS
from sdpcert.solvers.solution import Progress

#: Methods that solve nothing.
CLOSED_FORMS = ("product", "by-construction")


@dataclass(frozen=True)
class Request:
    """The arguments of `certify`, as its docstring has them; those of a `Request` that exists are good.

    Raises ValueError or TypeError, with one sentence that names the argument, for others.
    """

    method: str = "auto"
    solver: str = "native"
    tol: float = 1e-6
    output_rows: Sequence[int] | None = None
    device: str = "cpu"
    form: str = "auto"
    head: str = "joint"
    time_limit: float = inf
    memory_limit: float = inf
    seed: int = 0
    progress: Callable[[Progress], None] | None = None
    effort: float = 1.0
    region: Region | None = None
    exact: bool = False
    nodes: int | None = None
    output_pair: tuple[int, int] | None = None
    executor: Executor = field(default_factory=executors.Here)

    @property
    def on_region(self) -> bool:
        """Whether bounds of preactivations, or branching, are asked for."""
        return self.region is not None or self.divides

    @property
    def divides(self) -> bool:
        """Whether the region is divided by branch and bound."""
        return self.exact or self.nodes is not None

    @staticmethod
    def of(
        method: object,
        solver: object,
        tol: object,
        output_rows: object,
        device: object,
        form: object,
        head: object,
        time_limit: object,
        memory_limit: object,
        seed: object,
        progress: object,
        effort: object,
        region: object = None,
        exact: object = False,
        nodes: object = None,
        output_pair: object = None,
        executor: object = None,
    ) -> Request:
        """The request with these arguments, of whatever type a caller gave them."""
        request = Request(
            arguments.choice(method, "method", METHODS, METHODS[:-1]),
            arguments.choice(solver, "solver", SOLVERS),
            arguments.number(tol, "tol"),
            arguments.rows(output_rows),
            arguments.device(device),
            arguments.choice(form, "form", FORMS),
            arguments.choice(head, "head", HEADS),
            arguments.limit(time_limit, "time_limit"),
            arguments.limit(memory_limit, "memory_limit"),
            arguments.integer(seed, "seed", 0, arguments.LARGEST_SEED),
            arguments.function(progress, "progress"),
            arguments.number(effort, "effort"),
            _region(region),
            arguments.flag(exact, "exact"),
            None if nodes is None else arguments.integer(nodes, "nodes", 1),
            _pair(output_pair),
            executors.chosen(executor),
        )
        if not 0 < request.tol < 1:
            raise ValueError(f"tol must lie between 0 and 1, not {tol!r}")
        if not 0 <= request.effort < inf:
            raise ValueError(f"effort must be a finite number that is not negative, not {effort!r}")
        if request.output_rows is not None and request.output_pair is not None:
            raise ValueError("output_rows and output_pair exclude each other: a pair is one output")
        if request.on_region:
            _check_region(request)
        return request


def _check_region(request: Request) -> None:
    """Refuse what bounds on a region are not made for."""
    only = "bounds on a region, and exact constants, have one multiplier per neuron"
    if request.method not in ("auto", "neuron"):
        raise ValueError(f"{only}: method {request.method!r} does not go with region, exact or nodes")
    if request.form == "frequency":
        raise ValueError("on a region the network is unrolled: form 'frequency' does not go with that")
    if request.solver != "native" or request.device != "cpu":
        raise ValueError("on a region many small conditions are solved, by the native solver on the CPU alone")


def _region(value: object) -> Region | None:
    if value is not None and not isinstance(value, Region):
        raise TypeError(f"region is a sdpcert.Ball, a sdpcert.Box or None, not {type(value).__name__}")
    return value


def _pair(value: object) -> tuple[int, int] | None:
    found = arguments.rows(value, "output_pair")
    if found is None:
        return None
    if len(found) != 2:
        raise ValueError(f"output_pair is two numbers of outputs, as in (3, 7) for f_3 - f_7, not {value!r}")
    return found[0], found[1]

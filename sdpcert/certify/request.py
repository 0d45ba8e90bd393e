"""What is asked of `certify`: every argument, checked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf

from sdpcert.running import arguments
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
        )
        if not 0 < request.tol < 1:
            raise ValueError(f"tol must lie between 0 and 1, not {tol!r}")
        if not 0 <= request.effort < inf:
            raise ValueError(f"effort must be a finite number that is not negative, not {effort!r}")
        return request

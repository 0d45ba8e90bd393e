"""From a network to a certificate: plan, solve, prove, attain, certificate.

`choice` has the plan for a network: one stacked form (`dense`, `cut`), over frequencies (`front`, `frequencies`), at
the point that its layers know (`construction`), or on a region, divided or not (`regional`, `branching`). `proved`
takes what a plan's solvers offer and keeps the best tree that is proved, `witness` looks for two inputs, `result` puts
the certificate together.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from typing import Any

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.certificate.certificate import Certificate
from sdpcert.certify.choice import plan_of
from sdpcert.certify.proved import prove_best
from sdpcert.certify.request import Request
from sdpcert.certify.result import certificate_of
from sdpcert.certify.witness import attain
from sdpcert.errors import BoundContradiction, Interrupted
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.regions.region import Region
from sdpcert.running import arguments
from sdpcert.running.choices import METHODS, ON_INTERRUPT, Form, Head, Method, OnInterrupt, SolverName
from sdpcert.running.interrupts import interrupts_noticed, terminations_interrupt
from sdpcert.solvers.solution import Budget, Progress


def certify(
    network: Network | StackedForm | Any,
    method: Method = "auto",
    solver: SolverName = "native",
    tol: float = 1e-6,
    output_rows: Sequence[int] | int | None = None,
    device: str = "cpu",
    *,
    form: Form = "auto",
    head: Head = "joint",
    time_limit: float | None = None,
    memory_limit: float | None = 8 * 2**30,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    effort: float = 1.0,
    on_interrupt: OnInterrupt = "raise",
    region: Region | None = None,
    exact: bool = False,
    nodes: int | None = None,
    output_pair: Sequence[int] | None = None,
    executor: Executor | None = None,
) -> Certificate:
    """Prove an upper bound on the l2 Lipschitz constant of a network, for all inputs or those of a region.

    `network` is a `Network`, a `StackedForm`, or a torch module that begins with a dense layer (others have to say
    their input's shape: `sdpcert.from_torch`).

    `method`: "product" (product of norms), "layer" (one multiplier per layer), "neuron" (one per neuron), or "auto":
    the best of these that fits `time_limit` (seconds) and `memory_limit` (bytes); None is no limit. "by-construction"
    solves nothing: it proves the point that the toolkit's own layers know in closed form (`sdpcert.from_torch` makes
    such networks).
    `solver`: "native", "clarabel", "scs", "sdpa" or "mosek"; whatever it answers is repaired and proved or the status
    is "unproved". `tol` is the relative accuracy asked of the bound, `output_rows` chooses outputs (or one, from 0),
    `device` is where the native solver works ("cpu", "cuda"). `seed` and `effort` are for the search of the attained
    lower bound, sized by solving the network forwards: effort 0 is the shortest search, 10 at most ten times the work.

    `time_limit` is for search, proof and the two inputs of the attained value together; `progress` is told the solver's
    iterations, and before them, in `message`, what a long run is estimated to take.

    `form`: "unrolled" (every pixel a neuron), "frequency" (a convolutional network over DFT frequencies, embedded in
    a torus), or "auto": unrolled where that fits the budget, else over frequencies where that is possible. `head`
    says how the dense head that reads the convolutions is bounded then: "joint" with them, or "composed".

    `region`: a `Ball` or a `Box` of inputs, in the coordinates that the network itself reads; None is all inputs. On
    a region preactivations are bounded, and neurons whose slope that decides are eliminated. `exact` divides the
    region by branch and bound until `upper` is within `tol` of `lower`; `nodes` ends that after so many pieces, and
    divides into up to that many without `exact`. Of a divided region `sdp_lower` is None and `gap` is
    (upper - lower) / upper. `executor` bounds pieces in other processes or threads. `output_pair=(3, 7)` is about
    f_3 - f_7 alone.

    Out of time or interrupted (Ctrl-C), the best feasible point is proved. After an interrupt, `on_interrupt="raise"`
    raises `Interrupted`, a KeyboardInterrupt with that `certificate`, so that a loop of a program ends and no bound is
    lost; "prove" returns it, and counts SIGTERM too. An interrupt before there is a point, or a second one, ends the
    call at once with a KeyboardInterrupt.

    Raises ValueError or TypeError for bad arguments, `SolverError` if a solver is missing or gives no point,
    `BoundContradiction` if a lower bound were above the upper one.
    """
    request = Request.of(
        method, solver, tol, output_rows, device, form, head, time_limit, memory_limit, seed, progress, effort,
        region, exact, nodes, output_pair, executor,
    )  # fmt: skip
    returns = arguments.choice(on_interrupt, "on_interrupt", ON_INTERRUPT) == "prove"
    with interrupts_noticed() as came, terminations_interrupt() if returns else nullcontext(), one_blas_thread():
        budget = Budget(request.tol, request.time_limit, request.progress)
        plan = plan_of(network, request)
        candidates = plan.candidates(budget)
        proved = prove_best(plan, candidates, budget)
        attained, proved = attain(plan, proved, request, budget, came)
        certificate = certificate_of(plan, proved, attained, request, budget, came)
    if came.is_set() and not returns:
        bound = f"proved {certificate.upper!r}" if certificate.status == "proved" else "had proved nothing"
        raise Interrupted(f"interrupted; certify {bound} by then: see the exception's certificate", certificate)
    return certificate


__all__ = ["METHODS", "BoundContradiction", "certify"]

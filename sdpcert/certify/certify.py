"""From a network to a proved bound: reduce, solve, repair, prove, and look for what is attained."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from functools import partial
from threading import Event
from typing import Any

import numpy as np
import scipy

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.arithmetic.exact import square_root_up
from sdpcert.attained import Attained, attained_lower_bound
from sdpcert.attained.work import LEAST, RATE
from sdpcert.certificate.certificate import Certificate
from sdpcert.certificate.document import assumption
from sdpcert.certificate.parts import product_up
from sdpcert.certificate.proof import Proof
from sdpcert.certify.construction import ProvedSequence, point_of, prove_construction, prove_point
from sdpcert.certify.dense import check_finite, gap_of, prove, range_notes, rounding_notes, solve_and_prove
from sdpcert.certify.frequencies import CLOSED_FORMS, Convolutional
from sdpcert.certify.ladder import bound_over_frequencies
from sdpcert.certify.sequence import prove_sequence, with_rows
from sdpcert.certify.slack import slack_of
from sdpcert.network.construction import ConstructedNetwork
from sdpcert.network.embedding import embed
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.running import arguments
from sdpcert.running.interrupts import (
    CHOICES,
    Interrupted,
    first_interrupt_waits,
    interrupts_noticed,
    terminations_interrupt,
)
from sdpcert.solvers import SOLVERS
from sdpcert.solvers.effort import Effort, choose_method, estimate, estimate_frequencies, estimate_of_order
from sdpcert.solvers.solution import Budget, Progress, Solution, SolverError

FORMS = ("auto", "unrolled", "frequency")
HEADS = ("joint", "composed")
#: Neurons and inputs above which a convolutional network is certified over frequencies, unless asked otherwise.
LARGEST_UNROLLED = 4000
METHODS = ("product", "layer", "neuron", "auto", "by-construction")
#: Estimated seconds from which a run is announced.
LONG = 5.0
#: The share of a time limit that is kept for the search for two inputs.
SHARE_OF_SEARCH = 0.1


class BoundContradiction(ArithmeticError):
    """An attained value above a proved bound: a defect of this program, never a result."""


def certify(
    network: Network | StackedForm | Any,
    method: str = "auto",
    solver: str = "native",
    tol: float = 1e-6,
    output_rows: Sequence[int] | int | None = None,
    device: str = "cpu",
    *,
    form: str = "auto",
    head: str = "joint",
    time_limit: float | None = None,
    memory_limit: float | None = 8 * 2**30,
    seed: int = 0,
    progress: Callable[[Progress], None] | None = None,
    effort: float = 1.0,
    on_interrupt: str = "raise",
) -> Certificate:
    """Prove an upper bound on the global l2 Lipschitz constant of a network.

    `network` is a `Network`, a `StackedForm`, or a torch module that begins with a dense layer (others have to say
    their input's shape: `sdpcert.from_torch`).

    `method`: "product" (product of norms), "layer" (one multiplier a layer), "neuron" (one a neuron), or "auto": the
    best of these that fits `time_limit` (seconds) and `memory_limit` (bytes); None is no limit. "by-construction"
    solves nothing: it proves the point that the toolkit's own layers know in closed form (`sdpcert.from_torch` makes
    such networks).
    `solver`: "native", "clarabel", "scs", "sdpa" or "mosek"; whatever it answers is repaired and proved or the status
    is "unproved". `tol` is the relative accuracy asked of the bound, `output_rows` chooses outputs (or one, from 0),
    `device` is where the native solver works ("cpu", "cuda"). `seed` and `effort` are for the search of the attained
    lower bound, which takes no longer than solving: effort 0 is the shortest search, 10 at most ten times the work.

    `time_limit` is for search, proof and the two inputs of the attained value together; `progress` is told the solver's
    iterations, and before them, in `message`, what a long run is estimated to take.

    `form`: "unrolled" (every pixel a neuron), "frequency" (a convolutional network over DFT frequencies, embedded in
    a torus), or "auto": unrolled where that fits the budget, else over frequencies where that is possible. `head`
    says how the dense head that reads the convolutions is bounded then: "joint" with them, or "composed".

    Out of time or interrupted (Ctrl-C), the best feasible point is proved. After an interrupt, `on_interrupt="raise"`
    raises `Interrupted`, a KeyboardInterrupt with that `certificate`, so that a loop of a program ends and no bound is
    lost; "prove" returns it, and counts SIGTERM too. An interrupt before there is a point, or a second one, ends the
    call at once with a KeyboardInterrupt.

    Raises ValueError or TypeError for bad arguments, `SolverError` where a solver is missing or gives no point,
    `BoundContradiction` if a lower bound were above the upper one.
    """
    prove = arguments.choice(on_interrupt, "on_interrupt", CHOICES) == "prove"
    chosen: dict[str, Any] = {
        "method": arguments.choice(method, "method", METHODS, METHODS[:-1]),
        "solver": arguments.choice(solver, "solver", SOLVERS),
        "tol": _tolerance(tol),
        "output_rows": arguments.rows(output_rows),
        "device": arguments.device(device),
        "form": arguments.choice(form, "form", FORMS),
        "head": arguments.choice(head, "head", HEADS),
        "time_limit": arguments.limit(time_limit, "time_limit"),
        "memory_limit": arguments.limit(memory_limit, "memory_limit"),
        "seed": arguments.integer(seed, "seed", 0, arguments.LARGEST_SEED),
        "progress": arguments.function(progress, "progress"),
        "effort": _effort(effort),
    }
    with interrupts_noticed() as came, terminations_interrupt() if prove else nullcontext():
        certificate = _certify(network, **chosen)
    assumed = assumption(network.details) if isinstance(network, Network) else ""
    if assumed:
        certificate = replace(certificate, notes=(*certificate.notes, assumed))
    if came.is_set() and not prove:
        bound = f"proved {certificate.upper!r}" if certificate.status == "proved" else "had proved nothing"
        raise Interrupted(f"interrupted; certify {bound} by then: see the exception's certificate", certificate)
    return certificate


def _certify(
    network: Network | StackedForm | Any,
    method: str,
    solver: str,
    tol: float,
    output_rows: Sequence[int] | None,
    device: str,
    form: str,
    head: str,
    time_limit: float,
    memory_limit: float,
    seed: int,
    progress: Callable[[Progress], None] | None,
    effort: float,
) -> Certificate:
    """`certify` with arguments that are checked; interrupted, it proves the best point that there is."""
    network = _as_network(network)
    if method == "by-construction" and not isinstance(network, ConstructedNetwork):
        raise ValueError("method 'by-construction' needs a network made of 1-Lipschitz layers; see sdpcert.from_torch")
    if method == "by-construction" and output_rows is not None:
        raise ValueError("method 'by-construction' is about all outputs; choose another method for some rows")
    with one_blas_thread(), interrupts_noticed() as interrupted:
        budget = Budget(tol, time_limit, progress)
        if isinstance(network, Network) and _goes_over_frequencies(network, form, time_limit, memory_limit):
            return _certify_over_frequencies(
                network, method, solver, output_rows, device, budget, head == "joint", seed, interrupted, effort
            )
        if method == "by-construction":
            assert isinstance(network, ConstructedNetwork)
            return _certify_by_construction(network, budget, seed, interrupted, effort)
        if form == "frequency":
            raise ValueError("a stacked form is unrolled already; certify the network over frequencies")
        whole = network.stacked if isinstance(network, Network) else network
        if output_rows is not None:
            whole = whole.output_rows(output_rows)
        reduced = whole.reduced()
        check_finite(reduced)
        notes = list(rounding_notes(reduced))
        chosen, reason = (method, "") if method != "auto" else choose_method(reduced, time_limit, memory_limit)
        if reason:
            notes.append(reason)
        search = budget
        if chosen != "product" and solver == "native" and reduced.neurons:
            estimated = estimate(reduced, chosen)
            notes += _announce(f"unrolled, {chosen}", estimated, budget)
            kept = min(estimated.proof, 0.8 * time_limit) if time_limit < float("inf") else 0.0
            search = _leaving_time(replace(budget, seconds=budget.seconds - kept))
        with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range of float64 is not proved
            solution, proof, proof_seconds = solve_and_prove(reduced, chosen, solver, search, device, notes)
        if chosen != "product" and method != "product" and proof is None:
            notes.append(f"the point of solver {solver} could not be proved")
        upper = float("inf") if proof is None else square_root_up(proof.rho, proof.exponent)
        solve_seconds = budget.elapsed - proof_seconds
        if isinstance(network, Network) and not reduced.is_chain:
            if proof is None or gap_of(solution.dual, proof) > tol:
                apart = _in_sequence(network, output_rows, upper)
                if apart is not None:
                    notes.append(f"the bound is the product over {len(apart.parts)} parts, each proved by itself")
                    return _certificate_of_parts(
                        network, apart, chosen, solution, output_rows, budget, seed, interrupted, effort, notes
                    )
        if proof is None:
            notes += range_notes(reduced) or ["nothing was proved, not even the product of norms"]
        searched, rows = (network, output_rows) if isinstance(network, Network) else (whole, None)
        attained = _attain(searched, upper, seed, notes, interrupted, budget, rows, effort, chosen, whole)
        return Certificate(
            upper=upper,
            lower=attained.lower,
            sdp_lower=min(max(solution.dual, attained.lower), upper, sys.float_info.max),
            status="unproved" if proof is None else "proved",
            method=chosen,
            solver="closed form" if chosen == "product" else solver,
            solver_status="interrupted" if interrupted.is_set() else solution.status,
            seconds=budget.elapsed,
            iterations=solution.iterations,
            solve_seconds=solve_seconds,
            proof_seconds=proof_seconds,
            form=reduced,
            proof=proof,
            attained=attained,
            attained_seconds=attained.seconds,
            information=_information(network, output_rows, seed, tol, solution)
            | {"slack": None if proof is None else slack_of(whole, reduced, proof, attained)},
            notes=tuple(notes),
        )


def _in_sequence(network: Network, output_rows: Sequence[int] | None, upper: float) -> ProvedSequence | None:
    """The parts of a network that is no chain, where their product is proved to be below `upper`."""
    if upper < np.inf and network.neurons + int(np.prod(network.input_shape)) > LARGEST_UNROLLED:
        return None
    with first_interrupt_waits(), np.errstate(over="ignore", invalid="ignore"):
        return prove_sequence(with_rows(network, output_rows), upper)


def _certificate_of_parts(
    network: Network,
    apart: ProvedSequence,
    method: str,
    solution: Solution,
    output_rows: Sequence[int] | None,
    budget: Budget,
    seed: int,
    interrupted: Event,
    effort: float,
    notes: list[str],
) -> Certificate:
    """The certificate of a network that was proved in several parts; `solution` says what was tried."""
    proved = budget.elapsed
    upper = product_up(apart.parts)
    attained = _attain(network, upper, seed, notes, interrupted, budget, output_rows, effort, method)
    information = _information(network, output_rows, seed, budget.tol, solution)
    return Certificate(
        upper=upper,
        lower=attained.lower,
        sdp_lower=min(max(solution.dual, attained.lower), upper, sys.float_info.max),
        status="proved",
        method=method,
        solver="closed form",
        solver_status="interrupted" if interrupted.is_set() else solution.status,
        seconds=budget.elapsed,
        iterations=solution.iterations,
        solve_seconds=0.0,
        proof_seconds=proved,
        form=None,
        proof=None,
        attained=attained,
        attained_seconds=attained.seconds,
        information=information | {"cuts": list(apart.cuts)},
        notes=tuple(notes),
        parts=apart.parts,
        neurons=network.neurons,
    )


def _attain(
    network: Network | StackedForm,
    upper: float,
    seed: int,
    notes: list[str],
    interrupted: Event,
    budget: Budget,
    output_rows: Sequence[int] | None,
    effort: float,
    method: str,
    claimed: StackedForm | None = None,
) -> Attained:
    """The attained lower bound, by the shortest search once it was `interrupted`: a proved bound is not thrown away.

    Where nothing is solved (`method`), the search is planned for the least time. Raises `BoundContradiction` where the
    value is above `upper`.
    """
    left = max(budget.seconds - budget.elapsed, SHARE_OF_SEARCH * budget.seconds)
    options: dict[str, Any] = {"output_rows": output_rows, "most": RATE * left, "claimed": claimed}
    if method in ("product", "by-construction"):
        options["operations"] = LEAST
    search = partial(attained_lower_bound, network, seed=seed, **options)
    attained = None
    if not interrupted.is_set():
        with suppress(KeyboardInterrupt):
            attained = search(effort=effort)
    if attained is None:
        attained = search(effort=0.0)
        notes.append("interrupted: the search for two inputs of the attained value was cut short")
    if attained.lower > upper:
        raise BoundContradiction(
            f"an attained lower bound {attained.lower!r} is above the upper bound {upper!r}; please report this network"
        )
    return attained


def _as_network(network: Any) -> Network | StackedForm:
    if isinstance(network, Network | StackedForm):
        return network
    torch = sys.modules.get("torch")
    if torch is None or not isinstance(network, torch.nn.Module):
        load = "; read a file with sdpcert.load" if isinstance(network, str | os.PathLike) else ""
        what = f"a Network, a StackedForm or a torch module can be certified, not {type(network).__name__}{load}"
        raise TypeError(what)
    from sdpcert.torch_modules.reader import from_torch, input_shape_of

    return from_torch(network, input_shape_of(network))


def _goes_over_frequencies(network: Network, form: str, time_limit: float, memory_limit: float) -> bool:
    """Whether a network is certified over frequencies: asked for, or unrolling does not fit and they are possible."""
    if form != "auto":
        return form == "frequency"
    size = network.neurons + int(np.prod(network.input_shape))
    if size <= LARGEST_UNROLLED and estimate_of_order(size, network.neurons).fits(time_limit, memory_limit):
        return False
    try:
        embed(network)
    except ValueError:
        return False
    return True


def _certify_over_frequencies(
    network: Network,
    method: str,
    solver: str,
    output_rows: Sequence[int] | None,
    device: str,
    budget: Budget,
    joint: bool,
    seed: int,
    interrupted: Event,
    effort: float,
) -> Certificate:
    if solver != "native":
        raise ValueError(f"solver {solver!r} does not work over frequencies: use solver 'native', or form='unrolled'")
    chosen = "neuron" if method == "auto" else method
    heads: list[float] = []  # seconds of solving

    def prove_head(
        form: StackedForm, method: str, known: Solution | None, budget: Budget
    ) -> tuple[Solution, Proof | None, tuple[str, ...]]:
        if method == "by-construction":
            known_of_head = problem.construction_of_head
            return point_of(form, known_of_head), prove_point(form, known_of_head), ()
        notes: list[str] = list(rounding_notes(form))
        if known is not None and budget.spent and [len(t) for t in known.multipliers] == [g.size for g in form.groups]:
            proof, _ = prove(form, known, notes=notes)
            if proof is not None:
                return known, proof, tuple(notes)
        started = time.perf_counter()
        solution, proof, proving = solve_and_prove(form, method, "native", budget, device, notes)
        heads.append(time.perf_counter() - started - proving)
        if proof is None:
            notes += range_notes(form)
        return solution, proof, tuple(notes)

    problem = Convolutional.of(network, prove_head, output_rows, device, share=chosen != "by-construction")
    estimated = estimate_frequencies(problem.form, problem.head, chosen)
    plan = _announce(f"over frequencies, {chosen}", estimated, budget) if chosen not in CLOSED_FORMS else []
    result = bound_over_frequencies(problem, chosen, _leaving_time(budget), joint)
    seconds, solving = budget.elapsed, result.solve_seconds + sum(heads)
    notes = plan + list(result.notes)
    attained = _attain(network, result.upper, seed, notes, interrupted, budget, output_rows, effort, chosen)
    proved = bool(result.parts)
    solution = Solution(0.0, (), 0, result.dual, result.iterations, result.status, result.history)
    return Certificate(
        upper=result.upper,
        lower=attained.lower,
        sdp_lower=min(max(result.dual, attained.lower), result.upper, sys.float_info.max),
        status="proved" if proved else "unproved",
        method=chosen,
        solver="closed form" if chosen in CLOSED_FORMS else "native, over frequencies",
        solver_status="interrupted" if interrupted.is_set() else result.status,
        seconds=budget.elapsed,
        iterations=result.iterations,
        solve_seconds=solving,
        proof_seconds=seconds - solving,
        form=None,
        proof=None,
        attained=attained,
        attained_seconds=attained.seconds,
        information=_information(network, output_rows, seed, budget.tol, solution),
        notes=tuple(notes),
        parts=result.parts,
        neurons=network.neurons,
        level=result.level,
    )


def _announce(how: str, estimated: Effort, budget: Budget) -> list[str]:
    """Tell whoever follows the progress what a long run is estimated to take; the same as a note."""
    if estimated.total < LONG and budget.seconds == float("inf"):
        return []
    text = f"{how}: estimated at {estimated}"
    if budget.report is not None:
        budget.report(Progress(0, float("inf"), 0.0, budget.elapsed, text))
    return [text]


def _leaving_time(budget: Budget) -> Budget:
    """The budget without the share that is kept for two inputs of the attained value."""
    return replace(budget, seconds=budget.seconds * (1 - SHARE_OF_SEARCH))


def _certify_by_construction(
    network: ConstructedNetwork, budget: Budget, seed: int, interrupted: Event, effort: float
) -> Certificate:
    """Prove the point that the layers know, as one stacked form or as several in sequence."""
    proved = prove_construction(network)
    solution = Solution(network.construction.squared_gain, (), 0, 0.0, 0, "closed form")
    if proved is not None and len(proved.parts) > 1:
        notes = [f"proved in {len(proved.parts)} parts, one after the other"]
        return _certificate_of_parts(
            network, proved, "by-construction", solution, None, budget, seed, interrupted, effort, notes
        )
    seconds = budget.elapsed
    one = None if proved is None else next(iter(proved.parts))
    upper = float("inf") if one is None else one.upper
    notes = [] if one is None else list(rounding_notes(one.form))
    claimed = None if one is None else network.unshared
    attained = _attain(network, upper, seed, notes, interrupted, budget, None, effort, "by-construction", claimed)
    information = _information(network, None, seed, budget.tol, solution)
    if one is not None:
        information["slack"] = slack_of(network.unshared, one.form, one.proof, attained)
    return Certificate(
        upper=upper,
        lower=attained.lower,
        sdp_lower=min(attained.lower, upper),
        status="unproved" if one is None else "proved",
        method="by-construction",
        solver="closed form",
        solver_status="interrupted" if interrupted.is_set() else "closed form",
        seconds=budget.elapsed,
        iterations=0,
        solve_seconds=0.0,
        proof_seconds=seconds,
        form=None if one is None else one.form,
        proof=None if one is None else one.proof,
        attained=attained,
        attained_seconds=attained.seconds,
        information=information,
        notes=tuple(notes),
        neurons=network.neurons,
    )


def _tolerance(tol: object) -> float:
    found = arguments.number(tol, "tol")
    if not 0 < found < 1:
        raise ValueError(f"tol must lie between 0 and 1, not {tol!r}")
    return found


def _effort(effort: object) -> float:
    found = arguments.number(effort, "effort")
    if not 0 <= found < np.inf:
        raise ValueError(f"effort must be a finite number that is not negative, not {effort!r}")
    return found


def _information(
    network: Network | StackedForm, output_rows: Sequence[int] | None, seed: int, tol: float, solution: Solution
) -> dict[str, Any]:
    from sdpcert import __version__

    return {
        "source": network.source if isinstance(network, Network) else "stacked form",
        "source_details": dict(network.details) if isinstance(network, Network) else {},
        "output_rows": None if output_rows is None else [int(r) for r in output_rows],
        "seed": seed,
        "tol": tol,
        "execution_level": "R: real arithmetic on the stated weights, l2 to l2, global",
        "history": [[p.iteration, p.upper, p.lower, p.seconds] for p in solution.history],
        "versions": {
            "sdpcert": __version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "scipy": scipy.__version__,
        },
    }


__all__ = ["METHODS", "BoundContradiction", "Effort", "Interrupted", "SolverError", "certify"]

"""From a network to a proved bound: reduce, solve, repair, prove, and look for what is attained."""

from __future__ import annotations

import os
import platform
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from dataclasses import replace
from threading import Event
from typing import Any

import numpy as np
import scipy

from sdpcert import arguments
from sdpcert.arrays import one_blas_thread
from sdpcert.attained import Attained, attained_lower_bound
from sdpcert.certificate.certificate import Certificate
from sdpcert.certificate.document import assumption
from sdpcert.certificate.exact import square_root_up
from sdpcert.certificate.parts import product_up
from sdpcert.certificate.proof import REPAIRS, Proof, ProofProblem
from sdpcert.certificate.repair import repair
from sdpcert.certificate.slack import slack_of
from sdpcert.construction import point_of, prove_construction, prove_point
from sdpcert.interrupts import (
    CHOICES,
    Interrupted,
    first_interrupt_waits,
    interrupts_noticed,
    terminations_interrupt,
)
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.solvers import SOLVERS, closed_form, product
from sdpcert.solvers.effort import Effort, choose_method
from sdpcert.solvers.solution import Budget, Progress, Solution, SolverError

FORMS = ("auto", "unrolled", "frequency")
HEADS = ("joint", "composed")
#: Neurons and inputs above which a convolutional network is certified over frequencies, unless asked otherwise.
LARGEST_UNROLLED = 4000
METHODS = ("product", "layer", "neuron", "auto", "by-construction")
#: Joint scaling repairs rounding; a point that needs more is infeasible, and `repair` finds a better one near it.
ROUNDING_REPAIR = 1e-7
#: A layer's largest weight above which, or below one over which, a failed proof is put down to the range of float64.
LARGEST_SCALE = 1e50


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
    `device` is where the native solver works ("cpu", "cuda"). `seed` is for the attained lower bound.

    `form`: "unrolled" (every pixel a neuron), "frequency" (a convolutional network over DFT frequencies, embedded in
    a torus), or "auto": unrolled where that fits the budget. `head` says how the dense head behind convolutions is
    bounded then: "joint" with them, or "composed".

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
) -> Certificate:
    """`certify` with arguments that are checked; interrupted, it proves the best point that there is."""
    network = _as_network(network)
    if method == "by-construction" and not (isinstance(network, Network) and network.energies):
        raise ValueError("method 'by-construction' needs a network made of 1-Lipschitz layers; see sdpcert.from_torch")
    if method == "by-construction" and output_rows is not None:
        raise ValueError("method 'by-construction' is about all outputs; choose another method for some rows")
    with one_blas_thread(), interrupts_noticed() as interrupted:
        budget = Budget(tol, time_limit, progress)
        if isinstance(network, Network) and (form == "frequency" or (form == "auto" and _is_too_large(network))):
            return _certify_over_frequencies(
                network, method, solver, output_rows, device, budget, head == "joint", seed, interrupted
            )
        if method == "by-construction":
            assert isinstance(network, Network)
            return _certify_by_construction(network, budget, seed, interrupted)
        if form == "frequency":
            raise ValueError("a stacked form is unrolled already; certify the network over frequencies")
        whole = network.stacked if isinstance(network, Network) else network
        if output_rows is not None:
            whole = whole.output_rows(output_rows)
        reduced = whole.reduced()
        _check_finite(reduced)
        notes = list(_notes(reduced))
        chosen, reason = (method, "") if method != "auto" else choose_method(reduced, time_limit, memory_limit)
        if reason:
            notes.append(reason)
        with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range of float64 is not proved
            solution, proof, proof_seconds = _solve_and_prove(reduced, chosen, solver, budget, device, notes)
        if chosen != "product" and method != "product" and proof is None:
            notes.append(f"the point of solver {solver} could not be proved")
        if proof is None:
            notes += _extreme(reduced)
        upper = float("inf") if proof is None else square_root_up(proof.rho, proof.exponent)
        solve_seconds = budget.elapsed - proof_seconds
        attained = _attain(whole, upper, seed, notes, interrupted)
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
            information=_information(network, output_rows, seed, tol, solution)
            | {"slack": None if proof is None else slack_of(whole, reduced, proof, attained)},
            notes=tuple(notes),
        )


def _attain(
    network: Network | StackedForm,
    upper: float,
    seed: int,
    notes: list[str],
    interrupted: Event,
    output_rows: Sequence[int] | None = None,
) -> Attained:
    """The attained lower bound, by the shortest search once it was `interrupted`: a proved bound is not thrown away.

    Raises `BoundContradiction` where it is above `upper`.
    """
    attained = None
    if not interrupted.is_set():
        with suppress(KeyboardInterrupt):
            attained = attained_lower_bound(network, seed=seed, output_rows=output_rows)
    if attained is None:
        attained = attained_lower_bound(network, seed=seed, operations=0.0, output_rows=output_rows)
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
    from sdpcert.readers.torch_modules import from_torch, input_shape_of

    return from_torch(network, input_shape_of(network))


def _is_too_large(network: Network) -> bool:
    """Whether unrolling is out of question and a condition over frequencies is possible."""
    from sdpcert.network.embedding import embed

    if network.neurons + int(np.prod(network.input_shape)) <= LARGEST_UNROLLED:
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
) -> Certificate:
    from sdpcert.convolutional import bound_convolutional, head_energy

    if solver != "native":
        raise ValueError(f"solver {solver!r} does not work over frequencies: use solver 'native', or form='unrolled'")
    chosen = "neuron" if method == "auto" else method
    heads: list[float] = []  # seconds of solving

    def prove_head(form: StackedForm, method: str) -> tuple[Solution, Proof | None]:
        if method == "by-construction":
            rho = head_energy(network)
            return point_of(form, rho), prove_point(form, rho)
        started = time.perf_counter()
        solution, proof, proving = _solve_and_prove(form, method, "native", budget, device, [])
        heads.append(time.perf_counter() - started - proving)
        return solution, proof

    result = bound_convolutional(network, chosen, budget, prove_head, output_rows, device, joint)
    seconds, solving = budget.elapsed, result.solve_seconds + sum(heads)
    notes = list(result.notes)
    attained = _attain(network, result.upper, seed, notes, interrupted, output_rows)
    proved = bool(result.parts)
    solution = Solution(0.0, (), 0, result.dual, result.iterations, result.status, result.history)
    return Certificate(
        upper=result.upper,
        lower=attained.lower,
        sdp_lower=min(max(result.dual, attained.lower), result.upper, sys.float_info.max),
        status="proved" if proved else "unproved",
        method=chosen,
        solver="closed form" if chosen in ("product", "by-construction") else "native, over frequencies",
        solver_status="interrupted" if interrupted.is_set() else result.status,
        seconds=budget.elapsed,
        iterations=result.iterations,
        solve_seconds=solving,
        proof_seconds=seconds - solving,
        form=None,
        proof=None,
        attained=attained,
        information=_information(network, output_rows, seed, budget.tol, solution),
        notes=tuple(notes),
        parts=result.parts,
        neurons=network.neurons,
        level=result.level,
    )


def _certify_by_construction(network: Network, budget: Budget, seed: int, interrupted: Event) -> Certificate:
    """Prove the point that the layers know, as one stacked form or as several in sequence."""
    proved = prove_construction(network)
    seconds = budget.elapsed
    parts = () if proved is None else proved.parts
    upper = product_up(parts) if parts else float("inf")
    one = parts[0] if len(parts) == 1 else None
    notes = list(_notes(one.form)) if one is not None else []
    if len(parts) > 1:
        notes.append(f"proved in {len(parts)} parts, one after the other")
    attained = _attain(network if one is None else network.stacked, upper, seed, notes, interrupted)
    solution = Solution(network.energies[0], (), 0, 0.0, 0, "closed form")
    information = _information(network, None, seed, budget.tol, solution)
    if len(parts) > 1 and proved is not None:
        information["cuts"] = list(proved.cuts)
    if one is not None:
        information["slack"] = slack_of(network.stacked, one.form, one.proof, attained)
    return Certificate(
        upper=upper,
        lower=attained.lower,
        sdp_lower=min(attained.lower, upper),
        status="proved" if parts else "unproved",
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
        information=information,
        notes=tuple(notes),
        parts=() if one is not None else parts,
        neurons=network.neurons,
    )


def _tolerance(tol: object) -> float:
    found = arguments.number(tol, "tol")
    if not 0 < found < 1:
        raise ValueError(f"tol must lie between 0 and 1, not {tol!r}")
    return found


def _check_finite(form: StackedForm) -> None:
    for (to, source), block in form.blocks.items():
        if not (np.all(np.isfinite(block.weights)) and np.isfinite(block.radius)):
            raise ValueError(f"the map from group {source} to group {to} of the network is not finite (overflow)")


def _notes(form: StackedForm) -> list[str]:
    radius = max((b.radius for b in form.blocks.values()), default=0.0)
    if radius > 0:
        return [
            "affine layers were multiplied together in float64; "
            f"the rounding, at most {radius:.2g} an entry, is charged"
        ]
    return []


def _extreme(form: StackedForm) -> list[str]:
    """Why nothing was proved where layers are so large or so small that multipliers, like squares, leave float64."""
    largest = [float(np.abs(block.weights).max(initial=0.0)) for block in form.blocks.values()]
    if all(1 / LARGEST_SCALE <= scale <= LARGEST_SCALE for scale in largest if scale > 0):
        return []
    shown = max((scale for scale in largest if scale > 0), key=lambda scale: abs(np.log10(scale)))
    return [f"a layer's largest weight is {shown:.1g}, and float64 does not hold the multipliers: rescale the layers"]


def _solve_and_prove(
    form: StackedForm, method: str, solver: str, budget: Budget, device: str, notes: list[str]
) -> tuple[Solution, Proof | None, float]:
    if not form.neurons or method == "product":
        # Without neurons the norm is the optimum, and the product of norms is a point of the condition in any case.
        solution = product(form)
        if form.neurons and not form.is_chain:
            recursion = closed_form(form)
            if recursion.bound < solution.bound:
                notes.append(
                    "the network is no chain: the closed form of the forward recursion, below the sum over paths"
                )
                solution = recursion
        proof, seconds = _prove(form, solution, inflate=True)
        if not form.neurons and proof is not None:
            exact = solution.bound * (1 - 1e-12)
            solution = Solution(solution.rho, solution.multipliers, solution.exponent, exact, 0, "closed form")
        return solution, proof, seconds
    if solver != "native":
        solution = SOLVERS[solver](form, method, budget, device)
        return solution, *_prove(form, solution, notes=notes)
    try:
        solution = SOLVERS[solver](form, method, budget, device)
        proof, seconds = _prove(form, solution, notes=notes)
    except SolverError as error:
        notes.append(str(error))
        solution, proof, seconds = product(form), None, 0.0
    if proof is not None and solution.status not in ("time limit", "interrupted"):
        return solution, proof, seconds
    # A worse point that is proved beats a better one that is not.
    for name, other, inflate in (("closed form", closed_form(form), False), ("product of norms", product(form), True)):
        if proof is None or other.bound < solution.bound:
            proof_of_other, more = _prove(form, other, inflate)
            seconds += more
            if proof_of_other is not None:
                notes.append(f"the bound is the {name}'s: nothing better was proved")
                return replace(other, dual=solution.dual, status=solution.status), proof_of_other, seconds
    return solution, proof, seconds


def _prove(
    form: StackedForm, solution: Solution, inflate: bool = False, notes: list[str] | None = None
) -> tuple[Proof | None, float]:
    started = time.perf_counter()
    with first_interrupt_waits():
        proof = _proof_of(form, solution, inflate, notes)
    return proof, time.perf_counter() - started


def _proof_of(form: StackedForm, solution: Solution, inflate: bool, notes: list[str] | None) -> Proof | None:
    problem = ProofProblem(form, solution.exponent)
    small = tuple(tau for tau in REPAIRS if tau <= ROUNDING_REPAIR)
    proof = problem.prove(solution.rho, solution.multipliers, small)
    if proof is None and notes is not None:
        near = repair(form, solution)
        proof = None if near is None else problem.prove(near.rho, near.multipliers)
        if proof is not None:
            notes.append("the solver's point is infeasible: the bound is that of a feasible point near it")
    if proof is None:
        proof = problem.prove(solution.rho, solution.multipliers, REPAIRS[len(small) :])
    if proof is None and inflate:
        # A product of norms can be tight in hidden directions, where joint scaling gives no room: larger norms do.
        for relative, uncertainty in ((1e-11, 1.0), (1e-9, 4.0), (1e-7, 16.0), (1e-5, 256.0)):
            solution = product(form, relative, uncertainty)
            proof = ProofProblem(form, solution.exponent).prove(solution.rho, solution.multipliers)
            if proof is not None:
                break
    return proof


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

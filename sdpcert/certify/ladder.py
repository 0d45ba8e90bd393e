"""The ways to bound a convolutional network over frequencies, tried until nothing is gained, and the best one proved.

A way that fails (a solver without a point, a proof that does not come off, a checker that rejects) leaves a note and
never costs what another way proved. Measured, the ways that solve cost about the same, and one multiplier a channel
with the joint head has the least optimum: so that one is first, and the others are for where it was not proved, or its
gap leaves room for them. Under a time limit the product of norms comes before all: it is there when time is up, and
says how long proofs take.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import inf

import numpy as np

from sdpcert.certificate.parts import Part
from sdpcert.certify.frequencies import CLOSED_FORMS, Attempt, Convolutional, verify
from sdpcert.solvers.effort import exact_check_seconds
from sdpcert.solvers.solution import Budget, Progress, SolverError

#: Another way is tried where the first one's proved bound is above its dual bound by more than this share.
PAYS = 1e-3
#: How much longer than the proof of the product a proof of a solved point may take, with the search for two inputs.
RESERVE = 2.0
#: What a way may fail with: the others are still tried.
FAILURES = (SolverError, ArithmeticError, np.linalg.LinAlgError, MemoryError)
Way = tuple[str, bool]


@dataclass(frozen=True, eq=False)
class ConvolutionalResult:
    """What was proved about a convolutional network, and how it was found; no parts where nothing was proved."""

    parts: tuple[Part, ...]
    upper: float
    dual: float
    level: str
    iterations: int
    status: str
    history: tuple[Progress, ...]
    notes: tuple[str, ...]
    solve_seconds: float


def bound_over_frequencies(
    problem: Convolutional, method: str, budget: Budget, joint: bool = True
) -> ConvolutionalResult:
    """The best bound that is proved by `method` ("neuron", "layer", "product" or "by-construction"), or by what is
    cheaper where that fails.

    `joint` of False bounds front and head one after the other. Where nothing is proved the notes say why.
    """
    first: Way = (
        method,
        joint and problem.head is not None and method not in CLOSED_FORMS and problem.form.groups != (),
    )
    ladder = _Ladder(problem, budget, first)
    if method in CLOSED_FORMS or not problem.form.groups:
        ladder.climb(first, budget)
        return ladder.result()
    search = budget
    if budget.seconds < inf:
        search = ladder.product_first()
    if not search.spent:
        ladder.climb(first, search)
    for way in _cheaper(first):
        if ladder.is_settled or search.spent:
            break
        ladder.climb(way, search)
    return ladder.result()


def _cheaper(first: Way) -> list[Way]:
    """The other ways, the most promising first."""
    method, joint = first
    ways: list[Way] = [(method, False)] if joint else []
    if method == "neuron":
        ways.append(("layer", joint))
    return [*ways, ("product", False)]


class _Ladder:
    def __init__(self, problem: Convolutional, budget: Budget, asked: Way) -> None:
        self.problem, self.budget, self.asked = problem, budget, asked
        self.attempts: list[Attempt] = []
        self.notes: list[str] = []
        self.levels: dict[int, str] = {}
        self.interrupted = False

    def product_first(self) -> Budget:
        """Prove the product, and return the budget of the search that leaves time to prove what it finds."""
        started = self.budget.elapsed
        self.climb(("product", False), self.budget)
        if not self.attempts or not self._accepted(0, 0.0):
            return self.budget
        reserve = RESERVE * (self.budget.elapsed - started)
        search = replace(self.budget, seconds=self.budget.seconds - reserve)
        if search.spent:
            self.notes.append("product of norms: the time limit leaves no time to search more and to prove it")
        return search

    def climb(self, way: Way, budget: Budget) -> None:
        """Try one way and keep what it proves."""
        if any((a.method, a.joint) == way for a in self.attempts):
            return
        try:
            self.attempts.append(self.problem.attempt(*way, budget))
        except FAILURES as error:
            reason = str(error) or type(error).__name__
            self.notes.append(f"{_name(way)}: {reason}")
        except KeyboardInterrupt:
            if not any(a.parts for a in self.attempts):
                raise
            self.interrupted = True

    @property
    def is_settled(self) -> bool:
        """Whether no other way can gain much: the first solved way was proved near its dual bound, or interrupted."""
        solved = [a for a in self.attempts if a.method not in CLOSED_FORMS]
        best = min((a.upper for a in self.attempts if a.parts), default=inf)
        if self.interrupted or (best < inf and any(a.status == "interrupted" for a in solved)):
            return True
        return bool(solved) and solved[0].upper == best < inf and best - solved[0].dual <= PAYS * best

    def result(self) -> ConvolutionalResult:
        """The least bound that the checker accepts."""
        order = sorted((k for k, a in enumerate(self.attempts) if a.parts), key=lambda k: self.attempts[k].upper)
        left = self.budget.seconds - self.budget.elapsed
        chosen = next((k for k in order if self._accepted(k, left)), None)
        if chosen is None and not self.interrupted:
            # What was accepted as the best is all there is: the product was not tried while something seemed proved.
            self.climb(("product", False), self.budget)
            last = len(self.attempts) - 1
            if self.attempts and self.attempts[last].parts and last not in order and self._accepted(last, left):
                chosen = last
        return self._result(chosen)

    def _accepted(self, k: int, seconds: float) -> bool:
        """Whether a checker accepts the attempt: the exact one where it is estimated to take `seconds` at most."""
        known, attempt = self.levels.get(k), self.attempts[k]
        exact = exact_check_seconds(self.problem.form)
        if not attempt.parts or known == "exact" or (known is not None and exact > seconds):
            return known is not None
        level = verify(attempt, seconds)
        if level is None:
            self.notes.append(f"{_name((attempt.method, attempt.joint))}: the checker did not accept the proof")
            return False
        self.levels[k] = level
        return True

    def _result(self, chosen: int | None) -> ConvolutionalResult:
        solved = [a for a in self.attempts if a.method not in CLOSED_FORMS]
        lead = solved[0] if solved else None
        best = None if chosen is None else self.attempts[chosen]
        shown = best or lead or (self.attempts[0] if self.attempts else None)
        notes = [*self.problem.notes, *(() if shown is None else shown.notes), *self.notes]
        for attempt in self.attempts:  # why what was asked for is not what came
            if attempt is not shown and not attempt.parts:
                notes += [f"{_name((attempt.method, attempt.joint))}: {note}" for note in attempt.notes[-1:]]
        if best is not None and (best.method, best.joint) != self.asked:
            notes.append(f"the bound is that of {_name((best.method, best.joint))}: nothing better was proved")
        elif best is not None and best is lead and best.upper - best.dual > 2 * self.budget.tol * best.upper:
            known = f"at most {(best.upper - best.dual) / best.upper:.1e} above it" if best.dual > 0 else "above it"
            notes.append(f"the optimum of the condition was not reached to the tolerance: the bound is {known}")
        if best is None:
            notes.append("nothing was proved")
        elif self.levels[chosen or 0] != "exact" and exact_check_seconds(self.problem.form) < inf:
            notes.append("checked with rigorous floating-point bounds: the time limit leaves no time for integers")
        status = "stalled"
        if shown is not None:
            status = lead.status if lead is not None and shown.method in CLOSED_FORMS else shown.status
        told = lead or shown
        return ConvolutionalResult(
            () if best is None else best.parts,
            inf if best is None else best.upper,
            0.0 if told is None else told.dual,
            "exact" if chosen is None else self.levels[chosen],
            0 if told is None else sum(a.iterations for a in self.attempts),
            "interrupted" if self.interrupted else status,
            () if told is None else told.history,
            tuple(dict.fromkeys(notes)),
            sum(a.solve_seconds for a in self.attempts),
        )


def _name(way: Way) -> str:
    method, joint = way
    names = {"neuron": "one multiplier a channel", "layer": "one multiplier a layer", "product": "the product of norms"}
    return names.get(method, method) + (", front and head together" if joint else "")

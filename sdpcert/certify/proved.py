"""The best tree that is proved: candidates one after another, until nothing is gained by another one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from math import inf

import numpy as np

from sdpcert.certificate.part import Part
from sdpcert.certify.acceptance import accepted
from sdpcert.certify.plan import FAILURES, Candidate, Plan, Proven, Told, Tried, leaving_time
from sdpcert.solvers.solution import Budget


@dataclass(frozen=True, eq=False)
class Proved:
    """The tree, None if nothing was proved, and what is said of the search."""

    tree: Part | None
    told: Told
    solve_seconds: float
    proof_seconds: float

    @property
    def upper(self) -> float:
        """The bound, infinite if nothing was proved."""
        return inf if self.tree is None else self.tree.upper


def prove_best(plan: Plan, candidates: Iterator[Candidate], budget: Budget, checked: bool = True) -> Proved:
    """Prove what the plan's solvers offer, and keep the least bound that a checker accepts.

    The trees of parts of a larger tree are not `checked` by themselves: the whole is.

    After a KeyboardInterrupt what is proved by then counts; it is raised if that is nothing.
    """
    search = _Search(plan, budget, checked)
    started = time.perf_counter()
    with np.errstate(over="ignore", invalid="ignore"):  # what leaves the range of float64 is not proved
        more = search.climb(candidates)
        best = search.best()
        while more and best is None:
            tried = len(search.tried)
            more = search.climb(candidates)
            if len(search.tried) == tried:  # the plan is settled with what no checker accepts
                break
            best = search.best()
    told = plan.told(search.tried, best, budget)
    told = replace(told, notes=tuple(dict.fromkeys((*told.notes, *search.notes))))
    told = replace(told, status="interrupted") if search.interrupted else told
    seconds = time.perf_counter() - started
    return Proved(None if best is None else best.proven.tree, told, search.solving, seconds - search.solving)


class _Search:
    def __init__(self, plan: Plan, budget: Budget, checked: bool) -> None:
        self.plan, self.budget, self.checked = plan, budget, checked
        self.tried: list[Tried] = []
        self.notes: list[str] = []
        self.solving = 0.0
        self.interrupted = False

    def climb(self, candidates: Iterator[Candidate]) -> bool:
        """Solve and prove until the plan is settled; whether there may be more candidates."""
        while not self.plan.is_settled(self.tried, self.budget):
            started = time.perf_counter()
            try:
                candidate = next(candidates, None)
                self.solving += time.perf_counter() - started
                if candidate is None:
                    return False
                self._prove(candidate)
            except KeyboardInterrupt:
                if not any(t.proven.tree for t in self.tried):
                    raise
                self.interrupted = True
                return False
        return True

    def _prove(self, candidate: Candidate) -> None:
        below = min((t.upper for t in self.tried), default=inf)
        if candidate.bound >= below < inf:
            return
        if self.budget.report is not None:
            self.budget.begin(f"proving {candidate.way or self.plan.method}", candidate.estimated_proof)
        try:
            proven = candidate.prove(below, self.budget)
        except FAILURES as error:
            proven = Proven(None, notes=(str(error) or type(error).__name__,))
            self.notes.append(f"{candidate.way or self.plan.method}: {proven.notes[0]}")
        tried = Tried(candidate, proven)
        self.tried.append(tried)
        self.solving += tried.proven.solve_seconds
        if candidate.at_once:
            self._accept(tried, 0.0)

    def best(self) -> Tried | None:
        """The least bound that a checker accepts."""
        left = leaving_time(self.budget).seconds - self.budget.elapsed
        order = sorted((t for t in self.tried if t.upper < inf), key=lambda t: t.upper)
        return next((t for t in order if self._accept(t, left)), None)

    def _accept(self, tried: Tried, seconds: float) -> bool:
        """Whether a checker accepts the tree: the exact one if it is estimated to take `seconds` at most."""
        tree = tried.proven.tree
        if tree is not None and self.checked:
            self.budget.begin("a checker looks at the proof")
        found = tree if tree is None or not self.checked else accepted(tree, seconds, tried.accepted)
        if found is None:
            tried.rejected = True
            if tree is not None:
                self.notes.append(f"{tried.candidate.way or self.plan.method}: the checker did not accept the proof")
            return False
        tried.accepted, tried.proven = True, replace(tried.proven, tree=found)
        return True

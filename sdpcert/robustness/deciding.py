"""Whether a network can have unsafe outputs on boxes of inputs: `decide` proves that it cannot, or finds where.

Every box is attacked first, then divided until class 0 of its `unsafe_network` is ahead on every piece. The proof is a
file of radii: one input, the middle of the box, which keeps class 0 on all of the box.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.check import check_document
from sdpcert.network.differences import with_differences
from sdpcert.network.graph import Network
from sdpcert.readers.vnnlib import Case, Property
from sdpcert.regions.region import Box
from sdpcert.robustness.decision import Decision, Word
from sdpcert.robustness.entry import ByPieces, Entry
from sdpcert.robustness.falsifying import Counterexample, Falsifier
from sdpcert.robustness.outputs_at import OutputsAt
from sdpcert.robustness.separating import Separation, separate
from sdpcert.robustness.statement import Statement
from sdpcert.robustness.unsafe import unsafe_network
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.solvers.solution import Budget, Progress
from sdpcert.version import __version__

#: Clauses that one proof is about: its network has a neuron for each pair of them.
MOST_CLAUSES = 64
#: Lines that say what is missing, at most.
MOST_LINES = 5
#: Why a search ended that proved nothing, in words.
WHY = {
    "stalled": "a piece cannot be divided any further",
    "nodes": "the number of pieces is used up",
    "time limit": "the time is over",
    "interrupted": "it was interrupted",
    "counterexample": "a point looks unsafe in float64, and its exact outputs could not confirm it",
}


def check_sizes(network: Network, asked: Property) -> None:
    """Raise ValueError, with one line, unless a property has the inputs and outputs of a network."""
    sizes = [int(np.prod(shape)) for shape in (network.input_shape, network.output_shape)]
    for size, stated, what in ((sizes[0], asked.inputs, "inputs"), (sizes[1], asked.outputs, "outputs")):
        if stated != size and (what == "inputs" or asked.asks or stated):
            raise ValueError(f"{asked.source}: declares {stated} {what}, and {network.source} has {size}")


def decide(
    network: Network,
    asked: Property,
    *,
    time_limit: float = float("inf"),
    nodes: int | None = None,
    executor: Executor | None = None,
    seed: int = 0,
    report: Callable[[Progress], None] | None = None,
) -> Decision:
    """Decide whether some input of the boxes of a property has unsafe outputs, in real arithmetic on the weights.

    At most `time_limit` seconds are spent in about equal shares for the boxes, and at most `nodes` pieces are looked at
    in each; an executor divides pieces side by side. `seed` is for the attack. After an interrupt (Ctrl-C) the answer
    is what stands.

    Raises ValueError, with one line that names the file, if the property does not fit the network, states nothing about
    outputs, or has coefficients that float64 does not hold.
    """
    check_sizes(network, asked)
    if not asked.asks:
        raise ValueError(f"{asked.source}: states no condition on outputs: nothing is asked")
    with one_blas_thread():
        return _Deciding(network, asked, Budget(seconds=time_limit), nodes, executor, seed, report).decision()


@dataclass(eq=False)
class _Deciding:
    network: Network
    asked: Property
    budget: Budget
    nodes: int | None
    executor: Executor | None
    seed: int
    report: Callable[[Progress], None] | None
    proofs: list[dict[str, Any]] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    looked_at: int = 0

    def decision(self) -> Decision:
        """The answer."""
        started, found, interrupted = time.perf_counter(), None, False
        try:
            self.outputs = OutputsAt(self.network)
            found = self._counterexample()
        except KeyboardInterrupt:
            interrupted = True
        word: Word = "violated" if found is not None else "unknown" if self.missing or interrupted else "holds"
        return Decision(
            self.asked,
            word,
            time.perf_counter() - started,
            self.looked_at,
            found,
            tuple(self.proofs) if word == "holds" else (),
            () if found is not None else (*self._lines(), *(["interrupted"] if interrupted else [])),
        )

    def _lines(self) -> list[str]:
        more = len(self.missing) - MOST_LINES
        return self.missing[:MOST_LINES] + ([f"{more} more parts are open"] if more > 0 else [])

    def _counterexample(self) -> Counterexample | None:
        """Look at one box after the other; the first counterexample, or None."""
        cases = self.asked.cases
        for number, case in enumerate(cases):
            parts = list(parts_of(case))
            for k, part in enumerate(parts):
                name = f"box {number + 1} of {len(cases)}" if len(cases) > 1 else "the box"
                name += f", alternatives {MOST_CLAUSES * k + 1} and on" if len(parts) > 1 else ""
                left = len(cases) - number + len(parts) - k - 1
                found = self._part(part, name, number, max(0.0, self.budget.seconds - self.budget.elapsed) / left)
                if found is not None:
                    return found
                if self.missing and self.missing[-1].endswith(WHY["interrupted"]):
                    return None
        return None

    def _part(self, case: Case, name: str, number: int, seconds: float) -> Counterexample | None:
        """Attack a box; then prove that its clauses are not met, or note what is missing."""
        budget, unsafe = Budget(seconds=seconds), None
        clauses = [clause for clause in case.clauses if clause]
        self._tell(f"{name}: looking for an unsafe input")
        try:
            box = case.box.outward
            if clauses:
                unsafe = unsafe_network(self.network, clauses, f"{self.network.source} and {self.asked.source}")
        except ValueError as error:
            raise ValueError(f"{self.asked.source}: {error}") from None
        if unsafe is None or len(clauses) < len(case.clauses):  # any input of the box will do
            return self._any(case, box, name)
        falsifier = Falsifier(case, unsafe, self.outputs, self.seed)
        found = falsifier.search()
        if found is not None:
            return found
        return self._divided(falsifier, box, budget, name, number)

    def _any(self, case: Case, box: Box, name: str) -> Counterexample | None:
        """An input of a box all of which is unsafe."""
        inputs = case.box.nearest(box.low / 2 + box.high / 2)
        if inputs is None:
            self.missing.append(f"{name}: no input of it was found, whose ends do not belong to it")
            return None
        low, high = self.outputs.ends(inputs)
        return Counterexample(inputs, tuple(low), tuple(high), case.clauses.index(()))

    def _divided(self, falsifier: Falsifier, box: Box, budget: Budget, name: str, number: int) -> Counterexample | None:
        """Branch and bound on a box whose attack found nothing."""

        def tell(progress: Progress) -> None:
            self._tell(f"{name}: {progress.iteration} pieces looked at, {progress.open} open")

        form = with_differences(falsifier.unsafe)
        found = separate(
            form, box, 0, budget=budget, nodes=self.nodes, executor=self.executor, report=tell if self.report else None
        )
        self.looked_at += found.nodes
        if found.counterexample is not None:
            witness = falsifier.confirmed(found.counterexample)
            if witness is not None:
                return witness
        if found.status == "separated":
            document, reason = self._proved(Statement(form, "linf", box), found, number)
            if document is not None:
                self.proofs.append(document)
                return None
            self.missing.append(f"{name}: a checker did not accept its pieces: {reason}")
            return None
        self.missing.append(f"{name}: {_open(found)}{WHY[found.status]}")
        return None

    def _proved(self, statement: Statement, found: Separation, number: int) -> tuple[dict[str, Any] | None, str]:
        """The file that says that no clause is met on a box, if a checker accepts it, else why it does not."""
        box = statement.within
        assert box is not None
        middle = np.clip(box.low / 2 + box.high / 2, box.low, box.high)
        reach = float(np.max(np.nextafter(np.maximum(box.high - middle, middle - box.low), np.inf)))
        radius = reach if np.any(box.high > box.low) else 1.0
        pieces = tuple(ByPieces(proof.classes, proof.pieces) for proof in found.proofs)
        document = statement.document(
            [Entry(middle, 0, True, radius, pieces)],
            radii=(radius,),
            attacked=False,
            information={
                "property": self.asked.source,
                "model": self.network.source,
                "box": number,
                "boxes": len(self.asked.cases),
                "version": __version__,
                "notes": [
                    "class 0 is ahead of all others where no alternative of the property's conditions on outputs is met"
                ],
            },
        )
        with first_interrupt_waits():
            result = check_document(document, exact=False)
            if not result.ok:
                result = check_document(document)
        return (document if result.ok else None), result.reason

    def _tell(self, text: str) -> None:
        if self.report is not None:
            self.report(Progress(0, float("inf"), 0.0, self.budget.elapsed, phase=text))


def parts_of(case: Case) -> Iterator[Case]:
    """The case with some of its clauses at a time, each with a proof of its own."""
    for first in range(0, len(case.clauses), MOST_CLAUSES):
        yield Case(case.box, case.clauses[first : first + MOST_CLAUSES])


def _open(found: Separation) -> str:
    """How far a search came, in words."""
    worst = min(found.bounds.values(), default=-np.inf)
    bounds = f", the least margin is at least {worst:.3g}" if np.isfinite(worst) else ""
    pieces = f"{found.nodes} piece{'' if found.nodes == 1 else 's'}"
    return f"{len(found.bounds)} of its alternatives open after {pieces}{bounds}: "

"""The steps from checked arguments to radii: each adds to what is known, and an interrupt leaves what stands."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field, replace
from threading import Event

import numpy as np

from sdpcert.check import check_document
from sdpcert.errors import BoundContradiction, ProcessEnded
from sdpcert.robustness.attack import Attacker, Found
from sdpcert.robustness.by_constants import radius_by_constants
from sdpcert.robustness.constants import Pair, PairConstant, constants_of, pairs_with, rates_of, seconds_of
from sdpcert.robustness.enclosure import Enclosure
from sdpcert.robustness.entry import Attack, ByConstants, Entry
from sdpcert.robustness.needed import Needed
from sdpcert.robustness.one_input import Answer, Options, answer
from sdpcert.robustness.request import Request
from sdpcert.robustness.result import Radii
from sdpcert.running.interrupts import first_interrupt_waits
from sdpcert.running.messages import first_line
from sdpcert.running.tasks import Task, outcomes
from sdpcert.version import __version__

Array = np.ndarray
#: Estimated seconds up to which constants of pairs are proved unless told otherwise.
LITTLE_WORK = 20.0


@dataclass(eq=False)
class Steps:
    """What is known so far of the inputs of a request; `report` is told what share of a step is done.

    `came` is set once an interrupt came.
    """

    request: Request
    came: Event
    report: Callable[[str, float], None]
    started: float = field(default_factory=time.perf_counter)
    notes: list[str] = field(default_factory=list)
    constants: dict[Pair, PairConstant] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    looked_at: int = 0

    def do(self, step: Callable[[], None]) -> None:
        """One step, unless an interrupt came before; one that comes now ends it, as an executor does that breaks."""
        if self.came.is_set():
            return
        try:
            step()
        except KeyboardInterrupt:
            self.came.set()
        except BrokenExecutor as error:  # after an interrupt: the signal ended its processes too
            if not self.came.is_set():
                self.notes.append(
                    f"the executor broke ({type(error).__name__}): {self.looked_at} inputs were looked at"
                )

    @property
    def right(self) -> list[int]:
        """The inputs that are right."""
        return [k for k, entry in enumerate(self.entries) if entry.correct]

    # ------------------------------------------------------------ steps

    def judge(self) -> None:
        """Which inputs are right, which are wrong, and of which neither is proved."""
        self.report("network", 0.0)  # composing it takes long if it is convolutional and has a normalisation
        request, statement = self.request, self.request.statement
        self.enclosure = Enclosure(statement.form)
        self.needed = [Needed.of(statement.errors, statement.norm, point) for point in request.inputs]
        self.margins, most = self.enclosure.margins(request.inputs, request.labels)
        for k, (center, label) in enumerate(zip(request.inputs, request.labels, strict=True)):
            correct = _judged(self.margins[k], most[k], self.needed[k])
            if correct is None:
                self.margins[k], most[k] = self.enclosure.exactly(center, int(label))
                correct = _judged(self.margins[k], most[k], self.needed[k])
            self.entries.append(Entry(center, int(label), correct))
        self.report("network", 1.0)
        unclear = sum(entry.correct is None for entry in self.entries)
        if unclear:
            self.notes.append(f"of {unclear} inputs the class is too close to tell: nothing is claimed of them")

    def prove_constants(self) -> None:
        """Constants of the pairs that occur, and the radii that they prove."""
        request, form = self.request, self.request.statement.form
        pairs = pairs_with(request.labels[self.right], request.classes)
        seconds = seconds_of(form, len(pairs))
        if request.constants is False or not pairs:
            return
        if request.constants is None and seconds > LITTLE_WORK:
            self.notes.append(
                f"constants of {len(pairs)} pairs of classes were left out: estimated to take {seconds:.0f} s; "
                "constants=True (--constants) proves them"
            )
            return
        try:
            for count, (pair, found) in enumerate(constants_of(form, pairs, request.executor), start=1):
                if found is not None:
                    self.constants[pair] = found
                self.report("constants", count / len(pairs))
        finally:
            for k in self.right:
                self.entries[k] = self._by_constants(k)

    def _by_constants(self, k: int) -> Entry:
        """A right input with the radius that the constants prove."""
        entry, classes = self.entries[k], self.request.classes
        rates = rates_of(self.constants, entry.label, classes)
        radius = radius_by_constants(self.margins[k], rates, self.needed[k])
        others = tuple(j for j in range(classes) if j != entry.label)
        return replace(entry, radius=radius, proofs=(ByConstants(others),) if radius else ())

    def attack(self) -> None:
        """Points of another class near the inputs that are right."""
        request, right = self.request, self.right
        if request.attack is None or not right:
            return
        stages = request.attack.stages
        found = Found.nothing(request.inputs[right])
        inputs, labels = request.inputs[right], request.labels[right]
        try:
            proved = np.array([self.entries[k].radius for k in right])
            for done, settings in enumerate(stages):
                replace(self._attacker, settings=settings).attack(
                    inputs,
                    labels,
                    request.radii,
                    found,
                    lambda share, done=done: self.report("attack", (done + share) / len(stages)),
                    proved,
                )
        except KeyboardInterrupt:
            self.notes.append("interrupted: the attack did not end, so counts of what it leaves are too high")
            raise
        finally:
            for k, point, distance in zip(right, found.points, found.distances, strict=True):
                if np.isfinite(distance):
                    self.entries[k] = replace(self.entries[k], attack=Attack(point, float(distance)))

    @property
    def _attacker(self) -> Attacker:
        request = self.request
        single = request.level == "F"
        return Attacker(request.network, request.norm, self.enclosure.lost, request.within, single)

    def search(self) -> None:
        """The largest radius of every right input; what is begun when an interrupt comes is finished."""
        request, options = self.request, Options(self.request.tried, self.request.time_limit, self.request.nodes)

        def tasks() -> Iterator[Task[int]]:
            for k in self.right:
                if self.came.is_set():
                    return
                yield Task(k, (request.statement, options, self.entries[k]))

        for outcome in outcomes(request.executor, answer, tasks(), finish=True):
            if isinstance(outcome.error, ProcessEnded):
                self._answered(outcome.key, Answer(self.entries[outcome.key], note=first_line(outcome.error)))
            else:
                self._answered(outcome.key, outcome.result)

    def _answered(self, k: int, found: Answer) -> None:
        """Take over what became of an input."""
        self.entries[k] = found.entry
        self.looked_at += 1
        if found.note:
            self.notes.append(f"input {k}: {found.note}")
        if found.counterexample is not None and self.request.attack is not None:
            self._met(k, found.counterexample)
        self.report("radii", self.looked_at / len(self.right))

    def _met(self, k: int, point: Array) -> None:
        """A point of another class that the search met may be nearer than those of the attack."""
        entry, known = self.entries[k], self.entries[k].attack
        before = Attack(entry.center, np.inf) if known is None else known
        found = Found(np.array([before.distance]), before.point[None].copy())
        self._attacker.keep(entry.center[None], np.array([entry.label]), point[None], found)
        if found.distances[0] < before.distance:
            self.entries[k] = replace(entry, attack=Attack(found.points[0], float(found.distances[0])))

    # ------------------------------------------------------------ the result

    def result(self) -> Radii:
        """What stands."""
        request = self.request
        self._check_constants()
        self._check_against_attacks()
        if self.came.is_set():
            self.notes.append(f"interrupted: {self.looked_at} of {len(self.right)} right inputs were looked at")
        information = {
            "seconds": time.perf_counter() - self.started,
            "version": __version__,
            "model": request.model.source,
            "input_shape": list(request.model.input_shape),
            "attack": None if request.attack is None else request.attack.table(),
            "seed": request.seed,
            "tried": None if request.tried is None else list(request.tried),
            "time_limit": request.time_limit if request.time_limit < np.inf else None,
            "nodes": request.nodes,
            "notes": self.notes,
        }
        used = self._used([entry for entry in self.entries if entry.radius])
        attacked = request.attack is not None
        return Radii.of(request.statement.document(self.entries, used, request.radii, attacked, information))

    def _used(self, entries: Sequence[Entry]) -> list[PairConstant]:
        """The constants that some of the entries need."""
        found: set[Pair] = set()
        for entry in entries:
            others = {j for proof in entry.proofs if isinstance(proof, ByConstants) for j in proof.classes}
            found |= {(min(entry.label, j), max(entry.label, j)) for j in others}
        return [self.constants[pair] for pair in sorted(found)]

    def _check_constants(self) -> None:
        """Let a checker prove the constants that are needed; without them their radii are 0."""
        numbers = [k for k, entry in enumerate(self.entries) if any(isinstance(p, ByConstants) for p in entry.proofs)]
        if not numbers:
            return
        entries = [replace(self.entries[k], attack=None) for k in numbers]
        document = self.request.statement.document(entries, self._used(entries))
        with first_interrupt_waits():
            result = check_document(document, exact=False)
        if not result.ok:
            self.notes.append(f"the constants of pairs of classes were not proved: {result.reason}")
            for k in numbers:
                self.entries[k] = replace(self.entries[k], radius=0.0, proofs=())

    def _check_against_attacks(self) -> None:
        for k, entry in enumerate(self.entries):
            if entry.attack is not None and entry.attack.distance <= entry.radius:
                raise BoundContradiction(
                    f"input {k} has a point of another class at {entry.attack.distance!r}, within the radius "
                    f"{entry.radius!r} that is proved; please report this network"
                )


def _judged(least: Array, most: Array, needed: Needed) -> bool | None:
    """Whether an input is right: margins between these ends are all above what is needed; None if that is open."""
    if np.all(least > needed(0.0)):
        return True
    return False if np.any(most <= 0) else None

"""From a classifier and inputs to proved radii: `radii`."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field, replace
from threading import Event
from typing import Any

import numpy as np

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.errors import BoundContradiction, Interrupted
from sdpcert.regions.region import Box
from sdpcert.robustness.attack import NAME, Attacker, Found, Settings
from sdpcert.robustness.by_constants import radius_by_constants
from sdpcert.robustness.constants import Pair, PairConstant, constants_of, pairs_with, rates_of, seconds_of
from sdpcert.robustness.document import document_of
from sdpcert.robustness.enclosure import Outputs
from sdpcert.robustness.entry import Attack, Entry
from sdpcert.robustness.needed import Errors, Needed
from sdpcert.robustness.one_input import by_constants
from sdpcert.robustness.request import Level, Norm, Request
from sdpcert.robustness.result import Radii
from sdpcert.running.choices import OnInterrupt
from sdpcert.running.interrupts import interrupts_noticed, terminations_interrupt
from sdpcert.running.shares import shares_shown
from sdpcert.version import __version__

Array = np.ndarray
#: Estimated seconds up to which constants of pairs are proved unless told otherwise.
LITTLE_WORK = 20.0
#: Points that are enclosed at once.
BATCH = 500


def radii(
    net: Any,
    inputs: Any,
    labels: Any,
    *,
    norm: Norm = "l2",
    within: Box | tuple[float, float] | None = None,
    radii: Sequence[float] | None = None,
    normalisation: tuple[Any, Any] | None = None,
    level: Level = "R",
    time_limit: float | None = 60.0,
    nodes: int | None = None,
    attack: bool = True,
    constants: Any = "auto",
    executor: Executor | None = None,
    seed: int = 0,
    progress: bool = False,
    on_interrupt: OnInterrupt = "raise",
) -> Radii:
    """Prove for every input a radius within which a classifier keeps its right class.

    `net` is a `Network` or a torch module that begins with a dense layer, whose greatest output is its answer. `inputs`
    (n, *input_shape), or (n, inputs), and `labels` (n,), integers that count the outputs from 0, are arrays. Radii are
    in the coordinates of `inputs`, in the l2 norm or, with `norm="linf"`, the maximum norm. `within` is a `Box`, or a
    pair of numbers such as (0, 1), that no input leaves, `normalisation` a pair (mean, std) of numbers, or of one
    number for each channel or input: the model reads `(x - mean) / std`; None: it reads the inputs as they are.

    `radii` are those of the table `rows`: only these are tried, from the least; by default the largest radius of every
    input is looked for, to about 1 %. `level` "R" is about the real function of the stored weights, "F" about every
    IEEE float32 evaluation of it with sums in any order, at inputs that are float32 numbers
    (`sdpcert.robustness.execution`).

    `time_limit` is in seconds for each input, `nodes` bounds the pieces that its region is divided into; None is no
    limit. `attack` looks for points of another class nearby, `constants` proves a constant for every pair of classes on
    all inputs ("auto": where that is little work). `executor` looks at inputs in other processes or threads; `progress`
    shows on a terminal's stderr how far it is. `seed` is for the attack.

    After an interrupt (Ctrl-C) inputs that were not looked at have the radius that constants prove, which may be 0.
    Then `on_interrupt="raise"` raises `Interrupted`, a KeyboardInterrupt with that `result`; "prove" returns it, and
    counts SIGTERM too. An interrupt before it is known which inputs are right ends the call at once.

    Raises ValueError or TypeError for bad arguments, and `BoundContradiction` if an attack were within a proved radius.
    """
    request = Request.of(
        net, inputs, labels, norm, within, radii, normalisation, level, time_limit, nodes, attack, constants, executor,
        seed, progress, on_interrupt,
    )  # fmt: skip
    stops = terminations_interrupt() if request.returns else nullcontext()
    with interrupts_noticed() as came, stops, one_blas_thread(), shares_shown(request.progress) as report:
        work = _Work(request, came, report)
        work.judge()
        work.do(work.prove_constants)
        work.do(work.attack)
        work.do(work.search)
        result = work.result()
    if came.is_set() and not request.returns:
        raise Interrupted(f"{work.notes[-1]}: see the exception's result", result)
    return result


@dataclass(eq=False)
class _Work:
    """What is known so far; every step may be interrupted and leaves what stands."""

    request: Request
    came: Event
    report: Callable[[str, float], None]
    started: float = field(default_factory=time.perf_counter)
    notes: list[str] = field(default_factory=list)
    constants: dict[Pair, PairConstant] = field(default_factory=dict)
    entries: list[Entry] = field(default_factory=list)
    looked_at: int = 0

    def do(self, step: Callable[[], None]) -> None:
        """One step, unless an interrupt came before; one that comes now ends it."""
        if self.came.is_set():
            return
        try:
            step()
        except KeyboardInterrupt:
            self.came.set()

    @property
    def right(self) -> list[int]:
        """The inputs that are right."""
        return [k for k, entry in enumerate(self.entries) if entry.correct]

    # ------------------------------------------------------------ steps

    def judge(self) -> None:
        """Which inputs are right, which are wrong, and of which neither is proved."""
        request = self.request
        self.errors = self._errors()
        self.needed = [Needed.of(self.errors, request.norm, point) for point in request.inputs]
        parts = []
        for start in range(0, len(request.inputs), BATCH):
            part = slice(start, start + BATCH)
            outputs = Outputs.at(request.form, request.inputs[part])
            parts.append((outputs.margins_down(request.labels[part]), outputs.surely_lost(request.labels[part])))
        self.margins = np.concatenate([margins for margins, _ in parts])
        lost = np.concatenate([lost for _, lost in parts])
        for k, (center, label) in enumerate(zip(request.inputs, request.labels, strict=True)):
            right = bool(np.all(self.margins[k] > self.needed[k](0.0)))
            self.entries.append(Entry(center, int(label), True if right else False if lost[k] else None))
        unclear = sum(entry.correct is None for entry in self.entries)
        if unclear:
            self.notes.append(f"of {unclear} inputs the class is too close to tell: nothing is claimed of them")

    def _errors(self) -> Errors | None:
        request = self.request
        if request.level == "R":
            return None
        box = request.within
        center = np.mean(request.inputs, axis=0) if box is None else 0.5 * box.low + 0.5 * box.high
        return Errors.of(request.model, request.network, center)

    def prove_constants(self) -> None:
        """Constants of the pairs that occur, and the radii that they prove."""
        request = self.request
        pairs = pairs_with(request.labels[self.right], request.classes)
        seconds = seconds_of(request.form, len(pairs))
        if request.constants is False or not pairs:
            return
        if request.constants is None and seconds > LITTLE_WORK:
            self.notes.append(
                f"constants of {len(pairs)} pairs of classes were left out: estimated to take {seconds:.0f} s; "
                "constants=True proves them"
            )
            return
        try:
            for count, found in enumerate(constants_of(request.form, pairs, request.executor), start=1):
                if found is not None:
                    self.constants[found.classes] = found
                self.report("constants", count / len(pairs))
        finally:
            for k in self.right:
                label = self.entries[k].label
                rates = rates_of(self.constants, label, request.classes)
                radius = radius_by_constants(self.margins[k], rates, self.needed[k])
                self.entries[k] = by_constants(self.entries[k].center, label, radius, request.classes)

    def attack(self) -> None:
        """Points of another class near the inputs that are right."""
        request, right = self.request, self.right
        if not request.attack or not right:
            return
        attacker = Attacker(
            request.network,
            request.norm,
            lambda points, labels: Outputs.at(request.form, points).surely_lost(labels),
            request.within,
            request.level == "F",
            Settings(seed=request.seed),
        )
        found = Found.nothing(request.inputs[right])
        try:
            radii = request.radii
            attacker.attack(
                request.inputs[right], request.labels[right], radii, found, lambda share: self.report("attack", share)
            )
        except KeyboardInterrupt:
            self.notes.append("interrupted: the attack did not end, so counts of what it leaves are too high")
            raise
        finally:
            for k, point, distance in zip(right, found.points, found.distances, strict=True):
                if np.isfinite(distance):
                    self.entries[k] = replace(self.entries[k], attack=Attack(point, float(distance)))

    def search(self) -> None:
        """The largest radius of every input."""

    # ------------------------------------------------------------ the result

    def result(self) -> Radii:
        """What stands."""
        request = self.request
        self._check_against_attacks()
        if self.came.is_set():
            self.notes.append(f"interrupted: {self.looked_at} of {len(self.right)} right inputs were looked at")
        settings = Settings(seed=request.seed)
        information = {
            "seconds": time.perf_counter() - self.started,
            "version": __version__,
            "model": request.model.source,
            "attack": {"name": NAME, **asdict(settings)} if request.attack else None,
            "seed": request.seed,
            "notes": self.notes,
        }
        used = [self.constants[pair] for pair in sorted(self.constants)]
        return Radii.of(document_of(request, self.entries, used, self.errors, information))

    def _check_against_attacks(self) -> None:
        for k, entry in enumerate(self.entries):
            if entry.attack is not None and entry.attack.distance <= entry.radius:
                raise BoundContradiction(
                    f"input {k} has a point of another class at {entry.attack.distance!r}, within the radius "
                    f"{entry.radius!r} that is proved; please report this network"
                )

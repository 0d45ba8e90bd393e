"""Settle a derivation: prove its parts, refute its wrong versions, compare its numbers, each within an effort.

A part without a proof is given to the proof search, then to the search for a counterexample. A claim is refuted by an
instance; a layer only by two inputs, because a condition that fails says no more than that its multipliers fail.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from sdpcert.errors import AlgebraError, KernelError, StepRejected
from sdpcert.running.extras import EXTRAS, needed_by
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.derivation import (
    OPEN,
    PROVED,
    REFUTED,
    Comparison,
    Derivation,
    Part,
    PartResult,
    as_derivation,
)
from sdpcert.symbolic.diagnosis import diagnosis
from sdpcert.symbolic.drawing import instances
from sdpcert.symbolic.effort import SECONDS, Effort
from sdpcert.symbolic.expression import as_expression
from sdpcert.symbolic.fit import fit_multipliers, with_free_multipliers
from sdpcert.symbolic.kernel import ProofCheck, check
from sdpcert.symbolic.layer import Layer, refute_layer
from sdpcert.symbolic.proof_object import assumptions, check_theorems, theorem
from sdpcert.symbolic.refutation import refute, witness_of
from sdpcert.symbolic.result import Result
from sdpcert.symbolic.strategies import search

#: Called with what became of a part or a control as soon as that is known.
Progress = Callable[[PartResult], None]
#: The share of the usual search for counterexamples that comes before the search for a proof.
FIRST_LOOK = 1 / 300
#: The shares of what is left of a claim's effort: for a proof, then a counterexample, then other multipliers.
FOR_PROOF, FOR_COUNTEREXAMPLE, FOR_FIT = 0.5, 0.7, 0.6
#: Instances in which the forward pass of a proved layer is tried on random inputs.
FORWARD_INSTANCES = 6
#: Seconds that are left for a proof with fitted multipliers, at least.
LEAST = 1.0
#: A wrong version has no other search: it is given this many times the effort of a claim.
CONTROLS = 3.0


def derive(
    result: Derivation | Part | Claim | Layer,
    seed: int = 0,
    numbers: bool = True,
    effort: float = SECONDS,
    time_limit: float = math.inf,
    progress: Progress | None = None,
) -> Result:
    """Prove or refute a derivation, or a single claim or layer; `numbers` also runs the numerical cross-check.

    `effort` is the number of seconds for each claim, `time_limit` for all of them: claims that it leaves no time for
    are open. `progress` is told of every claim when it is settled. Raises `ValueError` if one of them is not positive.
    """
    for name, seconds in (("effort", effort), ("time_limit", time_limit)):
        if not seconds > 0:
            raise ValueError(f"{name} is a positive number of seconds, not {seconds}")
    start, whole = time.perf_counter(), Effort(time_limit)
    if isinstance(result, Layer) and result.multipliers is None and result.U is not None:
        return _without_multipliers(result, seed, min(effort, time_limit), start)
    derivation = as_derivation(result)
    tell = progress or (lambda settled: None)
    parts, controls = [], []
    for part in derivation.parts:
        parts.append(_late(part) if whole.spent else settle(part, seed, Effort(min(effort, whole.left))))
        tell(parts[-1])
    for control in derivation.controls:
        limit = Effort(min(CONTROLS * effort, whole.left))
        controls.append(_late(control) if whole.spent else _contradict(control, seed, limit))
        tell(controls[-1])
    compared: tuple[Comparison, ...] = ()
    note = ""
    if numbers and not whole.spent and derivation.numbers is not None and all(p.status == PROVED for p in parts):
        compared, note = _compared(derivation.numbers)
    return Result(derivation, tuple(parts), tuple(controls), compared, time.perf_counter() - start, note)


def _compared(numbers: Callable[[], Sequence[Comparison]]) -> tuple[tuple[Comparison, ...], str]:
    """The comparisons, or why there are none: layers of random weights need a package that no proof needs."""
    try:
        with needed_by("left out: comparing with numbers"):
            return tuple(numbers()), ""
    except ModuleNotFoundError as missing:
        if missing.name not in EXTRAS:
            raise
        return (), str(missing)


def _late(part: Part) -> PartResult:
    """A part that no time was left for."""
    return PartResult(part, OPEN, ProofCheck(False, reason="not tried: the time limit was reached"))


def _without_multipliers(layer: Layer, seed: int, effort: float, start: float) -> Result:
    """Multipliers of a closed form, if numbers suggest one; else two inputs that contradict, else open."""
    limit = Effort(effort)
    fit = fit_multipliers(layer, seed=seed, limit=limit.share(FOR_FIT))
    if fit is not None:
        fitted = replace(layer, multipliers=fit.multipliers)
        done = derive(fitted, seed, effort=max(limit.left, LEAST))
        note = f"multipliers fitted to numerical ones: {fit.multipliers} (deviation {fit.deviation:.1e})"
        if done.status == PROVED:
            return replace(done, note=note, seconds=time.perf_counter() - start)
    # No multipliers: any will do to state the claim, and only two inputs refute it.
    unknown = with_free_multipliers(layer)
    part = Part(unknown.claim("layer"), layer=unknown)
    found = refute_layer(unknown, part.claim, seed)
    status = OPEN if found is None else REFUTED
    witness, network = found or (None, None)
    settled = PartResult(part, status, witness=witness, network=network, seconds=time.perf_counter() - start)
    if found is None:
        settled = replace(settled, diagnosis=diagnosis(part, seed, limit))
    note = "no multipliers of a simple closed form were found" if fit is None else f"not proved with {fit.multipliers}"
    return Result(as_derivation(part), (settled,), (), (), time.perf_counter() - start, note)


def settle(part: Part, seed: int = 0, limit: Effort | None = None) -> PartResult:
    """Prove a part with its proof or one that is found; else refute it; else say what is known of it."""
    start, limit = time.perf_counter(), limit or Effort(SECONDS)
    objection = None if part.layer is None else part.layer.objection(part.claim)
    if objection is None:
        proved = _prove(part, seed, limit)
        if proved.status == PROVED:
            return replace(proved, seconds=time.perf_counter() - start)
    else:
        # The condition may hold and mean nothing: two inputs say more.
        proved = PartResult(part, OPEN, ProofCheck(False, reason=objection))
    refuted = _contradict(part, seed, limit.share(FOR_COUNTEREXAMPLE))
    settled = replace(refuted, check=proved.check, strategy=proved.strategy, assumed=proved.assumed)
    if part.layer is not None and settled.network is None:
        settled = replace(settled, status=OPEN)
        if objection is None:
            settled = replace(settled, suggested=_other_multipliers(part, seed, limit.share(FOR_FIT)))
    if settled.status == OPEN and settled.suggested is None and objection is None:
        settled = replace(settled, diagnosis=diagnosis(part, seed, limit))
    return replace(settled, seconds=time.perf_counter() - start)


def _prove(part: Part, seed: int, limit: Effort) -> PartResult:
    """The part, proved if its proof is accepted or one is found that is, else open."""
    checked, strategy, proof = None, "", part.proof or ()
    assumed = _assumed(part)
    if assumed:
        reason = "the proof rests on steps that have no form in a proof file: what they derive is an assumption"
        checked, strategy = ProofCheck(False, reason=reason), "given proof"
    elif part.proof is not None:
        checked, strategy = check(part.claim, part.proof, seed), "given proof"
    elif refute(part.claim, seed, FIRST_LOOK, limit.share(FOR_PROOF)) is not None:
        return PartResult(part, OPEN)
    if checked is None or not checked.proved:
        found = search(part.claim, limit.share(FOR_PROOF).left)
        if found is not None:
            again = check(part.claim, found.proof, seed)
            if again.proved or checked is None:
                checked, strategy, proof = again, found.strategy, found.proof
    if checked is not None and checked.proved:
        try:
            theorems = theorem(part.claim, proof, part.layer)
            check_theorems(theorems)
        except StepRejected as rejection:
            checked = replace(checked, proved=False, reason=str(rejection))
        else:
            stretch = _stretched(part, seed)
            return PartResult(part, PROVED, checked, strategy, theorems=theorems, stretch=stretch)
    return PartResult(part, OPEN, checked, strategy, assumed=assumed)


def _assumed(part: Part) -> Sequence[Statement]:
    """What steps of the author's own derive, if the others follow with it."""
    try:
        return assumptions(part.claim, part.proof or ())
    except (StepRejected, AlgebraError):
        return ()


def _stretched(part: Part, seed: int) -> float | None:
    """The greatest stretch of random inputs over the proved constant; raises `KernelError` if it is above one.

    None without a layer whose neurons have an order.
    """
    layer, found = part.layer, None
    if layer is None:
        return None
    for instance in instances(part.claim, seed, FORWARD_INSTANCES, largest=4):
        rho = float(instance.number(as_expression(layer.squared_lipschitz, (1, 1))))
        try:
            squared = layer.forward(instance, exact=False).largest_stretch(np.random.default_rng(seed))
        except AlgebraError:
            return None
        if squared > rho * (1 + 1e-9):
            raise KernelError(
                f"{part.claim.name}: two inputs of the layer are mapped {squared**0.5:.6g} times as far apart at sizes "
                f"{instance.sizes}, and {rho**0.5:.6g} was proved: a defect of this program, or of a sampler"
            )
        found = max(found or 0.0, (squared / rho) ** 0.5 if rho > 0 else 0.0)
    return found


def _other_multipliers(part: Part, seed: int, limit: Effort) -> PartResult | None:
    """The layer, proved with multipliers that are fitted to numerical ones; None if that fails."""
    layer, claim = part.layer, part.claim
    if layer is None or not layer.has_activation:
        return None
    fit = fit_multipliers(layer, claim.given, seed, limit=limit.share(FOR_FIT), **claim.sizes)
    if fit is None or fit.multipliers == layer.multipliers:
        return None
    fitted = replace(layer, multipliers=fit.multipliers)
    other = Part(fitted.claim(claim.name, claim.given, **claim.sizes), layer=fitted)
    if fitted.objection(other.claim) is not None:
        return None
    proved = _prove(other, seed, limit)
    return proved if proved.status == PROVED else None


def _contradict(part: Part, seed: int, limit: Effort) -> PartResult:
    """The part, refuted if its claim fails in an instance; with a layer also two inputs, if there are some."""
    start = time.perf_counter()
    witness = refute(part.claim, seed, limit=limit)
    network = None
    if part.layer is not None:
        network = None if witness is None else part.layer.counterexample(witness.instance)
        if network is None and (found := refute_layer(part.layer, part.claim, seed)) is not None:
            # Two inputs say more than a matrix: take the instance that has them.
            instance, network = found[0].instance, found[1]
            witness = found[0] if part.claim.show.holds(instance) else witness_of(part.claim, instance)
    status = OPEN if witness is None else REFUTED
    return PartResult(part, status, witness=witness, network=network, seconds=time.perf_counter() - start)

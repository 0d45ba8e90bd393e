"""Settle a derivation: prove its parts, refute its wrong versions, compare its numbers.

A part without a proof is given to the proof search, then to the search for a counterexample.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

from sdpcert.errors import StepRejected
from sdpcert.symbolic.claim import Claim
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
from sdpcert.symbolic.expression import diagonal
from sdpcert.symbolic.fit import fit_multipliers
from sdpcert.symbolic.kernel import ProofCheck, check
from sdpcert.symbolic.layer import Layer, refute_layer
from sdpcert.symbolic.proof_object import check_theorems, theorem
from sdpcert.symbolic.refutation import refute, witness_of
from sdpcert.symbolic.result import Result
from sdpcert.symbolic.strategies import search


def derive(result: Derivation | Part | Claim | Layer, seed: int = 0, numbers: bool = True) -> Result:
    """Prove or refute a derivation, or a single claim or layer; `numbers` also runs the numerical cross-check."""
    start = time.perf_counter()
    if isinstance(result, Layer) and result.multipliers is None and result.U is not None:
        return _without_multipliers(result, seed, start)
    derivation = as_derivation(result)
    parts = tuple(settle(part, seed) for part in derivation.parts)
    controls = tuple(_contradict(part, seed) for part in derivation.controls)
    compared: Sequence[Comparison] = ()
    if numbers and derivation.numbers is not None and all(p.status == PROVED for p in parts):
        compared = derivation.numbers()
    return Result(derivation, parts, controls, tuple(compared), time.perf_counter() - start)


def _without_multipliers(layer: Layer, seed: int, start: float) -> Result:
    """Multipliers of a closed form, if numbers suggest one; else two inputs that contradict, else open."""
    fit = fit_multipliers(layer, seed=seed)
    if fit is not None:
        fitted = replace(layer, multipliers=fit.multipliers)
        done = derive(fitted, seed)
        note = f"multipliers fitted to numerical ones: {fit.multipliers} (deviation {fit.deviation:.1e})"
        if done.status == PROVED:
            return replace(done, note=note, seconds=time.perf_counter() - start)
    # No multipliers: any will do to state the claim, and only two inputs refute it.
    unknown = replace(layer, multipliers=diagonal("Lambda", layer.U.rows if layer.U is not None else 1))
    part = Part(unknown.claim("layer"), layer=unknown)
    found = refute_layer(unknown, part.claim, seed)
    status = OPEN if found is None else REFUTED
    witness, network = found or (None, None)
    settled = PartResult(part, status, witness=witness, network=network, seconds=time.perf_counter() - start)
    note = "no multipliers of a simple closed form were found" if fit is None else f"not proved with {fit.multipliers}"
    return Result(as_derivation(part), (settled,), (), (), time.perf_counter() - start, note)


def settle(part: Part, seed: int = 0) -> PartResult:
    """Prove a part with its proof or one that is found; else refute it; else leave it open."""
    start = time.perf_counter()
    objection = None if part.layer is None else part.layer.objection(part.claim)
    if objection is not None:
        # The condition may hold and mean nothing: two inputs say more.
        refuted = _refuted_by_inputs(part, seed) or _contradict(part, seed)
        checked = ProofCheck(False, reason=objection)
        return replace(refuted, check=checked, seconds=time.perf_counter() - start)
    checked, strategy, proof = None, "", part.proof or ()
    if part.proof is not None:
        checked = check(part.claim, part.proof, seed)
        strategy = "given proof"
    if checked is None or not checked.proved:
        found = search(part.claim)
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
            seconds = time.perf_counter() - start
            return PartResult(part, PROVED, checked, strategy, seconds=seconds, theorems=theorems)
    refuted = _contradict(part, seed)
    return PartResult(
        part,
        refuted.status,
        checked,
        strategy,
        refuted.witness,
        refuted.network,
        time.perf_counter() - start,
    )


def _refuted_by_inputs(part: Part, seed: int) -> PartResult | None:
    found = None if part.layer is None else refute_layer(part.layer, part.claim, seed)
    return None if found is None else PartResult(part, REFUTED, witness=found[0], network=found[1])


def _contradict(part: Part, seed: int) -> PartResult:
    start = time.perf_counter()
    witness = refute(part.claim, seed)
    network = None
    if part.layer is not None:
        network = None if witness is None else part.layer.counterexample(witness.instance)
        if network is None and (found := refute_layer(part.layer, part.claim, seed)) is not None:
            # Two inputs say more than a matrix: take the instance that has them.
            instance, network = found[0].instance, found[1]
            witness = found[0] if part.claim.show.holds(instance) else witness_of(part.claim, instance)
    return PartResult(
        part,
        OPEN if witness is None else REFUTED,
        witness=witness,
        network=network,
        seconds=time.perf_counter() - start,
    )

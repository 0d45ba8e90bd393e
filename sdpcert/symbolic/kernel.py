"""The kernel: a claim is proved only if its proof expands, exact instances agree, and wrong versions are rejected.

Three independent checks, all of which have to pass:

1. every step follows, and the last one derives the claim, modulo the rewriting rules (noncommutative expansion);
2. the claim, its hypotheses and every derived statement hold on random exact instances of dimensions 1 to 5, which sees
   what symbols cannot: wrong shapes, transposes, definitions;
3. the same proof does not derive the claim with a sign, a factor or a transpose changed (a sample of such changes).

Most instances have small numbers, a few have large ones. Where an author's samplers choose values of symbols, some
instances ignore them: they draw the symbols as free ones of their kind and keep what the hypotheses allow.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sdpcert.errors import AlgebraError, KernelError, StepRejected
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.drawing import instances
from sdpcert.symbolic.effort import Effort
from sdpcert.symbolic.instances import Instance
from sdpcert.symbolic.refutation import fails_in_floats
from sdpcert.symbolic.steps.step import Known, Step

#: Further ones with numerators and denominators up to these, and the largest dimension of them.
LARGE_INSTANCES, LARGE_NUMERATOR, LARGE_DENOMINATOR, LARGE_DIMENSION = 4, 1000, 97, 2
#: Further ones that ignore samplers of symbols.
UNSAMPLED_INSTANCES = 6
#: Seconds that each kind of instances may take.
SECONDS = 3.0
#: Changed claims that a proof is tried on.
MUTANTS = 50


@dataclass(frozen=True)
class Derived:
    """A statement of a proof and why it follows (LaTeX)."""

    statement: Statement
    explanation: str


@dataclass(frozen=True)
class ProofCheck:
    """What the kernel found: `proved` with the statements, or the `reason` why not.

    `instances` were tried, of the dimensions in `sizes`; `mutants` counts changed claims that were rejected,
    `still_true` those that the same proof shows and that hold on the instances (a weaker claim), `ill_typed` those
    whose shapes do not fit.
    """

    proved: bool
    derived: tuple[Derived, ...] = ()
    reason: str = ""
    instances: int = 0
    mutants: int = 0
    still_true: int = 0
    ill_typed: int = 0
    seconds: float = 0.0
    sizes: tuple[dict[str, int], ...] = ()
    #: How many of the instances ignore samplers.
    unsampled: int = 0


def check(claim: Claim, proof: Sequence[Step], seed: int = 0) -> ProofCheck:
    """Check a proof; raises `KernelError` if an accepted proof meets a false instance."""
    start = time.perf_counter()
    try:
        derived = derive(claim, proof)
    except StepRejected as rejection:
        return ProofCheck(False, reason=str(rejection), seconds=time.perf_counter() - start)
    tried: list[Instance] = []
    for instance in _tried(claim, seed):
        wrong = claim.declared_wrongly(instance)
        if wrong is not None:
            return ProofCheck(False, derived, f"a definition contradicts what is declared: {wrong}", len(tried))
        failing = next((s for s in (*(d.statement for d in derived), claim.show) if not s.holds(instance)), None)
        if failing is not None and instance.rounded and not fails_in_floats(replace(claim, show=failing), instance):
            continue  # a root that was rounded up is not what the definition says
        if failing is not None:
            raise KernelError(
                f"{claim.name}: {failing} was derived but fails for sizes {instance.sizes}; this is a defect of "
                "the kernel or a definition that contradicts its declared properties"
            )
        tried.append(instance)
    if not tried:
        return ProofCheck(False, derived, "no exact instance satisfies the hypotheses", 0)
    rejected, still_true, ill_typed, failure = _mutants(claim, proof, tried, seed)
    sizes = tuple(instance.sizes for instance in tried)
    seconds = time.perf_counter() - start
    ignoring = sum(bool(instance.unsampled) for instance in tried)
    return ProofCheck(
        not failure, derived, failure, len(tried), rejected, still_true, ill_typed, seconds, sizes, ignoring
    )


def _tried(claim: Claim, seed: int) -> Iterator[Instance]:
    """The instances of a check: small numbers, large ones, and some that ignore samplers."""
    large = (LARGE_INSTANCES, LARGE_NUMERATOR, LARGE_DENOMINATOR, LARGE_DIMENSION)
    yield from instances(claim, seed, effort=Effort(SECONDS))
    yield from instances(claim, seed, *large, effort=Effort(SECONDS))
    limit = Effort(SECONDS)
    yield from instances(claim, seed, UNSAMPLED_INSTANCES, largest=LARGE_DIMENSION, sampled=False, effort=limit)


def derive(claim: Claim, proof: Sequence[Step]) -> tuple[Derived, ...]:
    """The statements of a proof that ends with the claim; raises `StepRejected` if a step or the end is wrong."""
    if not proof:
        raise StepRejected("the proof has no steps")
    known, derived = _until_last(claim, proof)
    last = _conclude(known, proof[-1], claim.show)
    return (*derived, Derived(last, proof[-1].explanation()))


def _until_last(claim: Claim, proof: Sequence[Step]) -> tuple[Known, list[Derived]]:
    """What is known before the last step."""
    try:
        known, derived = Known(claim), []
        for step in proof[:-1]:
            statement = step.derive(known)
            derived.append(Derived(statement, step.explanation()))
            known.add(statement)
    except AlgebraError as error:
        raise StepRejected(str(error)) from None
    return known, derived


def _conclude(known: Known, step: Step, show: Statement) -> Statement:
    """The statement of the last step, if it is the one to be shown."""
    try:
        last = step.derive(known)
        if last.kind != show.kind:
            raise StepRejected("the last step derives another kind of statement than the claim")
        rest = known.normal(show.matrix - last.matrix)
    except AlgebraError as error:
        raise StepRejected(str(error)) from None
    if rest:
        raise StepRejected(f"the last step derives another statement than the claim; the difference is {rest}")
    return last


def _mutants(claim: Claim, proof: Sequence[Step], tried: Sequence[Instance], seed: int) -> tuple[int, int, int, str]:
    rejected = still_true = ill_typed = 0
    known, _ = _until_last(claim, proof)
    for label, mutant in claim.mutants(MUTANTS, seed):
        if mutant is None:
            ill_typed += 1
            continue
        if known.is_zero(mutant.show.matrix - claim.show.matrix):
            continue
        changed = proof[-1].retargeted(mutant.show)
        try:
            _conclude(known, changed or proof[-1], mutant.show)
        except StepRejected:
            rejected += 1
            continue
        if _fails(mutant.show, tried):
            raise KernelError(
                f"{claim.name}: the proof also derives a false claim, changed in a {label}: {mutant.show}"
            )
        still_true += 1
    if not rejected and not ill_typed:
        return (
            rejected,
            still_true,
            ill_typed,
            "no changed version of the claim was rejected: the claim says too little",
        )
    return rejected, still_true, ill_typed, ""


def _fails(statement: Statement, tried: Sequence[Instance]) -> bool:
    return any(not statement.holds(instance) for instance in tried if not instance.rounded)

"""A derivation: a published (or new) result as claims with proofs, wrong versions, and numbers beside it.

    derivation = Derivation(
        title="AOL", source="Prach, Lampert, ECCV 2022, Theorem 1", statement=r"...",
        parts=[Part(layer.claim("AOL"), layer=layer)],
        controls=[Part(wrong.claim("half the row sum"), layer=wrong)],
    )

`derive(derivation)` proves, refutes or leaves open; a part without a proof is given to the proof search, then to the
search for a counterexample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from sdpcert.errors import AlgebraError
from sdpcert.symbolic.claim import Claim, Statement
from sdpcert.symbolic.kernel import ProofCheck
from sdpcert.symbolic.layer import Layer, NetworkWitness
from sdpcert.symbolic.printing import latex_defect
from sdpcert.symbolic.refutation import Witness
from sdpcert.symbolic.steps.step import Proof, Step

#: What became of a part or a derivation.
PROVED, REFUTED, OPEN = "proved", "refuted", "open"


@dataclass(frozen=True)
class Part:
    """A claim with its proof; without one, proofs are searched. `layer` is asked for two inputs that contradict it."""

    claim: Claim
    proof: Proof | None = None
    layer: Layer | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.claim, Claim):
            raise AlgebraError(f"a Part is made of a Claim, not of a {type(self.claim).__name__}: layer.claim(name)")
        if self.proof is not None and not (
            isinstance(self.proof, list | tuple) and all(isinstance(step, Step) for step in self.proof)
        ):
            raise AlgebraError(f"{self.claim.name}: a proof is a list of steps (sdpcert.symbolic.steps)")


@dataclass(frozen=True)
class Comparison:
    """A number that `sdpcert.certify` proved, beside what the result says of it: `value` <= or >= or == `other`.

    Equality is up to the relative `tolerance`.
    """

    what: str
    value: float
    relation: str
    other: float
    tolerance: float = 0.0

    @property
    def agrees(self) -> bool:
        """Whether the relation holds."""
        room = self.tolerance * max(abs(self.value), abs(self.other))
        difference = self.value - self.other
        return {"<=": difference <= room, ">=": difference >= -room, "==": abs(difference) <= room}[self.relation]


@dataclass(frozen=True)
class Derivation:
    """A result: its statement (LaTeX), its source, the claims that make it, and controls, which have to fail.

    `numbers` computes comparisons through `sdpcert.certify`. `remark` is printed after the proof.
    """

    title: str
    source: str
    statement: str
    parts: Sequence[Part]
    controls: Sequence[Part] = ()
    numbers: Callable[[], Sequence[Comparison]] | None = None
    remark: str = ""
    name: str = ""

    def __post_init__(self) -> None:
        for name in ("parts", "controls"):
            given = getattr(self, name)
            if not isinstance(given, list | tuple):
                raise AlgebraError(f"{self.title}: {name}= is a list of Part(claim, ...), not a {type(given).__name__}")
            for part in given:
                if not isinstance(part, Part):
                    raise AlgebraError(f"{self.title}: {name}= lists Part(claim, ...), not a {type(part).__name__}")
        for name in ("statement", "remark"):
            if (wrong := latex_defect(getattr(self, name))) is not None:
                raise AlgebraError(f"{self.title}: its {name} is no LaTeX: {wrong}")


@dataclass(frozen=True)
class PartResult:
    """What became of one claim: `status` is proved, refuted or open.

    `stretch` is the greatest stretch of a proved layer's random inputs over its constant,
    `suggested` is the same layer, proved with other multipliers; `diagnosis` says what numbers tell of an open claim.
    """

    part: Part
    status: str
    check: ProofCheck | None = None
    strategy: str = ""
    witness: Witness | None = None
    network: NetworkWitness | None = None
    seconds: float = 0.0
    stretch: float | None = None
    suggested: PartResult | None = None
    diagnosis: tuple[str, ...] = ()
    #: What steps of the author's own derive, which the claim is proved under and no checker sees.
    assumed: Sequence[Statement] = ()
    #: The proof object: what the stand-alone checker proved, after what it cites.
    theorems: Sequence[dict[str, Any]] = ()


def as_derivation(result: Any) -> Derivation:
    """A derivation of one part from a claim or a layer; derivations as they are."""
    if isinstance(result, Derivation):
        return result
    if isinstance(result, Layer):
        if result.multipliers is None and result.U is not None:
            raise TypeError("a layer in a derivation needs multipliers; derive(layer) looks for some")
        result = Part(result.claim("layer"), layer=result)
    if isinstance(result, Claim):
        result = Part(result)
    if isinstance(result, Part):
        return Derivation(result.claim.name, "", result.claim.text, [result])
    raise TypeError(f"{result!r} is neither a Derivation nor a Part, Claim or Layer")

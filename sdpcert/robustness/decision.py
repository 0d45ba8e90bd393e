"""What came out of a question about outputs: a word, and what shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Literal

from sdpcert.readers.vnnlib import Property
from sdpcert.robustness.falsifying import Counterexample
from sdpcert.running.short_repr import ShortRepr

Word = Literal["holds", "violated", "unknown"]
#: The words of VNN-COMP, which ask whether there is an unsafe input.
VNNCOMP: Mapping[Word, str] = {"holds": "unsat", "violated": "sat", "unknown": "unknown"}


@dataclass(frozen=True, eq=False)
class Decision(ShortRepr):
    """The answer to a property.

    "holds": no input of any box has unsafe outputs; `proofs` are files of radii that a checker accepted, which say so.
    "violated": `counterexample` is an input whose outputs are unsafe, by exact or rigorous evaluation. "unknown":
    `missing` says why, a line for each open part. `nodes` pieces of boxes were looked at.
    """

    asked: Property
    word: Word
    seconds: float
    nodes: int
    counterexample: Counterexample | None = None
    proofs: tuple[Mapping[str, Any], ...] = field(default=(), repr=False)
    missing: tuple[str, ...] = ()

    @property
    def vnncomp(self) -> str:
        """The word as VNN-COMP has it: unsat, sat or unknown."""
        return VNNCOMP[self.word]


def counterexample_text(found: Counterexample) -> str:
    """A counterexample in VNN-COMP's format, one S-expression of pairs; inputs are exact, outputs to 17 digits."""
    lines = [f"(X_{k} {decimal(x)})" for k, x in enumerate(found.inputs)]
    lines += [f"(Y_{k} {y!r})" for k, y in enumerate(found.outputs)]
    return "(" + "\n".join([lines[0], *(f" {line}" for line in lines[1:])]) + ")\n"


def decimal(number: Fraction) -> str:
    """A number in decimal: the shortest text that float64 reads as it, or all its digits where it is no float64.

    What has no finite decimal is rounded to 40 digits.
    """
    near = float(number)
    if Fraction(near) == number:
        return repr(near)
    digits, rest = 0, number.denominator
    for factor in (2, 5):
        count = 0
        while rest % factor == 0:
            rest, count = rest // factor, count + 1
        digits = max(digits, count)
    places = digits if rest == 1 else 40
    scaled = round(number * 10**places)
    text = str(abs(scaled)).rjust(places + 1, "0")
    return ("-" if scaled < 0 else "") + text[: len(text) - places] + "." + text[len(text) - places :]

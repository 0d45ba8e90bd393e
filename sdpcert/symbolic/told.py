"""What became of a derivation, in words and plain data: that goes to other processes, which symbols do not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sdpcert.symbolic.document import Section, section
from sdpcert.symbolic.listing import entry
from sdpcert.symbolic.result import Result


@dataclass(frozen=True)
class Told:
    """A result as it is printed, listed and written.

    `whole` says whether every claim was settled, `proof` is the proof file's value, and `missing` why there is none.
    """

    status: str
    whole: bool
    text: str
    entry: dict[str, Any]
    section: Section
    proof: dict[str, Any] | None
    missing: str = ""

    @staticmethod
    def of(result: Result, papers: Sequence[str] = ()) -> Told:
        """What is told of a result; `papers` are numbered references."""
        proof, missing = None, ""
        try:
            proof = result.document()
        except ValueError as error:
            missing = str(error)
        said = entry(result), section(result, papers)
        return Told(result.status, result.whole, result.text(), *said, proof, missing)

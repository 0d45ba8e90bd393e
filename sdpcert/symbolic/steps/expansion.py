"""An equality that holds by expansion and rewriting alone."""

from __future__ import annotations

from typing import Any

from sdpcert.errors import StepRejected
from sdpcert.symbolic.claim import Statement, equal
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record
from sdpcert.symbolic.steps.step import Step


class Identity(Step):
    """`left = right` by expansion; the difference's normal form is zero."""

    def __init__(self, left: Any, right: Any = 0, why: str = "") -> None:
        self.target = left if isinstance(left, Statement) else equal(left, right)
        self.why = why

    def derive(self, known: Known) -> Statement:
        """The equality; raises `StepRejected` if something is left."""
        rest = known.normal(self.target.matrix)
        if rest:
            raise StepRejected(f"expanding leaves {rest}")
        return self.target

    def record(self, record: Record) -> int:
        """The equality."""
        return record.equality(self.target.matrix)

    def retargeted(self, target: Statement) -> Step:
        """The same for another equality."""
        return Identity(target, why=self.why)

    def explanation(self) -> str:
        """By expansion."""
        return self.why or "by expanding both sides"

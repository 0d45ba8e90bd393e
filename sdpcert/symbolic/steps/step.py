"""What a step of a proof is: it reads what is known and derives one more statement, or is rejected."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from sdpcert.errors import StepRejected
from sdpcert.symbolic.claim import Statement
from sdpcert.symbolic.steps.known import Known
from sdpcert.symbolic.steps.record import Record


class Step(ABC):
    """One step; `derive` returns the statement that it adds, or raises `StepRejected`."""

    @abstractmethod
    def derive(self, known: Known) -> Statement:
        """The statement that follows."""

    def record(self, record: Record) -> int:
        """Write the step into a proof object: the number of what it derives. Sums and axioms say how."""
        return self.expanded().record(record)

    @property
    def is_assumption(self) -> bool:
        """Whether the step has no form in a proof object, so that what it derives is taken on trust."""
        return type(self).record is Step.record and type(self).expanded is Step.expanded

    def expanded(self) -> Step:
        """The sum or equality that the step stands for."""
        raise StepRejected(f"the step {type(self).__name__} has no form in a proof object")

    @abstractmethod
    def explanation(self) -> str:
        """Why it follows, in LaTeX, to be printed after the statement."""

    def retargeted(self, target: Statement) -> Step | None:
        """The same step for another statement; None if the step does not say what it derives."""
        return None


Proof = Sequence[Step]

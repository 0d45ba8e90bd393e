"""The errors of the package, each named for what went wrong; `SdpcertError` is the base of all of them.

Each error also has the builtin base that says what kind it is (ValueError, RuntimeError, ArithmeticError), so that a
program may catch either. Bad arguments raise plain TypeError and ValueError. `Interrupted` alone has another base: it
is Ctrl-C, which has to pass through whatever handles errors (`except SdpcertError`, `except Exception`).
"""

from __future__ import annotations

from typing import Any


class SdpcertError(Exception):
    """Something that this package could not do; the message is one line."""


class UnsupportedModel(SdpcertError, ValueError):
    """A file that was understood and holds something that `Network` cannot represent."""


class NotInvariant(SdpcertError, ValueError):
    """A layer that is no shift-invariant map between images; the message names it."""


class SolverError(SdpcertError, RuntimeError):
    """A solver is missing, has no licence, or gave no usable point."""


class BoundContradiction(SdpcertError, ArithmeticError):
    """An attained value above a proved bound: a defect of this program, never a result."""


class EvaluationRejected(SdpcertError, ValueError):
    """An evaluation that was read and does not verify; the message names the file and what is wrong."""


class MalformedEvaluation(SdpcertError, ValueError):
    """What is wrong with the file of an evaluation, without its name."""


class UnreadableEvaluation(MalformedEvaluation):
    """Why the file of an evaluation cannot be read at all."""


class NotVerified(SdpcertError):
    """A certificate or a run that a table or a page is asked for and that does not verify; the message says why."""


class CertificateRejected(NotVerified, ValueError):
    """A certificate that was read and does not hold; the message names the file and says why."""


class TrainingInterrupted(SdpcertError):
    """A run that was asked to stop: its checkpoint is written; the message is one line that says how to go on."""


class CommandInterrupted(SdpcertError):
    """A command was interrupted and has printed what was finished; the message says how much that is."""


class ProcessEnded(SdpcertError, RuntimeError):
    """A process that was to do a task died before it had a result: it was killed, or out of memory."""


class ItemEnded(SdpcertError, RuntimeError):
    """The process of an item of a sweep ended before it had an answer: by its time (`out_of_time`), or whatever the
    message says.
    """

    def __init__(self, message: str, out_of_time: bool = False) -> None:
        super().__init__(message, out_of_time)
        self.out_of_time = out_of_time

    def __str__(self) -> str:
        return self.args[0]


class WorkersLost(SdpcertError, RuntimeError):
    """The machines or processes that did the work are gone, and no new ones can be had; the message says why."""


class AlgebraError(SdpcertError, ValueError):
    """An expression that makes no sense: shapes that do not fit, or a power that is not available."""


class StepRejected(SdpcertError):
    """A step of a symbolic proof that does not follow from what is known."""


class OutOfTime(SdpcertError):
    """The seconds of a symbolic search are over."""


class KernelError(SdpcertError, ValueError):
    """The checks contradict each other: a proof was accepted for a claim that is false on an instance."""


class NotADerivation(SdpcertError, ValueError):
    """A name or file that holds no derivation."""


class NoTexEngine(SdpcertError, ValueError):
    """No TeX engine was found, or it failed."""


class Interrupted(KeyboardInterrupt):
    """Ctrl-C in a call that had a result by then: the certificate of the best point of `sdpcert.certify`, what
    `sdpcert.radii` had proved, or the evaluation that `sdpcert.evaluation.evaluate` saved; each is the `result`.
    """

    def __init__(self, message: str, result: Any) -> None:
        super().__init__(message)
        self.result = result

    @property
    def certificate(self) -> Any:
        """What `sdpcert.certify` had proved by then."""
        return self.result

    def __reduce__(self) -> tuple[Any, ...]:
        return Interrupted, (self.args[0], self.result)

"""Certificates made, and proved again, in processes of their own that work side by side."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

from sdpcert.arithmetic import threads
from sdpcert.certify import certify
from sdpcert.check import CheckResult, check
from sdpcert.errors import ProcessFailed
from sdpcert.network.stacked import StackedForm
from sdpcert.running import processes
from sdpcert.running.choices import Method
from sdpcert.running.outputs import reads

#: From so many certificates on, they are proved again in processes of their own.
TOGETHER = 4


def can_go_apart(form: StackedForm) -> bool:
    """Whether the form can be handed to another process, which knows the activations of this package alone."""
    return all(type(group.activation).__module__.startswith("sdpcert.") for group in form.groups)


def certify_apart(form: StackedForm, method: Method, tol: float, seed: int, path: Path) -> dict[str, Any]:
    """Certify in another process and save the certificate to `path` if it was proved; the certificate's summary.

    Raises what `certify` raises, and ValueError if the process died.
    """
    try:
        return processes.call(certify_and_save, form, method, tol, seed, path.resolve())
    except ProcessFailed as error:
        raise ValueError(f"a process that was to prove {path.stem} ended: {error}") from None


def certify_and_save(form: StackedForm, method: Method, tol: float, seed: int, path: Path) -> dict[str, Any]:
    """Certify a form, interrupted or not, and save the certificate if it was proved; its summary."""
    with threads.undivided():
        made = certify(form, method, tol=tol, seed=seed, on_interrupt="prove")
    if made.status == "proved":
        made.save(path)
    return made.summary()


def check_all(paths: Sequence[Path]) -> list[CheckResult]:
    """Prove certificates again; many of them in processes of their own."""
    for path in paths:
        reads(path)
    if len(paths) < TOGETHER:
        return [check(path) for path in paths]
    results: dict[int, CheckResult] = {}
    jobs = {number: partial(_check_apart, path.resolve()) for number, path in enumerate(paths)}
    processes.side_by_side(jobs, results.__setitem__)
    return [results[number] for number in range(len(paths))]


def _check_apart(path: Path) -> CheckResult:
    try:
        return processes.call(check, path)
    except ProcessFailed:
        return check(path)

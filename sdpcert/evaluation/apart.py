"""Certificates made, and proved again, in processes of their own that work side by side."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from sdpcert.certify import certify
from sdpcert.check import CheckResult, check
from sdpcert.errors import ProcessEnded
from sdpcert.network.graph import Network
from sdpcert.network.stacked import StackedForm
from sdpcert.running.choices import Method
from sdpcert.running.executors import WORKERS, executor
from sdpcert.running.outputs import reads
from sdpcert.running.tasks import Task, outcomes

#: From so many certificates on, they are proved again in processes of their own.
TOGETHER = 4


def can_go_apart(form: StackedForm) -> bool:
    """Whether the form can be handed to another process, which knows the activations of this package alone."""
    return all(type(group.activation).__module__.startswith("sdpcert.") for group in form.groups)


def certify_and_save(net: Network | StackedForm, method: Method, tol: float, seed: int, path: Path) -> dict[str, Any]:
    """Certify, interrupted or not, and save the certificate to `path` if it was proved; its summary."""
    made = certify(net, method, tol=tol, seed=seed, on_interrupt="prove")
    if made.status == "proved":
        made.save(path)
    return made.summary()


def check_all(paths: Sequence[Path]) -> list[CheckResult]:
    """Prove certificates again; many of them in processes of their own."""
    for path in paths:
        reads(path)
    results: dict[int, CheckResult] = {}
    tasks = (Task(number, (path.resolve(),)) for number, path in enumerate(paths))
    with executor(WORKERS if len(paths) >= TOGETHER else 1) as workers:
        for outcome in outcomes(workers, check, tasks):
            died = isinstance(outcome.error, ProcessEnded)
            results[outcome.key] = check(paths[outcome.key]) if died else outcome.result
    return [results[number] for number in range(len(paths))]

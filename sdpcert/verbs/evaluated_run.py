"""`sdpcert evaluate RUN`: the options of runs, what they call, and what is printed."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from sdpcert.errors import CommandInterrupted
from sdpcert.report import percent_down, percent_up, radius_text
from sdpcert.running import choices
from sdpcert.verbs import options
from sdpcert.verbs.json_output import print_object

#: Seconds that a bound's programs may take by estimate, unless told otherwise.
TIME_LIMIT = 300.0


@dataclass(frozen=True)
class RunOptions:
    """The options that only an evaluation of a run has, None or False where they were not given."""

    bounds: str | None = None
    pairs: choices.Pairs | None = None
    device: str | None = None
    again: bool = False

    @property
    def given(self) -> list[str]:
        """The names of those that were given."""
        return [f"--{name}" for name, value in vars(self).items() if value not in (None, False)]


def evaluate_run(
    run: Path,
    asked: RunOptions,
    radii: list[float] | None,
    level: choices.Level,
    attack: choices.Attack,
    count: int | None,
    data: Path | None,
    time_limit: float | None,
    seed: int,
    as_json: bool,
) -> int:
    """Evaluate a finished run or verify its saved evaluation, print it, and return the exit code."""
    options.training_package("evaluating a run")
    from sdpcert.evaluation.again import recertify
    from sdpcert.evaluation.attack import AttackSettings
    from sdpcert.evaluation.trained import evaluate as measured

    if asked.again:
        result = recertify(run, data, asked.device or "cpu")
    else:
        result = measured(
            run,
            radii,
            [b.strip() for b in (asked.bounds or "by-construction").split(",")],
            level,
            AttackSettings.strong(seed) if attack == "strong" else attack == "quick",
            pairs=asked.pairs or "auto",
            count=count,
            root=data,
            device=asked.device or "cpu",
            time_limit=TIME_LIMIT if time_limit is None else time_limit,
            seed=seed,
            progress=sys.stderr.isatty(),
            command=" ".join(["sdpcert", *sys.argv[1:]]),
            on_interrupt="prove",
        )
    interrupted = "; ".join(result.notes) if not asked.again else ""
    if as_json:
        beside = {"subject": "run", "again": asked.again, "interrupted": interrupted or None}
        print_object("evaluate", beside | result.summary())
    else:
        _print(result, asked.again)
    if interrupted:
        raise CommandInterrupted(interrupted)
    # Notes tell of what was interrupted: what is there holds, and some is missing.
    return 1 if result.notes else 0


def _print(result: Any, again: bool) -> None:
    print(f"{result.samples} test images, {percent_down(result.clean_accuracy)} % right, level {result.level}")
    headers = ("radius", "bound", "certified", "under attack")
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in result.rows:
        attacked = "" if row.attacked_accuracy is None else f"{percent_up(row.attacked_accuracy)} %"
        table.add_row(radius_text(row.radius), row.bound, f"{percent_down(row.accuracy)} %", attacked)
    Console(width=max(Console().width, 100)).print(table)
    for name, reason in result.left_out.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    for note in result.notes if again else ():
        print(f"note: {note}", file=sys.stderr)
    print(f"finished: {'verified' if again else 'saved'} {result.path}", file=sys.stderr)

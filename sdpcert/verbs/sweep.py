"""`sdpcert sweep`: all items of a plan, in a folder."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Annotated

import typer

from sdpcert.errors import CommandInterrupted, WorkersLost
from sdpcert.running.executors import executor
from sdpcert.sweep import Folder, Plan, Record, State, Summary, read_plan, run
from sdpcert.sweep.beside import threads
from sdpcert.sweep.slurm import job_file
from sdpcert.verbs import options
from sdpcert.verbs.json_output import print_object

app = typer.Typer()
#: Seconds between two lines on how far it is, where stderr is no terminal.
EVERY = 60.0
GOES_ON = "the same command goes on from what is in"


@app.command(
    short_help="Certify many networks by a plan; go on after an interrupt.",
    epilog="Example: sdpcert sweep plan.toml -o results --jobs 8",
)
def sweep(
    plan: Annotated[
        Path, typer.Argument(metavar="PLAN", help="the plan, a TOML file; with --index the folder of a sweep")
    ],
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="DIR", help="folder of the results")] = None,
    jobs: Annotated[
        int | None, typer.Option(min=1, metavar="K", help="processes, one thread each (all cores)", show_default=False)
    ] = None,
    scheduler: Annotated[
        str | None, typer.Option(metavar="ADDRESS", help="work on a Dask cluster, as in tcp://host:8786")
    ] = None,
    array: Annotated[
        str | None, typer.Option(metavar="I/N", help="only the I-th share of N, as a task of a job array does")
    ] = None,
    slurm: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="print the job file of a Slurm array of N tasks, do nothing")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="print the items, do nothing")] = False,
    index: Annotated[
        bool, typer.Option("--index", help="make the index of a sweep's folder again, do nothing")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Certify many networks by a plan, one file an item.

    Every file is proved again alone, and every item has a line in an index. What has an answer is not done again, so
    the same command goes on after an interrupt, a kill, or a failure.
    """
    if index:
        return _index(plan, as_json)
    stated = read_plan(plan)
    if dry_run:
        return _listing(stated, as_json)
    if output is None:
        raise ValueError("-o DIR is missing: the folder of the results, as in sdpcert sweep plan.toml -o results")
    if slurm is not None:
        return _job(job_file(stated, output, slurm), as_json)
    if scheduler is not None and jobs is not None:
        raise ValueError("--jobs counts processes of this machine, and --scheduler works elsewhere; give one")
    share = (1, 1) if array is None else _share(array)
    workers = jobs or min(_cores(), max(1, len(stated.share(*share))))
    with _libraries_silent(), _place(workers, scheduler) as chosen, _shown() as report:
        try:
            summary = run(stated, output, chosen, share=share, report=report)
        except KeyboardInterrupt:
            raise CommandInterrupted(f"interrupted; {GOES_ON} {output}") from None
        except WorkersLost as error:
            raise CommandInterrupted(f"{error}; {GOES_ON} {output}") from None
    return _print_summary(summary, as_json)


def _place(workers: int, scheduler: str | None) -> AbstractContextManager[Executor]:
    """Where to work: here threads will do, since each has a process beside it that does the items."""
    return threads(workers) if scheduler is None and workers > 1 else executor(1, scheduler)


@contextmanager
def _libraries_silent() -> Iterator[None]:
    """Keep libraries from logging: what a lost connection means is said here, in one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)


def _share(text: str) -> tuple[int, int]:
    which, slash, count = text.partition("/")
    if not (slash and which.isdecimal() and count.isdecimal() and 1 <= int(which) <= int(count)):
        raise ValueError(f"--array wants a share and how many there are, as in 2/8, not {text!r}")
    return int(which), int(count)


def _cores() -> int:
    """The processors that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _listing(plan: Plan, as_json: bool) -> int:
    if as_json:
        print_object("sweep", {"items": [item.document() for item in plan.items]})
        return 0
    for item in plan.items:
        print(item.key)
    networks = len({item.network for item in plan.items})
    print(f"{len(plan.items)} items of {networks} networks", file=sys.stderr)
    return 0


def _job(text: str, as_json: bool) -> int:
    if as_json:
        print_object("sweep", {"job": text})
    else:
        print(text, end="")
    return 0


def _index(path: Path, as_json: bool) -> int:
    folder = Folder(path)
    if not folder.items.is_dir():
        raise ValueError(f"{path}: is no folder of a sweep")
    states = Counter(str(record.state) for record in folder.write_index())
    _print_summary(Summary(path, states.total(), 0, dict(states)), as_json)
    return 0


def _print_summary(summary: Summary, as_json: bool) -> int:
    if as_json:
        counts = {"items": summary.items, "done": summary.done, "states": summary.states}
        print_object("sweep", {"folder": summary.folder, "index": Folder(summary.folder).index} | counts)
        return 0 if summary.proved else 1
    print(f"items       {summary.items}    {summary.done} done now")
    for state in (*State, "missing"):
        if summary.states.get(state):
            print(f"{state:<15} {summary.states[state]}")
    print(f"index       {Folder(summary.folder).index}    (a table: sdpcert table {summary.folder})")
    return 0 if summary.proved else 1


@contextmanager
def _shown() -> Iterator[Callable[[int, int, Record | None], None]]:
    """How far it is, and what is left of the time, on stderr; a line for every item without a proof."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (TextColumn("items"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        task = bar.add_task("items", total=None)
        lines = _Lines()

        def report(items: int, before: int, record: Record | None) -> None:
            if record is not None and record.state is not State.PROVED:
                bar.console.print(
                    f"{record.state}: {record.key}: {record.message}", highlight=False, markup=False, soft_wrap=True
                )
            if record is None:
                bar.update(task, total=items - before)
                bar.console.print(f"{items} items, {before} with an answer", highlight=False)
                return
            bar.advance(task)
            if not console.is_terminal:
                lines.said(items - before)

        yield report


class _Lines:
    """Lines on how far it is for a log, one in a while."""

    def __init__(self) -> None:
        self.start = self.last = time.monotonic()
        self.done = 0

    def said(self, items: int) -> None:
        """One more item is done, of so many."""
        self.done += 1
        now = time.monotonic()
        if now - self.last >= EVERY and self.done < items:
            self.last = now
            left = (now - self.start) / self.done * (items - self.done)
            print(f"{self.done} of {items} done, about {left / 60:.0f} min left", file=sys.stderr, flush=True)

"""`sdpcert derive`: results for all weights, proved or refuted."""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from sdpcert.errors import CommandInterrupted, ProcessEnded
from sdpcert.report import seconds
from sdpcert.running.executors import executor
from sdpcert.running.interrupts import interrupts_noticed
from sdpcert.running.outputs import check_output, reads, write_whole
from sdpcert.running.tasks import Task, outcomes
from sdpcert.verbs import completion, options
from sdpcert.verbs.json_output import print_object
from sdpcert.version import __version__

app = typer.Typer()
#: A name of the library or a file, and which of its derivations.
Place = tuple[str, int]


@app.command(
    short_help="Prove results on layers for all weights, or refute them.",
    epilog="Example: sdpcert derive sll --latex paper --pdf",
)
def derive(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="NAME|FILE|all",
            help="a result of the library, a file of your own, or all",
            autocompletion=completion.derivations,
        ),
    ] = None,
    folder: Annotated[Path | None, typer.Option("--latex", metavar="DIR", help="write a LaTeX document there")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="PROOF.json", help="write the proofs there, to be checked")
    ] = None,
    as_pdf: Annotated[bool, typer.Option("--pdf", help="also compile it (needs a TeX engine)")] = False,
    numbers: Annotated[bool, typer.Option(help="compare with numbers that sdpcert certifies")] = True,
    seed: Annotated[
        int, typer.Option(help="seed of the exact instances and of the search for counterexamples", **options.SEEDS)
    ] = 0,
    effort: Annotated[
        float,
        typer.Option(
            "--claim-time-limit",
            "--effort",
            metavar="S",
            help="seconds for each claim: search, counterexample, multipliers",
        ),
    ] = 20.0,
    time_limit: Annotated[float, typer.Option(metavar="S", help="seconds for all claims together")] = math.inf,
    jobs: options.Jobs = 1,
    as_json: options.AsJson = False,
) -> int:
    """Prove results on Lipschitz layers for all weights, or refute them by an exact counterexample."""
    from sdpcert.derivations.library import load, names
    from sdpcert.symbolic.derivation import PROVED

    if name is None:
        _print_library(as_json)
        return 0
    chosen = {(known, k): d for known in (names() if name == "all" else [name]) for k, d in enumerate(load(known))}
    if not chosen:
        raise ValueError(f"{name}: holds no derivation")
    if Path(name).is_file():
        reads(name)
    tex, compiled = _documents(name, folder, as_pdf)
    if output is not None:
        check_output(output)
    work = Work(chosen, seed, numbers, effort, time_limit, jobs)
    results, finished = work.settled(shown=not as_json)
    written = []
    if finished:
        written += _write(results, work, tex, compiled)
        written += [] if output is None else _write_proofs(results, output)
    proved = sum(r.status == PROVED for r in results)
    stopped = f"interrupted after {sum(r.whole for r in results)} of {len(chosen)} results"
    if as_json:
        found = {
            "results": [one.entry for one in results],
            "written": written,
            "interrupted": None if finished else stopped,
        }
        print_object("derive", found)
    elif len(results) > 1:
        print(f"{proved} of {len(results)} results proved")
    if not finished:
        raise CommandInterrupted(stopped)
    settled = f"{len(results)} result{'s' * (len(results) != 1)}"
    print(f"finished: {settled} in {seconds(sum(r.entry['seconds'] for r in results))}", file=sys.stderr)
    return 0 if proved == len(chosen) else 1


def _documents(name: str, folder: Path | None, as_pdf: bool) -> tuple[Path | None, Path | None]:
    """Where the document goes, as LaTeX and compiled, None where it is not asked for; raises before the work."""
    from sdpcert.symbolic.document import tex_engine

    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"cannot write to {folder}: it is a file, not a folder")
        folder.mkdir(parents=True, exist_ok=True)
    stem = (folder or Path()) / (Path(name).stem if name != "all" else "derivations")
    tex, compiled = stem.with_name(f"{stem.name}.tex"), stem.with_name(f"{stem.name}.pdf")
    if folder is not None:
        check_output(tex)
    if as_pdf:
        tex_engine()
        check_output(compiled)
    return tex if folder is not None else None, compiled if as_pdf else None


def _print_library(as_json: bool) -> None:
    from sdpcert.derivations.library import load, names
    from sdpcert.symbolic.printing import plain

    known = [(name, derivation) for name in names() for derivation in load(name)]
    rows = [(name, plain(derivation.title), plain(derivation.source)) for name, derivation in known]
    if as_json:
        print_object("derive", {"library": [dict(zip(("name", "title", "source"), row, strict=True)) for row in rows]})
        return
    table = Table("name", "result", "source", box=None, pad_edge=False, header_style="bold")
    for row in rows:
        table.add_row(*row)
    Console(width=max(Console().width, 160)).print(table)


@dataclass
class Work:
    """Derivations to settle, each by its name or file and its number there, within an effort for each claim and a time
    limit for all.
    """

    chosen: dict[Place, Any]
    seed: int
    numbers: bool
    effort: float
    time_limit: float
    jobs: int = 1

    @property
    def papers(self) -> list[str]:
        """What the derivations cite."""
        from sdpcert.symbolic.document import cited_papers

        return cited_papers([derivation.source for derivation in self.chosen.values()])

    def settled(self, shown: bool) -> tuple[list[Any], bool]:
        """What is told of them, printed in their order, and whether that was all; what was interrupted comes last."""
        from sdpcert.derivations.library import settle

        told: dict[Place, Any] = {}
        known: list[Any] = []
        printed: list[Place] = []

        def show(places: Iterable[Place]) -> None:
            for place in places:
                if place in told and place not in printed:
                    printed.append(place)
                    if shown:
                        print(told[place].text, flush=True)

        with (
            suppress(KeyboardInterrupt),  # what was settled is printed
            interrupts_noticed() as interrupted,
            Console(stderr=True).status("deriving") as status,
            executor(self.jobs) as workers,
        ):
            function = settle if self.jobs > 1 else self._here(known, status)
            with closing(outcomes(workers, function, self._tasks(), in_flight=self.jobs)) as settled:
                for outcome in settled:
                    if interrupted.is_set():  # its numbers are those of solves that were cut short
                        break
                    died = isinstance(outcome.error, ProcessEnded)
                    told[outcome.key] = self._open(outcome.key, outcome.error) if died else outcome.result
                    known.clear()
                    show(takewhile(told.__contains__, self.chosen))
                    status.update(f"{len(told)} of {len(self.chosen)} results")
        finished = len(told) == len(self.chosen)
        if known and not finished:
            place = list(self.chosen)[len(told)]
            told[place] = _interrupted(self.chosen[place], known)
        show(self.chosen)
        return [told[place] for place in printed], finished

    def _tasks(self) -> Iterator[Task[Place]]:
        """What is handed out, each with the time that is left."""
        started, papers = time.monotonic(), self.papers
        for place in self.chosen:
            passed = time.monotonic() - started
            left = max(self.time_limit - passed, 1e-9) if self.time_limit > 0 else self.time_limit
            yield Task(place, (*place, papers, self.seed, self.numbers, self.effort, left))

    def _here(self, known: list[Any], status: Status) -> Callable[..., Any]:
        """A function that settles a derivation in this process; `known` has its claims that are settled."""
        from sdpcert.symbolic.deriving import derive as settle
        from sdpcert.symbolic.told import Told

        def here(name: str, number: int, papers: list[str], *options: Any) -> Any:
            derivation = self.chosen[name, number]
            count = len(derivation.parts) + len(derivation.controls)

            def progress(part: Any) -> None:
                known.append(part)
                status.update(f"{derivation.name}: {derivation.title}, {len(known)} of {count} claims")

            status.update(f"{derivation.name}: {derivation.title}")
            return Told.of(settle(derivation, *options, progress=progress), papers)

        return here

    def _open(self, place: Place, error: BaseException | None) -> Any:
        """What is told of a derivation whose process died."""
        from sdpcert.symbolic.result import Result
        from sdpcert.symbolic.told import Told

        return Told.of(Result(self.chosen[place], (), (), (), 0.0, str(error)), self.papers)


def _interrupted(derivation: Any, known: list[Any]) -> Any:
    """What is told of a derivation whose claims were not all settled."""
    from sdpcert.symbolic.result import Result
    from sdpcert.symbolic.told import Told

    parts, count = len(derivation.parts), len(derivation.parts) + len(derivation.controls)
    seconds = sum(part.seconds for part in known)
    note = f"interrupted after {len(known)} of {count} claims"
    return Told.of(Result(derivation, tuple(known[:parts]), tuple(known[parts:]), (), seconds, note, whole=False))


def _write_proofs(told: list[Any], output: Path) -> list[Path]:
    """One file with the proofs of all results, or a line that says which of them has none; what was written."""
    from sdpcert.symbolic.proof_object import document

    missing = next((one.missing for one in told if one.proof is None), None)
    if missing is not None:
        print(f"{output} is not written: {missing}", file=sys.stderr)
        return []
    each = [one.proof for one in told]
    whole = each[0] if len(each) == 1 else document("Derivations", "", [t for one in each for t in one["theorems"]])
    write_whole(output, json.dumps(whole, indent=1) + "\n")
    print(f"written {output}; check it with: sdpcert check {output}", file=sys.stderr)
    return [output]


def _write(told: list[Any], work: Work, tex: Path | None, compiled: Path | None) -> list[Path]:
    """The document as LaTeX and compiled, each if it has a name; what was written."""
    from sdpcert.symbolic.document import assembled, pdf

    written = [path for path in (tex, compiled) if path is not None]
    if not written:
        return []
    title = "Derivations" if len(told) != 1 else told[0].entry["title"]
    source = assembled([one.section for one in told], work.papers, title, __version__)
    if tex is not None:
        write_whole(tex, source)
        print(f"written {tex}", file=sys.stderr)
    if compiled is not None:
        pdf(source, compiled)
        print(f"written {compiled}", file=sys.stderr)
    return written

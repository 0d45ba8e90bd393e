"""`sdpcert derive`: results for all weights, proved or refuted."""

from __future__ import annotations

import json
import math
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from sdpcert.errors import CommandInterrupted
from sdpcert.report import seconds
from sdpcert.running.interrupts import interrupts_noticed
from sdpcert.running.outputs import check_output, reads, write_whole
from sdpcert.verbs import completion, options
from sdpcert.verbs.json_output import print_object
from sdpcert.version import __version__

app = typer.Typer()


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
        float, typer.Option(metavar="S", help="seconds for each claim: search, counterexample, multipliers")
    ] = 20.0,
    time_limit: Annotated[float, typer.Option(metavar="S", help="seconds for all claims together")] = math.inf,
    as_json: options.AsJson = False,
) -> int:
    """Prove results on Lipschitz layers for all weights, or refute them by an exact counterexample."""
    from sdpcert.derivations.library import load, names
    from sdpcert.symbolic.derivation import PROVED
    from sdpcert.symbolic.document import tex_engine
    from sdpcert.symbolic.listing import listing

    if name is None:
        _print_library(as_json)
        return 0
    chosen = [d for known in (names() if name == "all" else [name]) for d in load(known)]
    if not chosen:
        raise ValueError(f"{name}: holds no derivation")
    if folder is not None:
        if folder.exists() and not folder.is_dir():
            raise ValueError(f"cannot write to {folder}: it is a file, not a folder")
        folder.mkdir(parents=True, exist_ok=True)
    if Path(name).is_file():
        reads(name)
    stem = (folder or Path()) / (Path(name).stem if name != "all" else "derivations")
    tex, compiled = stem.with_name(f"{stem.name}.tex"), stem.with_name(f"{stem.name}.pdf")
    if folder is not None:
        check_output(tex)
    if output is not None:
        check_output(output)
    if as_pdf:
        tex_engine()  # raises before the work, not after it
        check_output(compiled)
    work = Work(chosen, seed, numbers, effort, time_limit)
    results, finished = work.settled(shown=not as_json)
    written = []
    if finished:
        written += _write(results, tex if folder is not None else None, compiled if as_pdf else None)
        written += [] if output is None else _write_proofs(results, output)
    proved = sum(r.status == PROVED for r in results)
    stopped = f"interrupted after {sum(r.whole for r in results)} of {len(chosen)} results"
    if as_json:
        found = {"results": listing(results), "written": written, "interrupted": None if finished else stopped}
        print_object("derive", found)
    elif len(results) > 1:
        print(f"{proved} of {len(results)} results proved")
    if not finished:
        raise CommandInterrupted(stopped)
    print(f"finished: {len(results)} settled in {seconds(sum(r.seconds for r in results))}", file=sys.stderr)
    return 0 if proved == len(chosen) else 1


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
    """Derivations to settle, within an effort for each claim and a time limit for all."""

    chosen: list[Any]
    seed: int
    numbers: bool
    effort: float
    time_limit: float

    def settled(self, shown: bool) -> tuple[list[Any], bool]:
        """The results, printed as they come, and whether that was all of them; what was interrupted comes last."""
        results, known, finished, start = [], [], False, time.monotonic()
        with (
            suppress(KeyboardInterrupt),  # what was settled is printed
            interrupts_noticed() as interrupted,
            Console(stderr=True).status("deriving") as status,
        ):
            for derivation in self.chosen:
                known.clear()
                count = len(derivation.parts) + len(derivation.controls)

                def progress(part: Any, derivation: Any = derivation, count: int = count) -> None:
                    known.append(part)
                    status.update(f"{derivation.name}: {derivation.title}, {len(known)} of {count} claims")

                status.update(f"{derivation.name}: {derivation.title}")
                result = self._one(derivation, progress, time.monotonic() - start)
                if interrupted.is_set():  # its numbers are those of solves that were cut short
                    break
                results.append(result)
                known.clear()
                if shown:
                    print(result.text(), flush=True)
            finished = not interrupted.is_set()
        if not finished and known:
            results.append(_interrupted(self.chosen[len(results)], known))
            if shown:
                print(results[-1].text(), flush=True)
        return results, finished

    def _one(self, derivation: Any, progress: Any, passed: float) -> Any:
        """The result of a derivation, in the time that is left."""
        from sdpcert.symbolic.deriving import derive as settle

        left = max(self.time_limit - passed, 1e-9) if self.time_limit > 0 else self.time_limit
        return settle(derivation, self.seed, self.numbers, self.effort, left, progress)


def _interrupted(derivation: Any, known: list[Any]) -> Any:
    """What is known of a derivation whose claims were not all settled."""
    from sdpcert.symbolic.result import Result

    parts, count = len(derivation.parts), len(derivation.parts) + len(derivation.controls)
    seconds = sum(part.seconds for part in known)
    note = f"interrupted after {len(known)} of {count} claims"
    return Result(derivation, tuple(known[:parts]), tuple(known[parts:]), (), seconds, note, whole=False)


def _write_proofs(results: list[Any], output: Path) -> list[Path]:
    """One file with the proofs of all results, or a line that says which of them has none; what was written."""
    from sdpcert.symbolic.proof_object import document

    try:
        each = [result.document() for result in results]
    except ValueError as missing:
        print(f"{output} is not written: {missing}", file=sys.stderr)
        return []
    whole = each[0] if len(each) == 1 else document("Derivations", "", [t for one in each for t in one["theorems"]])
    write_whole(output, json.dumps(whole, indent=1) + "\n")
    print(f"written {output}; check it with: sdpcert check {output}", file=sys.stderr)
    return [output]


def _write(results: list[Any], tex: Path | None, compiled: Path | None) -> list[Path]:
    """The document as LaTeX and compiled, each if it has a name; what was written."""
    from sdpcert.symbolic.document import document, pdf

    written = [path for path in (tex, compiled) if path is not None]
    if not written:
        return []
    source = document(results, "Derivations" if len(results) != 1 else results[0].derivation.title, __version__)
    if tex is not None:
        write_whole(tex, source)
        print(f"written {tex}", file=sys.stderr)
    if compiled is not None:
        pdf(source, compiled)
        print(f"written {compiled}", file=sys.stderr)
    return written

"""`sdpcert derive`: results for all weights, proved or refuted."""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from sdpcert.errors import CommandInterrupted
from sdpcert.running.interrupts import interrupts_noticed
from sdpcert.running.outputs import check_output, reads, write_whole
from sdpcert.verbs import options
from sdpcert.version import __version__

app = typer.Typer()


@app.command(epilog="Example: sdpcert derive sll --latex paper --pdf")
def derive(
    name: Annotated[
        str | None, typer.Argument(metavar="NAME|FILE|all", help="a result of the library, a file of your own, or all")
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
    as_json: options.AsJson = False,
) -> int:
    """Prove results on Lipschitz layers for all weights, or refute them by an exact counterexample."""
    from sdpcert.derivations.library import load, names
    from sdpcert.symbolic.derivation import PROVED
    from sdpcert.symbolic.document import tex_engine

    if name is None:
        _print_library()
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
    results, finished = _settled(chosen, seed, numbers, shown=not as_json)
    if as_json:
        entries = [{"name": r.derivation.name, "title": r.derivation.title} for r in results]
        print(json.dumps([e | {"status": r.status, "seconds": r.seconds} for e, r in zip(entries, results)]))
    if finished:
        _write(results, tex if folder is not None else None, compiled if as_pdf else None)
        if output is not None:
            _write_proofs(results, output)
    proved = sum(r.status == PROVED for r in results)
    if len(results) > 1 and not as_json:
        print(f"{proved} of {len(results)} results proved")
    if not finished:
        raise CommandInterrupted(f"interrupted after {len(results)} of {len(chosen)} results")
    return 0 if proved == len(chosen) else 1


def _print_library() -> None:
    from sdpcert.derivations.library import load, names
    from sdpcert.symbolic.printing import plain

    table = Table("name", "result", "source", box=None, pad_edge=False, header_style="bold")
    for known in names():
        for derivation in load(known):
            table.add_row(known, plain(derivation.title), plain(derivation.source))
    Console(width=max(Console().width, 160)).print(table)


def _settled(chosen: list[Any], seed: int, numbers: bool, shown: bool) -> tuple[list[Any], bool]:
    """The results of derivations, printed as they come, and whether that was all of them."""
    from sdpcert.symbolic.deriving import derive as settle

    results, finished = [], False
    with (
        suppress(KeyboardInterrupt),  # what was settled is printed
        interrupts_noticed() as interrupted,
        Console(stderr=True).status("deriving") as status,
    ):
        for derivation in chosen:
            status.update(f"{derivation.name}: {derivation.title}")
            result = settle(derivation, seed, numbers)
            if interrupted.is_set():  # its numbers are those of solves that were cut short
                break
            results.append(result)
            if shown:
                print(result.text(), flush=True)
        finished = not interrupted.is_set()
    return results, finished


def _write_proofs(results: list[Any], output: Path) -> None:
    """One file with the proofs of all results; raises ValueError, and writes nothing, if one is not proved."""
    from sdpcert.symbolic.proof_object import document

    each = [result.document() for result in results]
    whole = each[0] if len(each) == 1 else document("Derivations", "", [t for one in each for t in one["theorems"]])
    write_whole(output, json.dumps(whole, indent=1) + "\n")
    print(f"written {output}; check it with: sdpcert check {output}", file=sys.stderr)


def _write(results: list[Any], tex: Path | None, compiled: Path | None) -> None:
    from sdpcert.symbolic.document import document, pdf

    if tex is None and compiled is None:
        return
    source = document(results, "Derivations" if len(results) != 1 else results[0].derivation.title, __version__)
    if tex is not None:
        write_whole(tex, source)
        print(f"written {tex}", file=sys.stderr)
    if compiled is not None:
        pdf(source, compiled)
        print(f"written {compiled}", file=sys.stderr)

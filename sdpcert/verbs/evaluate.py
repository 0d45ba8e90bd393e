"""`sdpcert evaluate`: certified accuracy of a run, with proofs."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from sdpcert.errors import CommandInterrupted
from sdpcert.report import percent_down, percent_up, rounded_down
from sdpcert.verbs import options

app = typer.Typer()


@app.command(epilog="Example: sdpcert evaluate runs/digits --level F")
def evaluate(
    run: Annotated[Path, typer.Argument(metavar="RUN", help="folder of a finished run")],
    radii: Annotated[str | None, typer.Option(help="l2 radii for images of values 0 to 1, as in 0.5,36/255")] = None,
    bounds: Annotated[
        str, typer.Option(help="some of by-construction,sdp,pairwise; the default leaves the programs out")
    ] = "by-construction",
    level: Annotated[str, typer.Option(help="R: real arithmetic; F: float32 in any order of summation")] = "R",
    attack: Annotated[bool, typer.Option(help="search adversarial points: the other side of every accuracy")] = True,
    pairs: Annotated[str, typer.Option(help="certificates of pairs of classes: auto, all or none")] = "auto",
    count: Annotated[int | None, typer.Option(help="only so many of the test images, the first")] = None,
    data: Annotated[Path | None, typer.Option(help="folder of the data, if it is elsewhere now")] = None,
    device: options.Device = "cpu",
    time_limit: Annotated[float, typer.Option(help="seconds that a bound's programs may take by estimate")] = 300.0,
    seed: options.Seed = 0,
    again: Annotated[
        bool, typer.Option("--again", help="only verify the saved evaluation, from the run's files and the data")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Certified accuracy of a finished run, with proofs, saved in the run's folder."""
    options.training_package()
    from sdpcert.errors import EvaluationRejected
    from sdpcert.evaluation.again import recertify
    from sdpcert.evaluation.trained import evaluate as measured

    if again:
        try:
            result = recertify(run, data, device)
        except EvaluationRejected as error:
            print(f"sdpcert: rejected: {error}", file=sys.stderr)
            return 1
    else:
        result = measured(
            run,
            None if radii is None else options.numbers(radii, "--radii", "0.5,36/255"),
            [b.strip() for b in bounds.split(",")],
            level,
            attack,
            pairs=pairs,
            count=count,
            root=data,
            device=device,
            time_limit=time_limit,
            seed=seed,
            progress=sys.stderr.isatty(),
            command=" ".join(["sdpcert", *sys.argv[1:]]),
            on_interrupt="prove",
        )
    _print(result, again, as_json)
    if result.notes and not again:
        raise CommandInterrupted("; ".join(result.notes))
    # Notes tell of what was interrupted: what is there holds, and some is missing.
    return 1 if result.notes else 0


def _print(result: Any, again: bool, as_json: bool) -> None:
    if as_json:
        print(json.dumps(result.summary()))
        return
    print(f"{result.samples} test images, {percent_down(result.clean_accuracy)} % right, level {result.level}")
    headers = ("radius", "bound", "certified", "not attacked")
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for row in result.rows:
        attacked = "" if row.attacked_accuracy is None else f"{percent_up(row.attacked_accuracy)} %"
        table.add_row(rounded_down(row.radius, 4), row.bound, f"{percent_down(row.accuracy)} %", attacked)
    Console(width=max(Console().width, 100)).print(table)
    for name, reason in result.left_out.items():
        print(f"left out: {name}: {reason}", file=sys.stderr)
    for note in result.notes if again else ():
        print(f"note: {note}", file=sys.stderr)
    print(f"{'verified' if again else 'saved'} {result.path}", file=sys.stderr)

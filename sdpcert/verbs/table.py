"""`sdpcert table`: a table of saved certificates, radii or runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sdpcert.running import choices
from sdpcert.running.phases import phases_shown
from sdpcert.verbs import options
from sdpcert.verbs.json_output import print_object

app = typer.Typer()


@app.command(
    short_help="Make a table of certificates, radii or runs, each proved again.",
    epilog="Example: sdpcert table *.cert.json --format latex -o ladder.tex",
)
def table(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="certificates, files of radii, or runs (evaluation.json)")
    ],
    kind: Annotated[
        choices.TableKind | None, typer.Option(help="what a row is about (default: what the files are)")
    ] = None,
    columns: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="names of columns, as in network,lower,upper")
    ] = None,
    form: Annotated[choices.TableFormat, typer.Option("--format", help="format of the table")] = "markdown",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="write the table there")] = None,
    caption: Annotated[str | None, typer.Option(metavar="TEXT", help="caption in place of the usual one")] = None,
    times: Annotated[bool, typer.Option("--times/--no-times", help="columns with durations")] = True,
    as_json: options.AsJson = False,
) -> int:
    """Make a table of saved certificates, radii or runs, each proved again; one that is not makes no table."""
    from sdpcert.report import write_table

    inside = as_json and output is None  # the table is part of the object
    with phases_shown("proving again") as show:
        text = write_table(files, kind, columns, "json" if inside else form, output, caption, times, show)
    if as_json:
        written = [] if output is None else [output]
        print_object("table", {"written": written, "table": json.loads(text) if inside else None})
    elif output is None:
        print(text, end="")
    return 0

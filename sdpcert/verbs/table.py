"""`sdpcert table`: a table of saved certificates, radii or runs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

app = typer.Typer()


@app.command(epilog="Example: sdpcert table *.cert.json --kind ladder --format latex -o ladder.tex")
def table(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILES...", help="certificates, files of radii, or runs (evaluation.json)")
    ],
    kind: Annotated[
        str | None, typer.Option(help="ladder, bounds, regions, families, solvers, radii or accuracy")
    ] = None,
    columns: Annotated[str | None, typer.Option(help="names of columns, as in network,lower,upper")] = None,
    form: Annotated[str, typer.Option("--format", help="markdown, latex, csv or json")] = "markdown",
    output: Annotated[Path | None, typer.Option("--output", "-o", metavar="FILE", help="write the table there")] = None,
    caption: Annotated[str | None, typer.Option(help="caption in place of the usual one")] = None,
    times: Annotated[bool, typer.Option("--times/--no-times", help="columns with durations")] = True,
) -> int:
    """Make a table of saved certificates, radii or runs, each proved again; one that is not makes no table."""
    from sdpcert.report import write_table

    with Console(stderr=True).status("proving again"):
        text = write_table(files, kind, columns, form, output, caption, times)
    if output is None:
        print(text, end="")
    return 0

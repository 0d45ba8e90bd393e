"""`sdpcert report`: one page on a certificate, a file of radii or a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdpcert.running import choices
from sdpcert.running.phases import phases_shown
from sdpcert.verbs import options
from sdpcert.verbs.json_output import print_object

app = typer.Typer()


@app.command(
    short_help="Write one HTML page on certificates, radii or a run.",
    epilog="Example: sdpcert report model.cert.json -o model.html --figures figures",
)
def report(
    files: Annotated[
        list[Path],
        typer.Argument(metavar="CERT|RADII|RUN", help="a certificate (and others of its network), radii, or a run"),
    ],
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="the page (default: the file's name .html)")
    ] = None,
    figures: Annotated[
        Path | None, typer.Option(metavar="DIR", help="also write every figure alone, at paper size")
    ] = None,
    figure_format: Annotated[choices.FigureFormat, typer.Option(help="format of the figures that stand alone")] = "pdf",
    times: Annotated[bool, typer.Option("--times/--no-times", help="durations and hashes of files")] = True,
    as_json: options.AsJson = False,
) -> int:
    """Write one self-contained HTML page on a certificate, a file of radii or a run, everything in it proved again."""
    from sdpcert.report import write_report

    with phases_shown("proving again") as show:
        written = write_report(files, output, figures, figure_format, times, show)
    if as_json:
        print_object("report", {"written": written})
        return 0
    for path in written:
        print(path)
    return 0

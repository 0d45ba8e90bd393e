"""What the verbs `sdpcert table` and `sdpcert report` do, apart from parsing the command line."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path

from sdpcert.report.drawing import write_figures
from sdpcert.report.formats import FORMATS, formatted
from sdpcert.report.page import make_report
from sdpcert.report.table import make_table
from sdpcert.running.choices import FIGURE_FORMATS
from sdpcert.running.outputs import check_not_read, check_output, write_whole

#: A path as text or as an object.
Name = str | os.PathLike[str]


def write_table(
    files: Sequence[Name],
    kind: str | None = None,
    columns: str | None = None,
    form: str = "markdown",
    output: Name | None = None,
    caption: str | None = None,
    times: bool = True,
    progress: Callable[[str], None] | None = None,
) -> str:
    """Make a table of saved certificates, radii or runs; with `output` it is also written there, whole or not at all.

    `columns` are names separated by commas; `progress` is told which file is proved again. Returns the text. Raises
    `NotVerified` if a file does not verify, ValueError for bad arguments; nothing is written then.
    """
    if form not in FORMATS:
        raise ValueError(f"no format {form!r} of tables; there are {', '.join(FORMATS)}")
    if output is not None:
        check_output(output, files)
    names = None if columns is None else [name.strip() for name in columns.split(",") if name.strip()]
    if names == []:
        raise ValueError("--columns wants names separated by commas, as in network,upper,lower")
    text = formatted(make_table(files, kind, names, caption, times, progress=progress), form)
    if output is not None:
        write_text(Path(output), text)
    return text


def write_report(
    files: Sequence[Name],
    output: Name | None = None,
    figures: Name | None = None,
    figure_format: str = "pdf",
    times: bool = True,
    progress: Callable[[str], None] | None = None,
) -> list[Path]:
    """Write the page of a certificate, a file of radii or a run, and with `figures` its figures in that folder;
    returns the paths.

    The page's name is that of the first file with `.html`, in the working folder, unless `output` names another.
    Raises as `write_table` does; nothing is written then.
    """
    if figure_format not in FIGURE_FORMATS:
        raise ValueError(f"no format {figure_format!r} of figures; there are {', '.join(FIGURE_FORMATS)}")
    if not files:
        raise ValueError("no file: give a certificate (*.cert.json), radii (*.radii.json) or a run (evaluation.json)")
    first = Path(files[0])
    stem = (
        first.resolve().name
        if first.is_dir()
        else first.name.removesuffix(".json").removesuffix(".cert").removesuffix(".radii")
    )
    page = Path(output or f"{stem}.html")
    check_output(page, files)
    made = make_report(files, page, times, progress)
    if figures is not None:
        for figure in made.figures:
            check_not_read(Path(figures) / f"{figure.key}.{figure_format}", files)
    html = made.html()
    drawn = [] if figures is None else write_figures(made.figures, figures, figure_format)
    write_text(page, html)
    return [page, *drawn]


def write_text(path: Path, text: str) -> None:
    """Write a text file whole or not at all; raises ValueError with one line if that fails."""
    write_whole(path, text.encode("utf-8", errors="backslashreplace"))  # names of files may be no text

"""Tables of saved certificates and runs, every file proved again, with a caption that says how they were made."""

from __future__ import annotations

import os
import platform
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdpcert.report.columns import DIGITS, KINDS, Cell, Column, Subject, columns_of
from sdpcert.report.radii_file import RadiiFile
from sdpcert.report.records import Read, Record, Run, by_network, read_all
from sdpcert.report.stated import StatedFile
from sdpcert.report.sweep_folder import gathered
from sdpcert.version import __version__

LEVELS = {
    "R": "Execution level R: real arithmetic on the stated weights",
    "F": "Execution level F: float32 in any order of summation",
}


@dataclass(frozen=True, eq=False)
class Table:
    """A finished table: `rows` has the cells of each row in the order of `columns`.

    `made` says in one sentence which command and versions made the table, `notes` what a reader has to know.
    """

    kind: str
    title: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    notes: tuple[str, ...]
    command: str
    versions: str
    files: tuple[dict[str, Any], ...] = field(default=(), repr=False)

    @property
    def made(self) -> str:
        """The command and the versions that made the table, without a full stop."""
        return f"Made by {self.command} ({self.versions})"


def make_table(
    paths: Sequence[str | os.PathLike[str]],
    kind: str | None = None,
    columns: Sequence[str] | None = None,
    caption: str | None = None,
    times: bool = True,
    digits: int = DIGITS,
    command: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Table:
    """Read the files, prove them again and arrange them.

    A folder of a sweep stands for the files of its items. `kind` is one of `KINDS`; without it runs give "accuracy",
    files of radii "radii", certificates "ladder", and those of regions "regions".
    Results that other tools state (`report/stated.py`) give "tools".
    `caption` replaces the title, `command` what the caption says about its origin; `progress` is told which file is
    proved again. Raises `NotVerified` if a file does not verify, ValueError for a wrong kind, column or mixture of
    files.
    """
    if kind is not None and kind not in KINDS:
        raise ValueError(f"no kind {kind!r} of table; there are {', '.join(KINDS)}")
    if not paths:
        raise ValueError("no files: give certificates (*.cert.json), radii (*.radii.json) or runs (evaluation.json)")
    if columns is not None and kind is not None:
        columns_of(kind, columns, (), True)  # a wrong name is said before files are proved
    found = gathered(paths, kind)
    read = read_all(found.files, progress)
    if kind is None:
        kind = _usual_kind(read)
    subjects = _subjects(kind, read)
    chosen = columns_of(kind, columns, subjects, times)
    rows = tuple(tuple(c.cell(s, digits) for c in chosen) for s in subjects)
    return Table(
        kind,
        caption or KINDS[kind].title,
        tuple(chosen),
        rows,
        (*_notes(kind, chosen, read), *found.notes),
        command or command_of(paths, kind, columns, times),
        versions_of(read),
        tuple(_file(r, times) for r in read),
    )


def command_of(paths: Sequence[Any], kind: str, columns: Sequence[str] | None, times: bool) -> str:
    """The command line that makes the table again."""
    parts = ["sdpcert", "table", *map(str, paths), "--kind", kind]
    parts += [] if columns is None else ["--columns", ",".join(columns)]
    return shlex.join(parts + ([] if times else ["--no-times"]))


def versions_of(read: Sequence[Read]) -> str:
    """Versions of this program and of those that wrote the certificates, in words."""
    here = f"sdpcert {__version__}, Python {platform.python_version()}"
    written = [r.versions for r in read]
    stated = []
    for key, label in (
        ("sdpcert", "sdpcert"),
        ("python", "Python"),
        ("numpy", "NumPy"),
        ("scipy", "SciPy"),
        ("torch", "torch"),
    ):
        found = sorted({v[key] for v in written if key in v})
        if found:
            stated.append(f"{label} {'/'.join(found)}")
    return here + (f"; files written with {', '.join(stated)}" if stated else "")


def _usual_kind(read: Sequence[Read]) -> str:
    for kind, what in (("accuracy", Run), ("radii", RadiiFile)):
        if all(isinstance(r, what) for r in read):
            return kind
    if any(isinstance(r, StatedFile) for r in read):
        return "tools"
    return "regions" if any(isinstance(r, Record) and r.on_region for r in read) else "ladder"


def _subjects(kind: str, read: Sequence[Read]) -> list[Subject]:
    records = [r for r in read if isinstance(r, Record)]
    runs = [r for r in read if isinstance(r, Run)]
    radii = [r for r in read if isinstance(r, RadiiFile)]
    wanted, made_of = {"accuracy": (runs, "runs"), "radii": (radii, "files of radii")}.get(
        kind, (records, "certificates")
    )
    others = [r for r in read if isinstance(r, StatedFile)]
    if others and kind != "tools":
        raise ValueError(f"{others[0].path}: states results of another tool, which stand in tables of kind tools alone")
    for what, other in (("a certificate", records), ("a run", runs), ("a file of radii", radii)):
        if other and other is not wanted:
            of = kind if kind in ("accuracy", "radii") else f"kind {kind}"
            raise ValueError(f"{other[0].path}: {what}, but tables of {of} are made of {made_of}")
    if kind == "accuracy":
        return [Subject(run=run, entry=entry) for run in runs for entry in run.rows]
    if kind == "radii":
        return [Subject(radii=file, entry=row) for file in radii for row in file.rows]
    if kind == "tools":
        return [subject for r in read for subject in _side_by_side(r)]
    if KINDS[kind].by_network:
        return [Subject(tuple(group)) for group in by_network(records)]
    return [Subject((record,)) for group in by_network(records) for record in group]


def _side_by_side(read: Read) -> list[Subject]:
    """The rows of a file in a table of tools."""
    if isinstance(read, StatedFile):
        return [Subject(stated=result) for result in read.results]
    return [Subject((read,))] if isinstance(read, Record) else []


def _notes(kind: str, columns: Sequence[Column], read: Sequence[Read]) -> list[str]:
    records = [r for r in read if isinstance(r, Record)]
    if kind == "accuracy":
        stated = {r.evaluation.level for r in read if isinstance(r, Run)}
        notes = [
            "Every run and its certificates were proved again when the table was made; accuracies, radii and attained "
            "values are rounded down, constants and accuracies under attack up."
        ]
        notes += [f"{LEVELS.get(level, 'Execution level ' + level)}." for level in sorted(stated, reverse=True)]
    elif kind == "radii":
        notes = _notes_on_radii([r for r in read if isinstance(r, RadiiFile)])
    else:
        regional = any(r.region.bounded for r in records)
        notes = [
            "Every certificate was proved again when the table was made; upper bounds are rounded up, attained values "
            "down (the files' own, evaluated again by sdpcert check with --network).",
            f"{LEVELS['R']}, l2 to l2, {'on the regions named' if regional else 'all inputs'}.",
        ]
    for column in columns:
        if column.note and column.note not in notes:
            notes.append(column.note)
    if any(c.name == "gap" for c in columns) and any(r.divided for r in records):
        notes.append("Where a region is divided into pieces, the gap is (upper - attained) / upper.")
    ours = [r for r in read if not isinstance(r, Run | StatedFile)]
    floating = sum(r.verdict.level != "exact" for r in ours)
    if floating:
        notes.append(f"{floating} of the proofs are in floating point with rigorous error bounds, the others exact.")
    bare = [r.path.name for r in ours if not r.digest]
    if bare:
        notes.append(f"Without digest, so only their proofs are protected against changes: {', '.join(bare)}.")
    return notes


def _notes_on_radii(files: Sequence[RadiiFile]) -> list[str]:
    notes = [
        "Certified are the inputs that have the right class and are proved to keep it within the radius; others that "
        "no attack moved are open. Every file was proved again when the table was made; certified shares and radii "
        "are rounded down, those under attack up."
    ]
    notes += [f"{LEVELS[level]}." for level in sorted({f.level for f in files}, reverse=True)]
    if not all(f.largest_tried for f in files):
        notes.append("Where only some radii were tried, larger ones, and a larger median, may be provable.")
    coordinates = sorted({f.coordinates for f in files})
    if len(coordinates) == 1:
        return [*notes, f"The coordinates of the radii are {coordinates[0]}."]
    return [*notes, *(f"The coordinates of the radii of {f.path.name} are {f.coordinates}." for f in files)]


def _file(read: Read, times: bool) -> dict[str, Any]:
    if isinstance(read, StatedFile):
        verdict = "stated by others, not proved"
    else:
        verdict = "the evaluation verifies" if isinstance(read, Run) else read.verdict.reason
    described: dict[str, Any] = {"path": str(Path(read.path)), "verdict": verdict}
    if not isinstance(read, Run | StatedFile):
        described["network_sha256"] = read.verdict.sha256
    return described | ({"sha256": read.file_hash} if times else {})

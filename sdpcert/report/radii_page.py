"""What a page says of a file of radii, apart from its figures."""

from __future__ import annotations

import shlex
from pathlib import Path

from sdpcert.report.contents import Evidence, Number, Report, link
from sdpcert.report.radii_figures import figures_of_radii
from sdpcert.report.radii_file import RadiiFile
from sdpcert.report.rounding import percent_down, radius_text, seconds
from sdpcert.report.table import LEVELS, versions_of

ANCHOR = "radii-1"


def of_radii(file: RadiiFile, folder: Path, command: str, times: bool) -> Report:
    """The page of a file of radii; links to files are relative to `folder`."""
    figures, missing = figures_of_radii(file)
    count = len(file.radius)
    level = LEVELS[file.level]
    where = "" if file.within is None else f", inputs within {file.within}"
    notes = [
        f"{level}, {file.norm} norm{where}. The coordinates of the radii are {file.coordinates}. Radii and certified "
        "shares are rounded down, shares that no attack found wrong up.",
        "The radii are proved, and that the points of the attack have another class. That an attack found nothing "
        "nearer proves nothing; times are what the run stated. Whether network and inputs are those of a model and "
        "of a file of data is compared by sdpcert check with --network and --data.",
    ]
    if not file.largest_tried:
        notes.append("Only the radii of the table were tried: larger ones than those stated may be provable.")
    stated = file.stated("notes", list) or []
    notes += [f"Note of the run: {note.rstrip('.')}." for note in stated if isinstance(note, str)]
    right = int(file.correct.sum())
    return Report(
        f"Certified radii of {file.name}",
        f"{right} of {count} inputs have the right class, and each of them keeps it for all changes of {file.norm} "
        f"length up to its radius{where}, proved."
        if right
        else f"None of {count} inputs has the right class for certain, so none has a radius.",
        tuple(_numbers(file, times)),
        tuple(figures),
        tuple(missing),
        (_evidence(file, folder, times),),
        tuple(notes),
        command,
        versions_of([file]),
    )


def _numbers(file: RadiiFile, times: bool) -> list[Number]:
    numbers = [
        Number("right", f"{percent_down(file.clean)} %", f"of {len(file.radius)} inputs", ANCHOR),
        Number("median radius", radius_text(file.median), "at least half of the inputs have it", ANCHOR),
    ]
    for row in (row for row in file.rows if row.radius > 0):
        left = "" if row.attacked is None else f"; {row.attacked} under attack"
        beside = f"{row.certified} of {row.count}{left}"
        numbers.append(
            Number(f"certified at {radius_text(row.radius)}", f"{percent_down(row.accuracy)} %", beside, ANCHOR)
        )
    if times and file.seconds is not None and file.seconds_each is not None:
        numbers.append(Number("time", seconds(file.seconds), f"{seconds(file.seconds_each)} an input, stated", ANCHOR))
    return numbers


def _evidence(file: RadiiFile, folder: Path, times: bool) -> Evidence:
    facts = [
        ("file", file.path.name, link(file.path, folder)),
        ("network from", file.source, ""),
        ("network's hash", file.verdict.sha256, ""),
        ("inputs' hash", file.document["data_sha256"], ""),
        ("arithmetic", f"{file.verdict.level} proof, level {file.level}", ""),
        ("coordinates", file.coordinates, ""),
        ("within", file.within or "all inputs of the ball or box", ""),
    ]
    if times:
        facts.append(("file's hash", file.file_hash, ""))
    if not file.digest:
        facts.append(("digest", "none: what is not proved is not protected against changes", ""))
    facts.append(("check again", shlex.join(["sdpcert", "check", str(file.path)]), ""))
    return Evidence(ANCHOR, f"Radii, {file.path.name}", "Proved", file.verdict.reason, tuple(facts))

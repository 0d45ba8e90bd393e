"""One page on a certificate, a file of radii or a run: which of them, and what is said of certificates and runs."""

from __future__ import annotations

import os
import shlex
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdpcert.report.accuracy import accuracy
from sdpcert.report.collection import of_collection
from sdpcert.report.contents import Evidence, Number, Report, link
from sdpcert.report.figures import figures_of
from sdpcert.report.radii_file import RadiiFile
from sdpcert.report.radii_page import of_radii
from sdpcert.report.records import Read, Record, Run, read_all, same_network, where
from sdpcert.report.rounding import percent_down, radius_text, rounded_down, rounded_up, seconds
from sdpcert.report.stated import StatedFile
from sdpcert.report.sweep_folder import gathered
from sdpcert.report.table import LEVELS, versions_of

FURTHER_RUNGS = (
    "Other rungs of the ladder: give further certificates of this network (sdpcert certify NET --method layer, or "
    "product) after the first."
)
FURTHER_REGIONS = (
    "Bounds against the radius: give certificates of this network for other radii (sdpcert certify NET --around X.npy "
    "--radius R) after the first."
)


def make_report(
    paths: Sequence[str | os.PathLike[str]],
    output: str | os.PathLike[str] | None = None,
    times: bool = True,
    progress: Callable[[str], None] | None = None,
) -> Report:
    """Read a certificate, a file of radii or a run, prove it again, and gather what the page shows.

    Further certificates of the same network add rungs to the ladder. The folder of a sweep stands for its files, which
    may be about many networks. Links to files are relative to the folder of
    `output`; `progress` is told which file is proved again. Raises `NotVerified` if a file does not
    verify, ValueError if files do not belong together.
    """
    if not paths:
        raise ValueError("no file: give a certificate (*.cert.json), radii (*.radii.json) or a run (evaluation.json)")
    found = gathered(paths)
    read = read_all(found.files, progress)
    folder = Path(output).parent if output is not None else Path()
    command = shlex.join(["sdpcert", "report", *map(str, paths)] + ([] if times else ["--no-times"]))
    made = _of_files(read, found.swept, folder, command, times)
    return replace(made, notes=(*made.notes, *found.notes))


def _of_files(read: list[Read], swept: bool, folder: Path, command: str, times: bool) -> Report:
    stated = next((file for file in read if isinstance(file, StatedFile)), None)
    if stated is not None:
        raise ValueError(f"{stated.path}: states results of other tools, which a page does not show; a table does")
    if isinstance(read[0], Run):
        if len(read) > 1:
            raise ValueError(f"{read[1].path}: a report is about one run at a time")
        return _of_run(read[0], folder, command, times)
    if isinstance(read[0], RadiiFile):
        if len(read) > 1:
            raise ValueError(f"{read[1].path}: a report is about one file of radii at a time")
        return of_radii(read[0], folder, command, times)
    records: list[Record] = []
    for other in read:
        if not isinstance(other, Record):
            what = "a run" if isinstance(other, Run) else "a file of radii"
            raise ValueError(f"{other.path}: {what}; it needs a report of its own")
        if records and not swept and not same_network(records[0], other):
            raise ValueError(f"{other.path}: about another network than {records[0].path}")
        records.append(other)
    if not all(same_network(records[0], other) for other in records):
        return of_collection(records, folder, command)
    return _of_certificates(records, folder, command, times)


def _of_certificates(records: list[Record], folder: Path, command: str, times: bool) -> Report:
    subject = records[0]
    anchors = [f"certificate-{k}" for k in range(1, len(records) + 1)]
    figures, missing = figures_of(records, times)
    numbers = [Number("proved upper bound", rounded_up(subject.upper), f"method {subject.method}", anchors[0])]
    if subject.lower is not None:
        numbers.append(Number("attained value", rounded_down(subject.lower), "by two inputs in the file", anchors[0]))
        if subject.lower > 0:
            ratio = rounded_up(subject.upper / subject.lower * (1 + 1e-15), 4)
            numbers.append(Number("upper bound / attained", ratio, "1 is tight", anchors[0]))
    if subject.gap is not None and subject.method != "product":
        what = "(upper − attained) / upper" if subject.divided else "to the optimum of the condition, stated"
        numbers.append(Number("gap, at most", rounded_up(subject.gap, 2), what, anchors[0]))
    if subject.divided:
        what = f"with a bound of their own, of {subject.looked_at}"
        numbers.append(Number("pieces", str(subject.pieces), what, anchors[0]))
    if times and subject.stated("seconds", (int, float)) is not None:
        numbers.append(Number("time", seconds(float(subject.information["seconds"])), "in all, stated", anchors[0]))
    inputs, neurons, outputs = subject.sizes
    sizes = [f"{n} {name}" for n, name in ((inputs, "inputs"), (neurons, "neurons"), (outputs, "outputs")) if n]
    on = "on " if subject.region.bounded else ""
    notes = [
        f"{LEVELS['R']}, l2 to l2, {on}{where(subject)}. Upper bounds are rounded up, attained values down.",
        "The upper bounds are proved. Attained values are the files' own (sdpcert check with --network evaluates them "
        "again); dual bounds, histories, slack and times are what the runs stated.",
    ]
    stated = subject.stated("notes", list) or []
    notes += [f"Note of the run: {note}." for note in stated if isinstance(note, str)]
    if len(records) == 1:
        missing = [*missing, FURTHER_REGIONS if subject.region.bounded else FURTHER_RUNGS]
    return Report(
        f"Lipschitz bound of {subject.name}",
        f"|f(x) − f(x′)| ≤ {rounded_up(subject.upper)} |x − x′| {_for_all(subject)}, proved. {', '.join(sizes)}.",
        tuple(numbers),
        tuple(figures),
        tuple(missing),
        tuple(_evidence(r, a, folder, times) for r, a in zip(records, anchors, strict=True)),
        tuple(notes),
        command,
        versions_of(records),
    )


def _for_all(record: Record) -> str:
    """The inputs of a claim, in its sentence."""
    return f"for all x, x′ in {where(record)}" if record.region.bounded else "for all inputs"


def _evidence(record: Record, anchor: str, folder: Path, times: bool) -> Evidence:
    facts = [
        ("file", record.path.name, link(record.path, folder)),
        ("method", record.method, ""),
        ("solver", f"{record.stated('solver', str) or 'unknown'} ({record.stated('solver_status', str) or '?'})", ""),
        ("inputs", where(record), ""),
        ("upper", rounded_up(record.upper), ""),
        ("attained", "" if record.lower is None else rounded_down(record.lower), ""),
        ("arithmetic", f"{record.proof} proof, level R", ""),
        ("network's hash", record.verdict.sha256, ""),
        ("network from", record.source, ""),
    ]
    if times:
        facts.append(("file's hash", record.file_hash, ""))
    if not record.digest:
        facts.append(("digest", "none: what is not proved is not protected against changes", ""))
    facts.append(("check again", shlex.join(["sdpcert", "check", str(record.path)]), ""))
    return Evidence(anchor, f"{record.method}, {record.path.name}", "Proved", record.verdict.reason, tuple(facts))


def _of_run(run: Run, folder: Path, command: str, times: bool) -> Report:
    figure, evaluation = accuracy(run), run.evaluation
    level = LEVELS.get(evaluation.level, f"Execution level {evaluation.level}")
    numbers = [
        Number("right", f"{percent_down(evaluation.clean_accuracy)} %", f"of {evaluation.samples} inputs", "run-1")
    ]
    for row in run.rows:
        numbers.append(
            Number(
                f"certified at {radius_text(row.radius)}",
                f"{percent_down(row.accuracy)} %",
                f"bound {row.bound}",
                f"bound-{row.bound}",
            )
        )
    facts = [
        ("file", run.path.name, link(run.path, folder)),
        ("data", f"{run.part('data', 'name') or 'unknown'}, {evaluation.samples} inputs", ""),
        ("weights' hash", run.part("model", "weights_sha256") or "unknown", ""),
        ("level", level, ""),
    ]
    if times:
        facts.append(("file's hash", run.file_hash, ""))
    facts.append(("check again", shlex.join(["sdpcert", "table", str(run.path)]), ""))
    verdict = "radii and rows follow from the logits in the file and the constants that its certificates prove."
    evidence = [Evidence("run-1", run.path.name, "Verified", verdict, tuple(facts))]
    evidence += [_evidence_of_bound(run, bound, folder) for bound in evaluation.bounds]
    return Report(
        f"Certified accuracy of {run.name}",
        f"{level}; certified accuracies and radii are rounded down.",
        tuple(numbers),
        () if figure is None else (figure,),
        () if figure is not None else ("Accuracy: the run has no rows.",),
        tuple(evidence),
        (
            "An accuracy under attack is an upper bound of what any proof could certify; it is rounded up.",
            *(f"Note of the run: {note.rstrip('.')}." for note in evaluation.notes),
        ),
        command,
        versions_of([run]),
    )


def _evidence_of_bound(run: Run, bound: Any, folder: Path) -> Evidence:
    several = "" if len(bound.certificates) == 1 else ", the largest"
    facts = [(f"constant{several}", rounded_up(bound.upper), ""), (f"attained{several}", rounded_down(bound.lower), "")]
    for c in bound.certificates:
        name = "certificate" if c.pair is None else f"classes {c.pair[0]} and {c.pair[1]}"
        facts.append((name, f"{Path(c.file).name}: {rounded_up(c.upper)}", link(run.path.parent / c.file, folder)))
    count = len(bound.certificates)
    verdict = "the certificate was accepted." if count == 1 else f"all {count} certificates were accepted."
    return Evidence(f"bound-{bound.name}", f"Bound {bound.name}", "Proved", verdict, tuple(facts))

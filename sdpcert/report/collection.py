"""What a page says of the certificates of many networks: those of a sweep."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from pathlib import Path

from sdpcert.report.contents import Evidence, Number, Report, link
from sdpcert.report.figure import Axis, Data, Figure, Series
from sdpcert.report.records import Record, by_network, where
from sdpcert.report.rounding import rounded_down, rounded_up
from sdpcert.report.table import LEVELS, versions_of

ANCHOR = "certificates"


def of_collection(records: Sequence[Record], folder: Path, command: str) -> Report:
    """The page of certificates of several networks; links to files are relative to `folder`."""
    networks = len({record.source for record in records})
    subjects = len(by_network(records))
    numbers = [
        Number("networks", str(networks), "files, as the certificates name them", ANCHOR),
        Number("certificates", str(len(records)), "each proved again for this page", ANCHOR),
    ]
    for method, ratios in _ratios(records).items():
        middle = rounded_up(statistics.median_high(ratios), 4)
        numbers.append(Number(f"upper / attained, {method}", middle, "median; 1 is tight", ANCHOR))
    facts = [(r.name, f"{rounded_up(r.upper)}, {r.method}", link(r.path, folder)) for r in records]
    accepted = f"the checker accepted all {len(records)} certificates; each links to its file."
    return Report(
        f"Lipschitz bounds of {networks} networks",
        f"{len(records)} upper bounds, all proved, of {subjects} combinations of network, outputs and region.",
        tuple(numbers),
        (_spread(records),),
        (),
        (Evidence(ANCHOR, "Certificates", "Proved", accepted, tuple(facts)),),
        (f"{LEVELS['R']}, l2 to l2. Upper bounds are rounded up, attained values, which are the files' own, down.",),
        command,
        versions_of(records),
    )


def _ratios(records: Sequence[Record]) -> dict[str, list[float]]:
    """Upper bound over attained value of every certificate that has one, sorted, by method."""
    found: dict[str, list[float]] = {}
    for record in records:
        if record.lower:
            # One part in 2^52 more than the quotient in float64 is above the exact one.
            found.setdefault(record.method, []).append(record.upper / record.lower * (1 + 2.0**-52))
    return {method: sorted(found[method]) for method in sorted(found)}


def _spread(records: Sequence[Record]) -> Figure:
    """How tight the bounds are: their quotients with the attained values, sorted, a line for each method."""
    ratios = _ratios(records)
    series = [
        Series(method, [100 * (k + 1) / len(values) for k in range(len(values))], values)
        for method, values in ratios.items()
    ]
    every = [value for values in ratios.values() for value in values] or [1.0]
    return Figure(
        "spread",
        "How tight the bounds are",
        "Upper bound over attained value of every certificate, sorted: "
        + "; ".join(f"{m} from {rounded_up(v[0], 4)} to {rounded_up(v[-1], 4)}" for m, v in ratios.items())
        + ".",
        "A point says for which share of a method's certificates the proved bound is at most so many times the value "
        "that two inputs attain; the constant lies between the two, so 1 is tight.",
        Axis("certificates", "%", low=0.0, high=100.0),
        Axis("upper bound / attained", log=max(every) / min(every) > 3),
        tuple(series),
        Data(("network", "inputs", "method", "attained", "upper bound"), tuple(_row(record) for record in records)),
    )


def _row(record: Record) -> tuple[str, ...]:
    attained = "" if record.lower is None else rounded_down(record.lower)
    return record.name, where(record), record.method, attained, rounded_up(record.upper)

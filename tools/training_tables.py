"""The tables of benchmarks.training, of the results that exist."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sdpcert.report.rounding import percent_down, percent_up, rounded_up, seconds
from tools.documents import Table

Read = Callable[[str], Any]
Result = dict[str, Any]
TABLES = ("mnist", "ablation", "cifar", "long", "families")


def tables(read: Read) -> dict[str, Callable[[], str]]:
    """The tables of the results that are there, as Markdown, made when they are called."""
    there = [name for name in TABLES if is_there(read, name)]
    return {f"training_{name}": partial(_text, partial(compared, read, name)) for name in there}


def is_there(read: Read, name: str) -> bool:
    try:
        read(f"training_{name}")
    except ValueError as error:
        if "does not exist" not in str(error):
            raise
        return False
    return True


def _text(make: Callable[[], Table]) -> str:
    return make().markdown()


def compared(read: Read, name: str) -> Table:
    """A row a contender, or a change of one: means over the seeds, and how far the seeds are apart at the last radius.

    Certified accuracies are rounded down, those under attack and constants up.
    """
    document = read(f"training_{name}")
    whole = [run for run in document["runs"] if "failed" not in run]
    radii = list(whole[0]["certified"]) if whole else []
    rows = []
    for label, runs in groups(whole).items():
        last = [run["certified"][radii[-1]] for run in runs]
        spread = f"{100 * (max(last) - min(last)):.2f}" if len(runs) > 1 else ""
        certified = [f"{percent_down(_mean(run['certified'][r] for run in runs))} %" for r in radii]
        attacked = f"{percent_up(_mean(run['under_attack'][radii[-1]] for run in runs))} %"
        rate = f"{_mean(run['images_a_second'] for run in runs):.0f}"
        size = f"{runs[0]['parameters'] / 1e6:.2f}"
        first = (label, runs[0]["package"], size, rate, seconds(60 * runs[0]["minutes"]), str(len(runs)))
        constant = rounded_up(max(run["constant"] for run in runs), 6)
        clean = f"{percent_down(_mean(run['clean'] for run in runs))} %"
        rows.append((*first, constant, clean, *certified, attacked, spread))
    head = ("network", "package", "million parameters", "images/s", "time", "seeds", "constant", "right")
    shown = tuple(f"certified {_radius(r)}" for r in radii)
    # Sorted by the last radius, the best first.
    rows.sort(key=lambda row: -float(row[len(head) + len(radii) - 1].rstrip(" %")))
    ends = (f"under attack {_radius(radii[-1])}", "spread") if radii else ("under attack", "spread")
    if all(row[-1] == "" for row in rows):  # one seed has no spread
        rows, ends = [row[:-1] for row in rows], ends[:-1]
    made = document["machine"]
    caption = f"{made['processor']}, {made['threads']} threads, torch {made['versions']['torch']}."
    return Table((*head, *shown, *ends), rows, caption)


def groups(runs: Iterable[Result]) -> dict[str, list[Result]]:
    found: dict[str, list[Result]] = {}
    for run in runs:
        label = run["name"] if run["change"] == "nothing" else f"{run['name']}: {run['change']}"
        found.setdefault(label, []).append(run)
    return found


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def _radius(text: str) -> str:
    """A radius as it is usually written: multiples of 1/255 as such."""
    steps = float(text) * 255
    return f"{round(steps)}/255" if abs(steps - round(steps)) < 1e-3 and round(steps) % 36 == 0 else text

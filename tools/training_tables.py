"""The tables of benchmarks.training, of the results that exist."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from sdpcert.report.rounding import percent_down, percent_up, rounded_up
from tools.documents import Table

Read = Callable[[str], Any]
Result = dict[str, Any]
#: A run that lost this share of its time to something else does not count, and is measured again.
DISTURBED = 0.02
TABLES = ("mnist", "ablation", "cifar", "long", "families")
#: Right and certified at 36/255, 72/255, 108/255, in percent, after 24 hours on one A100: the best size of each family
#: in "1-Lipschitz Layers Compared" (Prach, Brau, Buttazzo, Lampert 2024), the source of no number for sandwich layers.
PUBLISHED = {
    "families-sll": "75.3, 62.8, 48.9, 35.8",
    "families-aol": "73.7, 61.5, 48.0, 35.8",
    "families-cpl": "76.8, 65.2, 51.8, 37.7",
    "families-soc": "76.9, 66.3, 53.4, 40.0",
    "families-sandwich": "",
}


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
    whole = counted(document["runs"])
    radii = list(whole[0]["certified"]) if whole else []
    rows = []
    for (label, minutes, threads), runs in groups(whole).items():
        last = [run["certified"][radii[-1]] for run in runs]
        spread = f"{100 * (max(last) - min(last)):.2f}" if len(runs) > 1 else ""
        certified = [f"{percent_down(_mean(run['certified'][r] for run in runs))} %" for r in radii]
        attacked = f"{percent_up(_mean(run['under_attack'][radii[-1]] for run in runs))} %"
        rate = f"{_mean(run['images_a_second'] for run in runs):.0f}"
        size = f"{runs[0]['parameters'] / 1e6:.2f}"
        first = (label, runs[0]["package"], size, rate, f"{minutes:g} min", str(threads), str(len(runs)))
        constant = rounded_up(max(run["constant"] for run in runs), 6)
        clean = f"{percent_down(_mean(run['clean'] for run in runs))} %"
        in_float = _in_float(runs, radii[-1])
        rows.append((*first, constant, clean, *certified, attacked, in_float, PUBLISHED.get(label, ""), spread))
    head = ("network", "package", "million parameters", "images/s", "time", "threads", "seeds", "constant", "right")
    shown = tuple(f"certified {_radius(r)}" for r in radii)
    # Sorted by the last radius, the best first.
    rows.sort(key=lambda row: -float(row[len(head) + len(radii) - 1].rstrip(" %")))
    last = _radius(radii[-1]) if radii else ""
    ends = (f"under attack {last}", f"certified {last}, level F", "published, 24 h on a GPU", "spread")
    columns = (*head, *shown, *ends)
    # Columns in which nothing stands: one seed has no spread, not every table has level F or published values.
    kept = [k for k in range(len(columns)) if k < len(head) or any(row[k] for row in rows)]
    rows, columns = [tuple(row[k] for k in kept) for row in rows], tuple(columns[k] for k in kept)
    made = document["machine"]
    caption = f"{made['processor']} with {made['cores']} cores, torch {made['versions']['torch']}."
    return Table(columns, rows, caption)


def _in_float(runs: list[Result], radius: str) -> str:
    """What is certified of every float32 evaluation, where all runs say so."""
    if any("certified_float32" not in run for run in runs):
        return ""
    return f"{percent_down(_mean(run['certified_float32'][radius] for run in runs))} %"


def counted(runs: Iterable[Result]) -> list[Result]:
    """The runs that did not fail, and lost nearly no time to something else."""
    return [run for run in runs if "failed" not in run and run["lost"] < DISTURBED]


def groups(runs: Iterable[Result]) -> dict[tuple[str, float, int], list[Result]]:
    """The runs of each contender with the same time and threads, by its label, minutes and threads."""
    found: dict[tuple[str, float, int], list[Result]] = {}
    for run in runs:
        label = run["name"] if run["change"] == "nothing" else f"{run['name']}: {run['change']}"
        found.setdefault((label, run["minutes"], run["threads"]), []).append(run)
    return found


def _mean(values: Iterable[float]) -> float:
    return statistics.fmean(values)


def _radius(text: str) -> str:
    """A radius as it is usually written: multiples of 1/255 as such."""
    steps = float(text) * 255
    return f"{round(steps)}/255" if abs(steps - round(steps)) < 1e-3 and round(steps) % 36 == 0 else text

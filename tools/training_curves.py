"""The learning curves of benchmarks.training as figures of the documents: python -m tools.training_curves

One figure a table of results that is there, docs/figures/training/TABLE.svg: accuracy on test images against the
seconds of training, the first seed of every network. The other packages' networks are looked at on some of the images.
"""

from __future__ import annotations

from pathlib import Path

import typer

from sdpcert.report.drawing import write_figures
from sdpcert.report.figure import Axis, Data, Figure, Series
from tools.documents import ROOT
from tools.make_tables import Read, reader
from tools.training_tables import counted, groups, is_there

TABLES = ("cifar", "long")
#: As many as a figure has styles for.
MOST = 4


def curves(read: Read, name: str) -> Figure:
    """The figure of a table of results."""
    whole = counted(read(f"training_{name}")["runs"])
    last = max(whole[0]["certified"], key=float)
    ordered = sorted(groups(whole).items(), key=lambda item: -item[1][0]["certified"][last])[:MOST]
    packages = [runs[0]["package"] for _, runs in ordered]
    names = [label for (label, *_), _ in ordered]
    series, rows = [], []
    for (label, minutes, threads), runs in ordered:
        package = runs[0]["package"]
        if names.count(label) > 1:
            label = f"{label}, {minutes:g} min, {threads} threads"
        elif packages.count(package) == 1:  # short where it can be
            label = package
        points = [(r["seconds"], 100 * r["test_accuracy"]) for r in runs[0]["records"] if "test_accuracy" in r]
        series.append(Series(label, [x for x, _ in points], [y for _, y in points]))
        rows += [(label, f"{x:.0f}", f"{y:.1f}") for x, y in points]
    return Figure(
        name,
        "Accuracy while training",
        f"Accuracy on test images against the seconds of training: {', '.join(one.name for one in series)}.",
        "Accuracy on test images, without an attack, after each look at them; the clock counts training steps alone.",
        Axis("training", "s", low=0.0),
        Axis("right", "%"),
        tuple(series),
        Data(("network", "seconds", "right in %"), tuple(rows)),
    )


def main() -> None:
    """Draw the figures of the results that are there."""
    read = reader(ROOT)
    figures = [curves(read, name) for name in TABLES if is_there(read, name)]
    for path in write_figures(figures, Path(ROOT) / "docs" / "figures" / "training", "svg"):
        print(path)


if __name__ == "__main__":
    typer.run(main)

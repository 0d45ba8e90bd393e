"""The tables of docs/models.md, from `benchmarks.models`: what is read, with bounds and time, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from sdpcert.report.rounding import rounded_down, rounded_up, seconds
from tools.documents import Table

Read = Callable[[str], Any]


def tables(read: Read) -> dict[str, Callable[[], str]]:
    """Both tables by name, made when they are called."""
    made = {"models_read": taken, "models_refused": refused}
    return {name: partial(_text, make, read) for name, make in made.items()}


def _text(make: Callable[[Read], Table], read: Read) -> str:
    return make(read).markdown()


def taken(read: Read) -> Table:
    """A row a model that was certified."""
    rows = [
        (
            row["family"],
            f"`{row['model']}`" if row["family"] == "files" else row["model"],
            row["computes"],
            str(row["inputs"]),
            str(row["neurons"]),
            row["method"],
            rounded_down(row["lower"], 4),
            rounded_up(row["upper"], 4),
            seconds(row["seconds"]),
        )
        for row in read("models")["rows"]
        if row["why"] is None
    ]
    return Table(("family", "model", "computes", "inputs", "neurons", "method", "attained", "proved", "time"), rows)


def refused(read: Read) -> Table:
    """A row a model that was refused, with the reason in the message."""
    rows = [
        (row["family"], f"`{row['model']}`" if row["family"] == "files" else row["model"], row["computes"], reason(row))
        for row in read("models")["rows"]
        if row["why"] is not None
    ]
    return Table(("family", "model", "computes", "why it is refused"), rows)


def reason(row: dict[str, Any]) -> str:
    """What a message says after the place, without remedies."""
    return str(row["why"]).rsplit("cannot be represented: ", 1)[-1].split("; ")[0]

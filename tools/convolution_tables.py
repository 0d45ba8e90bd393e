"""The table of convolutions in float64, from `benchmarks.float64_convolutions`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from sdpcert.report.rounding import percent_down, rounded_down, seconds
from tools.documents import Table

Read = Callable[[str], Any]


def tables(read: Read) -> dict[str, Callable[[], str]]:
    """The table by name, made when it is called."""
    return {"float64_convolutions": lambda: compared(read).markdown()}


def compared(read: Read) -> Table:
    """A row a layer; ratios above one are in favour of this project."""
    document = read("float64_convolutions")
    images = document["images"]
    rows = [
        (
            row["name"],
            f"{row['inputs']} to {row['outputs']}",
            f"{row['kernel']} x {row['kernel']}{', circular' if row['circular'] else ''}",
            str(row["stride"]),
            str(row["side"]),
            seconds(row["seconds"] * images),
            seconds(row["torch"] * images),
            rounded_down(row["ratio"], 2),
            f"{percent_down(row['share_of_peak'])} %",
        )
        for row in document["rows"]
    ]
    columns = ("layer", "channels", "kernel", "stride", "side", f"{images} images", "torch", "ratio", "share of peak")
    return Table(columns, rows)

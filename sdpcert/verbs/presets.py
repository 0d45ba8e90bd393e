"""`sdpcert train` without a configuration: the presets."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from rich.console import Console
from rich.table import Table

from sdpcert.verbs.json_output import print_object

#: What the table does not say of where images come from.
DATA = "data: digits comes with scikit-learn; of the others a configuration states the folder: data.root"


def print_presets(training: Any, as_json: bool) -> None:
    """Print what each preset is, the data that it needs, the parameters of its network and how long it trains."""
    presets = training.described_presets()
    if as_json:
        print_object("train", {"presets": [asdict(preset) for preset in presets]})
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("preset", no_wrap=True)
    table.add_column("what it is")
    table.add_column("data", no_wrap=True)
    for header in ("parameters", "training"):
        table.add_column(header, justify="right", no_wrap=True)
    for preset in presets:
        length = f"{preset.epochs} epochs" if preset.epochs is not None else f"{preset.minutes:g} minutes"
        table.add_row(preset.name, preset.description, preset.data, f"{preset.parameters:,}", length)
    Console(width=max(Console().width, 120)).print(table)
    print(DATA)

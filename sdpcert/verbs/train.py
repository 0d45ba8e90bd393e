"""`sdpcert train`: train a network of 1-Lipschitz layers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from sdpcert.errors import CommandInterrupted
from sdpcert.running.outputs import check_not_read
from sdpcert.verbs import completion, options

app = typer.Typer()


@app.command(short_help="Train a network of 1-Lipschitz layers.", epilog="Example: sdpcert train digits -o runs/digits")
def train(
    config: Annotated[
        str | None,
        typer.Argument(
            metavar="CONFIG",
            help="a TOML file, or the name of a preset; none lists the presets",
            autocompletion=completion.presets,
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="RUN", help="run folder (default: runs/ and CONFIG's name)")
    ] = None,
    device: options.Device = "cpu",
    resume: Annotated[bool, typer.Option(help="go on from the run folder's checkpoint, if there is one")] = True,
) -> int:
    """Train a network of 1-Lipschitz layers; a run that was stopped goes on where it was."""
    training = options.training_package()
    if config is None:
        print("\n".join(training.preset_names()))
        return 0
    path = Path(config)
    if not path.is_file() and config not in training.preset_names():
        raise ValueError(f"{config!r} is neither a file nor a preset; `sdpcert train` lists the presets")
    place = output or Path("runs") / path.stem
    if path.is_file():
        from sdpcert.training.runs import FILES

        for name in FILES[1:]:  # the configuration is written as it was resolved, and may be its own
            check_not_read(place / name, [path])
    try:
        folder = training.train(
            path if path.is_file() else {"preset": config},
            place,
            resume=resume,
            device=device,
            progress=sys.stderr.isatty(),
        )
    except training.TrainingInterrupted as stopped:
        raise CommandInterrupted(str(stopped)) from None
    print(folder)
    print(f"next: sdpcert evaluate {folder}", file=sys.stderr)
    return 0

"""`sdpcert train`: train a network of 1-Lipschitz layers."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sdpcert.errors import CommandInterrupted
from sdpcert.report import percent_down, seconds
from sdpcert.running.outputs import check_not_read
from sdpcert.verbs import completion, options
from sdpcert.verbs.json_output import print_object
from sdpcert.verbs.presets import print_presets

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
    as_json: options.AsJson = False,
) -> int:
    """Train a network of 1-Lipschitz layers; a run that was stopped goes on where it was."""
    training = options.training_package()
    if config is None:
        print_presets(training, as_json)
        return 0
    path = Path(config)
    if not path.is_file() and config not in training.preset_names():
        raise ValueError(f"{config!r} is neither a file nor a preset; `sdpcert train` lists the presets")
    place = output or Path("runs") / path.stem
    if path.is_file():
        from sdpcert.training.runs import FILES

        for name in FILES[1:]:  # the configuration is written as it was resolved, and may be its own
            check_not_read(place / name, [path])
    before = training.is_finished(place)
    stopped = ""
    try:
        training.train(
            path if path.is_file() else {"preset": config},
            place,
            resume=resume,
            device=device,
            progress=sys.stderr.isatty(),
        )
    except training.TrainingInterrupted as error:
        stopped = str(error)
    found = training.reached(place)
    if as_json:
        print_object("train", {"run": place, **found, "finished_before": before, "interrupted": stopped or None})
    if stopped:
        raise CommandInterrupted(stopped)
    if not as_json:
        print(place)
    print(_finished(place, found, before), file=sys.stderr)
    return 0


def _finished(place: Path, found: dict[str, Any], before: bool) -> str:
    """That a run is finished, what it reached, and what comes next."""
    right = found["reached"].get("test_accuracy")
    accuracy = "" if right is None else f", {percent_down(right)} % of the test images right"
    how = f"{found['epochs']} epochs in {seconds(found['seconds'])}{accuracy}"
    begun = f"{place} was finished before, nothing is left to do" if before else "finished"
    return f"{begun}: {how}; next: sdpcert evaluate {place}"

"""`sdpcert evaluate`: certified accuracy of a run or of any model, with proofs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdpcert.running import choices
from sdpcert.verbs import completion, options, regions
from sdpcert.verbs.evaluated_model import ModelOptions, evaluate_model
from sdpcert.verbs.evaluated_run import RunOptions, evaluate_run

app = typer.Typer()


@app.command(
    short_help="Prove how far inputs may move and keep their class.",
    epilog="Example: sdpcert evaluate model.onnx --data images.npz --within 0,1",
)
def evaluate(
    subject: Annotated[
        Path | None,
        typer.Argument(
            metavar="RUN|MODEL",
            help="folder of a finished run, or a model file as certify reads it",
            show_default=False,
        ),
    ] = None,
    example: options.Example = None,
    data: Annotated[
        Path | None,
        typer.Option(
            metavar="X.npz|FOLDER",
            help="inputs of a model: arrays `inputs` (n, ...) and `labels` (n,); of a run: the folder of its data, if "
            "it is elsewhere now",
        ),
    ] = None,
    radii: Annotated[
        str | None,
        typer.Option(
            metavar="R,...", help="radii of the table, as in 0.5,36/255 (of a run for images of values 0 to 1)"
        ),
    ] = None,
    level: options.Level = "R",
    attack: Annotated[bool, typer.Option(help="search adversarial points: the other side of every accuracy")] = True,
    strong_attack: Annotated[
        bool, typer.Option("--strong-attack", help="search harder: more steps and restarts, of a run more losses too")
    ] = False,
    count: Annotated[int | None, typer.Option(min=1, metavar="N", help="only so many of the inputs, the first")] = None,
    time_limit: Annotated[
        float | None,
        typer.Option(
            metavar="S", help="seconds an input (60), or of a run what a bound's programs may take by estimate (300)"
        ),
    ] = None,
    seed: options.Seed = 0,
    norm: Annotated[regions.NormName | None, typer.Option(help="of a model: the norm of the radii (l2)")] = None,
    within: Annotated[
        str | None,
        typer.Option(metavar="LO,HI", help="of a model: only inputs with all entries from LO to HI, as in 0,1"),
    ] = None,
    mean: Annotated[
        str | None,
        typer.Option(metavar="M", help="of a model that reads (x - M) / S for an input x: a number, or one a channel"),
    ] = None,
    std: Annotated[str | None, typer.Option(metavar="S", help="of a model: see --mean")] = None,
    constants: Annotated[
        bool | None,
        typer.Option(
            help="of a model: prove constants of pairs of classes (unless they take long)", show_default=False
        ),
    ] = None,
    jobs: Annotated[int | None, typer.Option(min=1, metavar="K", help="of a model: processes (1)")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="of a model: the file (its name .radii.json)"),
    ] = None,
    activation: options.ActivationName = None,
    orientation: options.Orientation = None,
    bounds: Annotated[
        str | None,
        typer.Option(
            metavar="NAME,...",
            help="of a run: some of by-construction, sdp and pairwise (by-construction)",
            autocompletion=completion.bounds_of_runs,
        ),
    ] = None,
    pairs: Annotated[
        choices.Pairs | None, typer.Option(help="of a run: which pairs of classes have certificates (auto)")
    ] = None,
    device: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            help="of a run: cpu, or a torch device such as cuda (cpu)",
            autocompletion=completion.devices,
        ),
    ] = None,
    again: Annotated[
        bool, typer.Option("--again", help="of a run: only verify the saved evaluation, from its files and the data")
    ] = False,
    as_json: options.AsJson = False,
) -> int:
    """Certified accuracy, with proofs: of a model on inputs of your own, or of a finished run, saved in its folder."""
    of_model = ModelOptions(norm, within, mean, std, constants, jobs, output, activation, orientation, example)
    of_run = RunOptions(bounds, pairs, device, again)
    if strong_attack and not attack:
        raise ValueError("--strong-attack is an attack: leave out --no-attack")
    if strong_attack and again:
        raise ValueError("--again verifies the evaluation that is there: leave out --strong-attack")
    how: choices.Attack = "strong" if strong_attack else "quick" if attack else "none"
    wanted = None if radii is None else options.numbers(radii, "--radii", "0.5,36/255")
    if subject is None:
        return evaluate_model(None, of_model, wanted, level, how, count, data, time_limit, seed, as_json)
    folder = subject.is_dir() or not (subject.suffix or subject.exists())  # perhaps of a run that is not there
    if folder and not (data is not None and data.is_file()):
        _refuse(of_model.given, "evaluations of a model", "with --data X.npz the run's network is one")
        return evaluate_run(subject, of_run, wanted, level, how, count, data, time_limit, seed, as_json)
    whose = "a folder with --data X.npz is evaluated as a model" if folder else "give the folder of one"
    _refuse(of_run.given, "evaluations of a run", whose)
    return evaluate_model(subject, of_model, wanted, level, how, count, data, time_limit, seed, as_json)


def _refuse(given: list[str], kind: str, remedy: str) -> None:
    if given:
        raise ValueError(f"{given[0]} belongs to {kind}; leave it out, or {remedy}")

"""Options that several verbs have, and what they do with them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from sdpcert.network import Network
from sdpcert.readers import load
from sdpcert.readers.examples import EXAMPLES, ExampleName, example_network, load_example
from sdpcert.running import choices
from sdpcert.running.extras import needed_by
from sdpcert.running.phases import phases_shown
from sdpcert.verbs import completion

NetworkFile = Annotated[
    Path | None, typer.Argument(metavar="NET", help="model file: .onnx, .npz, .mat or .safetensors", show_default=False)
]
Example = Annotated[
    ExampleName | None, typer.Option("--example", help="in place of a model file: a network that comes with sdpcert")
]
Method = Annotated[
    choices.Method, typer.Option(help="product of norms, one multiplier per layer or per neuron, or the best that fits")
]
SolverName = Annotated[choices.SolverName, typer.Option(help="who solves the semidefinite program")]
Tolerance = Annotated[float, typer.Option(metavar="EPS", help="relative accuracy asked of the bound")]
Rows = Annotated[
    str | None,
    typer.Option(
        "--output-rows", "--rows", metavar="I,J,...", help="certify these outputs alone, counted from 0, as in 7,8"
    ),
]
Device = Annotated[
    str, typer.Option(metavar="NAME", help="cpu, or a torch device such as cuda", autocompletion=completion.devices)
]
ActivationName = Annotated[
    choices.ActivationName | None,
    typer.Option(metavar="NAME", help="activation of an array file (.npz, .mat, .safetensors): relu, tanh, maxmin ..."),
]
Orientation = Annotated[choices.Orientation | None, typer.Option(help="orientation of an array file's weights")]
TimeLimit = Annotated[
    float,
    typer.Option(
        metavar="S", help="seconds for search, proof and attained value together: what is best by then is proved"
    ),
]
#: The largest seed that torch and NumPy both take.
LARGEST_SEED = 2**63 - 1


def checked_seed(seed: int) -> int:
    """A seed that torch and NumPy both take; any other is refused by name."""
    if not 0 <= seed <= LARGEST_SEED:
        raise typer.BadParameter(f"{seed} is not in the range 0 to {LARGEST_SEED}")
    return seed


SEEDS: dict[str, Any] = {"metavar": "N", "callback": checked_seed}
Seed = Annotated[int, typer.Option(help="seed of the search for an attained lower bound", **SEEDS)]
SearchEffort = Annotated[
    float, typer.Option(min=0, metavar="E", help="effort of that search: 0 the shortest, 10 at most ten times the work")
]
Form = Annotated[choices.Form, typer.Option(help="every pixel a neuron, or over frequencies (convolutional networks)")]
HeadOption = Annotated[choices.Head, typer.Option("--head", help="dense head after convolutions: with them, or apart")]
Level = Annotated[choices.Level, typer.Option(help="R: real arithmetic; F: float32 in any order of summation")]
Jobs = Annotated[int, typer.Option(min=1, metavar="K", help="processes that work side by side")]
AsJson = Annotated[bool, typer.Option("--json", help="print one JSON object")]


def network_path(net: Path | None, example: ExampleName | None) -> Path:
    """The model file; ValueError with one line unless it is given either as a file or as an example."""
    if net is None and example is not None:
        return example_network(example)
    if net is not None and example is None:
        return net
    if net is None:
        raise ValueError(f"a model is missing: give its file, or --example with one of {', '.join(EXAMPLES)}")
    raise ValueError(f"{net} and --example {example} are two models; leave one of them out")


def network_of(net: Path | None, example: ExampleName | None, given: dict[str, str]) -> Network:
    """The network of a model file or of an example; ValueError with one line unless one of them is given."""
    path = network_path(net, example)
    with phases_shown(f"reading {path.name}, and comparing it with the original"):
        return load(path, **given) if example is None else load_example(example, **given)


def array_options(activation: str | None, orientation: str | None) -> dict[str, str]:
    options = {"activation": activation, "orientation": orientation}
    return {key: value for key, value in options.items() if value is not None}


def network_of_run(folder: Path, given: dict[str, str]) -> Any:
    """The network of a run's folder; ValueError with one line for what is none, or if options of arrays are given."""
    if given:
        raise ValueError(f"--{next(iter(given))} is for array files; a run states its own")
    training_package("a run's network")
    from sdpcert.evaluation.bounds import networks_of
    from sdpcert.training.runs import load_run

    run = load_run(folder)
    return replace(networks_of(run.module, run.data.input_shape)[1], source=str(folder))


def chosen_rows(text: str | None) -> list[int] | None:
    if text is None:
        return None
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise ValueError(f"--rows wants numbers separated by commas, as in 7,8, not {text!r}") from None


def numbers(text: str, option: str, example: str, count: int | None = None) -> list[float]:
    """Numbers or fractions, separated by commas; ValueError with one line that names the option and has an example."""
    try:
        parts = [part.partition("/") for part in text.split(",")]
        found = [float(above) / float(below if slash else "1") for above, slash, below in parts]
    except (ValueError, ZeroDivisionError):
        found = []
    if not found or (count is not None and len(found) != count):
        wanted = "numbers separated by commas" if count is None else "a number" if count == 1 else f"{count} numbers"
        raise ValueError(f"{option} {text!r}: write {wanted}, as in {example}")
    return found


@contextmanager
def progress(label: str = "") -> Iterator[Any]:
    """What a long run is estimated to take, on stderr; on a terminal a line on what is being done as well."""
    before = f"{label}: " if label else ""
    with phases_shown(f"{before}planning") as show:

        def report(line: Any) -> None:
            if line.message:
                print(f"{before}{line.message}", file=sys.stderr)
            show(f"{before}{line.text}")

        yield report


def training_package(what: str = "training") -> Any:
    with needed_by(what, "train"):
        import sdpcert.training as module
    return module

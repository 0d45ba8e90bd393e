"""`sdpcert layers MODEL`: the proved norm of every layer of a model, and where their product loses."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

import sdpcert
from sdpcert.certify.layerwise import LayerBounds, layer_bounds
from sdpcert.errors import CommandInterrupted
from sdpcert.network.graph import Network
from sdpcert.readers.examples import ExampleName
from sdpcert.report import rounded_apart, rounded_down, rounded_up
from sdpcert.running.choices import Method
from sdpcert.verbs import options
from sdpcert.verbs.json_output import print_object

Model = Annotated[
    Path | None,
    typer.Argument(
        metavar="MODEL", help="model file (.onnx, .npz, .mat, .safetensors), or a run's folder", show_default=False
    ),
]
#: Digits of the numbers in the table.
DIGITS = 6


def layers_of_model(
    model: Model = None,
    example: options.Example = None,
    method: Annotated[
        Method, typer.Option(help="how the whole, and every stage up to it, is bounded; see sdpcert certify")
    ] = "layer",
    activation: options.ActivationName = None,
    orientation: options.Orientation = None,
    time_limit: Annotated[
        float, typer.Option(metavar="S", help="seconds for the bounds that the product of norms is compared with")
    ] = float("inf"),
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Prove the norm of every layer of a model, and say where their product loses."""
    network = _network(model, example, options.array_options(activation, orientation))
    stopped = ""
    with options.progress() as progress:
        try:
            bounds = layer_bounds(network, method, time_limit=time_limit, seed=seed, progress=progress)
        except sdpcert.Interrupted as interrupted:
            bounds, stopped = interrupted.result, str(interrupted)
    if as_json:
        print_object("layers MODEL", bounds.summary() | {"interrupted": stopped or None})
    else:
        _print(bounds)
    if stopped:
        raise CommandInterrupted(stopped)


def _network(model: Path | None, example: ExampleName | None, given: dict[str, str]) -> Network:
    path = options.network_path(model, example)
    if path.is_dir():
        return options.network_of_run(path, given)
    if not path.exists() and not path.suffix:
        raise ValueError(f"{path}: no such file; a family of layers is proved by: sdpcert layers check {path}")
    return options.network_of(model, example, given)


def _print(bounds: LayerBounds) -> None:
    headers = ("layer", "kind", "from", "to", "norm", "attained", "product", "up to here", "lost inside", "lost before")
    table = Table(box=None, pad_edge=False, header_style="bold")
    for header in headers:
        table.add_column(header, justify="left" if header in headers[:4] else "right", no_wrap=True)
    ends = {stage.layers[-1].value: stage for stage in bounds.stages}
    for layer in bounds.layers:
        stage = ends.get(layer.value)
        upper, attained = rounded_up(layer.upper, DIGITS), ""
        if layer.lower is not None:
            attained, upper = rounded_apart(layer.lower, layer.upper, DIGITS)
        up_to = "" if stage is None or stage.whole is None else rounded_up(stage.whole, DIGITS)
        table.add_row(
            str(layer.value),
            layer.kind,
            " + ".join("x".join(map(str, shape)) for shape in layer.inputs),
            "x".join(map(str, layer.output)),
            upper,
            attained,
            rounded_up(layer.product, DIGITS),
            up_to,
            "" if stage is None or len(stage.layers) == 1 else f"{stage.inside:.3f}",
            "" if stage is None or stage.joint is None else f"{stage.joint:.3f}",
        )
    print(f"network     {bounds.source}")
    Console(width=max(Console().width, 140)).print(table)
    print(f"product     {rounded_up(bounds.product)}    of the norms, which are proved")
    if bounds.upper is not None and bounds.loss is not None:
        print(
            f"upper       {rounded_up(bounds.upper)}    of the whole, proved (--method {bounds.method}): "
            f"the product is {bounds.loss:.3f} times as large"
        )
    if bounds.lower is not None:
        print(f"lower       {rounded_down(bounds.lower)}    attained by two inputs")
    print(f"advice      {bounds.advice}")

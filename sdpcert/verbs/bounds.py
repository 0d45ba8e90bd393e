"""`sdpcert bounds`: the whole ladder of bounds of a network."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

import sdpcert
from sdpcert.errors import CommandInterrupted
from sdpcert.report import rounded_apart, rounded_up, seconds
from sdpcert.running.choices import Method
from sdpcert.verbs import options
from sdpcert.verbs.json_output import print_object

app = typer.Typer()


@app.command(
    short_help="Print the ladder of bounds: attained, neuron, layer, product.",
    epilog="Example: sdpcert bounds model.onnx --rows 7",
)
def bounds(
    net: options.NetworkFile = None,
    example: options.Example = None,
    solver: options.SolverName = "native",
    tol: options.Tolerance = 1e-6,
    rows: options.Rows = None,
    device: options.Device = "cpu",
    activation: options.ActivationName = None,
    orientation: options.Orientation = None,
    time_limit: options.TimeLimit = float("inf"),
    form: options.Form = "auto",
    head: options.HeadOption = "joint",
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> int:
    """Print the ladder of bounds: attained, one multiplier per neuron, one per layer, product of norms."""
    network = options.network_of(net, example, options.array_options(activation, orientation))
    methods: tuple[Method, ...] = ("neuron", "layer", "product")
    ladder, stopped = [], False
    for method in methods:
        try:
            with options.progress(method) as progress:
                made = sdpcert.certify(
                    network,
                    method,
                    solver,
                    tol,
                    options.chosen_rows(rows),
                    device,
                    form=form,
                    head=head,
                    time_limit=time_limit,
                    seed=seed,
                    progress=progress,
                )
        except sdpcert.Interrupted as interrupted:
            made, stopped = interrupted.certificate, True
        ladder.append(made)
        if stopped:
            break
    said = f"interrupted in bound {len(ladder)} of {len(methods)}, which is that of the best point by then"
    if as_json:
        found = {"lower": ladder[0].lower, "bounds": [c.summary() for c in ladder]}
        beside = {"network": network.source, "output_rows": options.chosen_rows(rows)}
        print_object("bounds", beside | found | {"interrupted": said if stopped else None})
    else:
        _print(ladder)
    if stopped:
        raise CommandInterrupted(said)
    return 0 if all(c.status == "proved" for c in ladder) else 1


def _print(ladder: list[sdpcert.Certificate]) -> None:
    table = Table("bound", "value", "status", "gap", "time", box=None, pad_edge=False, header_style="bold")
    attained = rounded_apart(ladder[0].lower, min(c.upper for c in ladder))[0]
    table.add_row("attained", attained, "attained by two inputs", "", seconds(ladder[0].attained_seconds))
    for c in ladder:
        gap = "" if c.sdp_lower == 0 else rounded_up(c.gap, 2)
        upper = rounded_apart(ladder[0].lower, c.upper)[1]
        table.add_row(c.method, upper, c.status, gap, seconds(c.solve_seconds + c.proof_seconds))
    Console(width=max(Console().width, 100)).print(table)
    for note in dict.fromkeys(note for c in ladder for note in c.notes):
        print(f"note  {note}")

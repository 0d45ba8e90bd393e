"""`sdpcert layers`: the families of 1-Lipschitz layers and their proofs, and the layers of a model."""

from __future__ import annotations

import sys
import time
from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from sdpcert.errors import CommandInterrupted, ProcessEnded
from sdpcert.report import rounded_down, rounded_up, seconds
from sdpcert.running.executors import executor
from sdpcert.running.extras import needed_by
from sdpcert.running.phases import phases_shown, to_go
from sdpcert.running.tasks import Task, outcomes
from sdpcert.verbs import completion, options
from sdpcert.verbs.json_output import print_object
from sdpcert.verbs.layers_of_model import layers_of_model

#: The command that reads a model; it need not be named.
MODEL = "MODEL"


class ModelOrCommand(TyperGroup):
    """A group whose arguments are a command's, or a model and options: then the command `MODEL` reads them all."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments, with `MODEL` in front where they name no command and are no options of the group."""
        own = {name for parameter in self.get_params(ctx) for name in parameter.opts}
        word = next((a for a in args if not a.startswith("-")), None)
        if word not in self.commands and not own.issuperset(args):
            args = [MODEL, *args]
        return super().parse_args(ctx, args)


class OfModel(TyperCommand):
    """The command that need not be named."""

    def format_usage(self, ctx: Any, formatter: Any) -> None:
        """As it is called."""
        formatter.write_usage(ctx.parent.command_path, " ".join(self.collect_usage_pieces(ctx)))


app = typer.Typer(
    name="layers",
    short_help="Prove the norms of a model's layers; list or prove families.",
    cls=ModelOrCommand,
    invoke_without_command=True,
    subcommand_metavar="[MODEL | check FAMILY]",
)
app.command(MODEL, cls=OfModel, epilog="Example: sdpcert layers model.onnx")(layers_of_model)


@app.callback(invoke_without_command=True, epilog="Example: sdpcert layers model.onnx")
def layers(context: typer.Context, as_json: options.AsJson = False) -> None:
    """List the families of 1-Lipschitz layers, prove one of them, or prove the norms of a model's layers."""
    if context.invoked_subcommand is not None:
        return
    families = _layers().FAMILIES
    if as_json:
        listed = [
            {
                "name": f.name,
                "description": f.description,
                "dense": f.dense is not None,
                "convolution": f.convolution is not None,
                "source": f.source,
            }
            for f in families
        ]
        print_object("layers", {"families": listed})
        return
    headers = ("family", "what it is", "dense", "convolution", "source")
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for f in families:
        forms = ("yes" if form else "" for form in (f.dense, f.convolution))
        table.add_row(f.name, f.description, *forms, f.source)
    Console(width=max(Console().width, 120)).print(table)


@app.command(
    "check",
    short_help="Prove a family on fresh, random, trained and degenerate weights.",
    epilog="Example: sdpcert layers check sll",
)
def layers_check(
    name: Annotated[
        str,
        typer.Argument(
            metavar="FAMILY",
            help="name of a family, a Python file that defines FAMILY, or all",
            autocompletion=completion.families,
        ),
    ],
    double: Annotated[bool, typer.Option("--float64", help="float64 weights instead of float32")] = False,
    seed: Annotated[int, typer.Option(help="seed of the random weights", **options.SEEDS)] = 0,
    jobs: options.Jobs = 1,
    as_json: options.AsJson = False,
) -> int:
    """Prove a family on fresh, random, trained and degenerate weights: its constant is at most the claimed one."""
    module = _layers()
    import torch

    from sdpcert.layers.feasibility import check_weights, sets_of

    names = [f.name for f in module.FAMILIES] if name == "all" else [name]
    dtype = torch.float64 if double else torch.float32
    sets = [(family, *chosen) for family in names for chosen in sets_of(family)]
    found: dict[int, Any] = {}
    started = time.perf_counter()
    lost: list[str] = []
    with (
        suppress(KeyboardInterrupt),  # what was proved is printed
        phases_shown(f"proving, 0 of {len(sets)} sets of weights") as show,
        executor(jobs) as workers,
    ):
        tasks = (Task(number, (*chosen, dtype, seed)) for number, chosen in enumerate(sets))
        for outcome in outcomes(workers, check_weights, tasks):
            if isinstance(outcome.error, ProcessEnded):
                lost.append(f"{', '.join(sets[outcome.key])}: {outcome.error}")
            else:
                found[outcome.key] = outcome.result
            left = to_go(started, len(found), len(sets))
            show(f"proving {sets[outcome.key][0]}, {len(found)} of {len(sets)} sets of weights{left}")
    results = [{"family": sets[k][0], **vars(found[k]), "ok": found[k].ok} for k in sorted(found)]
    finished = len(found) + len(lost) == len(sets)
    families = len({r["family"] for r in results})
    stopped = f"interrupted after {len(results)} sets of weights, in family {families} of {len(names)}"
    if as_json:
        print_object("layers check", {"results": results, "interrupted": None if finished else stopped})
    else:
        _print_checks(results)
    for line in lost:
        print(f"not proved: {line}", file=sys.stderr)
    if not finished:
        raise CommandInterrupted(stopped)
    return 0 if all(r["ok"] for r in results) and not lost else 1


def _print_checks(results: list[dict[str, Any]]) -> None:
    headers = ("family", "weights", "proved", "attained", "eigenvalue", "shrink", "time", "")
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    for made in results:
        table.add_row(
            made["family"],
            made["weights"],
            rounded_up(made["proved"]),
            rounded_down(made["attained"], 6),
            f"{made['eigenvalue']:.1e}",
            f"{made['margin']:.1e}",
            seconds(made["seconds"]),
            f"proved: at most {rounded_up(made['claimed'])}" if made["ok"] else "NOT PROVED",
        )
    Console(width=max(Console().width, 120)).print(table)  # numbers are never cut off


def _layers() -> Any:
    with needed_by("the library of layers"):
        import sdpcert.layers as module
    return module

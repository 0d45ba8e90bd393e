"""`sdpcert layers`: the families of 1-Lipschitz layers and their proofs, and the layers of a model."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table
from typer.core import TyperCommand, TyperGroup

from sdpcert.errors import CommandInterrupted
from sdpcert.report import rounded_down, rounded_up, seconds
from sdpcert.running.extras import needed_by
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
    short_help="List families of 1-Lipschitz layers, prove them, or the layers of a model.",
    cls=ModelOrCommand,
    invoke_without_command=True,
    subcommand_metavar="[MODEL | check FAMILY]",
)
app.command(MODEL, cls=OfModel, epilog="Example: sdpcert layers model.onnx")(layers_of_model)


@app.callback(invoke_without_command=True, epilog="Examples: sdpcert layers model.onnx; sdpcert layers check aol")
def layers(context: typer.Context, as_json: options.AsJson = False) -> None:
    """List the families of 1-Lipschitz layers, prove one of them, or prove the norms of a model's layers."""
    if context.invoked_subcommand is not None:
        return
    families = _layers().FAMILIES
    if as_json:
        listed = [{"name": f.name, "source": f.source, "convolution": bool(f.convolution)} for f in families]
        print_object("layers", {"families": listed})
        return
    table = Table("family", "dense", "convolution", "source", box=None, pad_edge=False, header_style="bold")
    for f in families:
        table.add_row(f.name, "yes" if f.dense else "", "yes" if f.convolution else "", f.source)
    Console(width=max(Console().width, 120)).print(table)


@app.command(
    "check",
    short_help="Prove a family on fresh, random, trained and degenerate weights.",
    epilog="Example: sdpcert layers check sll",
)
def layers_check(
    name: Annotated[
        str, typer.Argument(metavar="FAMILY", help="name of a family, a Python file that defines FAMILY, or all", autocompletion=completion.families)
    ],
    double: Annotated[bool, typer.Option("--float64", help="float64 weights instead of float32")] = False,
    seed: Annotated[int, typer.Option(help="seed of the random weights", **options.SEEDS)] = 0,
    as_json: options.AsJson = False,
) -> int:
    """Prove a family on fresh, random, trained and degenerate weights: its constant is at most the claimed one."""
    module = _layers()
    import torch

    names = [f.name for f in module.FAMILIES] if name == "all" else [name]
    dtype = torch.float64 if double else torch.float32
    results = []
    headers = ("family", "weights", "proved", "attained", "eigenvalue", "shrink", "time", "")
    table = Table(*headers, box=None, pad_edge=False, header_style="bold")
    finished = False
    with suppress(KeyboardInterrupt), Console(stderr=True).status("proving") as status:  # what was proved is printed
        for family in names:
            for result in module.check_family(family, dtype, seed):
                status.update(f"{family}: {result.weights}")
                results.append({"family": family, **vars(result), "ok": result.ok})
                table.add_row(
                    family,
                    result.weights,
                    rounded_up(result.proved),
                    rounded_down(result.attained, 6),
                    f"{result.eigenvalue:.1e}",
                    f"{result.margin:.1e}",
                    seconds(result.seconds),
                    "proved" if result.ok else "NOT PROVED",
                )
        finished = True
    if as_json:
        print_object("layers check", {"results": results})
    else:
        Console(width=max(Console().width, 120)).print(table)  # numbers are never cut off
    if not finished:
        families = len({r["family"] for r in results})
        raise CommandInterrupted(
            f"interrupted after {len(results)} sets of weights, in family {families} of {len(names)}"
        )
    return 0 if all(r["ok"] for r in results) else 1


def _layers() -> Any:
    with needed_by("sdpcert layers"):
        import sdpcert.layers as module
    return module

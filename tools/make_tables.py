"""Every table and figure of docs/shipped.md, from the shipped networks, in one command of a few minutes.

    python -m tools.make_tables [--folder docs] [--keep FOLDER]

Certifies the networks of examples/networks with every method, trains and evaluates the digits preset, saves the
certificates, and makes the page and its figures from the saved files, each proved again as it is read. Durations are
left out, so running it twice gives the same bytes on the same machine. `--keep` keeps the certificates and the run.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Annotated

import typer

import sdpcert
from sdpcert.report import run as reports
from sdpcert.symbolic.document import write
from sdpcert.training import train
from sdpcert.training.evaluate import evaluate

ROOT = Path(__file__).parents[1]
NETWORKS = ROOT / "examples" / "networks"
METHODS = ("product", "layer", "neuron")

PAGE = """# Shipped networks

Made by `python -m tools.make_tables` from the networks in `examples/networks` and the training preset `digits`;
nothing here is typed by hand.

## Ladder of bounds

{ladder}

## Solvers

{solvers}

## Certified accuracy of the digits preset

{accuracy}

{figures}
"""


def certificates(folder: Path) -> list[Path]:
    """Certify every shipped network with every method; the residual and dense ones also with Clarabel."""
    made = []
    for path in sorted(NETWORKS.glob("*.onnx")):
        network = sdpcert.load(path)
        for method in METHODS:
            target = folder / f"{path.stem}.{method}.cert.json"
            sdpcert.certify(network, method).save(target)
            made.append(target)
        if "cnn" not in path.stem:
            target = folder / f"{path.stem}.clarabel.cert.json"
            sdpcert.certify(network, "neuron", "clarabel").save(target)
            made.append(target)
    return made


def main(
    folder: Annotated[Path, typer.Option(help="where shipped.md and figures/ go")] = ROOT / "docs",
    keep: Annotated[Path | None, typer.Option(help="keep certificates and the run here")] = None,
) -> None:
    """Make the page and its figures."""
    with tempfile.TemporaryDirectory() as temporary:
        work = keep or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        made = certificates(work)
        run = train({"preset": "digits"}, work / "digits", progress=False)
        evaluate(run, bounds=("by-construction",), progress=False, command="sdpcert evaluate digits")
        # Captions name the files as they are given.
        before = Path.cwd()
        os.chdir(work)
        try:
            names = [path.name for path in made]
            native = [name for name in names if "clarabel" not in name]
            compared = [name for name in names if "neuron" in name or "clarabel" in name]
            tables = {
                "ladder": reports.table(native, "ladder", None, "markdown", None, None, False),
                "solvers": reports.table(compared, "solvers", None, "markdown", None, None, False),
                "accuracy": reports.table(["digits/evaluation.json"], "accuracy", None, "markdown", None, None, False),
            }
            figures = []
            for stem in sorted({name.split(".")[0] for name in native}):
                own = [f"{stem}.{method}.cert.json" for method in reversed(METHODS)]
                target = folder / "figures" / stem
                target.mkdir(parents=True, exist_ok=True)
                written = reports.report(own, Path(f"{stem}.html"), target, "svg", False)
                figures += [path for path in written if Path(path).stem in ("ladder", "slack")]
        finally:
            os.chdir(before)
        shown = "\n".join(
            f"![{Path(path).stem} of {Path(path).parent.name}](figures/{Path(path).parent.name}/{Path(path).name})"
            for path in figures
        )
        write(folder / "shipped.md", PAGE.format(figures=shown, **tables))
    print(folder / "shipped.md")


if __name__ == "__main__":
    typer.run(main)

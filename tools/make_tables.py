"""Every measured table of README.md and docs/, and the figures of docs/shipped.md, in one command of a few minutes.

    python -m tools.make_tables [--only-documents] [--folder FOLDER] [--keep FOLDER]

Certifies the networks of examples/networks with every method, trains and evaluates the digits preset, and makes tables
and figures from the saved files, each proved again as it is read; the tables go to benchmarks/results/shipped.json.
Then every table between markers in the documents is filled from benchmarks/results, where the benchmarks' raw results
are (the captions name their commands). `--only-documents` does the filling alone, in a second.

Durations of what is certified here are left out, so running it twice gives the same bytes on the same machine.
It needs the extra `all`, the filling needs none. `--folder` writes the results, the documents and the figures there
instead of into the repository; `--keep` keeps the certificates and the run.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Annotated, Any

import typer

from sdpcert.arithmetic.arrays import one_blas_thread
from sdpcert.running.outputs import write_whole
from tools.benchmark_tables import Read, tables
from tools.documents import ROOT, documents, filled

NETWORKS = ROOT / "examples" / "networks"
RESULTS = Path("benchmarks") / "results"
METHODS = ("product", "layer", "neuron")


def certificates(folder: Path) -> list[str]:
    """Certify every shipped network with every method, all but the convolutional one also with Clarabel; the names."""
    import sdpcert

    made = []
    for path in sorted(NETWORKS.glob("*.onnx")):
        network = sdpcert.load(path)
        for method in METHODS:
            made.append(f"{path.stem}.{method}.cert.json")
            sdpcert.certify(network, method).save(folder / made[-1])
        if "cnn" not in path.stem:
            made.append(f"{path.stem}.clarabel.cert.json")
            sdpcert.certify(network, "neuron", "clarabel").save(folder / made[-1])
    return made


def shipped(work: Path, figures: Path) -> dict[str, Any]:
    """The tables of the shipped networks and of the digits preset, from files made in `work`; the figures."""
    from sdpcert.evaluation.trained import evaluate
    from sdpcert.training import train

    names = certificates(work)
    run = train({"preset": "digits"}, work / "digits", progress=False)
    evaluate(run, bounds=("by-construction",), progress=False, command="sdpcert evaluate digits")
    native = [name for name in names if "clarabel" not in name]
    networks = sorted({name.split(".")[0] for name in native})
    before = Path.cwd()
    os.chdir(work)  # captions name the files as they are given
    try:
        for network in networks:
            draw([f"{network}.{method}.cert.json" for method in reversed(METHODS)], figures / network)
        return {
            "networks": networks,
            "ladder": table(native, "ladder"),
            "solvers": table([name for name in names if "neuron" in name or "clarabel" in name], "solvers"),
            "accuracy": table(["digits/evaluation.json"], "accuracy"),
        }
    finally:
        os.chdir(before)


def table(names: list[str], kind: str) -> dict[str, Any]:
    """What `sdpcert table --format json --no-times` says, but for digits that the rounded text does not show."""
    from sdpcert.report import write_table

    document = json.loads(write_table(names, kind, form="json", times=False))
    document["rows"] = [{name: {"text": c["text"]} for name, c in row.items()} for row in document["rows"]]
    return {key: document[key] for key in ("title", "notes", "command", "versions", "columns", "rows")}


def draw(names: list[str], folder: Path) -> None:
    """The figures of a network as SVG; the page that they belong to is not kept."""
    from sdpcert.report import write_report

    folder.mkdir(parents=True, exist_ok=True)
    write_report(names, f"{folder.name}.html", folder, "svg", False)


def reader(folder: Path) -> Read:
    """Reads a result file by name: from `folder` where it is there, else from the repository."""

    def read(name: str) -> Any:
        places = (root / RESULTS / f"{name}.json" for root in (folder, ROOT))
        found = next((place for place in places if place.is_file()), None)
        if found is None:
            raise ValueError(f"{RESULTS / name}.json does not exist: make it with the command that the document names")
        return json.loads(found.read_text(encoding="utf-8"))

    return read


def fill(folder: Path) -> list[Path]:
    """Fill the repository's documents and write those that have tables into `folder`, all or none; their paths."""
    made = tables(reader(folder))
    texts = {path: path.read_text(encoding="utf-8") for path in documents()}
    new = {path: filled(text, made) for path, text in texts.items() if "<!-- table:" in text}
    written = []
    for path, text in new.items():
        written.append(folder / path.relative_to(ROOT))
        if not written[-1].is_file() or written[-1].read_text(encoding="utf-8") != text:
            written[-1].parent.mkdir(parents=True, exist_ok=True)
            write_whole(written[-1], text.encode())
    return written


def main(
    only_documents: Annotated[bool, typer.Option("--only-documents", help="certify nothing, fill the tables")] = False,
    folder: Annotated[Path, typer.Option(help="where documents, results and figures go")] = ROOT,
    keep: Annotated[Path | None, typer.Option(help="keep certificates and the run here")] = None,
) -> None:
    """Make the tables and figures, and print the names of the documents that have tables."""
    folder = folder.resolve()
    try:
        if not only_documents:
            # The smallest eigenvalues in a figure are rounding, which depends on the number of BLAS threads.
            with tempfile.TemporaryDirectory() as temporary, one_blas_thread():
                work = (keep or Path(temporary)).resolve()
                work.mkdir(parents=True, exist_ok=True)
                results = shipped(work, folder / "docs" / "figures")
            (folder / RESULTS).mkdir(parents=True, exist_ok=True)
            write_whole(folder / RESULTS / "shipped.json", (json.dumps(results, indent=1) + "\n").encode())
        for path in fill(folder):
            print(path)
    except (ValueError, OSError) as error:
        print(f"make_tables: {error}", file=sys.stderr)
        raise typer.Exit(2) from None


if __name__ == "__main__":
    typer.run(main)

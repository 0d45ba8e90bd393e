"""`sdpcert check`: prove a certificate or a file of radii again."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import sdpcert
from sdpcert.certify.binding import check_with_network
from sdpcert.check import CheckResult, Rejected, Unreadable, check_document, document_of
from sdpcert.network.earlier import earlier_rules
from sdpcert.readers.labelled import load_labelled
from sdpcert.readers.vnnlib import read_property
from sdpcert.robustness.binding import check_with_model
from sdpcert.robustness.binding_of_properties import check_with_property
from sdpcert.robustness.statement import FORMAT
from sdpcert.running.outputs import reads
from sdpcert.running.phases import SHORT, phases_shown
from sdpcert.verbs import options
from sdpcert.verbs.json_output import print_object

app = typer.Typer()
Array = np.ndarray


@app.command(
    short_help="Prove a certificate, radii or a proof again, from the file alone.",
    epilog="Example: sdpcert check model.cert.json --network model.onnx",
)
def check(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="certificate, or file of radii")],
    network: Annotated[
        Path | None, typer.Option(metavar="NET", help="model file that the certificate or the radii have to be about")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(metavar="X.npz", help="inputs and labels that the radii have to be those of, the first of them"),
    ] = None,
    vnnlib: Annotated[
        Path | None, typer.Option(metavar="P", help="VNN-LIB file whose property of NET the file has to prove")
    ] = None,
    activation: options.ActivationName = None,
    orientation: options.Orientation = None,
    as_json: options.AsJson = False,
) -> int:
    """Prove a certificate or radii again, and with --network and --data that they are about this model and data."""
    if not file.is_file():
        raise ValueError(f"{file}: {'is no regular file' if file.exists() else 'no such file'}")
    reads(file)
    if vnnlib is not None and (network is None or data is not None):
        raise ValueError("--vnnlib needs --network NET, the model that the property is about, and no --data")
    given = options.array_options(activation, orientation)
    try:
        document = document_of(file)
    except Unreadable as error:
        raise ValueError(f"{file}: {error}") from None
    except Rejected as error:
        result = CheckResult(False, None, str(error))
    else:
        with phases_shown(f"proving {file.name} again{_took(document)}"):
            if vnnlib is not None and network is not None:
                result = check_with_property(file, sdpcert.load(network, **given), read_property(vnnlib))
            else:
                result = _verdict(file, document, network, data, given)
    if as_json:
        print_object("check", {"file": file, **_summary(result)})
    else:
        print(("proved: " if result.ok else "rejected: ") + result.reason)
    return 0 if result.ok else 1


def _verdict(file: Path, document: Any, network: Path | None, data: Path | None, given: dict[str, str]) -> CheckResult:
    """What the checkers say of the file, and of the model and the data that it has to be about."""
    if network is None and data is None:
        return check_document(document)
    if isinstance(document, dict) and document.get("format") == FORMAT:
        return _with_model(file, document, network, data, given)
    if network is None or data is not None:
        raise ValueError(f"--data compares the inputs of a file of radii, and {file} is none; leave it out")
    return _with_network(file, network, given)


def _took(document: Any) -> str:
    """What the file says that its proof took when it was made, for whoever waits at a terminal."""
    stated = document.get("information") if isinstance(document, dict) else None
    took = stated.get("proof_seconds") if isinstance(stated, dict) else None
    long = isinstance(took, float) and SHORT <= took < math.inf
    return f", whose proof took {took:.0f} s when it was made" if long else ""


def _summary(result: CheckResult) -> dict[str, Any]:
    """The attributes as plain values."""
    rows = [{"radius": r.radius, "certified": r.certified, "under_attack": r.attacked} for r in result.radii]
    return {**vars(result), "radii": rows}


def _with_network(certificate: Path, network: Path, given: dict[str, str]) -> CheckResult:
    """The verdict on a certificate of this network."""
    result = check_with_network(certificate, sdpcert.load(network, **given))
    if not result.ok:  # a certificate from before the file was read as it is today
        with earlier_rules():
            older = check_with_network(certificate, sdpcert.load(network, **given))
        result = older if older.ok else result
    return result


def _with_model(
    file: Path, document: dict[str, Any], network: Path | None, data: Path | None, given: dict[str, str]
) -> CheckResult:
    """The verdict on radii of this network, if there is one, and of these data, if there are any."""
    if network is not None and network.is_dir():
        model = options.network_of_run(network, given)
    else:
        model = None if network is None else sdpcert.load(network, **given)
    return check_with_model(file, model, None if data is None else _first_of(data, document))


def _first_of(data: Path, document: dict[str, Any]) -> tuple[Array, Array] | None:
    """As many inputs and labels as the file has; None if it is malformed, which the checker says."""
    graph, entries = document.get("network"), document.get("inputs")
    if not isinstance(graph, dict) or not isinstance(entries, list) or not entries:
        return None
    inputs, outputs = graph.get("inputs"), graph.get("outputs")
    if type(inputs) is not int or type(outputs) is not int or min(inputs, outputs) < 1:
        return None
    classes = (1 + math.isqrt(1 + 8 * outputs)) // 2  # the outputs are the differences of two of them
    return load_labelled(data, (inputs,), classes, len(entries))

"""`sdpcert check`: prove a certificate again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

import sdpcert
from sdpcert.running.outputs import reads
from sdpcert.verbs import options

app = typer.Typer()


@app.command(epilog="Example: sdpcert check model.cert.json --network model.onnx")
def check(
    certificate: Annotated[Path, typer.Argument(metavar="CERT", help="certificate file")],
    network: Annotated[
        Path | None, typer.Option(metavar="NET", help="model file that the certificate has to be about")
    ] = None,
    activation: options.ActivationName = None,
    orientation: options.Orientation = None,
    as_json: options.AsJson = False,
) -> int:
    """Prove a certificate again; with --network also that it is about that file's weights."""
    from sdpcert.certify.binding import check_with_network
    from sdpcert.network.earlier import earlier_rules

    if not certificate.is_file():
        raise ValueError(f"{certificate}: {'is no regular file' if certificate.exists() else 'no such file'}")
    reads(certificate)
    if network is None:
        result = sdpcert.check(certificate)
    else:
        given = options.array_options(activation, orientation)
        result = check_with_network(certificate, sdpcert.load(network, **given))
        if not result.ok:  # a certificate from before the file was read as it is today
            with earlier_rules():
                older = check_with_network(certificate, sdpcert.load(network, **given))
            result = older if older.ok else result
    if as_json:
        print(json.dumps({"ok": result.ok, "upper": result.upper, "level": result.level, "reason": result.reason}))
    else:
        print(("proved: " if result.ok else "rejected: ") + result.reason)
    return 0 if result.ok else 1

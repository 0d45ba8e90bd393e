"""`sdpcert export`: a certificate as a file for the proof assistant Coq."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from sdpcert.verbs import options
from sdpcert.verbs.json_output import print_object

app = typer.Typer()


@app.command(
    short_help="Write a certificate as a theorem for the proof assistant Coq.",
    epilog="Example: sdpcert export model.cert.json --coq model.v",
)
def export(
    file: Annotated[Path, typer.Argument(metavar="CERT", help="certificate of dense layers")],
    coq: Annotated[Path, typer.Option("--coq", metavar="OUT.v", help="write the file for Coq there")],
    as_json: options.AsJson = False,
) -> int:
    """Write a certificate as a Coq file that ends with a theorem about its very weights; formal/ compiles it."""
    from sdpcert.certificate.coq import coq_file
    from sdpcert.certificate.saved import load_certificate
    from sdpcert.running.outputs import check_output, write_whole

    check_output(coq, [file])
    document = load_certificate(file)["saved"].document
    try:
        text = coq_file(document)
    except ValueError as error:
        raise ValueError(f"{file}: {error}") from None
    write_whole(coq, text)
    about_stored = " stored weights." in text
    if as_json:
        print_object("export", {"written": [coq], "about_stored_weights": about_stored})
        return 0
    if about_stored:
        print("the theorem is about the stored weights; the file says what merging layers lost")
    print(f"{coq}: compile it with  coqc -Q formal Sdpcert {coq}")
    return 0

"""The command line: one verb a file in `sdpcert.verbs`. Results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import os
import sys
from typing import Annotated

import typer

import sdpcert
from sdpcert.errors import CommandInterrupted
from sdpcert.running import outputs, starting
from sdpcert.running.interrupts import INTERRUPTED, interrupts_of_a_command
from sdpcert.verbs import bounds, certify, check, derive, evaluate, export, layers, report, table, train

NOTHING = "interrupted before there was a result"
app = typer.Typer(add_completion=True, no_args_is_help=False, rich_markup_mode=None, pretty_exceptions_enable=False)
for verb in (certify, check, bounds, layers, derive, train, evaluate, table, report, export):
    app.add_typer(verb.app)


@app.callback(invoke_without_command=True)
def root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    """Prove Lipschitz bounds of neural networks, and check the proofs."""
    if version:
        print(f"sdpcert {sdpcert.__version__}")
    elif context.invoked_subcommand is None:
        print("sdpcert proves bounds on the Lipschitz constant of trained neural networks.\n")
        print("Try:  sdpcert certify MODEL.onnx        prove a bound and write the certificate")
        print("      sdpcert check CERT.json           prove it again, from the certificate alone")
        print("      sdpcert certify MODEL.onnx --around X.npy --radius 0.1      a bound near one input")
        print("      sdpcert bounds MODEL.onnx         the whole ladder of bounds")
        print("      sdpcert evaluate MODEL.onnx --data X.npz      radii within which inputs keep their class")
        print("      sdpcert derive                    results on Lipschitz layers, proved for all weights")
        print("      sdpcert train digits              train a network of 1-Lipschitz layers; then sdpcert evaluate")
        print("      sdpcert certify --help            all options, with an example")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (done and proved), 1 (not proved or rejected), 2 (bad input) or 130.

    The last is for commands that Ctrl-C or SIGTERM stopped: what was finished by then is printed. A second one ends
    them at once.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the locale cannot write is no reason to lose a result
            stream.reconfigure(errors="backslashreplace")
    starting.watched()  # first: SIGTERM interrupts only where its handler is the usual one
    with interrupts_of_a_command() as came, outputs.command():
        try:
            code = app(arguments, standalone_mode=False)
            if code == INTERRUPTED:  # what typer returns after Ctrl-C
                code = _fail(NOTHING, INTERRUPTED)
        except BaseException as error:
            code = _code_of(error, bool(came))
    if len(came) > 1 and arguments is None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # threads that are still at work would be waited for
    sys.exit(code if isinstance(code, int) else 0)


def _code_of(error: BaseException, interrupted: bool) -> int:
    """The exit code for what a verb raised, with one line on stderr; raises what is a defect of this program."""
    if isinstance(error, CommandInterrupted):
        return _fail(str(error), INTERRUPTED)
    # An interrupted import of compiled code may raise anything.
    broken = interrupted and isinstance(error, ImportError | RuntimeError | SystemError | OSError)
    if broken or isinstance(error, KeyboardInterrupt | typer.Abort):
        return _fail(NOTHING, INTERRUPTED)
    if isinstance(error, typer.TyperException):
        return _fail(getattr(error, "format_message", error.__str__)())
    if isinstance(error, BrokenPipeError):
        sys.stderr.close()
        return 0
    if isinstance(error, OSError):
        return _fail(f"{error.filename or 'cannot write the results'}: {error.strerror or error}")
    if isinstance(error, ValueError | ImportError | sdpcert.SolverError):
        return _fail(str(error))
    # torch has no class of its own for memory that is used up.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):
        return _fail("out of memory: try --method product, or a smaller network")
    raise error


def _fail(message: str, code: int = 2) -> int:
    print("sdpcert: " + " ".join(message.split()), file=sys.stderr)
    return code


if __name__ == "__main__":
    main()

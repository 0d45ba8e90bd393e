"""The command line: one verb a file in `sdpcert.verbs`. Results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from typing import Annotated

import typer

import sdpcert
from sdpcert.errors import CommandInterrupted, EvaluationRejected, NotVerified
from sdpcert.running import outputs, starting
from sdpcert.running.interrupts import INTERRUPTED, interrupts_of_a_command
from sdpcert.verbs import (
    bounds,
    certify,
    check,
    derive,
    evaluate,
    export,
    json_output,
    layers,
    report,
    sweep,
    table,
    train,
)

NOTHING = "interrupted before there was a result"
#: Exit codes beside 0 (done and proved) and that of an interrupt.
NOT_PROVED, BAD_INPUT = 1, 2
#: What a first try needs; `\\b` keeps the lines as they are.
FIRST = """\b
Try:
  sdpcert certify MODEL.onnx                 a proved bound, and its proof
  sdpcert certify MODEL.onnx --around X.npy --radius 0.1
                                             the same, near one input
  sdpcert check MODEL.cert.json              prove it again, from the file
  sdpcert evaluate MODEL.onnx --data X.npz   how far inputs may move
  sdpcert train digits                       train; then: sdpcert evaluate
  sdpcert certify --help                     options of a verb, an example

\b
Results go to stdout, everything else to stderr; --json prints one object.
Exit codes: 0 done and proved, 1 not proved or rejected, 2 bad input,
130 interrupted."""
#: In the order of the help: bounds, layers and what is proved of them, training, what comes of saved files.
VERBS = (certify, check, bounds, evaluate, sweep, layers, derive, train, table, report, export)
app = typer.Typer(
    add_completion=True,
    no_args_is_help=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for verb in VERBS:
    app.add_typer(verb.app)


@app.callback(invoke_without_command=True, epilog=FIRST)
def root(
    context: typer.Context, version: Annotated[bool, typer.Option("--version", help="print the version")] = False
) -> None:
    """Prove bounds on the Lipschitz constant of trained neural networks, and check the proofs."""
    if version:
        print(f"sdpcert {sdpcert.__version__}")
    elif context.invoked_subcommand is None:
        print(context.get_help())


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (done and proved), 1 (not proved or rejected), 2 (bad input) or 130.

    The last is for commands that Ctrl-C or SIGTERM stopped: what was finished by then is printed. A second one ends
    them at once.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the locale cannot write is no reason to lose a result
            stream.reconfigure(errors="backslashreplace")
    starting.watched()  # first: SIGTERM interrupts only where its handler is the usual one
    words = sys.argv[1:] if arguments is None else arguments
    with interrupts_of_a_command() as came, outputs.command(), json_output.command():
        try:
            code = app(arguments, prog_name="sdpcert", standalone_mode=False)
            if code == INTERRUPTED:  # what typer returns after Ctrl-C
                code = _fail(KeyboardInterrupt(), NOTHING, INTERRUPTED, words)
        except BaseException as error:
            if isinstance(error, BrokenPipeError) and not came:  # whoever read the results has read enough
                sys.stderr.close()
                code = 0
            else:
                code = _fail(error, *_failure(error, bool(came)), words)
    if len(came) > 1 and arguments is None:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(INTERRUPTED)  # threads that are still at work would be waited for
    if came:
        # CPython notes an interrupt of code that runs from a text, as a dataclass's does, and then ends `python -m` by
        # SIGINT, whatever the exit code is, unless other such code has run since.
        exec("")
    sys.exit(code if isinstance(code, int) else 0)


def _failure(error: BaseException, interrupted: bool) -> tuple[str, int]:
    """What to say of an error that a verb raised, and the exit code; raises what is a defect of this program."""
    if isinstance(error, CommandInterrupted):
        return str(error), INTERRUPTED
    # An interrupted import of compiled code may raise anything.
    broken = interrupted and isinstance(error, ImportError | RuntimeError | SystemError | OSError)
    if broken or isinstance(error, KeyboardInterrupt | typer.Abort):
        return NOTHING, INTERRUPTED
    if isinstance(error, typer.TyperException):
        return getattr(error, "format_message", error.__str__)().replace("Value error, ", ""), BAD_INPUT
    if isinstance(error, NotVerified):
        return str(error), NOT_PROVED
    if isinstance(error, EvaluationRejected):
        return f"rejected: {error}", NOT_PROVED
    if isinstance(error, OSError):
        return f"{error.filename or 'cannot write the results'}: {error.strerror or error}", BAD_INPUT
    if isinstance(error, ValueError | ImportError | sdpcert.SolverError):
        return str(error), BAD_INPUT
    # torch has no class of its own for memory that is used up.
    if isinstance(error, MemoryError) or (isinstance(error, RuntimeError) and "memory" in str(error)):
        return "out of memory: try --method product, or a smaller network", BAD_INPUT
    raise error


def _fail(error: BaseException, message: str, code: int, arguments: list[str]) -> int:
    """Print one line on stderr, with `--json` an object on stdout as well, and return the exit code."""
    line = " ".join(message.split())
    print(f"sdpcert: {line}", file=sys.stderr)
    with suppress(OSError):  # stdout may be what failed
        json_output.print_error(arguments, type(error).__name__, line, code)
    return code


if __name__ == "__main__":
    main()

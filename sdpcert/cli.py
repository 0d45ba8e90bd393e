"""The command line: one verb a file in `sdpcert.verbs`. Results on stdout, everything else on stderr."""

from __future__ import annotations

import io
import sys
from typing import Annotated

import typer

import sdpcert
from sdpcert.verbs import bounds, certify, check, derive, evaluate, layers, report, table, train

#: What typer returns after Ctrl-C.
INTERRUPTED = 130
app = typer.Typer(add_completion=True, no_args_is_help=False, rich_markup_mode=None, pretty_exceptions_enable=False)
for verb in (certify, check, bounds, layers, derive, train, evaluate, table, report):
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
        print("      sdpcert bounds MODEL.onnx         the whole ladder of bounds")
        print("      sdpcert derive                    results on Lipschitz layers, proved for all weights")
        print("      sdpcert train digits              train a network of 1-Lipschitz layers; then sdpcert evaluate")
        print("      sdpcert certify --help            all options, with an example")


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with 0 (done and proved), 1 (not proved or rejected) or 2 (bad input)."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a name that the locale cannot write is no reason to lose a result
            stream.reconfigure(errors="backslashreplace")
    try:
        code = app(arguments, standalone_mode=False)
        if code == INTERRUPTED:
            code = _fail("interrupted before there was a result")
    except typer.TyperException as error:
        code = _fail(getattr(error, "format_message", error.__str__)())
    except (KeyboardInterrupt, typer.Abort):
        code = _fail("interrupted before there was a result")
    except BrokenPipeError:
        code = 0
        sys.stderr.close()
    except OSError as error:
        code = _fail(f"{error.filename or 'cannot write the results'}: {error.strerror or error}")
    except (ValueError, ImportError, sdpcert.SolverError) as error:
        code = _fail(str(error))
    except (MemoryError, RuntimeError) as error:
        if isinstance(error, RuntimeError) and "memory" not in str(error):  # torch has no class of its own for it
            raise
        code = _fail("out of memory: try --method product, or a smaller network")
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str) -> int:
    print("sdpcert: " + " ".join(message.split()), file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()

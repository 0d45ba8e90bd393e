"""The first second of the command `sdpcert`, while its libraries are imported: Ctrl-C ends it with one line.

A program that imports sdpcert is left as it is. The command line has handlers of its own as soon as it runs.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from itertools import pairwise
from typing import Any

#: What `--json` prints then, as `verbs/output.schema.json` has it; no library is there yet that could write it.
NOTHING = (
    b'{"schema": 1, "verb": null, "error": {"type": "KeyboardInterrupt", '
    b'"message": "interrupted before there was a result"}, "exit_code": 130}\n'
)


def is_command() -> bool:
    """Whether this process is the command line: `sdpcert ...` or `python -m sdpcert.cli ...`."""
    program = os.path.basename(sys.argv[0]) if sys.argv else ""
    words = sys.orig_argv
    asked = any(pair == ("-m", "sdpcert.cli") for pair in pairwise(words))
    return program.removesuffix(".exe") == "sdpcert" or (asked and program in ("-m", "cli.py"))


def end_quietly(number: int, frame: Any) -> None:
    """End the process with one line: there is no work yet that could be lost."""
    os.write(2, b"sdpcert: interrupted before there was a result\n")
    if "--json" in sys.argv:
        os.write(1, NOTHING)
    os._exit(130)


def watch() -> None:
    """Let Ctrl-C and SIGTERM end the command quietly from now on, unless they are ignored."""
    if not is_command() or threading.current_thread() is not threading.main_thread():
        return
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, end_quietly)
    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end_quietly)


def watched() -> None:
    """End the watch: give Ctrl-C and SIGTERM the handlers that Python starts with."""
    for number, usual in ((signal.SIGINT, signal.default_int_handler), (signal.SIGTERM, signal.SIG_DFL)):
        if signal.getsignal(number) is end_quietly:
            signal.signal(number, usual)


watch()

"""`--json`: one object on stdout, for results and for errors alike, as output.schema.json describes it."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from os import PathLike, fspath
from typing import Any

#: The version of the objects, which is raised when a key changes its meaning, its name or its place.
SCHEMA = 1
#: Whether the running command has printed its object.
_printed = False


@contextmanager
def command() -> Iterator[None]:
    """Let what is printed in this block be the output of one command, which has one object and no more."""
    global _printed
    before, _printed = _printed, False
    try:
        yield
    finally:
        _printed = before


def print_object(verb: str, values: Mapping[str, object]) -> None:
    """Print the object of a verb; numbers that are infinite, beyond float64 or none at all are null in it."""
    global _printed
    print(json.dumps({"schema": SCHEMA, "verb": verb} | plain(values), allow_nan=False))
    _printed = True


def print_error(arguments: Sequence[str], kind: str, message: str, exit_code: int) -> None:
    """Print the object of a command that failed, if `--json` is among its arguments and it has printed none yet."""
    if _printed or "--json" not in _options(arguments):
        return
    failed = {"error": {"type": kind, "message": message}, "exit_code": exit_code}
    print(json.dumps({"schema": SCHEMA, "verb": _verb(arguments)} | failed))


def plain(value: Any) -> Any:
    """A value as JSON has it: mappings, lists and paths as such, and null for a float that is no finite number.

    The largest float64 counts as none: it stands for whatever is beyond it.
    """
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, list | tuple):
        return [plain(entry) for entry in value]
    if isinstance(value, float):
        return float(value) if math.isfinite(value) and abs(value) < sys.float_info.max else None
    return fspath(value) if isinstance(value, PathLike) else value


def _options(arguments: Sequence[str]) -> Sequence[str]:
    """The arguments before `--`, which ends the options."""
    return arguments[: arguments.index("--")] if "--" in arguments else arguments


def _verb(arguments: Sequence[str]) -> str | None:
    """The verb as the objects name it, None if there is none."""
    words = [word for word in arguments if not word.startswith("-")]
    if words[:1] == ["layers"] and len(words) > 1:
        return "layers check" if words[1] == "check" else "layers MODEL"
    return words[0] if words else None

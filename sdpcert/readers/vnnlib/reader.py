"""From a VNN-LIB 1.0 file, as VNN-COMP uses it, to the question that it asks.

Source: Demarchi, Guidotti, Pulina, Tacchella, "Supporting standardization of neural networks verification with VNNLIB
and CoCoNet", 2023: a subset of SMT-LIB 2 with real variables X_i and Y_i, whose assertions state an input set and the
outputs that would be unsafe.
"""

from __future__ import annotations

import gzip
import os
import re
import zlib
from pathlib import Path

from sdpcert.readers.errors import check_file, first_line, quoted
from sdpcert.readers.vnnlib.expressions import Command, Expression, commands, shown
from sdpcert.readers.vnnlib.formulas import Alternative, End, Formulas, Variable, apart, together
from sdpcert.readers.vnnlib.property import Case, Constraint, InputBox, Property
from sdpcert.running.arguments import path as as_path
from sdpcert.running.outputs import reads

#: Bytes of a file, unpacked.
MAX_BYTES = 256 * 2**20
#: Largest number of variables of one kind.
MAX_VARIABLES = 10**6
#: Commands of SMT-LIB that change nothing about the question.
SILENT = ("set-logic", "set-info", "set-option", "check-sat", "get-model", "exit")
#: Commands by which VNN-LIB 2.0 is known.
VERSION_2 = ("vnnlib-version", "declare-network", "declare-input", "declare-output", "declare-hidden")
#: Bounds of inputs by their number: lower ones and upper ones.
Ends = tuple[frozenset[tuple[int, End]], frozenset[tuple[int, End]]]
_NAME = re.compile(r"([XY])_(0|[1-9][0-9]{0,8})")


def read_property(path: str | os.PathLike[str]) -> Property:
    """Read a VNN-LIB 1.0 file, `.vnnlib` or `.vnnlib.gz`.

    Numbers are exact. Raises ValueError, with one line that names the file and the line in it, for what cannot be read
    or is not supported: products of variables, conditions on inputs and outputs at once or on several inputs, inputs
    without bounds, boxes without inputs, VNN-LIB 2.0.
    """
    path = as_path(path, "what read_property reads")
    name = quoted(path)
    check_file(path, name)
    reads(path)
    try:
        return _property(_text(path), str(path))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _text(path: Path) -> str:
    try:
        with open(path, "rb") as file:
            packed = file.read(2) == b"\x1f\x8b"
        with gzip.open(path) if packed else open(path, "rb") as file:
            data = file.read(MAX_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"cannot be read: {first_line(error)}") from None
    if len(data) > MAX_BYTES:
        raise ValueError(f"has more than {MAX_BYTES >> 20} MiB of text")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = "\0"
    if "\0" in text:
        raise ValueError("is no text; a VNN-LIB file is plain text, or that packed by gzip")
    return text


def _property(text: str, source: str) -> Property:
    reading = _Reading()
    for command in commands(text):
        try:
            reading.take(command)
        except ValueError as error:
            raise ValueError(f"line {command.line}: {error}") from None
    return reading.property(source)


class _Reading:
    """What is known of a file so far."""

    def __init__(self) -> None:
        #: The numbers of the declared variables.
        self.declared: dict[str, set[int]] = {"X": set(), "Y": set()}
        self.conditions: list[list[Alternative]] = []
        self.formulas = Formulas(self._variable)

    def take(self, command: Command) -> None:
        """Take one command."""
        words, name = command.words, command.name
        if name == "assert":
            if len(words) != 2:
                raise ValueError(f"an assert has one condition, not {len(words) - 1}")
            self.conditions.append(self.formulas.alternatives(words[1]))
        elif name in ("declare-const", "declare-fun"):
            self._declare(words)
        elif name in VERSION_2:
            raise ValueError(f"{name} belongs to VNN-LIB 2.0, which is not read; VNN-LIB 1.0 is")
        elif name not in SILENT:
            raise ValueError(f"{shown(words)} is no command of VNN-LIB 1.0: declare-const and assert are")

    def _declare(self, words: list[Expression]) -> None:
        kind = words[3:] if words[0] == "declare-fun" and words[2:3] == [[]] else words[2:]
        if len(words) < 3 or not isinstance(words[1], str) or kind != ["Real"]:
            raise ValueError(f"{shown(words)}: variables are declared as in (declare-const X_0 Real)")
        match = _NAME.fullmatch(words[1])
        if match is None:
            raise ValueError(f"{shown(words[1])}: inputs are called X_0, X_1, ... and outputs Y_0, Y_1, ...")
        kind_of_it, place = match[1], int(match[2])
        if place >= MAX_VARIABLES:
            raise ValueError(f"{words[1]}: more than {MAX_VARIABLES} variables are not supported")
        if place in self.declared[kind_of_it]:
            raise ValueError(f"{words[1]} is declared twice")
        self.declared[kind_of_it].add(place)

    def _variable(self, symbol: str) -> Variable | None:
        match = _NAME.fullmatch(symbol)
        if match is None or int(match[2]) not in self.declared[match[1]]:
            return None
        return match[1], int(match[2])

    def property(self, source: str) -> Property:
        """The question, once all commands are taken."""
        inputs, outputs = (self._count(kind) for kind in "XY")
        if not inputs:
            raise ValueError("declares no inputs X_0, X_1, ...")
        if not self.conditions:
            raise ValueError("asserts nothing")
        common, several = apart(self.conditions)
        if several is None:
            raise ValueError("its conditions are never true: nothing is asked")
        groups: dict[Ends, list[tuple[Constraint, ...]]] = {}
        for one in several:
            ends = frozenset(one.low.items()), frozenset(one.high.items())
            groups.setdefault(ends, []).append((*common.constraints, *one.constraints))
        asks = any(any(group) for group in groups.values())
        clauses: dict[InputBox, list[tuple[Constraint, ...]]] = {}
        empty = 0
        for (low, high), found in groups.items():
            box = _box(together([common, Alternative(dict(low), dict(high), ())]), inputs)
            if box is None:
                empty += 1
            else:
                clauses.setdefault(box, []).extend(found)
        if not clauses:
            raise ValueError("no input fulfils its conditions: a lower end is above its upper end in every box")
        notes = (f"{empty} of {len(groups)} boxes have no inputs, and were left out",) if empty else ()
        cases = tuple(Case(box, tuple(dict.fromkeys(found))) for box, found in clauses.items())
        return Property(source, inputs, outputs, cases, asks, notes)

    def _count(self, kind: str) -> int:
        numbers = self.declared[kind]
        if numbers and max(numbers) != len(numbers) - 1:
            missing = next(k for k in range(max(numbers)) if k not in numbers)
            raise ValueError(f"declares {kind}_{max(numbers)}, but not {kind}_{missing}")
        return len(numbers)


def _box(alternative: Alternative, inputs: int) -> InputBox | None:
    """The box of some bounds, None if it has no inputs; raises ValueError where a bound is missing."""
    low, high = alternative.low, alternative.high
    for ends, what in ((low, "lower"), (high, "upper")):
        if len(ends) < inputs:
            missing = next(k for k in range(inputs) if k not in ends)
            raise ValueError(f"X_{missing} has no {what} bound: only inputs of a bounded box are supported")
    for k in range(inputs):
        one, other = low[k], high[k]
        if one.at > other.at or (one.at == other.at and (one.strict or other.strict)):
            return None
    return InputBox(
        tuple(low[k].at for k in range(inputs)),
        tuple(high[k].at for k in range(inputs)),
        frozenset(k for k in range(inputs) if low[k].strict),
        frozenset(k for k in range(inputs) if high[k].strict),
    )

"""S-expressions of SMT-LIB 2, one command after the other, bounded in size and nesting; nothing is evaluated."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction

#: A symbol or number as it is written, or a list of expressions.
Expression = str | list["Expression"]
#: How deep parentheses may be nested.
MAX_DEPTH = 100
#: Characters of a number, and its largest power of ten: real files have at most about 20 and 40.
MAX_DIGITS, MAX_EXPONENT = 400, 400
_TOKEN = re.compile(r';[^\n]*|"(?:[^"]|"")*"|\|[^|]*\||[()]|[^\s()";|]+')
_NUMBER = re.compile(r"[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE]([+-]?[0-9]+))?")


@dataclass(frozen=True)
class Command:
    """One command of a file, and the line (from 1) that it begins in."""

    line: int
    words: list[Expression]

    @property
    def name(self) -> str:
        """The word that it begins with, "" if that is none."""
        return self.words[0] if self.words and isinstance(self.words[0], str) else ""


def commands(text: str) -> Iterator[Command]:
    """The commands of a text in their order; raises ValueError, which says the line, for what is no expression."""
    lines = _Lines(text)
    open_lists: list[list[Expression]] = []
    start = 0
    for match in _TOKEN.finditer(text):
        token = match[0]
        if token[0] == ";":
            continue
        if token == "(":
            if not open_lists:
                start = match.start()
            if len(open_lists) == MAX_DEPTH:
                raise ValueError(f"line {lines.of(match.start())}: parentheses are nested more than {MAX_DEPTH} deep")
            open_lists.append([])
        elif token == ")":
            if not open_lists:
                raise ValueError(f"line {lines.of(match.start())}: a parenthesis is closed that was not opened")
            done = open_lists.pop()
            if open_lists:
                open_lists[-1].append(done)
            else:
                yield Command(lines.of(start), done)
        elif not open_lists:
            raise ValueError(f"line {lines.of(match.start())}: {shown(token)} stands outside of parentheses")
        else:
            open_lists[-1].append(token)
    if open_lists:
        raise ValueError(f"line {lines.of(start)}: a parenthesis is not closed; the file may have been cut off")


class _Lines:
    """The line that a place of a text is in; places are asked for in ascending order."""

    def __init__(self, text: str) -> None:
        self.text, self.seen, self.line = text, 0, 1

    def of(self, place: int) -> int:
        """The line, from 1."""
        self.line += self.text.count("\n", self.seen, max(place, self.seen))
        self.seen = max(place, self.seen)
        return self.line


def number(token: str) -> Fraction | None:
    """The number that a symbol is, exactly; None if it is none. Raises ValueError for one that is too long."""
    match = _NUMBER.fullmatch(token)
    if match is None:
        return None
    if len(token) > MAX_DIGITS or abs(int(match[1] or "0")) > MAX_EXPONENT:
        raise ValueError(f"the number {shown(token)} has more than {MAX_DIGITS} digits or powers of ten")
    return Fraction(token)


def shown(expression: Expression) -> str:
    """An expression in a message, cut off where it is long."""
    parts: list[str] = []
    _write(expression, parts)
    text = " ".join("".join(parts).split())
    text = "".join(c if c.isprintable() else "?" for c in text)
    return text if len(text) <= 60 else text[:57] + "..."


def _write(expression: Expression, into: list[str]) -> None:
    if sum(map(len, into)) > 100:
        return
    if isinstance(expression, str):
        into.append(expression[:100])
        return
    into.append("(")
    for k, part in enumerate(expression[:20]):
        into.append(" " if k else "")
        _write(part, into)
    into.append(")")

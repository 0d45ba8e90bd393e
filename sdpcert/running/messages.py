"""Texts of others inside of messages: on one line, and not too long."""

from __future__ import annotations


def quoted(name: object) -> str:
    """A name from a file for a message: quoted, on one line, not too long."""
    text = str(name)
    return repr(text if len(text) <= 100 else text[:97] + "...")


def first_line(error: BaseException) -> str:
    """The first line of an exception's message, shortened, for use inside a message."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return (lines[0] if lines else type(error).__name__)[:300]

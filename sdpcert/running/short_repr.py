"""One-line reprs of dataclasses that hold arrays: kinds, shapes and counts instead of numbers."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

#: Longest repr, in characters, and longest text of one field in it.
LONGEST, LONGEST_FIELD = 200, 80
_PLAIN = (int, float, str, type(None))


class ShortRepr:
    """Base of dataclasses: `Network(input_shape=(784,), nodes=3 Node, output=3)`. Empty fields and numbers
    and texts at their default are left out.

    The repr is put into every subclass, because `@dataclass` makes one of its own for a class that has none.
    """

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        if "__repr__" not in vars(cls):
            cls.__repr__ = ShortRepr.__repr__

    def __repr__(self) -> str:
        text = f"{type(self).__name__}("
        room = LONGEST - len(text) - len(", ...)")
        shown: list[str] = []
        for field in fields(self):  # type: ignore[arg-type]
            value = getattr(self, field.name)
            empty = isinstance(value, tuple | list | dict) and not value
            if not field.repr or value is None or empty or (isinstance(value, _PLAIN) and value == field.default):
                continue
            one = f"{field.name}={_short(value)}"
            room -= len(one) + 2
            if room < 0:
                shown.append("...")
                break
            shown.append(one)
        return text + ", ".join(shown) + ")"


def _short(value: Any) -> str:
    shape, kind = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape and kind is not None:
        return f"{str(kind).removeprefix('torch.')}{list(shape)}"
    if isinstance(value, tuple | list | set | frozenset | dict) and len(value):
        members = list(value.values()) if isinstance(value, dict) else list(value)
        text = repr(value) if len(value) <= 8 and all(isinstance(member, _PLAIN) for member in members) else ""
        if not 0 < len(text) <= LONGEST_FIELD:
            kinds = {type(member).__name__ for member in members}
            text = f"{len(value)} {kinds.pop() if len(kinds) == 1 else 'entries'}"
        return text
    text = " ".join(repr(value).split())
    return text if len(text) <= LONGEST_FIELD else text[: LONGEST_FIELD - 3] + "..."

"""Where in a module's own code something happens, for messages, and what `torch.compile` was given."""

from __future__ import annotations

import traceback
from collections.abc import Iterable
from pathlib import Path
from types import FrameType, MethodType
from typing import Any

import torch
from torch import nn

from sdpcert.readers.errors import first_line

#: Where torch calls a module's forward and its hooks.
_MODULE_FILE = nn.modules.module.__file__
_INSIDE = (str(Path(torch.__file__).parent), str(Path(__file__).parents[1]))


def line_of_user() -> str:
    """Where in the module's own code the trace is: ` (model.py, line 12: if x.sum() > 0)`, empty if unknown."""
    for frame in reversed(traceback.extract_stack()):
        if not frame.filename.startswith((*_INSIDE, "<")):
            text = f": {frame.line[:60]}" if frame.line else ""
            return f" ({Path(frame.filename).name}, line {frame.lineno}{text})"
    return ""


def last_line_of(error: BaseException) -> str:
    """An exception of the module's own code in one line, with the place that raised it."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith(_INSIDE)]
    place = f" ({Path(own[-1].filename).name}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}{place}: {first_line(error)}"


def hook_among(frames: Iterable[tuple[FrameType, int]]) -> str:
    """What to say if the innermost module call among frames (outermost first) is in a user's hook; else empty."""
    named, caller = "", ""
    for frame, _ in frames:
        file, name = frame.f_code.co_filename, frame.f_code.co_name
        if caller == _MODULE_FILE and file != _MODULE_FILE:
            # A call of a module runs its forward, which is watched by this package, or a hook.
            user = not file.startswith(_INSIDE)
            named = f"; this is in the hook {name!r}: remove the hook if it only looks on" if user else ""
        caller = file
    return named


def uncompiled(function: Any) -> Any:
    """What `torch.compile` made a function or bound method of, which computes the same; if nothing, itself."""
    if isinstance(function, MethodType):
        return MethodType(uncompiled(function.__func__), function.__self__)
    inner = getattr(function, "_torchdynamo_orig_callable", function)
    # Around torch's own functions there is one more wrapper.
    ours = "_dynamo" in getattr(getattr(inner, "__code__", None), "co_filename", "")
    return inner.__wrapped__ if ours and hasattr(inner, "__wrapped__") else inner

"""All shared operators by their ONNX names, `OPERATORS`, and how one is applied. Each file states its own, by name."""

from __future__ import annotations

from dataclasses import replace

from sdpcert.readers.operators.choices import CHOOSING, ON_CHOICES, resolved
from sdpcert.readers.operators.elementwise import ELEMENTWISE
from sdpcert.readers.operators.linear import LINEAR
from sdpcert.readers.operators.moves import MOVING
from sdpcert.readers.operators.resize import RESIZING
from sdpcert.readers.operators.sorting import SORTING
from sdpcert.readers.operators.values import Call, Choice, Dynamic, Handler, Value
from sdpcert.readers.operators.windows import WINDOWS

OPERATORS: dict[str, Handler] = {**ELEMENTWISE, **LINEAR, **MOVING, **WINDOWS, **RESIZING, **SORTING, **CHOOSING}


def apply(call: Call) -> Value | list[Dynamic]:
    """What an operator makes of inputs of which one at least depends on the network's input."""
    if any(isinstance(value, Choice) for value in call.inputs):
        if call.operator in ON_CHOICES:
            return ON_CHOICES[call.operator](call)
        call = replace(call, inputs=[v if v is None else resolved(call.builder, v) for v in call.inputs])
    return OPERATORS[call.operator](call)

"""All shared operators by their ONNX names: `OPERATORS`. Each file states its own, by name."""

from __future__ import annotations

from sdpcert.readers.operators.elementwise import ELEMENTWISE
from sdpcert.readers.operators.linear import LINEAR
from sdpcert.readers.operators.moves import MOVING
from sdpcert.readers.operators.resize import RESIZING
from sdpcert.readers.operators.sorting import SORTING
from sdpcert.readers.operators.values import Handler
from sdpcert.readers.operators.windows import WINDOWS

OPERATORS: dict[str, Handler] = {**ELEMENTWISE, **LINEAR, **MOVING, **WINDOWS, **RESIZING, **SORTING}

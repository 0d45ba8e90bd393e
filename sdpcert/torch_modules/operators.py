"""All torch functions on traced tensors but moves, by name: `OPERATIONS`. Each file states its own.

They go through the operators that ONNX files go through (`sdpcert.readers.operators`), so that batch normalisation,
comparisons and averages enter in the same exact form, or with the same bound on their rounding.
"""

from __future__ import annotations

from sdpcert.torch_modules.activations import ACTIVATIONS
from sdpcert.torch_modules.arguments import Handler
from sdpcert.torch_modules.arithmetic import ARITHMETIC
from sdpcert.torch_modules.choices import CHOOSING
from sdpcert.torch_modules.moves import JOINS
from sdpcert.torch_modules.sorting import SORTING
from sdpcert.torch_modules.windows import WINDOWS

OPERATIONS: dict[str, Handler] = {**ACTIVATIONS, **ARITHMETIC, **WINDOWS, **JOINS, **SORTING, **CHOOSING}

"""What a torch module does with its input, as a graph that grows: what the handlers of torch functions build."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from sdpcert.readers.errors import UnsupportedModel, quoted
from sdpcert.readers.operators.table import apply
from sdpcert.readers.operators.values import Builder, Call, Choice, Constant, Dynamic

#: The version of ONNX's operators that the shared ones follow here.
OPSET = 22


@dataclass(frozen=True)
class NoForm:
    """A result that has no form, such as the place of a maximum: it is refused where it is used."""

    reason: str


class Trace:
    """The graph of a module on an input of `shape` (without batch axis), and the names of its tensors, by identity.

    `current` is the type of the result of the function that is being read; of the input, before any.
    """

    def __init__(self, shape: tuple[int, ...], dtype: torch.dtype, names: Mapping[int, str]) -> None:
        self.builder = Builder((1, *shape), unit=torch.finfo(dtype).eps / 2)
        self.current = dtype
        self._names = names

    def call(self, operator: str, *inputs: Any, **attributes: Any) -> Dynamic:
        """What a shared operator makes of inputs: tensors, choices, constants in any form, or None.

        Attributes may be None, too.
        """
        values = [x if x is None or isinstance(x, Dynamic | Choice) else self.constant(x) for x in inputs]
        given = {k: v for k, v in attributes.items() if v is not None}
        return apply(Call(operator, values, given, OPSET, 1, self.builder))  # type: ignore[return-value]

    def constant(self, value: Any) -> Constant:
        """A number or a tensor of the module as an exact constant in float64."""
        if isinstance(value, Constant):
            return value
        if isinstance(value, Dynamic | Choice):
            raise UnsupportedModel("a weight is computed from the network's input; only constants fit there")
        name = self._names.get(id(value), "without a name")
        if isinstance(value, Tensor):
            if value.is_complex() or value.is_quantized or value.layout != torch.strided:
                raise UnsupportedModel(f"tensor {quoted(name)} of type {value.dtype} is complex, quantised or sparse")
            value = value.detach().to("cpu", torch.float64).numpy().copy()
        if isinstance(value, complex):
            raise UnsupportedModel("complex numbers have no form here")
        return Constant(np.asarray(value, dtype=float), name)

"""Functions with a gradient of their own."""

from __future__ import annotations

import inspect
from typing import Any

import torch


class Function(torch.autograd.Function):
    """Torch's base class for functions of small tensors: it reads the signature of `forward` once.

    Torch's `apply` asks for it at every call of a function with `setup_context`, which takes as long as ten operations
    on small tensors do; `inspect` answers at once where a function has it as an attribute.
    """

    def __init_subclass__(cls, **more: Any) -> None:
        super().__init_subclass__(**more)
        forward: Any = cls.forward
        forward.__signature__ = inspect.signature(forward)

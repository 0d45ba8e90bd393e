"""The tensor that a torch module is traced with: it has a shape, no numbers, and takes over every torch function."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Protocol

import torch
from torch import Tensor

from sdpcert.readers.errors import UnsupportedModel
from sdpcert.readers.operators.values import Choice, Dynamic

_NAMES = """
    size dim ndimension numel nelement stride storage_offset is_floating_point is_complex is_contiguous is_signed
    element_size get_device __len__ is_same_size is_inference has_names
"""
#: What asks a tensor for something other than its numbers; so do all properties but `MOVING_PROPERTIES`.
METADATA = frozenset(_NAMES.split())
MOVING_PROPERTIES = frozenset(("T", "mT", "H", "mH", "data", "imag", "real"))


class Interpreter(Protocol):
    """What carries out torch functions on traced tensors."""

    def apply(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of a torch function with traced tensors among its arguments."""


class Traced(Tensor):
    """A tensor without numbers: `dynamic` is its place in the graph, or the choice that it is; if it has none,
    None, and `reason` says why.

    Its type is the one that torch gives to the result of the same operations.

    Tensors that may share memory are each other's `sharing`: after a change of one in place the others' numbers are
    not known any more.
    """

    interpreter: Interpreter
    dynamic: Dynamic | Choice | None
    reason: str
    sharing: list[Traced]

    @staticmethod
    def __new__(
        cls,
        interpreter: Interpreter,
        dynamic: Dynamic | Choice | None,
        reason: str = "",
        dtype: torch.dtype | None = None,
    ) -> Traced:
        shape, dtype = ((), torch.bool) if dynamic is None else (dynamic.shape, dtype)
        made = torch.Tensor._make_wrapper_subclass(cls, shape, dtype=dtype)  # type: ignore[attr-defined]
        made.interpreter, made.dynamic, made.reason = interpreter, dynamic, reason
        made.sharing = [made]
        return made

    def __init__(self, *arguments: object, dtype: torch.dtype | None = None) -> None:
        super().__init__()

    def shares(self, other: Traced) -> Traced:
        """Note that this new tensor may share memory with another one, and return it."""
        other.sharing.append(self)
        self.sharing = other.sharing
        return self

    def others_changed(self, reason: str) -> None:
        """After a change of this tensor in place, refuse the others that may share its memory where they are used."""
        for other in self.sharing:
            if other is not self:
                other.dynamic, other.reason, other.sharing = None, reason, [other]
        self.sharing = [self]

    def __repr__(self, *, tensor_contents: object = None) -> str:
        return f"a tensor of shape {tuple(self.shape)} without numbers"

    def __format__(self, spec: str) -> str:
        return repr(self)

    @classmethod
    def __torch_function__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """Every torch function, method and property that meets a traced tensor comes here."""
        given = dict(kwargs or {})
        name, is_property = operation_name(func)
        if name in METADATA or (is_property and name not in MOVING_PROPERTIES):
            with torch._C.DisableTorchFunctionSubclass():
                return func(*args, **given)
        first = next(leaf for leaf in leaves((args, given)) if isinstance(leaf, Traced))
        return first.interpreter.apply(func, name, args, given)

    @classmethod
    def __torch_dispatch__(
        cls, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        """What went past torch's Python functions, such as TorchScript, or a number taken out of a tensor."""
        raise UnsupportedModel(f"operation {func} was reached from code that is not Python, which cannot be followed")


def operation_name(func: Any) -> tuple[str, bool]:
    """The name of a torch function, method or property, and whether it is a property that is read."""
    name = getattr(func, "__name__", "")
    if name in ("__get__", "__set__"):
        owner = getattr(getattr(func, "__self__", None), "__name__", "")
        return (owner, True) if name == "__get__" else (f"set {owner}", False)
    return name or repr(func), False


def leaves(structure: Any) -> Iterator[Any]:
    """What nested tuples, lists, slices and dictionaries hold."""
    if isinstance(structure, tuple | list):
        for part in structure:
            yield from leaves(part)
    elif isinstance(structure, dict):
        yield from leaves(list(structure.values()))
    elif isinstance(structure, slice):
        yield from (structure.start, structure.stop, structure.step)
    else:
        yield structure


def mapped(structure: Any, function: Callable[[Any], Any]) -> Any:
    """The same nested tuples, lists and dictionaries with the function applied to what they hold."""
    if isinstance(structure, tuple) and hasattr(structure, "_fields"):
        return type(structure)(*(mapped(part, function) for part in structure))
    if isinstance(structure, tuple | list) and not isinstance(structure, torch.Size):
        return type(structure)(mapped(part, function) for part in structure)
    if isinstance(structure, dict):
        return {key: mapped(part, function) for key, part in structure.items()}
    return function(structure)

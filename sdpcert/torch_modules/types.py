"""Types of traced tensors: torch says which type a result has, and none may be narrower than what it was made of."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

from sdpcert.readers.errors import UnsupportedModel, check_size
from sdpcert.torch_modules.arguments import FIRST
from sdpcert.torch_modules.tensor import Traced, leaves, mapped

_CASTING = """
    to type type_as float double half bfloat16 int long short char byte bool cfloat cdouble chalf
"""
#: What returns the same numbers in a type that torch tells.
CASTS = frozenset(_CASTING.split())
#: Constants that take only shape and type of a traced tensor; torch makes them itself.
FILLED = frozenset(("zeros_like", "ones_like", "full_like", "new_zeros", "new_ones", "new_full", "new_tensor"))


def stand_in(value: Any) -> Any:
    """A tensor of the same shape and type on the device `meta`, where torch computes shapes and types alone."""
    if isinstance(value, Traced):
        return torch.empty(value.shape, dtype=value.dtype, device="meta")
    return torch.empty_like(value, device="meta") if isinstance(value, Tensor) else value


def kept(kind: torch.dtype, widest: torch.dtype, sources: Iterable[Any]) -> torch.dtype:
    """The type of a result if it holds all numbers of the traced tensors among `sources`, or of the weights.

    `widest` is the type of the module's parameters. Raises `UnsupportedModel` for other types, which round.
    """
    for source in (leaf for leaf in sources if isinstance(leaf, Traced)):
        if not _holds(kind, source.dtype) and not _holds(kind, widest):
            raise UnsupportedModel(f"a cast from {source.dtype} to {kind} rounds; convert the whole module instead")
    return kind


def source_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The first argument of a call, by place or by one of torch's names for it."""
    return args[0] if args else next((kwargs[name] for name in FIRST if name in kwargs), None)


def cast_type(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """What a function of `CASTS` makes of an empty tensor in the place of traced ones: torch tells the type."""
    args, kwargs = mapped((args, kwargs), lambda x: torch.empty(0, dtype=x.dtype) if isinstance(x, Traced) else x)
    return func(*args, **kwargs)


def filled(func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor:
    """The constant that a function of `FILLED` makes of a tensor of the source's shape and type."""
    source = source_of(args, kwargs)
    if [leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Traced)] != [source]:
        raise UnsupportedModel("what it fills in is computed from the network's input")
    check_size(source.shape, "a constant")
    zeros = torch.zeros((), dtype=source.dtype).expand(source.shape)
    args, kwargs = mapped((args, kwargs), lambda x: zeros if isinstance(x, Traced) else x)
    return func(*args, **kwargs)


def _holds(kind: torch.dtype, other: torch.dtype) -> bool:
    """Whether a type holds every number of another."""
    try:
        return kind.is_floating_point and torch.promote_types(kind, other) == kind
    except RuntimeError:  # types of eight bits have no common type with others
        return kind == other

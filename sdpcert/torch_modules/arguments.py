"""Which arguments of a torch function are taken: those that its handler declares, and some that change no number.

A handler is a function of the trace and of named parameters, the torch function's own in torch's order. What it does
not declare it would not see, so whatever else a module gives is refused by name, never dropped. The tracer checks as
well that the result has the type and the shape that torch gives it, whatever an argument means.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from sdpcert.readers.errors import UnsupportedModel, quoted

#: What makes a result of a trace and of a torch function's arguments.
Handler = Callable[..., Any]
#: Arguments that no handler sees, and why none has to: they say where and how numbers are kept, not which they are.
#: `dtype` says in which precision; the type of the result is looked at.
HARMLESS = {
    "memory_format": "the order of entries in memory",
    "device": "where the tensor lies",
    "non_blocking": "when a copy is made",
    "copy": "whether a copy is made",
    "requires_grad": "gradients",
    "dtype": "the type of the result, which is compared with the module's",
    "momentum": "statistics of training",
    "cudnn_enabled": "which library computes",
    "stable": "the order of equal numbers, which have no names",
}
#: Other names that torch has for arguments, after NumPy.
ALIASES = {"axis": "dim", "keepdims": "keepdim"}
#: Names that torch gives to a function's first argument.
FIRST = ("input", "self")


def declares(handler: Handler, *required: str, **optional: object) -> Handler:
    """A handler of the trace and of keywords, with these parameters of torch's, the latter with defaults, as its own.

    The first parameter is called `source`.
    """
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    own = [inspect.Parameter(name, kind) for name in dict.fromkeys(("trace", "source", *required))]
    given = [inspect.Parameter(name, kind, default=value) for name, value in optional.items()]
    handler.__signature__ = inspect.Signature([*own, *given])  # type: ignore[attr-defined]
    return handler


@cache
def parameters_of(handler: Handler) -> tuple[str, ...]:
    """The names of a handler's parameters after the trace; TypeError for one that would take anything."""
    parameters = list(inspect.signature(handler).parameters.values())[1:]
    if any(p.kind is not inspect.Parameter.POSITIONAL_OR_KEYWORD for p in parameters):
        raise TypeError(f"the handler {handler} takes arguments that it does not name")
    return tuple(p.name for p in parameters)


def taken(handler: Handler, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a call by the handler's names; raises `UnsupportedModel`, by name, for one that it lacks."""
    known = parameters_of(handler)
    if len(args) > len(known):
        unknown = ", ".join(quoted(value) for value in args[len(known) :])
        raise UnsupportedModel(
            f"its arguments after the first {len(known)} are not known here: {unknown}; leave them out"
        )
    values = dict(zip(known, args))
    for name, value in kwargs.items():
        own = name if name in known else known[0] if name in FIRST else ALIASES.get(name, name)
        if own in known:
            if own in values:
                raise UnsupportedModel(f"its argument {quoted(name)} is given twice")
            values[own] = value
        elif own == "out" and value is not None:
            raise UnsupportedModel("its argument 'out' is a tensor that it writes into; use its result")
        elif own not in HARMLESS and own != "out":
            raise UnsupportedModel(f"its argument {quoted(name)} is not known here; leave it out")
    return values

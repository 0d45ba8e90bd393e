"""Tracing: a torch module runs once on a tensor without numbers, and what it does with it becomes a graph.

The tensor is a subclass of `torch.Tensor` that knows its shape (`torch_tensor`). It is preferred to
`torch.fx.symbolic_trace`, whose proxies have no shapes (unpacking `x.chunk(2)`, loops over `x.shape[1]` and assertions
about shapes fail there, in users' modules and in torch's own), and to `torch.export`, which traces into the toolkit's
layers and leaves the computation of parametrised weights in the graph. Here shapes are numbers, torch itself computes
weights before they are used, and the toolkit's layers give their own form. Whatever would need a number of the data,
such as control flow that depends on it, is refused where it happens.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from traceback import walk_stack, walk_tb
from types import MethodType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.network.graph import Network
from sdpcert.readers.errors import UnsupportedModel, check_size, first_line, quoted
from sdpcert.readers.operators.elementwise import OPERATORS
from sdpcert.readers.operators.values import Builder, Call, Constant, Dynamic
from sdpcert.torch_modules.arguments import FIRST, taken
from sdpcert.torch_modules.chain import Step, is_link
from sdpcert.torch_modules.leaves import Form, own_form
from sdpcert.torch_modules.moves import COPIES
from sdpcert.torch_modules.places import hook_among, last_line_of, line_of_user, uncompiled
from sdpcert.torch_modules.refusals import CHOICES, GENERAL, REASONS, VALUES
from sdpcert.torch_modules.state import check_computing
from sdpcert.torch_modules.tensor import Traced, leaves, mapped
from sdpcert.torch_modules.types import CASTS, FILLED, cast_type, filled, kept, source_of, stand_in

#: The version of the shared operators (`onnx_operators`) whose rules are followed.
OPSET = 22
#: What returns the tensor itself, or another one of the same numbers.
SAME = ("detach", "contiguous", "requires_grad_", "data", "cpu", "positive", "__pos__", "resolve_conj", "real")
#: What else may return a tensor that shares memory with the one given; moves do so unless they are `COPIES`.
SHARING = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
Handler = Callable[..., Any]


class Trace:
    """Runs a module on a traced tensor of `shape` (without batch axis) and collects its graph and its steps.

    `dtype` is the input's type, `widest` that of the parameters that have the widest: what is narrower rounds.
    `operations` are handlers by the name of the torch function; each takes the trace and the arguments that it
    declares (`torch_arguments`), with `Dynamic` for traced tensors. `moves` are names of functions that only move
    entries; `mover` takes them, after the trace the function itself. `computing` is how torch has to compute all along
    (`torch_state`).
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        widest: torch.dtype,
        operations: Mapping[str, Handler],
        moves: frozenset[str],
        mover: Handler,
        computing: dict[str, Any],
    ) -> None:
        self.builder = Builder((1, *shape))
        #: The type of the input, and of the result of the operation that is being read.
        self.dtype = self.current = dtype
        self.widest = widest
        self.steps: list[Step] = []
        self._operations, self._moves, self._mover = operations, moves, mover
        self._computing = computing
        self._path: list[tuple[str, nn.Module]] = []
        self._names: dict[int, str] = {}
        self._patched: set[int] = set()
        self._inside = False
        self._counted = self._total = 0

    def run(self, module: nn.Module) -> Dynamic:
        """The module's output; raises `UnsupportedModel` with the submodule's path and the operation."""
        self._path = [("", module)]
        self._names = {id(t): name for name, t in (*module.named_parameters(), *module.named_buffers())}
        try:
            with self._watched(module), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                result = module(Traced(self, self.builder.input))
        except UnsupportedModel:
            raise
        except Exception as error:  # the module's own code may raise anything
            hook = hook_among(walk_tb(error.__traceback__))
            raise UnsupportedModel(f"{self._where()} cannot be followed: {last_line_of(error)}{hook}") from None
        for text in (str(warning.message) for warning in said):
            if "Disabling" in text:  # torch.autocast for a device that is not here
                raise UnsupportedModel(f"the module enables autocast, a cast that rounds; torch says: {text}")
        if not isinstance(result, Traced):
            raise UnsupportedModel("the module's output does not depend on its input")
        if result.dynamic is None:
            raise UnsupportedModel(f"the module's output cannot be represented: {result.reason}")
        return result.dynamic

    def network(self, output: Dynamic, source: str) -> Network:
        """What was traced up to `output`, without values that nothing reads."""
        part = self.builder.graph.network(output.number).between(0, output.number)
        return Network(part.input_shape, part.nodes, part.output, source, {"format": "torch module"})

    def call(self, operator: str, *inputs: Any, **attributes: Any) -> Dynamic:
        """One of the operators shared with ONNX files; inputs are `Dynamic`, constants in any form, or None."""
        values = [None if x is None else x if isinstance(x, Dynamic) else self.constant(x) for x in inputs]
        given = {k: v for k, v in attributes.items() if v is not None}
        return OPERATORS[operator](Call(operator, values, given, OPSET, 1, self.builder))  # type: ignore[return-value]

    def constant(self, value: Any) -> Constant:
        """A number or a tensor of the module as an exact constant in float64."""
        if isinstance(value, Constant):
            return value
        if isinstance(value, Dynamic):
            raise UnsupportedModel("a weight is computed from the network's input; only constants fit there")
        name = self._names.get(id(value), "without a name")
        if isinstance(value, Tensor):
            if value.is_complex() or value.is_quantized or value.layout != torch.strided:
                raise UnsupportedModel(f"tensor {quoted(name)} of type {value.dtype} is complex, quantised or sparse")
            value = value.detach().to("cpu", torch.float64).numpy().copy()
        if isinstance(value, complex):
            raise UnsupportedModel("complex numbers have no form here")
        return Constant(np.asarray(value, dtype=float), name)

    def apply(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """One torch function with traced tensors among its arguments."""
        if name in VALUES:
            raise self._refusal(
                name,
                f"control flow that depends on data, or a number taken out of it{line_of_user()}; use torch functions",
            )
        if name in CHOICES:
            return Traced(self, None, f"the result of {name} jumps with the data{line_of_user()}; {CHOICES[name]}")
        plain = name.endswith("__") or not name.endswith("_") or name in SAME
        inplace = bool(kwargs.pop("inplace", False)) or not plain or name.startswith("__i")
        name = name if plain else name[:-1]
        try:
            check_computing(self._computing)
            if name in SAME:
                return self._itself(name, args, kwargs)
            if name in CASTS:
                return self._cast(func, args, kwargs)
            if name in FILLED:
                self._unwrapped(source_of(args, kwargs))  # one without numbers has no shape either
                return filled(func, args, kwargs)
            if name not in self._operations and name not in self._moves:
                raise UnsupportedModel(REASONS.get(name, GENERAL))
            result, kind = self._read(func, name, args, kwargs)
            self._count()
        except UnsupportedModel as error:
            raise self._refusal(name, first_line(error)) from None
        except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, AssertionError, RuntimeError) as error:
            raise self._refusal(name, first_line(error)) from None
        if not inplace:
            wrapped = mapped(result, lambda x: Traced(self, x, dtype=kind) if isinstance(x, Dynamic) else x)
            if name in SHARING or (name in self._moves and name not in COPIES):
                source = next(leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Traced))
                for leaf in leaves(wrapped):
                    if isinstance(leaf, Traced):
                        leaf.shares(source)
            return wrapped
        target = source_of(args, kwargs)
        if not isinstance(target, Traced) or not isinstance(result, Dynamic) or result.shape != tuple(target.shape):
            raise self._refusal(name, "it writes into a tensor of another shape or of constants; use its result")
        target.dynamic = result
        target.others_changed(f"{name} changed a tensor that shares memory with it in place{line_of_user()}")
        return target

    def _read(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, torch.dtype]:
        """What a move or a handler makes of a call, and the type that torch says the result has."""
        given, named = mapped(args, self._unwrapped), mapped(kwargs, self._unwrapped)
        if name in self._moves:
            source = next(leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Traced))
            first = [named.pop(k) for k in FIRST if k in named]
            return self._mover(self, func, *first, *given, **named), source.dtype
        values = taken(self._operations[name], given, named)
        try:
            theirs = func(*mapped(args, stand_in), **mapped(kwargs, stand_in))
        except Exception:
            self._operations[name](self, **values)  # which may know a better reason
            raise
        theirs = next(leaf for leaf in leaves(theirs) if isinstance(leaf, Tensor))
        self.current = kept(theirs.dtype, self.widest, leaves((args, kwargs)))
        result = self._operations[name](self, **values)
        ours = next(leaf for leaf in leaves(result) if isinstance(leaf, Dynamic))
        if ours.shape != tuple(theirs.shape):
            raise UnsupportedModel(f"its result would have the shape {ours.shape}, torch's has {tuple(theirs.shape)}")
        return result, theirs.dtype

    def _itself(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Traced:
        if name == "requires_grad_":
            return args[0]
        source = taken(_source, args, kwargs)["source"]
        return Traced(self, source.dynamic, source.reason, source.dtype).shares(source)

    def _cast(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        result, source = cast_type(func, args, kwargs), source_of(args, kwargs)
        if not isinstance(result, Tensor) or not isinstance(source, Traced):  # a type's name, or a constant's cast
            return result
        value = self._unwrapped(source)
        return Traced(self, value, dtype=kept(result.dtype, self.widest, [source])).shares(source)

    def nothing(self, reason: str) -> Traced:
        """A result that is refused where it is used."""
        return Traced(self, None, reason)

    def _count(self) -> None:
        nodes = self.builder.graph.nodes
        self._total += sum(math.prod(node.shape) for node in nodes[self._counted :])
        self._counted = len(nodes)
        check_size((self._total,), "all tensors up to here")

    def _unwrapped(self, value: Any) -> Any:
        if not isinstance(value, Traced):
            return value
        if value.dynamic is None:
            raise UnsupportedModel(value.reason)
        return value.dynamic

    @contextmanager
    def _watched(self, module: nn.Module) -> Iterator[None]:
        """While it lasts, submodules report where the trace is and give their own form where they have one."""
        changed: list[tuple[nn.Module, Any]] = []
        try:
            for path, sub in module.named_modules():
                forward = uncompiled(getattr(sub, "_orig_mod", sub.forward))
                changed.append((sub, sub.__dict__.get("forward")))
                if changed[-1][1] is not None and forward != MethodType(type(sub).forward, sub):
                    self._patched.add(id(sub))  # somebody gave this one module another forward
                sub.__dict__["forward"] = partial(self._enter, path, sub, forward)
            yield
        finally:
            for sub, before in changed:
                del sub.__dict__["forward"]
                if before is not None:
                    sub.__dict__["forward"] = before

    def _enter(self, path: str, module: nn.Module, forward: Handler, *args: Any, **kwargs: Any) -> Any:
        """A call of a submodule; what is raised inside leaves the path where it was."""
        depth, outer = len(self._path), self._inside
        if path:
            self._path.append((path, module))
        try:
            check_computing(self._computing)
        except UnsupportedModel as error:
            raise UnsupportedModel(f"{self._where()}: {error}") from None
        value = args[0] if len(args) == 1 and not kwargs and isinstance(args[0], Traced) else None
        patched = id(module) in self._patched
        form = None if value is None or patched else own_form(module)
        start = None if value is None or value.dynamic is None else value.dynamic.number
        first = len(self.builder.graph.nodes)
        self._inside = outer or (start is not None and not patched and is_link(module))
        if form is None or value is None:
            result = forward(*args, **kwargs)
        else:
            result = self._formed(form, value)
        if self._inside and not outer and isinstance(result, Traced) and result.dynamic is not None:
            assert start is not None
            nodes = range(first, len(self.builder.graph.nodes))
            self.steps.append(Step(path, module, start, result.dynamic.number, nodes))
        self._inside = outer
        del self._path[depth:]
        return result

    def _formed(self, form: Form, value: Traced) -> Traced:
        try:
            result = form(self.builder, self._unwrapped(value))
            self._count()
        except ValueError as error:
            raise UnsupportedModel(f"{self._where()} cannot be represented: {first_line(error)}") from None
        made = Traced(self, result, dtype=value.dtype)
        return made.shares(value) if value.dynamic is not None and result.number == value.dynamic.number else made

    def _where(self) -> str:
        path, module = self._path[-1]
        kind = getattr(type(module), "__name__", "Module")
        return f"submodule {quoted(path)} ({kind})" if path else f"the module ({kind})"

    def _refusal(self, name: str, why: str) -> UnsupportedModel:
        hook = hook_among(reversed(list(walk_stack(None))))
        return UnsupportedModel(f"{self._where()}: operation {name} cannot be represented: {why}{hook}")


def _source(trace: Trace, source: Traced) -> Traced:
    return source

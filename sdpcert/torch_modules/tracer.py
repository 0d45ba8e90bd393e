"""Tracing: a torch module runs once on a tensor without numbers, and what it does with it becomes a graph.

The tensor (`tensor.py`) has a shape and takes over every torch function that it meets; the tracer looks up what each
makes of the graph. `torch.fx.symbolic_trace` has proxies without shapes: unpacking `x.chunk(2)`, loops over
`x.shape[1]` and assertions about shapes fail there, in users' modules and in torch's own. `torch.export` traces into
the toolkit's layers and leaves the computation of parametrised weights in the graph. Here shapes are numbers, torch
itself computes weights before they are used, and the toolkit's layers give their own form. Whatever would need a number
of the data, such as control flow that depends on it, is refused at the line where it happens.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from traceback import walk_stack, walk_tb
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from sdpcert.network.graph import Network
from sdpcert.readers.errors import UnsupportedModel, check_size, first_line, quoted
from sdpcert.readers.operators.choices import resolved
from sdpcert.readers.operators.values import Choice, Dynamic
from sdpcert.torch_modules.arguments import FIRST, taken
from sdpcert.torch_modules.chain import Step, is_link
from sdpcert.torch_modules.choices import CHOOSING, ON_CHOICES
from sdpcert.torch_modules.leaves import Form, own_form
from sdpcert.torch_modules.moves import COPIES, MOVES, move
from sdpcert.torch_modules.operators import OPERATIONS
from sdpcert.torch_modules.places import hook_among, last_line_of, line_of_user, uncompiled
from sdpcert.torch_modules.refusals import CHOICES, GENERAL, REASONS, VALUES
from sdpcert.torch_modules.state import check_computing
from sdpcert.torch_modules.tensor import Traced, leaves, mapped
from sdpcert.torch_modules.trace import NoForm, Trace
from sdpcert.torch_modules.types import CASTS, FILLED, cast_type, filled, kept, source_of, stand_in

#: What returns the tensor itself, or another one of the same numbers.
SAME = ("detach", "contiguous", "requires_grad_", "data", "cpu", "positive", "__pos__", "resolve_conj", "real")
#: What else may return a tensor that shares memory with the one given; moves do so unless they are `COPIES`.
SHARING = ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout")
Handler = Callable[..., Any]


class Tracer:
    """Runs a module on a traced tensor of `shape` (without batch axis) and collects its graph and its steps.

    `dtype` is the input's type; `widest` holds the numbers of all parameters, so casts to what is narrower round.
    `computing` says how torch has to compute all along (`state.computing`).
    """

    def __init__(
        self,
        module: nn.Module,
        shape: tuple[int, ...],
        dtype: torch.dtype,
        widest: torch.dtype,
        computing: dict[str, Any],
    ) -> None:
        names = {id(t): name for name, t in (*module.named_parameters(), *module.named_buffers())}
        self.trace = Trace(shape, dtype, names)
        self.steps: list[Step] = []
        self._module, self._widest, self._computing = module, widest, computing
        self._path: list[tuple[str, nn.Module]] = [("", module)]
        self._patched: set[int] = set()
        self._inside = False
        self._counted = self._total = 0

    def run(self) -> Dynamic:
        """The module's output; raises `UnsupportedModel` with the submodule's path and the operation."""
        try:
            with self._watched(), warnings.catch_warnings(record=True) as said:
                warnings.simplefilter("always")
                result = self._module(Traced(self, self.trace.builder.input, dtype=self.trace.current))
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
        try:
            return self._unwrapped(result)
        except UnsupportedModel as error:
            raise UnsupportedModel(f"the module's output cannot be represented: {error}") from None

    def network(self, output: Dynamic, source: str) -> Network:
        """What was traced up to `output`, without values that nothing reads."""
        part = self.trace.builder.graph.network(output.number).between(0, output.number)
        return Network(part.input_shape, part.nodes, part.output, source, {"format": "torch module"})

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
            if name not in OPERATIONS and name not in MOVES:
                raise UnsupportedModel(REASONS.get(name, GENERAL))
            result, kind = self._read(func, name, args, kwargs)
            self._count()
        except UnsupportedModel as error:
            raise self._refusal(name, first_line(error)) from None
        except (ValueError, IndexError, KeyError, TypeError, ArithmeticError, AssertionError, RuntimeError) as error:
            raise self._refusal(name, first_line(error)) from None
        if not inplace:
            wrapped = mapped(result, lambda x: self._wrapped(x, kind))
            if name in SHARING or (name in MOVES and name not in COPIES):
                source = next(leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Traced))
                for leaf in leaves(wrapped):
                    if isinstance(leaf, Traced):
                        leaf.shares(source)
            return wrapped
        target = source_of(args, kwargs)
        if (
            not isinstance(target, Traced)
            or not isinstance(result, Dynamic | Choice)
            or result.shape != tuple(target.shape)
        ):
            raise self._refusal(name, "it writes into a tensor of another shape or of constants; use its result")
        target.dynamic = result
        target.others_changed(f"{name} changed a tensor that shares memory with it in place{line_of_user()}")
        return target

    def _read(self, func: Any, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[Any, torch.dtype]:
        """What a move or a handler makes of a call, and the type of the result according to torch."""
        unwrap = self._number if name in ON_CHOICES else self._unwrapped
        given, named = mapped(args, unwrap), mapped(kwargs, unwrap)
        if name in MOVES:
            source = next(leaf for leaf in leaves((args, kwargs)) if isinstance(leaf, Traced))
            first = [named.pop(k) for k in FIRST if k in named]
            return move(self.trace, func, *first, *given, **named), source.dtype
        handler = OPERATIONS[name]
        values = taken(handler, given, named)
        try:
            theirs = func(*mapped(args, stand_in), **mapped(kwargs, stand_in))
        except Exception:
            handler(self.trace, **values)  # which may know a better reason
            raise
        theirs = next(leaf for leaf in leaves(theirs) if isinstance(leaf, Tensor))
        if name not in CHOOSING:  # a truth value is no rounded number
            self.trace.current = kept(theirs.dtype, self._widest, leaves((args, kwargs)))
        result = handler(self.trace, **values)
        ours = next(leaf for leaf in leaves(result) if isinstance(leaf, Dynamic | Choice))
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
        value = self._number(source)
        return Traced(self, value, dtype=kept(result.dtype, self._widest, [source])).shares(source)

    def _wrapped(self, value: Any, kind: torch.dtype) -> Any:
        if isinstance(value, NoForm):
            return Traced(self, None, value.reason)
        if isinstance(value, Choice):  # where it was chosen, should it jump
            return Traced(self, value, line_of_user(), kind)
        return Traced(self, value, dtype=kind) if isinstance(value, Dynamic) else value

    def _count(self) -> None:
        nodes = self.trace.builder.graph.nodes
        self._total += sum(math.prod(node.shape) for node in nodes[self._counted :])
        self._counted = len(nodes)
        check_size((self._total,), "all tensors up to here")

    def _number(self, value: Any) -> Any:
        """What a traced tensor stands for, a choice as such."""
        if not isinstance(value, Traced):
            return value
        if value.dynamic is None:
            raise UnsupportedModel(value.reason)
        return value.dynamic

    def _unwrapped(self, value: Any) -> Any:
        """The same, a choice as the tensor that it is."""
        number = self._number(value)
        if not isinstance(number, Choice):
            return number
        try:
            return resolved(self.trace.builder, number)
        except UnsupportedModel as error:
            raise UnsupportedModel(f"{error}{value.reason}") from None

    @contextmanager
    def _watched(self) -> Iterator[None]:
        """While it lasts, calls of submodules come here, which tells their paths and lets some give their own form."""
        changed: list[tuple[nn.Module, Any]] = []
        try:
            for path, sub in self._module.named_modules():
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
        """A call of a submodule; an exception inside leaves the path at that submodule, for the message."""
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
        if value is not None and isinstance(value.dynamic, Choice) and (form is not None or is_link(module)):
            try:
                value.dynamic = self._unwrapped(value)
            except UnsupportedModel as error:
                raise UnsupportedModel(f"{self._where()}: its argument cannot be represented: {error}") from None
        start = value.dynamic.number if value is not None and isinstance(value.dynamic, Dynamic) else None
        graph = self.trace.builder.graph
        first = len(graph.nodes)
        self._inside = outer or (start is not None and not patched and is_link(module))
        if form is None or value is None:
            result = forward(*args, **kwargs)
        else:
            result = self._formed(form, value)
        if self._inside and not outer and isinstance(result, Traced) and result.dynamic is not None:
            assert start is not None
            number = self._unwrapped(result).number
            self.steps.append(Step(path, module, start, number, range(first, len(graph.nodes))))
        self._inside = outer
        del self._path[depth:]
        return result

    def _formed(self, form: Form, value: Traced) -> Traced:
        try:
            result = form(self.trace.builder, self._unwrapped(value))
            self._count()
        except ValueError as error:
            raise UnsupportedModel(f"{self._where()} cannot be represented: {first_line(error)}") from None
        made = Traced(self, result, dtype=value.dtype)
        return made.shares(value) if result == value.dynamic else made

    def _where(self) -> str:
        path, module = self._path[-1]
        kind = getattr(type(module), "__name__", "Module")
        return f"submodule {quoted(path)} ({kind})" if path else f"the module ({kind})"

    def _refusal(self, name: str, why: str) -> UnsupportedModel:
        hook = hook_among(reversed(list(walk_stack(None))))
        return UnsupportedModel(f"{self._where()}: operation {name} cannot be represented: {why}{hook}")


def _source(trace: Trace, source: Traced) -> Traced:
    return source

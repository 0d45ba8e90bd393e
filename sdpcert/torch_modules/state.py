"""What from_torch leaves as it was: the module, and how torch computes.

A module is run as it stands, because a copy need not compute the same: a `forward` that was replaced on the instance
reaches the original through its closure, and weights that were written into are computed anew in a copy. Training
flags, attributes and the numbers of all tensors are put back afterwards. How torch computes (autocast, types and
precisions that are global) has to stay the same while the module runs: a module that changes it casts.
"""

from __future__ import annotations

import sys
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import reduce
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import is_traceable_wrapper_subclass

from sdpcert.readers.errors import UnsupportedModel

#: Kinds of devices that autocast knows.
_DEVICES = ("cpu", "cuda", "xpu", "mps", "hpu", "mtia", "maia", "xla")
#: Global settings that change how float32 numbers are multiplied, as paths below `torch.backends`.
_PRECISIONS = (
    "fp32_precision",
    "cuda.matmul.fp32_precision",
    "cuda.matmul.allow_tf32",
    "cuda.matmul.allow_fp16_reduced_precision_reduction",
    "cuda.matmul.allow_bf16_reduced_precision_reduction",
    "cuda.matmul.allow_fp16_accumulation",
    "cudnn.fp32_precision",
    "cudnn.allow_tf32",
    "cudnn.conv.fp32_precision",
    "cudnn.rnn.fp32_precision",
    "mkldnn.fp32_precision",
    "mkldnn.allow_tf32",
    "mkldnn.matmul.fp32_precision",
    "mkldnn.conv.fp32_precision",
    "mkldnn.rnn.fp32_precision",
)


def computing() -> dict[str, Any]:
    """How torch computes: what is global and changes numbers, by a name for messages."""
    state: dict[str, Any] = {"torch.get_default_dtype": torch.get_default_dtype()}
    try:
        state["torch.get_float32_matmul_precision"] = torch.get_float32_matmul_precision()
    except RuntimeError:  # the old and the new settings contradict each other
        state["torch.get_float32_matmul_precision"] = None
    for path in _PRECISIONS:
        try:
            state[f"torch.backends.{path}"] = reduce(getattr, path.split("."), torch.backends)
        except (AttributeError, RuntimeError):  # unknown to this version, or contradictory
            continue
    return state


def autocast_of() -> tuple[str, torch.dtype] | None:
    """The kind of device and the type of an autocast that is enabled; None if none is."""
    for device in _DEVICES:
        try:
            if torch.is_autocast_enabled(device):
                return device, torch.get_autocast_dtype(device)
        except RuntimeError:  # unknown to this version
            continue
    return None


def check_computing(before: dict[str, Any]) -> None:
    """Raise `UnsupportedModel` if autocast is enabled or torch computes otherwise than before."""
    found = autocast_of()
    if found is not None:
        raise UnsupportedModel(
            f"autocast on {found[0]} is enabled, a cast to {found[1]} that rounds; leave it out, or convert the module"
        )
    for name, now in computing().items():
        if name in before and before[name] != now:
            raise UnsupportedModel(
                f"the module changes how torch computes: {name} from {before[name]} to {now}; set it outside"
            )


@contextmanager
def steady() -> Iterator[dict[str, Any]]:
    """What `computing` says now, all of which is put back afterwards, with random numbers and autocast."""
    before, casts = computing(), {d: _autocast(d) for d in _DEVICES}
    with ExitStack() as stack, torch.no_grad():
        stack.enter_context(torch.random.fork_rng(devices=[]))
        # torch.compile makes the same function of the Python code, which is what is read. Without this module, whose
        # import takes a second, nothing is compiled.
        if "torch._dynamo" in sys.modules and hasattr(torch.compiler, "set_stance"):
            stack.enter_context(torch.compiler.set_stance("force_eager"))
        try:
            yield before
        finally:
            for device, (enabled, dtype) in ((d, cast) for d, cast in casts.items() if cast is not None):
                torch.set_autocast_enabled(device, enabled)
                torch.set_autocast_dtype(device, dtype)
            for name, value in computing().items():
                if value != before.get(name, value):
                    _set(name, before[name])


def _autocast(device: str) -> tuple[bool, torch.dtype] | None:
    try:
        return torch.is_autocast_enabled(device), torch.get_autocast_dtype(device)
    except RuntimeError:
        return None


def _set(name: str, value: Any) -> None:
    path = name.removeprefix("torch.")
    if path.startswith("get_"):
        getattr(torch, path.replace("get_", "set_", 1))(value)
        return
    *owners, attribute = path.split(".")
    setattr(reduce(getattr, owners, torch), attribute, value)


@contextmanager
def evaluated(module: nn.Module) -> Iterator[None]:
    """The module in evaluation mode; afterwards it is what it was, tensors, attributes and training flags."""
    parts = [(part, dict(vars(part))) for part in module.modules()]
    held = [value for _, attributes in parts for value in attributes.values()]
    containers = [(value, type(value)(value)) for value in held if type(value) in (list, dict, set, OrderedDict)]
    tensors = {id(t): t for value in held for t in _tensors(value)}
    numbers = [(t, t.data, t.detach().clone(), t.requires_grad) for t in tensors.values()]
    try:
        module.eval()
        yield
    finally:
        for part, attributes in parts:
            _put_back(vars(part), attributes)
        for container, content in containers:
            if isinstance(container, list):
                container[:] = content
            elif isinstance(container, set):
                container.clear()
                container.update(content)
            else:
                _put_back(container, content)
        for tensor, data, content, requires_grad in numbers:
            if not (torch.equal(data, content) or _same_bytes(data, content)):
                data.copy_(content)
            if tensor.data_ptr() != data.data_ptr() or tensor.shape != data.shape or tensor.dtype != data.dtype:
                tensor.data = data
            if tensor.is_leaf and tensor.requires_grad != requires_grad:
                tensor.requires_grad_(requires_grad)


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors that an attribute is or holds, uninitialised and sparse ones and those without numbers left out."""
    if isinstance(value, Tensor):
        if not isinstance(value, nn.UninitializedParameter | nn.UninitializedBuffer):
            if value.layout is torch.strided and not value.is_meta and not is_traceable_wrapper_subclass(value):
                yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _put_back(container: dict[Any, Any], content: dict[Any, Any]) -> None:
    for key in [k for k in container if k not in content]:
        del container[key]
    for key, value in content.items():
        if key not in container or container[key] is not value:
            container[key] = value


def _same_bytes(first: Tensor, second: Tensor) -> bool:
    """Whether two tensors hold the same bits; `torch.equal` denies it of NaN."""
    if first.shape != second.shape or first.dtype != second.dtype:
        return False
    return torch.equal(*(t.contiguous().reshape(-1).view(torch.uint8) for t in (first, second)))

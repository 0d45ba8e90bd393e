"""torch modules in: what a module computes in evaluation mode as a `Network`, compared with it before it is returned.

The module is traced (`torch_trace`). A chain of the toolkit's layers, stock linear layers and activations becomes a
network that knows multipliers by construction (`torch_chain`); any other becomes the traced graph (`torch_operators`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from sdpcert.network.graph import Network
from sdpcert.readers.errors import UnsupportedModel, check_size, first_line, quoted
from sdpcert.running.arguments import shape as as_shape
from sdpcert.torch_modules.compare import compare, device_of, inputs_for, outputs_of
from sdpcert.torch_modules.state import check_computing, evaluated, steady


def from_torch(module: nn.Module, input_shape: Sequence[int] | int) -> Network:
    """The network that a torch module computes in evaluation mode; `input_shape` is without the batch axis.

    An integer is the shape of one axis. The module itself is run, in evaluation mode, and is left as it was;
    parametrised weights are materialised, weights in half precision are taken exactly. Raises `UnsupportedModel` with
    the submodule and the operation where something has no exact form, where the module does not run on a batch of that
    shape, or where the network's outputs differ from the module's on random inputs; TypeError for what is no torch
    module, TypeError or ValueError for what is no shape.
    """
    # The layers' own checks import this file.
    from sdpcert.torch_modules.chain import chain, links_of
    from sdpcert.torch_modules.moves import MOVES, move
    from sdpcert.torch_modules.operators import OPERATIONS
    from sdpcert.torch_modules.trace import Trace

    shape = _checked_shape(input_shape)
    if not isinstance(module, nn.Module):
        raise TypeError(f"from_torch takes a torch.nn.Module, not {type(module).__name__}")
    source = f"torch module {type(module).__name__}"
    module = _checked_parts(getattr(module, "_orig_mod", module))
    with steady() as before, evaluated(module):
        check_computing(before)
        dtype = _checked_type(module)
        outputs_of(module, inputs_for(shape)[:2], dtype)  # hooks compute weights now
        subject = module if device_of(module).type == "cpu" else _copied(module)
        trace = Trace(shape, dtype, _widest(module, dtype), OPERATIONS, MOVES, move, before)
        output = trace.run(subject)
        links = links_of(trace.builder.graph.nodes, shape, trace.steps, output.number)
        network = None if links is None else chain(links, shape, source)
        network = trace.network(output, source) if network is None else network
        compare(module, network, shape, dtype)
    return network


def input_shape_of(module: nn.Module) -> tuple[int, ...]:
    """The input shape of a module that begins with a dense layer; raises ValueError for others."""
    from sdpcert.torch_modules.certified import LipschitzLayer

    first = next(_in_order(_copied(module)), None)
    if isinstance(first, nn.Linear):
        return (first.in_features,)
    if isinstance(first, LipschitzLayer):
        reader = first.materialised().reader
        if reader is not None and reader.geometry is None:
            return (reader.inputs,)
    raise ValueError("the input's shape does not follow from the module: use sdpcert.from_torch(module, input_shape)")


def _in_order(module: nn.Module) -> Iterator[nn.Module]:
    """The modules of nested sequences, without those that do nothing in evaluation mode."""
    if isinstance(module, nn.Sequential):
        for part in module:
            yield from _in_order(part)
    elif not isinstance(module, nn.Identity | nn.Dropout | nn.Dropout2d):
        yield module


def _checked_shape(input_shape: Sequence[int] | int) -> tuple[int, ...]:
    found = as_shape(input_shape)
    if not found:
        raise ValueError("input_shape is the shape without the batch axis, as in (3, 8, 8): it needs one axis or more")
    check_size(found, "the input")
    return found


def _copied(module: nn.Module) -> nn.Module:
    """A copy in evaluation mode on the CPU; the given module stays as it is."""
    # Weights that old hooks left as attributes hang on a graph of gradients, which cannot be copied.
    memo: dict[int, object] = {}
    for sub in module.modules():
        for value in vars(sub).values():
            if isinstance(value, Tensor) and value.grad_fn is not None:
                memo[id(value)] = value.detach().clone()
    try:
        made = copy.deepcopy(getattr(module, "_orig_mod", module), memo)
        return made.to("cpu").eval()
    except (RuntimeError, NotImplementedError, TypeError, ValueError, AttributeError) as error:
        raise UnsupportedModel(f"the module cannot be copied to the CPU: {first_line(error)}") from None


def _checked_parts(module: nn.Module) -> nn.Module:
    """The module; refuses what has no Python code to follow, and tensors without numbers."""
    for path, part in module.named_modules():
        if isinstance(part, torch.jit.ScriptModule):
            raise UnsupportedModel(
                f"submodule {quoted(path)} is TorchScript and cannot be followed; pass the Python module"
            )
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if isinstance(value, nn.UninitializedParameter | nn.UninitializedBuffer):
            raise UnsupportedModel(f"{quoted(name)} has no shape yet; run the module once")
        if value.is_meta:
            raise UnsupportedModel(f"{quoted(name)} is on the device meta and has no numbers; load its weights")
    return module


def _checked_type(module: nn.Module) -> torch.dtype:
    """The type of the first parameter or buffer; refuses parameters that are not finite real numbers."""
    dtype = None
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if value.is_complex():
            raise UnsupportedModel(f"{quoted(name)} is complex; only real networks have a form here")
        if isinstance(value, nn.Parameter) and not torch.isfinite(value).all():
            raise UnsupportedModel(f"parameter {quoted(name)} is not finite; nothing can be certified")
        if dtype is None and value.is_floating_point():
            dtype = value.dtype
    return dtype or torch.float32


def _widest(module: nn.Module, dtype: torch.dtype) -> torch.dtype:
    """The type that holds the numbers of all parameters."""
    for value in module.parameters():
        if value.is_floating_point() and value.element_size() > 1:  # types of eight bits have no common type
            dtype = torch.promote_types(dtype, value.dtype)
    return dtype

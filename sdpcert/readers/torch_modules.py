"""torch modules in: what a module computes in evaluation mode as a `Network`, compared with it before it is returned.

The module is traced (`torch_trace`). A chain of the toolkit's layers, stock linear layers and activations becomes a
network that knows multipliers by construction (`torch_chain`); any other becomes the traced graph (`torch_operators`).
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.network.graph import Network
from sdpcert.readers.errors import UnsupportedModel, check_size, first_line, quoted
from sdpcert.readers.onnx_verify import perturbed
from sdpcert.readers.torch_moves import space_to_depth

#: Standard deviations of the random inputs on which the graph is compared with the module, one sample each.
SCALES = (0.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 100.0)
#: How far a module that was converted to float64 may differ, relative: weights that it computes itself were rounded.
SHARP = 2.0**-17
#: How far other modules may differ, in units of their type's rounding; the second for half precision.
ROUNDINGS = (1e3, 32.0)
#: How many times the measured effect of rounding is allowed where it is more than that: outputs that cancel.
MEASURED = 1e3


def from_torch(module: nn.Module, input_shape: Sequence[int]) -> Network:
    """The network that a torch module computes in evaluation mode; `input_shape` is without the batch axis.

    The module is copied; parametrised weights are materialised, weights in half precision are taken exactly. Raises
    `UnsupportedModel` with the submodule and the operation where something has no exact form, where the module does not
    run on a batch of that shape, or where the network's outputs differ from the module's on random inputs; TypeError
    for what is no torch module.
    """
    # The layers' own checks import this file.
    from sdpcert.readers.torch_chain import chain, links_of
    from sdpcert.readers.torch_moves import MOVES, move
    from sdpcert.readers.torch_operators import OPERATIONS
    from sdpcert.readers.torch_trace import Trace

    shape = _checked_shape(input_shape)
    if not isinstance(module, nn.Module):
        raise TypeError(f"from_torch takes a torch.nn.Module, not {type(module).__name__}")
    source = f"torch module {type(module).__name__}"
    with torch.no_grad():
        module = _copied(module)
        dtype = _checked_type(module)
        _outputs(module, _inputs(shape, 2), dtype)  # hooks compute weights now
        trace = Trace(shape, dtype, OPERATIONS, MOVES, move)
        output = trace.run(module)
        links = links_of(trace.builder.graph.nodes, shape, trace.steps, output.number)
        network = trace.network(output, source) if links is None else chain(links, shape, source)
        _compare(module, network, shape, dtype)
    return network


def input_shape_of(module: nn.Module) -> tuple[int, ...]:
    """The input shape of a module that begins with a dense layer; raises ValueError for others."""
    from sdpcert.layers.base import LipschitzLayer

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


def _checked_shape(input_shape: Sequence[int]) -> tuple[int, ...]:
    try:
        shape = tuple(int(k) for k in input_shape)
        whole = all(k == given for k, given in zip(shape, input_shape))
    except (TypeError, ValueError):
        shape, whole = (), False
    if not shape or not whole or min(shape) < 1:
        raise ValueError(f"input_shape must be positive whole numbers without the batch axis, not {input_shape!r}")
    check_size(shape, "the input")
    return shape


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


def _checked_type(module: nn.Module) -> torch.dtype:
    """The type of the first parameter or buffer; refuses parameters that are not finite real numbers."""
    dtype = None
    for name, value in (*module.named_parameters(), *module.named_buffers()):
        if isinstance(value, nn.UninitializedParameter | nn.UninitializedBuffer):
            raise UnsupportedModel(f"{quoted(name)} has no shape yet; run the module once")
        if value.is_complex():
            raise UnsupportedModel(f"{quoted(name)} is complex; only real networks have a form here")
        if isinstance(value, nn.Parameter) and not torch.isfinite(value).all():
            raise UnsupportedModel(f"parameter {quoted(name)} is not finite; nothing can be certified")
        if dtype is None and value.is_floating_point():
            dtype = value.dtype
    return dtype or torch.float32


def _inputs(shape: tuple[int, ...], count: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor(SCALES[:count], dtype=torch.float64).reshape(-1, *(1,) * len(shape))
    return torch.randn((count, *shape), generator=generator, dtype=torch.float64) * scales


def _outputs(module: nn.Module, inputs: Tensor, dtype: torch.dtype) -> np.ndarray:
    """What the module gives in float64, (samples, outputs)."""
    shape = tuple(inputs.shape[1:])
    try:
        outputs = module(inputs.to(dtype))
    except Exception as error:  # the module's own code may raise anything
        raise UnsupportedModel(f"the module does not run on inputs of shape {shape}: {first_line(error)}") from None
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        what = f"a tensor of type {outputs.dtype}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise UnsupportedModel(f"the module returns {what}; certify a module that returns one real tensor")
    if outputs.dim() < 1 or len(outputs) != len(inputs):
        raise UnsupportedModel(
            f"a batch of {len(inputs)} gives an output of shape {tuple(outputs.shape)}; keep the batch axis first"
        )
    return outputs.detach().to(torch.float64).reshape(len(inputs), -1).numpy()


def _compare(module: nn.Module, network: Network, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Evaluate both on random inputs, the module in float64 where that leaves its weights alone."""
    samples = _inputs(shape, len(SCALES))
    own, half = dtype, torch.finfo(dtype).eps > 1e-4
    allowed = ROUNDINGS[half] * torch.finfo(dtype).eps
    if dtype != torch.float64 and _keeps_weights(module):
        wide = copy.deepcopy(module).double()
        try:
            _outputs(wide, samples[:1], torch.float64)
        except UnsupportedModel:  # its forward makes tensors of the narrow type
            pass
        else:
            module, dtype, allowed = wide, torch.float64, SHARP
    samples = samples.to(dtype)
    step = max(1, 25_000_000 // sum(int(np.prod(node.shape)) for node in network.nodes) if network.nodes else 10)
    for k in range(0, len(samples), step):
        part = samples[k : k + step]
        expected = _outputs(module, part, dtype)
        numbers = part.to(torch.float64).numpy()
        found = network(numbers).reshape(len(part), -1)
        if found.shape != expected.shape or not _is_close(found, expected, allowed, network, numbers, own):
            one_by_one = np.concatenate([_outputs(module, part[i : i + 1], dtype) for i in range(len(part))])
            if found.shape == one_by_one.shape and _is_close(found, one_by_one, allowed, network, numbers, own):
                raise UnsupportedModel("the module mixes the samples of a batch: an output reads several inputs")
            raise UnsupportedModel(
                "the network's outputs differ from the module's on random inputs; please report this model"
            )


def _is_close(
    found: np.ndarray, expected: np.ndarray, allowed: float, network: Network, inputs: np.ndarray, dtype: torch.dtype
) -> bool:
    """Whether the outputs differ by no more than `allowed`, relative, or than rounding in every layer to `dtype` does.

    The second is measured where the first is missed. Inputs are no measure: outputs may be small beside them. What is
    below the type's smallest normal number is nothing.
    """
    deviation = np.max(np.abs(found - expected), axis=1, initial=0.0)
    close = deviation <= allowed * np.max(np.abs(expected), axis=1, initial=1e-300) + torch.finfo(dtype).tiny
    if close.all():
        return True
    generator = np.random.default_rng(0)
    unit = torch.finfo(dtype).eps / 2
    moved = [perturbed(network, inputs, unit, generator).reshape(len(found), -1) - found for _ in range(4)]
    noise = np.sqrt(np.mean(np.square(moved), axis=(0, 2)))
    return bool(np.all(close | (deviation <= MEASURED * noise)))


def _keeps_weights(module: nn.Module) -> bool:
    """Whether a conversion to float64 leaves every weight as it is: none is computed from parameters by a layer."""
    from sdpcert.layers.base import Certified

    for sub in module.modules():
        if hasattr(sub, "parametrizations") or sub._forward_pre_hooks:
            return False
        if isinstance(sub, Certified) and next(sub.parameters(), None) is not None:
            return False
    return True


__all__ = ["from_torch", "space_to_depth"]

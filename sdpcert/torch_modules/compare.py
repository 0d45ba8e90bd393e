"""Whether the network that was read computes what the torch module computes, by running the module.

It runs twice: as it was given, and, if that leaves its weights alone, converted to float64, which compares more
sharply. Modules may write into what they are given, so each call gets a copy of the inputs.
"""

from __future__ import annotations

import copy

import numpy as np
import torch
from torch import Tensor, nn

from sdpcert.network.graph import Network
from sdpcert.readers.comparison import effect_of_rounding, outputs_of, part_of
from sdpcert.readers.errors import UnsupportedModel, first_line
from sdpcert.torch_modules.certified import Certified

Array = np.ndarray
#: Standard deviations of the random inputs on which the graph is compared with the module, one sample each.
SCALES = (0.1, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 10.0, 100.0)
#: How far a module that was converted to float64 may differ, relative: weights that it computes itself were rounded.
SHARP = 2.0**-17
#: How far other modules may differ, in units of their type's rounding; the second for half precision.
ROUNDINGS = (1e3, 32.0)
#: The unit of rounding of products of float32 numbers on other devices than the CPU, which may be TensorFloat-32.
TENSOR_FLOAT = 2.0**-10
#: How many times the measured effect of rounding is allowed if that is more: outputs that cancel.
MEASURED = 1e3
#: How many samples have to be finite in the module's own type if a comparison in float64 sees the others.
LEAST_FINITE = 4
_MIXED = "the module mixes the samples of a batch: an output reads several inputs"
_DIFFERS = "the network's outputs differ from the module's on random inputs; please report this model"


def inputs_for(shape: tuple[int, ...]) -> Tensor:
    """The random inputs (samples, *shape) in float64."""
    generator = torch.Generator().manual_seed(0)
    scales = torch.tensor(SCALES, dtype=torch.float64).reshape(-1, *(1,) * len(shape))
    return torch.randn((len(SCALES), *shape), generator=generator, dtype=torch.float64) * scales


def module_outputs(module: nn.Module, inputs: Tensor, dtype: torch.dtype) -> Array:
    """What the module gives in float64, (samples, outputs), on its own device."""
    shape = tuple(inputs.shape[1:])
    try:
        outputs = module(inputs.to(device_of(module), dtype, copy=True))
    except Exception as error:  # the module's own code may raise anything
        raise UnsupportedModel(f"the module does not run on inputs of shape {shape}: {first_line(error)}") from None
    if not isinstance(outputs, Tensor) or not outputs.is_floating_point():
        what = f"a tensor of type {outputs.dtype}" if isinstance(outputs, Tensor) else f"a {type(outputs).__name__}"
        raise UnsupportedModel(f"the module returns {what}; certify a module that returns one real tensor")
    if outputs.dim() < 1 or len(outputs) != len(inputs):
        raise UnsupportedModel(
            f"a batch of {len(inputs)} gives an output of shape {tuple(outputs.shape)}; keep the batch axis first"
        )
    return outputs.detach().to("cpu", torch.float64, copy=True).reshape(len(inputs), -1).numpy()


def device_of(module: nn.Module) -> torch.device:
    """Where the first parameter or buffer lies; the CPU without any."""
    held = next(module.parameters(), None)
    held = next(module.buffers(), None) if held is None else held
    return torch.device("cpu") if held is None else held.device


def compare(module: nn.Module, network: Network, shape: tuple[int, ...], dtype: torch.dtype) -> None:
    """Raise `UnsupportedModel` if the network's outputs differ from the module's, or if that cannot be seen."""
    wide = _widened(module, shape, dtype)
    if wide is not None:
        _compare(wide, network, shape, torch.float64, dtype, SHARP, len(SCALES))
    half = torch.finfo(dtype).eps > 1e-4
    allowed, own = ROUNDINGS[half] * torch.finfo(dtype).eps, dtype
    if device_of(module).type != "cpu" and dtype == torch.float32:
        allowed, own = ROUNDINGS[1] * TENSOR_FLOAT, torch.bfloat16
    _compare(module, network, shape, dtype, own, allowed, len(SCALES) if wide is None else LEAST_FINITE)


def _widened(module: nn.Module, shape: tuple[int, ...], dtype: torch.dtype) -> nn.Module | None:
    """A copy in float64 where that leaves the module's weights alone and runs."""
    if dtype == torch.float64 or not _keeps_weights(module):
        return None
    try:
        wide = copy.deepcopy(module).to("cpu", torch.float64)
        module_outputs(wide, inputs_for(shape)[:1], torch.float64)
    except Exception:  # it cannot be copied, or its forward makes tensors of the narrow type
        return None
    return wide


def _compare(
    module: nn.Module,
    network: Network,
    shape: tuple[int, ...],
    dtype: torch.dtype,
    own: torch.dtype,
    allowed: float,
    least: int,
) -> None:
    """Compare on the random inputs in `dtype`, of which `least` have to be finite; `own` is the module's type."""
    samples, finite = inputs_for(shape).to(dtype), 0
    step = part_of(network)
    for k in range(0, len(samples), step):
        part = samples[k : k + step]
        numbers = part.to(torch.float64).numpy()
        with np.errstate(all="ignore"):
            found = outputs_of(network, numbers)
        expected = module_outputs(module, part, dtype)
        if not _agrees(found, expected, allowed, network, numbers, own):
            alone = np.concatenate([module_outputs(module, part[i : i + 1], dtype) for i in range(len(part))])
            raise UnsupportedModel(_MIXED if _agrees(found, alone, allowed, network, numbers, own) else _DIFFERS)
        finite += int(_finite(found, expected).sum())
    if finite < least:
        raise UnsupportedModel(
            f"the module's outputs overflow {dtype} on {len(samples) - finite} of {len(samples)} random inputs "
            f"(standard deviations from {SCALES[0]:g} to {SCALES[-1]:g}), so what was read cannot be checked; "
            + ("scale its weights" if dtype == torch.float64 else "convert it to a wider type: module.double()")
        )


def _finite(found: Array, expected: Array) -> Array:
    """The samples on which both are finite."""
    return np.all(np.isfinite(found) & np.isfinite(expected), axis=1)


def _agrees(found: Array, expected: Array, allowed: float, network: Network, inputs: Array, dtype: torch.dtype) -> bool:
    """Whether the outputs have one shape and are close on the samples that overflow in neither."""
    if found.shape != expected.shape:
        return False
    fine = _finite(found, expected)
    return _is_close(found[fine], expected[fine], allowed, network, inputs[fine], dtype)


def _is_close(
    found: Array, expected: Array, allowed: float, network: Network, inputs: Array, dtype: torch.dtype
) -> bool:
    """Whether the outputs differ by no more than `allowed`, relative, or than rounding in every layer to `dtype` does.

    The second is measured if the first is exceeded. Inputs are no measure: outputs may be small beside them. A
    difference below the type's smallest normal number does not count.
    """
    deviation = np.max(np.abs(found - expected), axis=1, initial=0.0)
    close = deviation <= allowed * np.max(np.abs(expected), axis=1, initial=1e-300) + torch.finfo(dtype).tiny
    if close.all():
        return True
    unit, generator = torch.finfo(dtype).eps / 2, np.random.default_rng(0)
    noise = effect_of_rounding(network, inputs, found, unit, generator)
    return bool(np.all(close | (deviation <= MEASURED * noise)))


def _keeps_weights(module: nn.Module) -> bool:
    """Whether a conversion to float64 leaves every weight as it is: none is computed from parameters by a layer."""
    for sub in module.modules():
        if hasattr(sub, "parametrizations") or sub._forward_pre_hooks:
            return False
        if isinstance(sub, Certified) and next(sub.parameters(), None) is not None:
            return False
    return True

"""torch modules in: the toolkit's own layers and chains of stock ones, with forward equality proved on samples.

A module made of the toolkit's layers brings multipliers along, which make `certify(net, method="by-construction")`
possible: with c_l the square of the constant that layer l's multipliers are feasible for, everything behind a value
has the constant c_(l+1) c_(l+2) ..., and layer l's multipliers count so many times.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import torch
from torch import nn

from sdpcert.layers.activations import with_own_multiplier
from sdpcert.layers.base import Certified, LipschitzLayer
from sdpcert.layers.block import PlainBlock
from sdpcert.layers.norms import norm_upper_bound
from sdpcert.layers.operators import Geometry, Operator, array
from sdpcert.network.activations import Activation, activation_by_name, crop, leaky_relu
from sdpcert.network.affine import AffineLayer, Conv2d, Scale, Sum
from sdpcert.network.graph import Graph, Network
from sdpcert.readers.errors import UnsupportedModel

#: Random inputs on which the graph is compared with the module.
SAMPLES = 8
#: Room for float64 rounding of plain layers' norms, relative, which their squared constant has.
ROOM = 2.0**-30


def from_torch(module: nn.Module, input_shape: Sequence[int]) -> Network:
    """The network that a torch module computes in evaluation mode; `input_shape` is without the batch axis.

    The module is copied; parametrised weights are materialised. Raises `UnsupportedModel` with the module's name where
    something has no exact form, or where the network's outputs differ from the module's on random inputs.
    """
    shape = tuple(int(k) for k in input_shape)
    module = copy.deepcopy(module).to("cpu").eval()
    with torch.no_grad():
        leaves = list(_leaves(module, ""))
        graph, value = Graph(shape), 0
        constants = [squared_constant(leaf) for _, leaf in leaves]
        energies = [float(np.prod(constants[k + 1 :])) for k in range(len(leaves))]
        graph.energies[0] = float(np.prod(constants))
        for (name, leaf), energy, constant in zip(leaves, energies, constants, strict=True):
            try:
                if _reads_images(leaf):
                    value = graph.add(crop(energy * constant), value)
                    graph.energies[value] = energy * constant
                value = add(leaf, graph, value, energy)
            except UnsupportedModel:
                raise
            except ValueError as error:
                raise UnsupportedModel(f"{name or type(leaf).__name__}: {error}") from None
            graph.energies[value] = energy
        network = graph.network(value, source=f"torch module {type(module).__name__}")
        _compare(module, network, shape)
    return network


def input_shape_of(module: nn.Module) -> tuple[int, ...]:
    """The input shape of a module that begins with a dense layer; raises ValueError for others."""
    leaves = _leaves(copy.deepcopy(module).to("cpu").eval(), "")
    first = leaves[0][1] if leaves else None
    if isinstance(first, nn.Linear):
        return (first.in_features,)
    if isinstance(first, LipschitzLayer):
        reader = first.materialised().reader
        if reader is not None and reader.geometry is None:
            return (reader.inputs,)
    raise ValueError("the input's shape does not follow from the module: use sdpcert.from_torch(module, input_shape)")


def _leaves(module: nn.Module, name: str) -> list[tuple[str, nn.Module]]:
    """The modules of nested chains, in order, without those that do nothing in evaluation mode."""
    if isinstance(module, nn.Sequential):
        return [leaf for key, child in module.named_children() for leaf in _leaves(child, f"{name}.{key}".strip("."))]
    if isinstance(module, nn.Identity | nn.Dropout | nn.Dropout2d):
        return []
    if not isinstance(module, Certified) and _stock(module) is None:
        known = ", ".join(sorted(kind.__name__ for kind in _ADD))
        raise UnsupportedModel(
            f"module {name or 'at the top'} of type {type(module).__name__} has no exact form here; known are chains "
            f"of the toolkit's layers and {known}"
        )
    return [(name, module)]


def squared_constant(module: nn.Module) -> float:
    """The square of a constant that the module's multipliers are feasible for."""
    if isinstance(module, Certified):
        return module.squared_constant()
    if isinstance(module, nn.Linear | nn.Conv2d):
        norm = float(norm_upper_bound(_operator(module).map(lambda w: w.double())))
        return norm**2 * (1 + ROOM)
    if isinstance(module, PlainBlock):
        direct, inward, outward = _block_norms(module)
        return (direct + outward * inward) ** 2 * (1 + ROOM)
    if isinstance(module, nn.AvgPool2d):
        return 1.0 / _pair(module.kernel_size)[0] / _pair(module.kernel_size)[1] * (1 + ROOM)
    if isinstance(module, nn.Flatten | nn.PixelUnshuffle):
        return 1.0
    kind = _activation(module)
    steepest = float(np.max(np.maximum(np.abs(kind.alpha), np.abs(kind.beta))))
    return max(steepest, 1.0) ** 2 * (1 + ROOM)


def add(module: nn.Module, graph: Graph, value: int, energy: float) -> int:
    """Append one module to the graph; `energy` is the squared constant of everything behind it."""
    if isinstance(module, Certified):
        return module.add_to(graph, value, energy)
    kind = _stock(module)
    assert kind is not None
    return _ADD[kind](module, graph, value, energy)


def _stock(module: nn.Module) -> type[nn.Module] | None:
    """The stock class that a module is of; parametrised modules have a class of their own derived from it."""
    return next((kind for kind in type(module).__mro__ if kind in _ADD), None)


def _reads_images(module: nn.Module) -> bool:
    """Whether what lies around an image would be read, or lost: where a torus has to be cropped."""
    if isinstance(module, nn.Flatten | nn.Conv2d | nn.AvgPool2d):
        return True
    if isinstance(module, PlainBlock):
        return isinstance(module.inward, nn.Conv2d)
    return isinstance(module, Certified) and bool(getattr(module, "reads_neighbours", False))


def _add_linear(module: nn.Module, graph: Graph, value: int, energy: float) -> int:
    return graph.add(_linear(module), value)


def _operator(module: nn.Linear | nn.Conv2d) -> Operator:
    if isinstance(module, nn.Linear):
        return Operator(module.weight)
    if module.padding_mode not in ("zeros", "circular"):
        raise UnsupportedModel(
            f"padding mode {module.padding_mode!r} is not 1-Lipschitz and has no exact form; use zeros or circular"
        )
    if isinstance(module.padding, str):
        raise UnsupportedModel("give the padding as numbers, not as a word")
    geometry = Geometry(
        _pair(module.padding),
        _pair(module.stride),
        _pair(module.dilation),
        module.groups,
        module.padding_mode != "zeros",
    )
    return Operator(module.weight, geometry)


def _add_block(module: nn.Module, graph: Graph, value: int, energy: float) -> int:
    """An exported block: its multipliers are not known any more, those of the product of norms do."""
    assert isinstance(module, PlainBlock)
    direct, inward, outward = _block_norms(module)
    multiplier = energy * outward * (direct + outward * inward) / inward if inward > 0 else energy
    hidden = graph.add(_linear(module.inward), value)
    kind = replace(activation_by_name(module.activation), alpha=0.0, beta=1.0, multiplier=multiplier)
    result = graph.add(_linear(module.outward), graph.add(kind, hidden))
    if module.direct is not None:
        return graph.add(Sum(), graph.add(_linear(module.direct), value), result)
    return result if module.scale is None else graph.add(Sum(), graph.add(Scale(module.scale), value), result)


def _linear(module: nn.Module) -> AffineLayer:
    assert isinstance(module, nn.Linear | nn.Conv2d)
    return _operator(module).layer(module.bias)


def _block_norms(module: PlainBlock) -> tuple[float, float, float]:
    """Bounds of the norms of H, U and G."""

    def norm(part: nn.Module) -> float:
        assert isinstance(part, nn.Linear | nn.Conv2d)
        return float(norm_upper_bound(_operator(part).map(lambda w: w.double()))) * (1 + ROOM)

    direct = abs(module.scale or 0.0) if module.direct is None else norm(module.direct)
    return direct, norm(module.inward), norm(module.outward)


def _add_activation(module: nn.Module, graph: Graph, value: int, energy: float) -> int:
    kind = _activation(module)
    steepest = float(np.max(np.maximum(np.abs(kind.alpha), np.abs(kind.beta))))
    if kind.is_linear or steepest > 1:
        multiplier = (
            energy * steepest / (np.asarray(kind.beta) - np.asarray(kind.alpha)) if not kind.is_linear else None
        )
        return graph.add(replace(kind, multiplier=multiplier), value)
    return graph.add(with_own_multiplier(kind, energy), value)


def _activation(module: nn.Module) -> Activation:
    if isinstance(module, nn.LeakyReLU):
        return leaky_relu(module.negative_slope)
    if isinstance(module, nn.ELU) and module.alpha != 1:
        raise UnsupportedModel(f"ELU with alpha {module.alpha}; only alpha 1 is known here")
    if isinstance(module, nn.Softplus) and (module.beta != 1):
        raise UnsupportedModel(f"Softplus with beta {module.beta}; only beta 1 is known here")
    return activation_by_name(_NAMES[type(module)])


_NAMES: dict[type[nn.Module], str] = {
    nn.ReLU: "relu",
    nn.LeakyReLU: "leaky_relu",
    nn.Tanh: "tanh",
    nn.Sigmoid: "sigmoid",
    nn.ELU: "elu",
    nn.Softplus: "softplus",
    nn.Softsign: "softsign",
}


def _add_flatten(module: nn.Module, graph: Graph, value: int, energy: float) -> int:
    return graph.rearrange(value, np.ravel)


def _add_average(module: nn.Module, graph: Graph, value: int, energy: float) -> int:
    assert isinstance(module, nn.AvgPool2d)
    size, stride = _pair(module.kernel_size), _pair(module.stride)
    if _pair(module.padding) != (0, 0) or size != stride:
        raise UnsupportedModel("average pooling with padding or overlapping windows")
    channels = graph.shape(value)[0]
    kernel = np.full((channels, 1, *size), 1.0 / (size[0] * size[1]))
    return graph.add(Conv2d(kernel, None, size, groups=channels, coefficient_error=2.0**-53), value)


def _add_unshuffle(module: nn.Module, graph: Graph, value: int, energy: float) -> int:
    assert isinstance(module, nn.PixelUnshuffle)
    return graph.rearrange(value, lambda image: space_to_depth(image, module.downscale_factor))


def space_to_depth(image: np.ndarray, factor: int) -> np.ndarray:
    """Pixels of `factor` by `factor` cells as channels, in torch's order of `PixelUnshuffle`."""
    channels, height, width = image.shape
    if height % factor or width % factor:
        raise ValueError(f"an image of {height} x {width} pixels has no cells of {factor} x {factor}")
    cells = image.reshape(channels, height // factor, factor, width // factor, factor)
    return cells.transpose(0, 2, 4, 1, 3).reshape(channels * factor**2, height // factor, width // factor)


_ADD: dict[type[nn.Module], Callable[[nn.Module, Graph, int, float], int]] = {
    nn.Linear: _add_linear,
    nn.Conv2d: _add_linear,
    PlainBlock: _add_block,
    nn.Flatten: _add_flatten,
    nn.AvgPool2d: _add_average,
    nn.PixelUnshuffle: _add_unshuffle,
    **dict.fromkeys(_NAMES, _add_activation),
}


def _pair(value: object) -> tuple[int, int]:
    if isinstance(value, int):
        return value, value
    first, second = value  # type: ignore[misc]
    return int(first), int(second)


def _compare(module: nn.Module, network: Network, shape: tuple[int, ...]) -> None:
    """Evaluate both on random inputs; float32 modules may differ by their rounding."""
    dtype = next((p.dtype for p in module.parameters()), torch.float32)
    generator = torch.Generator().manual_seed(0)
    inputs = torch.randn((SAMPLES, *shape), generator=generator, dtype=torch.float64).to(dtype)
    try:
        expected = array(module(inputs)).reshape(SAMPLES, -1)
    except RuntimeError as error:
        raise UnsupportedModel(f"the module does not run on inputs of shape {shape}: {error}") from None
    found = network(array(inputs)).reshape(SAMPLES, -1)
    tolerance = 1e3 * torch.finfo(dtype).eps
    size = max(float(np.max(np.abs(expected), initial=0.0)), float(np.max(np.abs(array(inputs)))), 1e-300)
    if found.shape != expected.shape or not np.max(np.abs(found - expected), initial=0.0) <= tolerance * size:
        raise UnsupportedModel(
            "the network's outputs differ from the module's on random inputs; please report this model"
        )


__all__ = ["from_torch", "space_to_depth"]
